"""The state of a latency gate, and the functions that read the times of a look into it."""

import operator
from bisect import bisect_left
from dataclasses import dataclass, field, replace

from gates.evidence import ArmCounts, Look
from gates.quick import quick
from gates.stats.noise import Found, Noise
from gates.stats.ratio import NO_ARMS, Arms, RatioBounds, RatioState
from gates.stats.share import ShareState
from gates.stats.spread import Spread
from gates.stats.watch import WatchState


@dataclass(frozen=True, slots=True)
class Yardstick:
    """The edge at stable's percentile, and the edge that the candidate's percentile must stay below."""

    stable_ms: float
    candidate_ms: float
    of_users: bool = False  # by the gateway's times; else by the replicas'
    guard_ratio: float = 1.0  # slow requests over stable's, for a candidate that is just as slow as the guard allows


@quick
@dataclass(frozen=True, slots=True)
class ObjectiveState:
    """Answers slower than the objective. ``ratio``: compared with stable's in the same windows; ``beside``: the
    candidate's in these windows; ``alone``: in windows without stable; ``safe``: all that may certify."""

    ratio: WatchState = field(default_factory=WatchState)
    beside: WatchState = field(default_factory=WatchState)
    alone: WatchState = field(default_factory=WatchState)
    safe: ShareState = field(default_factory=ShareState)


@quick
@dataclass(frozen=True, slots=True)
class LatencyState:
    harm: WatchState
    margin: RatioState
    objective: ObjectiveState
    edges_ms: tuple[float, ...] = ()  # of ``stable_counts``
    stable_counts: tuple[float, ...] = ()  # stable's recent requests, older ones fading
    yardstick: Yardstick | None = None  # of the last look
    bounds: RatioBounds = field(default_factory=RatioBounds)
    users_edges_ms: tuple[float, ...] = ()  # as ``edges_ms`` and ``stable_counts``, for the times that users waited
    users_counts: tuple[float, ...] = ()
    carried_per_s: float = 0.0  # the most requests that the candidate had at a look beside stable, copies included
    warming: Arms = NO_ARMS  # slower than the yardstick while a version warmed up: shown, never tested
    spread: Spread = field(default_factory=Spread)  # of slow requests over the yardstick
    noise: Noise = field(default_factory=Noise)  # of the same requests
    before: Spread = field(default_factory=Spread)  # of slow requests before both versions answered users

    @property
    def effect(self) -> float:
        """The number of slow requests that count as one at the next look, where the versions are compared."""
        return self.noise.effect(self.spread.lasting)

    @property
    def learnt(self) -> float:
        """The number of slow requests that came together and count as one, for the next release to expect."""
        return self.spread.learnt

    @property
    def found(self) -> Found | None:
        """Return how slow requests come together, and how far parts of stable differ; None before the first slow
        request."""
        return Found(self.learnt, self.noise.apart(self.learnt)) if self.spread.events else None

    @property
    def suspicions(self) -> int:
        objective = self.objective
        watched = (self.harm, objective.ratio, objective.beside, objective.alone)
        return sum(one.suspicions for one in watched)


def timed(look: Look, *, of_users: bool) -> tuple[ArmCounts | None, ArmCounts | None, tuple[float, ...]]:
    """Return the counts of stable and of the candidate, and the edges of their times: of what users waited, if
    ``of_users`` and known, else of what replicas took."""
    if of_users and look.users is not None:
        return look.users.stable, look.users.candidate, look.users.latency_edges_ms
    return look.stable, look.candidate, look.latency_edges_ms


def edges_changed(state: LatencyState, look: Look) -> bool:
    """Return whether times are counted by other edges than before."""
    users_ms = look.users.latency_edges_ms if look.users is not None else ()
    both = ((state.edges_ms, look.latency_edges_ms), (state.users_edges_ms, users_ms))
    return any(before and now and before != now for before, now in both)


def remember(state: LatencyState, look: Look, requests_max: int) -> LatencyState:
    """Return the state with stable's requests of this look added to its recent ones, which never weigh more than
    ``requests_max``."""
    edges_ms, counts = state.edges_ms, state.stable_counts
    if look.stable is not None and look.latency_edges_ms:
        edges_ms, counts = look.latency_edges_ms, _faded(counts, look.stable, requests_max)
    users_edges_ms, users_counts = state.users_edges_ms, state.users_counts
    if look.users is not None and look.users.latency_edges_ms:
        users_edges_ms = look.users.latency_edges_ms
        users_counts = _faded(users_counts, look.users.stable, requests_max)
    return replace(
        state,
        edges_ms=edges_ms,
        stable_counts=counts,
        users_edges_ms=users_edges_ms,
        users_counts=users_counts,
    )


def carried(state: LatencyState, look: Look) -> LatencyState:
    """Return the state with the load (requests per second) that the candidate carries at this look, if stable serves
    users beside it and the load is the largest so far."""
    stable, own = look.got
    arms = [arm for arm in (look.candidate or own, look.shadow) if arm is not None]
    if stable is None or not stable.requests or not look.window.length_s:
        return state
    per_s = sum(arm.requests for arm in arms) / look.window.length_s
    return replace(state, carried_per_s=per_s) if per_s > state.carried_per_s else state


def _faded(before: tuple[float, ...], arm: ArmCounts, requests_max: int) -> tuple[float, ...]:
    if not before:
        return tuple(map(float, arm.latency_counts))
    counts = tuple(map(operator.add, before, arm.latency_counts))
    fading = requests_max / max(sum(counts), 1.0)
    return counts if fading >= 1 else tuple([fading * count for count in counts])


def slower_than(edge_ms: float, arm: ArmCounts, edges: tuple[float, ...]) -> tuple[int, int]:
    """Return the number of requests slower than ``edge_ms``, which is one of ``edges``, and of all that were timed."""
    first = bisect_left(edges, edge_ms) + 1
    return sum(arm.latency_counts[first:]), sum(arm.latency_counts)
