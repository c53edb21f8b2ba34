"""The yardstick of a latency gate: stable's percentile, and the edge that the candidate's must stay below.

Tau is stable's own percentile, taken to the edge of its bucket. At each look it is the one of stable's most recent
requests *before* that look. Chosen from the past, it may move with the load and the e-processes stay valid: each look
multiplies E by a factor whose expectation, given all that went before, is at most one. A yardstick fixed once would
starve the tests of slow requests, or drown them, as soon as the load is another than it was then.
"""

from bisect import bisect_left, bisect_right
from dataclasses import replace
from itertools import accumulate

from gates.evidence import Look
from gates.online.latency.policy import Percentile
from gates.online.latency.state import LatencyState, Yardstick

# Edges in ratio 1.1 are so only to rounding: to four decimals of a millisecond, which is up to 5e-5 of the ratio of two
# neighbours at 2 ms. A margin as wide as the grid must reach the next edge all the same.
SLACK = 1 + 1e-4


def yardstick_of(asked: Percentile, state: LatencyState, look: Look) -> Yardstick | None:
    """From what stable did in earlier looks, as soon as that is enough; None where it lies beyond the last edge.

    By the times of users; by the replicas' where the gateway has no edge to tell the margin by, or is not read.
    """
    if look.users is None:
        return _by(asked, state.edges_ms, state.stable_counts)
    if sum(state.users_counts) < asked.stable_requests_min:
        return None
    found = _by(asked, state.users_edges_ms, state.users_counts)
    if found is not None and found.candidate_ms > found.stable_ms:
        return replace(found, of_users=True)
    return _by(asked, state.edges_ms, state.stable_counts)


def _by(asked: Percentile, edges_ms: tuple[float, ...], counts: tuple[float, ...]) -> Yardstick | None:
    reached = list(accumulate(counts))
    if not reached or reached[-1] < asked.stable_requests_min:
        return None
    place = bisect_left(reached, asked.quantile * reached[-1])
    if place == len(edges_ms):
        return None
    edge = edges_ms[place]
    limit = edge * asked.margin_ratio * SLACK
    return Yardstick(edge, edges_ms[bisect_right(edges_ms, limit) - 1])
