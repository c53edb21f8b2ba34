"""latency.p95 and latency.p99: is the candidate slower, by bucket counts and without interpolation?

What counts is how long users waited, as the gateway timed it. It counts whole milliseconds: where none of its edges
lies between stable's percentile and ``margin`` times that (a service of a few milliseconds), the replicas' own finer
times are compared, and the reason says so. Which of the two is read at a look is chosen as the yardstick is: from the
past.

The yardstick tau is stable's own percentile, taken to the edge of its bucket. At each look it is the one of stable's
most recent requests *before* that look. Chosen from the past, it may move with the load and the e-processes stay valid:
each look multiplies E by a factor whose expectation, given all that went before, is at most one. A yardstick fixed once
would starve the tests of slow requests, or drown them, as soon as the load is another than it was then.

An exact test of the totals at the deadline has no such leave: how many of stable's requests were slow in one look
moves the yardstick, and with it the number of slow requests of the next, so the candidate's are no binomial given all
of them. The comparison with stable therefore spends its whole level by watching. The objective's edge never moves: its
exact test stays.

* Harm: the candidate exceeds tau more often than stable does (F1, ratio at most 1).
* Margin: the candidate exceeds a later edge, at most ``margin`` times tau, less often than stable exceeds tau; that
  is, its percentile is less than ``margin`` times as high.
* Objective: the share of the candidate's answers above it is less than 5 % (1 %). Missing it fails the candidate if it
  exceeds it more often than stable in the same windows, by a test: in an incident that slows both, the candidate's
  share is above stable's by chance half of the time.
"""

import math
import operator
from bisect import bisect_left, bisect_right
from dataclasses import dataclass, field, replace
from itertools import accumulate

from gates.checks import GATEWAY, METRICS
from gates.evidence import ArmCounts, Look
from gates.gate import ALONE_SHARE, Timing, bounds, settle
from gates.outcome import Outcome
from gates.stats.numerics import samples_to_settle
from gates.stats.ratio import Arms, RatioBounds, RatioState, RatioTest
from gates.stats.share import ShareState, above, below
from gates.verdict import Stage, Verdict
from gates.wording import more, of, times

FASTER = (0.25, 0.4, 0.55, 0.7, 0.85)  # exceedance ratios that the certificate of the margin bets on
# Of the rollback level, where there is an objective: the comparison with stable, a sharper question, has the rest.
OBJECTIVE_SHARE = 0.2
# Edges in ratio 1.1 are so only to rounding: to four decimals of a millisecond, which is up to 5e-5 of the ratio of two
# neighbours at 2 ms. A margin as wide as the grid must reach the next edge all the same.
_SLACK = 1 + 1e-4


@dataclass(frozen=True, slots=True)
class Percentile:
    """What one latency gate asks: which percentile, how much slower it may be, and its absolute objective."""

    quantile: float
    margin_ratio: float
    ms_max: float | None
    guard_ratio: float
    requests_min: int
    stable_requests_min: int
    stable_requests_memory: int
    grid: tuple[float, ...]

    @property
    def tail(self) -> float:
        """The share of requests that may be slower."""
        return 1 - self.quantile

    @property
    def label(self) -> str:
        return f"p{100 * self.quantile:.10g}"


@dataclass(frozen=True, slots=True)
class Yardstick:
    """Stable's percentile edge, and the edge that the candidate's percentile must stay below."""

    stable_ms: float
    candidate_ms: float
    of_users: bool = False  # by the gateway's times; else by the replicas'


@dataclass(frozen=True, slots=True)
class ObjectiveState:
    """Answers slower than the objective: ``beside`` stable, compared with it in the same windows, and ``alone``."""

    ratio: RatioState
    beside: ShareState = field(default_factory=ShareState)
    alone: ShareState = field(default_factory=ShareState)
    safe: ShareState = field(default_factory=ShareState)


@dataclass(frozen=True, slots=True)
class LatencyState:
    harm: RatioState
    margin: RatioState
    objective: ObjectiveState
    edges_ms: tuple[float, ...] = ()  # of ``stable_counts``
    stable_counts: tuple[float, ...] = ()  # stable's recent requests, older ones fading
    yardstick: Yardstick | None = None  # of the last look
    bounds: RatioBounds = field(default_factory=RatioBounds)
    users_edges_ms: tuple[float, ...] = ()  # as the two above, of what users waited
    users_counts: tuple[float, ...] = ()


