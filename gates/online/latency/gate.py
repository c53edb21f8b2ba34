"""latency.p95 and latency.p99: is the candidate slower, by bucket counts and without interpolation?

The times judged are those that users waited, as the gateway timed them. The gateway counts whole milliseconds: where
none of its edges lies between stable's percentile and ``margin`` times that (a service of a few milliseconds), the
replicas' own finer times are compared, and the reason says so. Which of the two a look reads is chosen from earlier
looks, as the yardstick is.

The yardstick tau moves with stable's recent percentile (`yardstick`). So the totals have no exact test at the deadline:
how many of stable's requests were slow in one look moves the yardstick, and with it the number of slow requests of the
next look, so that the candidate's number, given the total, is not binomial. The comparison with stable therefore spends
its whole level by watching. The objective's edge never moves: its exact test stays.

* Harm: the candidate exceeds tau more often than stable would if ``guard`` times as slow (F1, `gates.stats.ratio`).
* Margin: the candidate exceeds a later edge, at most ``margin`` times tau, less often than stable exceeds tau; that is,
  its percentile is less than ``margin`` times as high.
* Objective: the share of the candidate's answers slower than the objective is less than 5 % (P95) or 1 % (P99). A share
  beyond `MISSED_RATIO` times that fails the candidate only if stable's is smaller in the same windows, by a test: in an
  incident that slows both, the candidate's share is above stable's by chance half of the time.

After a promotion stable's answers to copies take the place of its answers to users in the question of the objective
(`former`). Answers that can be compared with nothing make a breach, which is shown and blames nobody.

While a version warms up (`Look.warming`) nothing counts, for or against: the first requests of a new share fill caches
and open sessions and connections, and say nothing of how the version will serve. Which windows those are is known
before they are seen, so the tests of the others stay valid. A version that never gets warm is found by the others.
"""

import math
from bisect import bisect_right
from dataclasses import dataclass, replace

from gates.checks import GATEWAY, GATEWAY_TIMES, METRICS
from gates.evidence import ArmCounts, Look
from gates.gate import ALONE_SHARE, Timing, bounds, settle
from gates.online.latency.former import LOADS_ALIKE_RATIO, beside_former, edge_over
from gates.online.latency.policy import Percentile
from gates.online.latency.service import of_service
from gates.online.latency.state import (
    LatencyState,
    ObjectiveState,
    Yardstick,
    carried,
    edges_changed,
    remember,
    slower_than,
    timed,
)
from gates.online.latency.words import why_not_under
from gates.online.latency.yardstick import SLACK, more_slow, yardstick_of
from gates.online.noise import words
from gates.outcome import Outcome
from gates.stats.cap import Cap
from gates.stats.numerics import at_least, samples_to_settle
from gates.stats.ratio import Arms, RatioTest
from gates.stats.share import below
from gates.stats.watch import RatioWatch, ShareWatch, WatchState, cap_of
from gates.verdict import Limit, Rule, Stage, Verdict
from gates.wording import NOBODY_BESIDE, clustered, more, of, times

FASTER = (0.25, 0.4, 0.55, 0.7, 0.85)  # exceedance ratios that the certificate of the margin bets on
# The objective's part of the rollback level, if there is one; the rest is for the sharper comparison with stable.
OBJECTIVE_SHARE = 0.2
MISSED_RATIO = 1.15  # times the share of answers that an objective allows: beyond it the objective is missed
SAFETY_OF_ONE_INCIDENT = 1 / 3  # of the deciding log evidence: what one incident may add to the certificate


