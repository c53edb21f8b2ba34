"""The yardstick of a latency gate: stable's percentile, and the edge that the candidate's must stay below.

Tau is a bucket edge near stable's own percentile: the lowest one that at most 1.75 times as many requests exceed, for
the more of them there are, the sooner the versions are told apart. At each look it is the one of stable's most recent
requests *before* that look. Chosen from the past, it may move with the load and the e-processes stay valid: each look
multiplies E by a factor whose expectation, given all that went before, is at most one. A yardstick fixed once would
starve the tests of slow requests, or drown them, as soon as the load is another than it was then.

How many more slow requests a candidate makes that is so many times slower is read from the same requests: as many as
stable has beyond an edge so much lower. Between two edges the logarithms of both are taken for linear, which says a
little too little of a distribution that falls ever faster: by half a percent for a log-normal one and edges in ratio
1.1.
"""

import math
from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from dataclasses import replace
from itertools import accumulate

from gates.evidence import Look
from gates.online.latency.policy import Percentile
from gates.online.latency.state import LatencyState, Yardstick

# Edges in ratio 1.1 are so only to rounding: to four decimals of a millisecond, which is up to 5e-5 of the ratio of two
# neighbours at 2 ms. A margin as wide as the grid must reach the next edge all the same.
SLACK = 1 + 1e-4
NEAR = 1.75  # times the percentile's tail: as many requests may exceed the edge that stands for it


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
    place = bisect_left(reached, (1 - NEAR * asked.tail) * reached[-1])
    if place == len(edges_ms):
        return None
    edge = edges_ms[place]
    limit = edge * asked.margin_ratio * SLACK
    return Yardstick(
        edge,
        edges_ms[bisect_right(edges_ms, limit) - 1],
        guard_ratio=more_slow(edge, asked.guard_ratio, edges_ms, counts),
    )


def more_slow(edge_ms: float, slower_ratio: float, edges_ms: Sequence[float], counts: Sequence[float]) -> float:
    """The number of requests beyond ``edge_ms`` of a version so many times slower, over those of ``counts``."""
    if not counts or slower_ratio <= 1:
        return 1.0
    total = sum(counts) + 1
    lower_ms, place = edge_ms / slower_ratio, bisect_left(edges_ms, edge_ms / slower_ratio)

    def log_share(at: int) -> float:
        return math.log((sum(counts[at + 1 :]) + 0.5) / total)

    above = log_share(place)
    before_ms, before = (edges_ms[place - 1], log_share(place - 1)) if place else (lower_ms, above)
    if before_ms < edges_ms[place]:
        part = math.log(edges_ms[place] / lower_ms) / math.log(edges_ms[place] / before_ms)
        above += min(part, 1.0) * (before - above)
    return math.exp(above - log_share(bisect_left(edges_ms, edge_ms)))
