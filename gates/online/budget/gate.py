"""budget.burn: does the candidate spend the error budget faster than the objective allows, and is that its own doing?

A burn of 1 spends exactly the budget. In an incident of the whole service every version burns. So where stable served
users in the same windows, the candidate must also be worse than stable by a test (F1, `gates.stats.ratio`): a candidate
that either keeps within the budget or is no worse than stable is failed no more often than the level says. After a
promotion stable's answers to copies take the place of its answers to users. Windows in which stable answered nothing
have nothing to be compared with: a burn in them is a breach, which is shown and blames nobody. The two kinds of windows
are judged apart, and each has its part of the level.

Everything is counted as users got it, by the gateway. This gate can stop a release, and freeze the service; promotion
does not wait for it.
"""

import math
from dataclasses import dataclass, field, replace

from gates.checks import GATEWAY
from gates.evidence import ArmCounts, Look
from gates.gate import ALONE_SHARE, Timing, settle
from gates.online.budget.policy import BudgetPolicy
from gates.online.noise import as_begun, heard, words
from gates.outcome import Outcome
from gates.quick import quick
from gates.stats.cap import Cap
from gates.stats.noise import Noise
from gates.stats.ratio import Arms
from gates.stats.share import ShareState, below
from gates.stats.spread import Spread, whole_of
from gates.stats.watch import LATEST_OF_FEW, RatioWatch, ShareWatch, WatchState, cap_of
from gates.verdict import Interval, Limit, Rule, Stage, Verdict
from gates.wording import NOBODY_BESIDE, clustered, of

_ALL = 1 - 1e-9  # the largest error ratio that can be tested


@dataclass(frozen=True, slots=True)
class Spent:
    """The candidate's requests in some windows. ``test`` counts errors or, with ``count_clusters``, their causes."""

    test: WatchState = field(default_factory=WatchState)
    errors: int = 0

    @property
    def requests(self) -> int:
        return self.test.arms.candidate_total

    @property
    def error_ratio(self) -> float:
        return self.errors / self.requests if self.requests else 0.0

    def add(self, harmful: ShareWatch, events: int, arm: ArmCounts, effect: float, length_s: float) -> "Spent":
        test = harmful.add(self.test, events, arm.requests, effect, length_s=length_s)
        return Spent(test, self.errors + arm.errors)

    def __add__(self, other: "Spent") -> "Spent":
        """Return the counts of both without their evidence, which does not add up."""
        return Spent(WatchState(arms=self.test.arms + other.test.arms), self.errors + other.errors)


@dataclass(frozen=True, slots=True)
class _Live:
    """The answers of a window of ``length_s`` seconds: the ``candidate``'s to users; and ``own`` and ``stable``, the
    candidate's and stable's as they are compared."""

    candidate: ArmCounts
    own: ArmCounts | None
    stable: ArmCounts | None
    length_s: float


@quick
@dataclass(frozen=True, slots=True)
class BudgetState:
    """Live requests: ``ratio`` and ``beside`` of windows in which stable answered too, ``alone`` of those in which it
    answered nothing, and ``safe`` of all."""

    ratio: WatchState = field(default_factory=WatchState)
    beside: Spent = field(default_factory=Spent)
    stable_errors: int = 0
    alone: Spent = field(default_factory=Spent)
    safe: ShareState = field(default_factory=ShareState)
    spread: Spread = field(default_factory=Spread)  # of live errors
    mirrored_spread: Spread = field(default_factory=Spread)  # of mirrored errors beside stable's
    noise: Noise = field(default_factory=Noise)

    @property
    def effect(self) -> float:
        """The number of errors that come together, and count as one at the next look."""
        return max(self.spread.sudden, self.mirrored_spread.at_once)

    @property
    def whole_effect(self) -> float:
        """The number of errors that count as one by all that was seen, for a test of the totals."""
        return whole_of(self.spread, self.mirrored_spread)

    @property
    def learnt(self) -> float:
        """The number of errors that came together and count as one, for the next release to expect."""
        return max(self.spread.learnt, self.mirrored_spread.learnt)

    @property
    def suspicions(self) -> int:
        return self.ratio.suspicions + self.beside.test.suspicions + self.alone.test.suspicions

    @property
    def stable_ratio(self) -> float:
        requests = self.ratio.arms.stable_total
        return self.stable_errors / requests if requests else 0.0