@dataclass(frozen=True, slots=True)
class LatencyGate:
    asked: Percentile
    alpha: float
    promotion_alpha: float
    incident_s: float = 0.0
    stage: Stage = Stage.LIVE
    sources: frozenset[str] = frozenset({METRICS, GATEWAY, GATEWAY_TIMES})
    required: bool = True

    @property
    def name(self) -> str:
        return f"latency.{self.asked.label}"

    @property
    def _harm(self) -> RatioWatch:
        return RatioWatch(cap_of(self.alpha, self.incident_s))

    @property
    def _margin(self) -> RatioTest:
        most = SAFETY_OF_ONE_INCIDENT * math.log(1 / self.promotion_alpha)
        return RatioTest(1.0, FASTER, Cap(most, self.incident_s))

    def start(self) -> LatencyState:
        return LatencyState(WatchState(), self._margin.start(), ObjectiveState())

    def look(self, state: LatencyState, look: Look, timing: Timing) -> tuple[LatencyState, Verdict]:
        if edges_changed(state, look):
            reason = "latency_edges_ms: the bucket edges changed during the release; a new release can be judged."
            return state, Verdict(self.name, self.stage, Outcome.ERROR, reason, window=look.window)
        yardstick = yardstick_of(self.asked, state, look)
        if yardstick not in (None, state.yardstick):
            state = replace(state, yardstick=yardstick)
        recent = state.users_counts if look.users is not None else state.stable_counts
        known = _Known(state.spread.lasting, state.effect, recent)
        stable, candidate, edges = timed(look, of_users=yardstick is not None and yardstick.of_users)
        load = _Load.of(look)
        if yardstick is not None and stable is not None and candidate is not None:
            compare = self._while_warming if look.warming else self._compare
            state = compare(state, yardstick, _Timed(stable, candidate, edges, look.window.length_s), load)
        state = of_service(state, look, yardstick, self.name)
        state = carried(remember(state, look, self.asked.stable_requests_memory), look)
        stable, candidate, edges = timed(look, of_users=True)
        if candidate is not None and not look.warming:
            state = self._against_objective(state, look, stable, candidate, edges, known)
        return state, self._verdict(state, look, timing)

    def _compare(self, state: LatencyState, yardstick: Yardstick, seen: "_Timed", load: "_Load") -> LatencyState:
        same = seen.slower(yardstick.stable_ms, yardstick.stable_ms)
        later = seen.slower(yardstick.candidate_ms, yardstick.stable_ms)
        guard, effect, length_s = yardstick.guard_ratio, state.effect, seen.length_s
        harm, margin, bounds, spread = state.harm, state.margin, state.bounds, state.spread
        return replace(
            state,
            harm=self._harm.add(harm, same, null=guard, effect=effect, length_s=length_s) if load.blames else harm,
            margin=self._margin.add(margin, later, effect, length_s=length_s) if load.certifies else margin,
            bounds=bounds.add(same, effect) if load.blames and load.certifies else bounds,
            spread=spread.add(same),
            noise=state.noise.compared(same),
        )

    def _while_warming(self, state: LatencyState, yardstick: Yardstick, seen: "_Timed", _load: "_Load") -> LatencyState:
        return replace(state, warming=state.warming + seen.slower(yardstick.stable_ms, yardstick.stable_ms))

    def _against_objective(
        self,
        state: LatencyState,
        look: Look,
        stable: ArmCounts | None,
        candidate: ArmCounts,
        edges: tuple[float, ...],
        known: "_Known",
    ) -> LatencyState:
        """Return the state after the look's answers were held against the objective. Where no edge lies exactly at the
        objective, each question takes the nearest one on its cautious side."""
        objective, load = self.asked.ms_max, _Load.of(look)
        if objective is None or not edges:
            return state
        tail, effect, seen, length_s = self.asked.tail, known.effect, state.objective, look.window.length_s
        over = edge_over(objective, edges)
        under = edges[max(bisect_right(edges, objective * SLACK) - 1, 0)]
        slow = slower_than(over, candidate, edges)
        missed = ShareWatch(MISSED_RATIO * tail, self._harm.cap)
        safe, ratio, beside, alone = seen.safe, seen.ratio, seen.beside, seen.alone
        if load.certifies:
            safe = below(tail).add(safe, *slower_than(under, candidate, edges), effect)
        if not load.blames:
            return replace(state, objective=ObjectiveState(ratio, beside, alone, safe))
        if stable is not None and stable.requests:
            compared: Arms | None = Arms(*slow, *slower_than(over, stable, edges))
        else:
            compared = beside_former(state, look, objective)
        if compared is None:
            alone = missed.add(alone, *slow, effect, length_s=length_s)
            return replace(state, objective=ObjectiveState(ratio, beside, alone, safe))
        guard = more_slow(over, self.asked.guard_ratio, edges, known.stable_counts)
        ratio = self._harm.add(ratio, compared, null=guard, effect=known.compared_effect, length_s=length_s)
        beside = missed.add(beside, *slow, effect, length_s=length_s)
        return replace(state, objective=ObjectiveState(ratio, beside, alone, safe))

    def _verdict(self, state: LatencyState, look: Look, timing: Timing) -> Verdict:
        asked, ratio = self.asked, state.harm.estimate()
        samples = max(state.harm.arms.candidate_total, state.margin.arms.candidate_total)
        slower, over = self._slower(state), self._over_objective(state, timing)
        breach = not slower and over is None and self._breaches(state, timing)
        enough = samples >= asked.requests_min
        passed = enough and not breach and self._within_margin(state) and self._within_objective(state)
        outcome = settle(failed=enough and (slower or over is not None), passed=passed)
        low, high = state.bounds.interval(self.promotion_alpha)
        needed = self._needed(state, samples) if outcome is Outcome.INCONCLUSIVE else None
        reason = self._reason(outcome, state, look, needed, None if slower else over)
        return Verdict(
            self.name,
            self.stage,
            outcome,
            self._of_breach(state) if breach else f"{reason}{self._of_warm_up(state, look)}",
            value=ratio,
            unit="times as many slow requests",
            interval=bounds(low, high, self.promotion_alpha),
            threshold=state.yardstick.guard_ratio if state.yardstick is not None else None,
            samples=samples,
            samples_needed=needed,
            window=look.window,
            breach=breach,
            limits=self._limits(outcome, state, over, slower=slower, breach=breach),
        )

    def _limits(
        self, outcome: Outcome, state: LatencyState, over: WatchState | None, *, slower: bool, breach: bool
    ) -> tuple[Limit, ...]:
        """Return the limits that decided; of a pass both the margin's and, where there is one, the objective's."""
        asked, yardstick = self.asked, state.yardstick
        if breach or (outcome is Outcome.FAIL and not slower and over is not None):
            missed = state.objective.alone if breach else over
            return (self._of_objective(missed.share if missed is not None else None),)
        if outcome is Outcome.FAIL and yardstick is not None:
            return (Limit(Rule.GUARD, yardstick.guard_ratio, state.harm.estimate(), "times as many slow requests"),)
        unit = f"times as many beyond {asked.margin_ratio:g} times"
        margin = Limit(Rule.MARGIN, 1.0, state.margin.estimate(), unit)
        return margin, *((self._of_objective(state.objective.safe.share),) if asked.ms_max is not None else ())

    def _of_objective(self, share: float | None) -> Limit:
        percent = None if share is None else 100 * share
        return Limit(Rule.OBJECTIVE, 100 * self.asked.tail, percent, f"% over {self.asked.ms_max:g} ms")

    def _slower(self, state: LatencyState) -> bool:
        alpha = self.alpha * (1 - self._objective_share)
        return state.harm.peak >= math.log(1 / alpha)

    def _over_objective(self, state: LatencyState, timing: Timing) -> WatchState | None:
        """Return the requests that surely miss the objective, if stable surely misses it less often; else None."""
        if self.asked.ms_max is None:
            return None
        seen, alpha = state.objective, self.alpha * self._objective_share * (1 - ALONE_SHARE)
        effect = state.spread.whole
        compared = state.noise.effect(effect)
        worse = self._misses(seen.beside, effect, alpha, timing) and self._misses_more(seen, compared, alpha, timing)
        return seen.beside if worse else None

    def _breaches(self, state: LatencyState, timing: Timing) -> bool:
        """Return whether the requests that could be compared with nothing surely miss the objective."""
        alpha = self.alpha * self._objective_share * ALONE_SHARE
        return self.asked.ms_max is not None and self._misses(state.objective.alone, state.spread.whole, alpha, timing)

    def _misses(self, seen: WatchState, effect: float, alpha: float, timing: Timing) -> bool:
        fired = timing.fires(alpha, seen.peak, lambda: seen.p_value(effect))
        return fired and seen.share >= MISSED_RATIO * self.asked.tail

    def _misses_more(self, seen: ObjectiveState, effect: float, alpha: float, timing: Timing) -> bool:
        """Return whether the candidate misses the objective, a fixed edge, more often than stable, by a test."""
        return timing.fires(alpha, seen.ratio.peak, lambda: seen.ratio.p_value(effect))

    @property
    def _objective_share(self) -> float:
        return 0.0 if self.asked.ms_max is None else OBJECTIVE_SHARE

    def _within_margin(self, state: LatencyState) -> bool:
        """Return whether all evidence shows the margin kept, by what is known now of how slow requests come
        together."""
        ratio = state.margin.estimate()
        shown = state.margin.log_evidence(state.spread.doubtful) >= math.log(1 / self.promotion_alpha)
        return shown and ratio is not None and ratio < 1

    def _within_objective(self, state: LatencyState) -> bool:
        seen = state.objective.safe
        shown = below(self.asked.tail).log_evidence(seen, state.spread.doubtful)
        certified = shown >= math.log(1 / self.promotion_alpha) and seen.share < self.asked.tail
        return self.asked.ms_max is None or certified

    def _lacks_objective(self, state: LatencyState) -> bool:
        """Return whether only the objective is left to be shown."""
        return self._within_margin(state) and not self._within_objective(state)

    def _needed(self, state: LatencyState, samples: int) -> int | None:
        """Return about how many requests settle the gate at this rate; None where nothing shows that yet."""
        tests, total = state.margin.log_e, state.margin.arms.candidate_total
        if self._lacks_objective(state):
            seen = state.objective.safe
            tests, total = (*below(self.asked.tail).log_e(seen.counted_events, seen.counted_total),), seen.total
        needed = samples_to_settle(total, max(tests), math.log(len(tests) / self.promotion_alpha))
        return at_least(needed, self.asked.requests_min, samples)

    def _reason(
        self, outcome: Outcome, state: LatencyState, look: Look, needed: int | None, over: WatchState | None
    ) -> str:
        label, arms, yardstick = self.asked.label.upper(), state.harm.arms, state.yardstick
        if yardstick is None:
            return self._why_no_yardstick(state, look)
        if not arms.candidate_total:
            return f"No live traffic yet: {label} is judged against stable's {yardstick.stable_ms:.4g} ms."
        slow = "the candidate took longer in " + of(arms.candidate_events, arms.candidate_total, "requests")
        slow += ", stable in " + of(arms.stable_events, arms.stable_total, "requests")
        together = state.spread.lasting
        slow += clustered(together, "slow requests") + words(state.noise, together)
        seen = f"over stable's {label}, lately {yardstick.stable_ms:.4g} ms{_read(yardstick, look)}, {slow}"
        if outcome is Outcome.FAIL:
            return self._why_failed(state, seen, over)
        margin = f"{self.asked.margin_ratio:g} times"
        if outcome is Outcome.PASS:
            return f"{label} holds, within {margin} stable's{self._objective_words()}: {seen}."
        if yardstick.candidate_ms <= yardstick.stable_ms:
            return f"{label} cannot be certified, no bucket edge lies within {margin} stable's: {seen}."
        yet = f"{label} not settled yet: {seen}; {more(needed, arms.candidate_total, 'requests')}"
        if self._lacks_objective(state):
            yet = why_not_under(self.asked, state.objective, needed)
        return f"{yet}{_Load.of(look).words}."

    def _why_failed(self, state: LatencyState, seen: str, over: WatchState | None) -> str:
        label, objective = self.asked.label.upper(), state.objective
        if over is None:
            return f"{label} got worse, {times(state.harm.estimate() or math.inf)} as many slow answers: {seen}."
        slow, arms = of(over.arms.candidate_events, over.arms.candidate_total, "requests"), objective.ratio.arms
        stable = of(arms.stable_events, arms.stable_total, "requests")
        return f"{label} misses its objective of {self.asked.ms_max:g} ms: slower in {slow}, stable in {stable}."

    def _of_breach(self, state: LatencyState) -> str:
        seen = state.objective.alone.arms
        missed = f"{self.asked.label.upper()} misses its objective of {self.asked.ms_max:g} ms"
        slow = of(seen.candidate_events, seen.candidate_total, "requests")
        return f"{missed}: slower in {slow}, and {NOBODY_BESIDE}."

    def _why_no_yardstick(self, state: LatencyState, look: Look) -> str:
        edges_ms, counts = state.edges_ms, state.stable_counts
        if look.users is not None and sum(state.users_counts) < self.asked.stable_requests_min:
            edges_ms, counts = state.users_edges_ms, state.users_counts
        label, total, needed = self.asked.label.upper(), int(sum(counts)), self.asked.stable_requests_min
        if total < needed:
            seen = f"{total:,} of the {needed:,} requests of stable seen that make its yardstick"
            return f"No live comparison of {label} yet: {seen}."
        if yardstick_of(self.asked, state, look) is None:
            return f"{label} cannot be judged: stable's lies beyond the last bucket edge, {edges_ms[-1]:g} ms."
        return f"No live comparison of {label} yet: its yardstick, of {total:,} requests of stable, serves from now on."

    def _of_warm_up(self, state: LatencyState, look: Look) -> str:
        """Return a sentence, to put after another, on what was seen while a version warmed up; empty unless one warms
        up now, or the candidate was slow then."""
        arms = state.warming
        as_many = self.asked.guard_ratio * arms.stable_events * arms.candidate_total
        slow = arms.candidate_events * arms.stable_total > as_many
        if not look.warming and not slow:
            return ""
        if not arms.candidate_total:
            return " It is warming up at its share, so this does not count against it."
        seen = f"the candidate took longer in {of(arms.candidate_events, arms.candidate_total, 'requests')}"
        seen += f", stable in {of(arms.stable_events, arms.stable_total, 'requests')}"
        return (
            f" {'It is warming up' if look.warming else 'While it warmed up'}: {seen}; this does not count against it."
        )

    def _objective_words(self) -> str:
        return "" if self.asked.ms_max is None else f" and under its objective of {self.asked.ms_max:g} ms"


