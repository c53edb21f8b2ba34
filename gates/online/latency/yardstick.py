"""The yardstick of a latency gate: stable's percentile, and the edge that the candidate's must stay below.

Tau is a bucket edge near stable's own percentile: the lowest one that at most 1.75 times as many requests exceed as
exceed the percentile; more slow requests tell the versions apart sooner. At each look tau is that of stable's most
recent requests *before* the look. Chosen from the past, it may move with the load and the e-processes stay valid: each
look multiplies E by a factor whose expectation, given all that went before, is at most one. A yardstick fixed once
would leave the tests with too few slow requests, or too many, as soon as the load changes.

How many more slow requests a slower candidate makes is read from the same requests: as many as stable has beyond an
edge that is lower by the same ratio. Between two edges the logarithm of the share beyond is taken to be linear in the
logarithm of the time. That says a little too little of a distribution that falls ever faster: half a percent for a
log-normal one and edges in ratio 1.1.
"""

import math
from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from dataclasses import replace
from itertools import accumulate

from gates.evidence import Look
from gates.online.latency.policy import Percentile
from gates.online.latency.state import LatencyState, Yardstick

# Edges are rounded to four decimals of a millisecond, so that the ratio of two neighbours, 1.1, is off by up to 5e-5 at
# 2 ms. A margin as wide as the grid must reach the next edge all the same.
SLACK = 1 + 1e-4
NEAR = 1.75  # times the percentile's tail: the most requests that may exceed the edge that stands for the percentile


def yardstick_of(asked: Percentile, state: LatencyState, look: Look) -> Yardstick | None:
    """Return the yardstick by stable's requests at earlier looks; None where these are too few, or where it would lie
    beyond the last edge.

    It is of users' times; of the replicas' where the gateway is not read, or has no edge that can tell the margin.
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
    """Return how many times as many requests exceed ``edge_ms`` if all of ``counts`` take ``slower_ratio`` times as
    long."""
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
