"""The noise of the service in a look: how slow requests come together, and how far parts of stable differ.

Before users get the candidate, nothing of it is compared, but slow requests can be seen to come together all the same:
in the two halves of stable's replicas, which differ as two versions do; or, with one replica, in the candidate's
answers to copies beside stable's answers (a constant ratio of the two changes nothing). The comparison of the versions
begins with that estimate, and the estimate begins with what earlier releases found.
"""

import math
from dataclasses import replace

from gates.evidence import ArmCounts, Look
from gates.online.latency.former import edge_over
from gates.online.latency.state import LatencyState, Yardstick, slower_than
from gates.online.noise import as_begun, halves, heard
from gates.stats.ratio import Arms


def of_service(state: LatencyState, look: Look, yardstick: Yardstick | None, gate: str) -> LatencyState:
    """Return the state after a look's requests slower than the yardstick, as the replicas timed them. While a version
    warms up nothing counts."""
    state = as_begun(state, look, gate, "before")
    before, noise, spread = state.before, state.noise, state.spread
    if yardstick is not None and look.latency_edges_ms and not look.warming:
        over = edge_over(yardstick.stable_ms, look.latency_edges_ms)
        near = nearest(yardstick.stable_ms, look.users_edges_ms) if look.users_edges_ms else math.inf

        def slow(arm: ArmCounts) -> tuple[int, int]:
            return slower_than(over, arm, look.latency_edges_ms)

        def slow_of_users(arm: ArmCounts) -> tuple[int, int]:
            return slower_than(near, arm, look.users_edges_ms)

        if not spread.events:
            apart = halves(look, slow)
            if apart is None and look.shadow is not None and look.stable is not None and look.replayed is None:
                apart = Arms(*slow(look.shadow), *slow(look.stable))
            before = before.add(apart) if apart is not None else before
        noise = heard(noise, look, slow, events_of_users=slow_of_users)
    if not spread.events:  # once the versions are compared, expectations come too late
        spread = spread.expecting(before.learnt)
    if (before, noise, spread) == (state.before, state.noise, state.spread):
        return state
    return replace(state, before=before, noise=noise, spread=spread)


def nearest(edge_ms: float, edges: tuple[float, ...]) -> float:
    """Return the edge nearest to ``edge_ms``, by their ratio. Parts by users are timed by fewer edges."""
    return min(edges, key=lambda edge: abs(math.log(edge / edge_ms)))
