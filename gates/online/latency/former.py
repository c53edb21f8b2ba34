"""The candidate beside the former version, once it serves everybody: stable's answers to copies stand for it.

How long users waited is held against the objective, and how long the replicas of each took is compared. The former
version carries little then, and nobody waits for it. So the candidate is compared only under a load that it bore beside
stable as well, and in this question only: with nothing else to do, a version is a little faster.
"""

from bisect import bisect_left

from gates.evidence import Look
from gates.online.latency.state import LatencyState, slower_than
from gates.online.latency.yardstick import SLACK
from gates.stats.ratio import Arms

LOADS_ALIKE_RATIO = 1.25  # of the versions' loads, or the reverse: below it they count as alike


def edge_over(objective_ms: float, edges: tuple[float, ...]) -> float:
    """The edge at the objective; where there is none, the next above it."""
    return edges[min(bisect_left(edges, objective_ms / SLACK), len(edges) - 1)]


def beside_former(state: LatencyState, look: Look, objective_ms: float) -> Arms | None:
    """Return the answers above the objective, as the replicas of both versions timed them.

    None where the former one answered none, or the candidate carries more than it ever did beside stable: then nobody
    knows how the other would have borne it.
    """
    own, former, edges = look.candidate, look.former, look.latency_edges_ms
    if own is None or former is None or not (own.requests and former.requests and edges):
        return None
    if own.requests > LOADS_ALIKE_RATIO * state.carried_per_s * look.window.length_s:
        return None
    over = edge_over(objective_ms, edges)
    return Arms(*slower_than(over, own, edges), *slower_than(over, former, edges))