@dataclass(frozen=True, slots=True)
class _Timed:
    """The times of both versions in a window of ``length_s`` seconds."""

    stable: ArmCounts
    candidate: ArmCounts
    edges: tuple[float, ...]
    length_s: float

    def slower(self, candidate_ms: float, stable_ms: float) -> Arms:
        slow, answered = slower_than(candidate_ms, self.candidate, self.edges)
        return Arms(slow, answered, *slower_than(stable_ms, self.stable, self.edges))


@dataclass(frozen=True, slots=True)
class _Known:
    """The things known before a look, which its evidence may be divided by: how many slow requests count as one, of one
    version and where both are compared; and stable's recent requests."""

    effect: float
    compared_effect: float
    stable_counts: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class _Load:
    """The candidate's load over stable's. If the loads differ, times prove something in one direction only."""

    ratio: float

    @classmethod
    def of(cls, look: Look) -> "_Load":
        return cls(look.load_ratio)

    @property
    def blames(self) -> bool:
        """Return whether a slow candidate is to blame: not if it carries clearly more load than stable."""
        return self.ratio <= LOADS_ALIKE_RATIO

    @property
    def certifies(self) -> bool:
        """Return whether a fast candidate has shown something: not if it carries clearly less load than stable."""
        return self.ratio >= 1 / LOADS_ALIKE_RATIO

    @property
    def words(self) -> str:
        if self.blames and self.certifies:
            return ""
        effect = "proves nothing" if self.blames else "does not count against it"
        return f"; at this step the candidate carries {self.ratio:.2g} times stable's load, so its latency {effect}"


def _read(yardstick: Yardstick, look: Look) -> str:
    """Return words for whose times were compared; empty where there is only one kind."""
    if look.users is None:
        return ""
    if yardstick.of_users:
        return " as users waited"
    return " inside the replicas (the gateway's whole milliseconds cannot tell the margin)"