@dataclass(frozen=True, slots=True)
class LatencyGate:
    asked: Percentile
    alpha: float
    promotion_alpha: float
    stage: Stage = Stage.LIVE
    sources: frozenset[str] = frozenset({METRICS, GATEWAY})
    required: bool = True

    @property
    def name(self) -> str:
        return f"latency.{self.asked.label}"

    @property
    def _harm(self) -> RatioTest:
        return RatioTest(1.0, self.asked.grid)

    @property
    def _margin(self) -> RatioTest:
        return RatioTest(1.0, FASTER)

    def start(self) -> LatencyState:
        return LatencyState(self._harm.start(), self._margin.start(), ObjectiveState(self._harm.start()))

    def look(self, state: LatencyState, look: Look, timing: Timing) -> tuple[LatencyState, Verdict]:
        if _edges_changed(state, look):
            reason = "latency_edges_ms: the bucket edges changed during the release; a new release can be judged."
            return state, Verdict(self.name, self.stage, Outcome.ERROR, reason, window=look.window)
        yardstick = self._yardstick(state, look)
        if yardstick not in (None, state.yardstick):
            state = replace(state, yardstick=yardstick)
        stable, candidate, edges = _timed(look, of_users=yardstick is not None and yardstick.of_users)
        if yardstick is not None and stable is not None and candidate is not None:
            state = self._compare(state, yardstick, stable, candidate, edges)
        state = _remember(state, look, self.asked.stable_requests_memory)
        stable, candidate, edges = _timed(look, of_users=True)
        if candidate is not None:
            state = self._against_objective(state, stable, candidate, edges)
        return state, self._verdict(state, look, timing)

    def _yardstick(self, state: LatencyState, look: Look) -> Yardstick | None:
        """From what stable did in earlier looks, as soon as that is enough; None where it lies beyond the last edge.

        By the times of users; by the replicas' where the gateway has no edge to tell the margin by, or is not read.
        """
        if look.users is None:
            return self._by(state.edges_ms, state.stable_counts)
        if sum(state.users_counts) < self.asked.stable_requests_min:
            return None
        found = self._by(state.users_edges_ms, state.users_counts)
        if found is not None and found.candidate_ms > found.stable_ms:
            return replace(found, of_users=True)
        return self._by(state.edges_ms, state.stable_counts)

    def _by(self, edges_ms: tuple[float, ...], counts: tuple[float, ...]) -> Yardstick | None:
        reached = list(accumulate(counts))
        if not reached or reached[-1] < self.asked.stable_requests_min:
            return None
        place = bisect_left(reached, self.asked.quantile * reached[-1])
        if place == len(edges_ms):
            return None
        edge = edges_ms[place]
        limit = edge * self.asked.margin_ratio * _SLACK
        return Yardstick(edge, edges_ms[bisect_right(edges_ms, limit) - 1])

    def _compare(
        self,
        state: LatencyState,
        yardstick: Yardstick,
        stable: ArmCounts,
        candidate: ArmCounts,
        edges: tuple[float, ...],
    ) -> LatencyState:
        def arms(candidate_ms: float) -> Arms:
            slow, timed = _above(candidate, edges, candidate_ms)
            return Arms(slow, timed, *_above(stable, edges, yardstick.stable_ms))

        same, later = arms(yardstick.stable_ms), arms(yardstick.candidate_ms)
        return replace(
            state,
            harm=self._harm.add(state.harm, same),
            margin=self._margin.add(state.margin, later),
            bounds=state.bounds.add(same),
        )

    def _against_objective(
        self, state: LatencyState, stable: ArmCounts | None, candidate: ArmCounts, edges: tuple[float, ...]
    ) -> LatencyState:
        """Where no edge lies exactly at the objective, the nearest one on the cautious side of each question."""
        objective = self.asked.ms_max
        if objective is None or not edges:
            return state
        tail = self.asked.tail
        over = edges[min(bisect_left(edges, objective / _SLACK), len(edges) - 1)]
        under = edges[max(bisect_right(edges, objective * _SLACK) - 1, 0)]
        seen, missed, slow = state.objective, above(tail, self.asked.grid), _above(candidate, edges, over)
        seen = replace(seen, safe=below(tail).add(seen.safe, *_above(candidate, edges, under)))
        if stable is None or not stable.requests:
            return replace(state, objective=replace(seen, alone=missed.add(seen.alone, *slow)))
        ratio = self._harm.add(seen.ratio, Arms(*slow, *_above(stable, edges, over)))
        return replace(state, objective=replace(seen, ratio=ratio, beside=missed.add(seen.beside, *slow)))

    def _verdict(self, state: LatencyState, look: Look, timing: Timing) -> Verdict:
        asked, ratio = self.asked, state.harm.estimate()
        samples = state.harm.arms.candidate_total
        slower, over = self._slower(state), self._over_objective(state, timing)
        enough = samples >= asked.requests_min
        passed = enough and self._within_margin(state) and self._within_objective(state)
        outcome = settle(failed=enough and (slower or over is not None), passed=passed)
        low, high = state.bounds.interval(self.promotion_alpha)
        needed = max(self._needed(state) or 0, asked.requests_min) if outcome is Outcome.INCONCLUSIVE else None
        return Verdict(
            self.name,
            self.stage,
            outcome,
            self._reason(outcome, state, look, needed, None if slower else over),
            value=ratio,
            unit="times as many slow requests",
            interval=bounds(low, high, self.promotion_alpha),
            threshold=asked.guard_ratio,
            samples=samples,
            samples_needed=needed,
            window=look.window,
        )

    def _slower(self, state: LatencyState) -> bool:
        alpha, ratio = self.alpha * (1 - self._objective_share), state.harm.estimate()
        return state.harm.peak >= math.log(1 / alpha) and ratio is not None and ratio >= self.asked.guard_ratio

    def _over_objective(self, state: LatencyState, timing: Timing) -> ShareState | None:
        """The requests that miss it. A slow neighbour is not the candidate's fault: stable must not miss it alike."""
        if self.asked.ms_max is None:
            return None
        seen, alpha = state.objective, self.alpha * self._objective_share
        beside, alone = alpha * (1 - ALONE_SHARE), alpha * ALONE_SHARE
        if self._misses(seen.beside, beside, timing) and self._misses_more(seen, beside, timing):
            return seen.beside
        return seen.alone if self._misses(seen.alone, alone, timing) else None

    def _misses(self, seen: ShareState, alpha: float, timing: Timing) -> bool:
        tail = self.asked.tail
        fired = timing.fires(alpha, seen.peak, lambda: seen.p_value(tail))
        return fired and seen.share >= self.asked.guard_ratio * tail

    def _misses_more(self, seen: ObjectiveState, alpha: float, timing: Timing) -> bool:
        """Than stable in the same windows. The objective's edge is fixed, so the totals have an exact test."""
        ratio = seen.ratio.estimate()
        fired = timing.fires(alpha, seen.ratio.peak, seen.ratio.equal_rates_p_value)
        return fired and ratio is not None and ratio >= self.asked.guard_ratio

    @property
    def _objective_share(self) -> float:
        return 0.0 if self.asked.ms_max is None else OBJECTIVE_SHARE

    def _within_margin(self, state: LatencyState) -> bool:
        ratio = state.margin.estimate()
        return state.margin.peak >= math.log(1 / self.promotion_alpha) and ratio is not None and ratio < 1

    def _within_objective(self, state: LatencyState) -> bool:
        seen = state.objective.safe
        certified = seen.peak >= math.log(1 / self.promotion_alpha) and seen.share < self.asked.tail
        return self.asked.ms_max is None or certified

    def _needed(self, state: LatencyState) -> int | None:
        threshold = math.log(1 / self.promotion_alpha) + math.log(len(FASTER))
        return samples_to_settle(state.margin.arms.candidate_total, max(state.margin.log_e), threshold)

    def _reason(
        self, outcome: Outcome, state: LatencyState, look: Look, needed: int | None, over: ShareState | None
    ) -> str:
        label, arms, yardstick = self.asked.label.upper(), state.harm.arms, state.yardstick
        if yardstick is None:
            return self._why_no_yardstick(state, look)
        if not arms.candidate_total:
            return f"No live traffic yet: {label} is judged against stable's {yardstick.stable_ms:.4g} ms."
        slow = "the candidate took longer in " + of(arms.candidate_events, arms.candidate_total, "requests")
        slow += ", stable in " + of(arms.stable_events, arms.stable_total, "requests")
        seen = f"over stable's {label}, {yardstick.stable_ms:.4g} ms of late{_read(yardstick, look)}, {slow}"
        if outcome is Outcome.FAIL:
            return self._why_failed(state, seen, over)
        margin = f"{self.asked.margin_ratio:g} times"
        if outcome is Outcome.PASS:
            return f"{label} holds, within {margin} stable's{self._objective_words()}: {seen}."
        if yardstick.candidate_ms <= yardstick.stable_ms:
            return f"{label} cannot be certified, no bucket edge lies within {margin} stable's: {seen}."
        return f"{label} not settled yet: {seen}; {more(needed, arms.candidate_total, 'requests')}."

    def _why_failed(self, state: LatencyState, seen: str, over: ShareState | None) -> str:
        label, objective = self.asked.label.upper(), state.objective
        if over is None:
            return f"{label} got worse, {times(state.harm.estimate() or math.inf)} as many slow answers: {seen}."
        missed = f"{label} misses its objective of {self.asked.ms_max:g} ms"
        slow, arms = of(over.events, over.total, "requests"), objective.ratio.arms
        stable = f", stable in {of(arms.stable_events, arms.stable_total, 'requests')}"
        return f"{missed}: slower in {slow}{stable if over is objective.beside else ''}."

    def _why_no_yardstick(self, state: LatencyState, look: Look) -> str:
        edges_ms, counts = state.edges_ms, state.stable_counts
        if look.users is not None and sum(state.users_counts) < self.asked.stable_requests_min:
            edges_ms, counts = state.users_edges_ms, state.users_counts
        label, total, needed = self.asked.label.upper(), int(sum(counts)), self.asked.stable_requests_min
        if total < needed:
            seen = f"{total:,} of the {needed:,} requests of stable seen that make its yardstick"
            return f"No live comparison of {label} yet: {seen}."
        if self._yardstick(state, look) is None:
            return f"{label} cannot be judged: stable's lies beyond the last bucket edge, {edges_ms[-1]:g} ms."
        return f"No live comparison of {label} yet: its yardstick, of {total:,} requests of stable, serves from now on."

    def _objective_words(self) -> str:
        return "" if self.asked.ms_max is None else f" and under its objective of {self.asked.ms_max:g} ms"


