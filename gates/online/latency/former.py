"""The candidate beside the former version, once the candidate serves everybody: stable's answers to copies take the
place of its answers to users.

The times that users waited are held against the objective, and the times that the replicas of each version took are
compared. The former version then carries little, and a version with nothing else to do is a little faster. So the
candidate is compared for the objective alone, and only under a load that it also carried beside stable.
"""

from bisect import bisect_left

from gates.evidence import Look
from gates.online.latency.state import LatencyState, slower_than
from gates.online.latency.yardstick import SLACK
from gates.stats.ratio import Arms

LOADS_ALIKE_RATIO = 1.25  # of the larger load to the smaller: up to it the loads count as alike


def edge_over(objective_ms: float, edges: tuple[float, ...]) -> float:
    """Return the edge at the objective, or else the next above it; the last edge where there is none."""
    return edges[min(bisect_left(edges, objective_ms / SLACK), len(edges) - 1)]


def beside_former(state: LatencyState, look: Look, objective_ms: float) -> Arms | None:
    """Return the answers above the objective, as the replicas of both versions timed them.

    None where the former version answered none, or the candidate carries more than it ever did beside stable: then
    nobody knows how the former version would have coped.
    """
    own, former, edges = look.candidate, look.former, look.latency_edges_ms
    if own is None or former is None or not (own.requests and former.requests and edges):
        return None
    if own.requests > LOADS_ALIKE_RATIO * state.carried_per_s * look.window.length_s:
        return None
    over = edge_over(objective_ms, edges)
    return Arms(*slower_than(over, own, edges), *slower_than(over, former, edges))