@dataclass(frozen=True, slots=True)
class BudgetGate:
    """The gate of budget.burn. ``count_clusters``: evidence counts ``error_clusters``; the burn that is measured stays
    that of errors."""

    policy: BudgetPolicy
    alpha: float
    promotion_alpha: float
    incident_s: float = 0.0
    count_clusters: bool = False
    name: str = "budget.burn"
    stage: Stage = Stage.LIVE
    sources: frozenset[str] = frozenset({GATEWAY})
    required: bool = False

    @property
    def _allowed(self) -> float:
        """The error ratio that spends the budget exactly."""
        return 1 - self.policy.objective_ratio

    @property
    def _burning(self) -> float:
        """The error ratio beyond which the candidate is rolled back; where that would be 1 or more, nothing is beyond
        it."""
        return min(self._allowed * self.policy.rollback_burn, _ALL)

    @property
    def _cap(self) -> Cap:
        return cap_of(self.alpha, self.incident_s)

    def start(self) -> BudgetState:
        return BudgetState()

    def look(self, state: BudgetState, look: Look, timing: Timing) -> tuple[BudgetState, Verdict]:
        candidate = look.got[1]
        arms = [arm for arm in (candidate, *look.compared) if arm is not None]
        if self.count_clusters and any(arm.error_clusters is None for arm in arms):
            reason = "error_clusters: not counted, though the policy compares errors by cluster."
            return state, Verdict(self.name, self.stage, Outcome.ERROR, reason, window=look.window, advisory=True)
        state = as_begun(state, look, self.name, "spread")
        together = state.effect
        effect = together, state.noise.effect(together)
        stable, own = look.compared
        live = self._seen(state.spread, own, stable)
        mirrored = self._seen(state.mirrored_spread, look.shadow, look.stable)
        noise = heard(state.noise, look, lambda arm: (self._events(arm), arm.requests))
        state = replace(state, spread=live, mirrored_spread=mirrored, noise=noise)
        if candidate is not None:
            state = self._add(state, _Live(candidate, own, stable, look.window.length_s), *effect)
        return state, self._verdict(state, look, timing)

    def _seen(self, spread: Spread, own: ArmCounts | None, stable: ArmCounts | None) -> Spread:
        """Return the spread with a look's errors of both versions; unchanged where one of them is missing."""
        if own is None or stable is None:
            return spread
        return spread.add(Arms(self._events(own), own.requests, self._events(stable), stable.requests))

    def _add(self, state: BudgetState, live: "_Live", effect: float, compared_effect: float) -> BudgetState:
        candidate, own, stable, length_s = live.candidate, live.own, live.stable, live.length_s
        harmful, events = ShareWatch(self._burning, self._cap, LATEST_OF_FEW), self._events(candidate)
        safe = below(self._burning).add(state.safe, candidate.errors, candidate.requests, effect)
        if stable is None or own is None or not stable.requests:
            return replace(state, alone=state.alone.add(harmful, events, candidate, effect, length_s), safe=safe)
        arms = Arms(self._events(own), own.requests, self._events(stable), stable.requests)
        return replace(
            state,
            ratio=RatioWatch(self._cap, LATEST_OF_FEW).add(
                state.ratio, arms, null=self.policy.guard_ratio, effect=compared_effect, length_s=length_s
            ),
            noise=state.noise.compared(arms),
            beside=state.beside.add(harmful, events, candidate, effect, length_s),
            stable_errors=state.stable_errors + (stable.errors if candidate.requests else 0),
            safe=safe,
        )

    def _events(self, arm: ArmCounts) -> int:
        return arm.error_clusters if self.count_clusters and arm.error_clusters is not None else arm.errors

    def _burn(self, spent: Spent) -> float:
        return spent.error_ratio / self._allowed

    def _burns(self, spent: Spent, effect: float, alpha: float, timing: Timing) -> bool:
        """Return whether the budget burns faster than the policy allows, by a test."""
        fired = timing.fires(alpha, spent.test.peak, lambda: spent.test.p_value(effect))
        enough = spent.requests >= self.policy.requests_min
        return enough and fired and self._burn(spent) >= self.policy.rollback_burn

    def _worse(self, state: BudgetState, effect: float, alpha: float, timing: Timing) -> bool:
        """Return whether the candidate fails more than stable in the same windows, by a test."""
        return timing.fires(alpha, state.ratio.peak, lambda: state.ratio.p_value(state.noise.effect(effect)))

    def _verdict(self, state: BudgetState, look: Look, timing: Timing) -> Verdict:
        policy, seen = self.policy, state.beside + state.alone
        alpha, effect = self.alpha * (1 - ALONE_SHARE), state.whole_effect
        beside = self._burns(state.beside, effect, alpha, timing)
        blamed = beside and self._worse(state, effect, alpha, timing)
        breach = not blamed and self._burns(state.alone, effect, self.alpha * ALONE_SHARE, timing)
        if blamed or breach:
            seen = state.beside if blamed else state.alone
        burn = self._burn(seen)
        shown = below(self._burning).log_evidence(state.safe, effect)
        certified = shown >= math.log(1 / self.promotion_alpha) and burn < policy.rollback_burn
        outcome = settle(failed=blamed, passed=seen.requests >= policy.requests_min and certified)
        freezes = blamed and burn >= policy.freeze_burn
        counted = (count / state.safe.effect for count in (seen.errors, seen.requests))
        low, high = ShareState(seen.errors, seen.requests, 0.0, *counted).interval(self.promotion_alpha)
        return Verdict(
            self.name,
            self.stage,
            outcome,
            self._reason(outcome, state, seen, beside=beside, freezes=freezes, breach=breach),
            value=burn if seen.requests else None,
            unit="times the budget",
            interval=Interval(low / self._allowed, high / self._allowed, 1 - self.promotion_alpha),
            threshold=policy.rollback_burn,
            samples=seen.requests,
            window=look.window,
            advisory=not blamed,
            freezes=freezes,
            breach=breach,
            limits=(Limit(Rule.CEILING, policy.rollback_burn, burn if seen.requests else None, "times the budget"),),
        )

    def _reason(
        self, outcome: Outcome, state: BudgetState, spent: Spent, *, beside: bool, freezes: bool, breach: bool
    ) -> str:
        if not spent.requests:
            return "No live traffic yet: the error budget is judged on requests that users sent to the candidate."
        burn, stable = self._burn(spent), of(state.stable_errors, state.ratio.arms.stable_total, "requests")
        seen = f"the candidate failed {of(spent.errors, spent.requests, 'requests')}"
        together = state.effect
        seen += clustered(together, "errors")
        both = f"{seen}, stable {stable} meanwhile{words(state.noise, together)}"
        objective = f"of the objective {100 * self.policy.objective_ratio:g} %"
        if outcome is Outcome.FAIL or breach:
            then = f"{both}; all model changes of this service are frozen" if freezes else both
            whose = f"{seen}, and {NOBODY_BESIDE}" if breach else then
            return f"The error budget {objective} burns {burn:.1f} times too fast: {whose}."
        if beside and state.stable_ratio >= self._burning:
            whose = "an incident of the service, not of this version"
            return f"Both versions burn the error budget {objective}: {whose}; {both}."
        if beside:
            return f"Burn {burn:.2g} {objective}, not yet shown to be the candidate's doing: {both}."
        if outcome is Outcome.PASS:
            return f"The error budget {objective} is safe, burn {burn:.2g}: {seen}."
        return f"Burn {burn:.2g} {objective}, not settled yet: {seen}; promotion does not wait for it."