def _read(yardstick: Yardstick, look: Look) -> str:
    """Whose times were compared, where there are two kinds."""
    if look.users is None:
        return ""
    if yardstick.of_users:
        return " as users waited"
    return " inside the replicas (the gateway's whole milliseconds cannot tell the margin)"


def _timed(look: Look, *, of_users: bool) -> tuple[ArmCounts | None, ArmCounts | None, tuple[float, ...]]:
    """Stable, the candidate and the edges of their times: of what users waited, where that is known, or of replicas."""
    if of_users and look.users is not None:
        return look.users.stable, look.users.candidate, look.users.latency_edges_ms
    return look.stable, look.candidate, look.latency_edges_ms


def _edges_changed(state: LatencyState, look: Look) -> bool:
    users_ms = look.users.latency_edges_ms if look.users is not None else ()
    both = ((state.edges_ms, look.latency_edges_ms), (state.users_edges_ms, users_ms))
    return any(before and now and before != now for before, now in both)


def _remember(state: LatencyState, look: Look, requests_max: int) -> LatencyState:
    """Stable's requests of this look added to its recent ones, which never weigh more than ``requests_max``."""
    if look.stable is not None and look.latency_edges_ms:
        counts = _faded(state.stable_counts, look.stable, requests_max)
        state = replace(state, edges_ms=look.latency_edges_ms, stable_counts=counts)
    if look.users is not None and look.users.latency_edges_ms:
        counts = _faded(state.users_counts, look.users.stable, requests_max)
        state = replace(state, users_edges_ms=look.users.latency_edges_ms, users_counts=counts)
    return state


def _faded(before: tuple[float, ...], arm: ArmCounts, requests_max: int) -> tuple[float, ...]:
    if not before:
        return tuple(map(float, arm.latency_counts))
    counts = tuple(map(operator.add, before, arm.latency_counts))
    fading = requests_max / max(sum(counts), 1.0)
    return counts if fading >= 1 else tuple([fading * count for count in counts])


def _above(arm: ArmCounts, edges: tuple[float, ...], edge_ms: float) -> tuple[int, int]:
    """Requests slower than ``edge_ms``, which is one of ``edges``, and all that were timed."""
    first = bisect_left(edges, edge_ms) + 1
    return sum(arm.latency_counts[first:]), sum(arm.latency_counts)
