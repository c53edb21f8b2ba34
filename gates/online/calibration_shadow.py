"""calibration.shadow: did the candidate's confidence move away from how often it is right?

On pairs that were labelled by chance (a label asked for because the versions disagreed says nothing of calibration):
the change of the gap, G = (confidence - correct) of the candidate minus that of stable, in [-2, 2], two-sided; and
the paired difference of Brier scores, which sees miscalibration of any shape. The rollback level is divided by three.

A candidate that moves the gap *towards* zero does no harm, so a failure on the gap also needs the candidate's own gap
to be the larger one, and its own gap within the margin certifies as well as an unchanged one.
"""

import math
from dataclasses import dataclass, field

import numpy as np

from gates.checks import LABELS, PREDICTIONS
from gates.evidence import LabelledPair, Look
from gates.gate import Timing, settle
from gates.outcome import Outcome
from gates.policy import CalibrationPolicy
from gates.stats.bounded import BetState, MeanBounds, MeanTest, Values, add_all
from gates.stats.numerics import samples_to_settle
from gates.verdict import Interval, Stage, Verdict
from gates.wording import more

_CHANGE_SPAN = 2.0  # of G and of the Brier difference
_GAP_SPAN = 1.0  # of one version's own gap


@dataclass(frozen=True, slots=True)
class Sides:
    """Two tests, of a mean that is too high and of one that is too low."""

    high: BetState
    low: BetState

    @property
    def weaker(self) -> float:
        """Evidence that the mean is neither."""
        return min(self.high.peak, self.low.peak)


@dataclass(frozen=True, slots=True)
class CalibrationState:
    harm_gap: Sides
    harm_brier: BetState
    safe_change: Sides
    safe_own: Sides
    safe_brier: BetState
    change: MeanBounds = field(default_factory=MeanBounds)
    own: MeanBounds = field(default_factory=MeanBounds)
    brier: MeanBounds = field(default_factory=MeanBounds)


@dataclass(frozen=True, slots=True)
class CalibrationGate:
    policy: CalibrationPolicy
    alpha: float
    promotion_alpha: float
    name: str = "calibration.shadow"
    stage: Stage = Stage.SHADOW
    sources: frozenset[str] = frozenset({LABELS, PREDICTIONS})
    required: bool = True

    def start(self) -> CalibrationState:
        fresh = self._test(0.0).start()
        both = Sides(fresh, fresh)
        return CalibrationState(both, fresh, both, both, fresh)

    def look(self, state: CalibrationState, look: Look, _timing: Timing) -> tuple[CalibrationState, Verdict]:
        pairs = [pair for pair in look.pairs if not pair.directed]
        problem = self._problem(pairs)
        if problem is not None:
            return state, Verdict(self.name, self.stage, Outcome.ERROR, f"{problem}.", window=look.window)
        state = self._add(state, pairs) if pairs else state
        return state, self._verdict(state, look)

    def _test(self, null: float, span: float = _CHANGE_SPAN) -> MeanTest:
        return MeanTest(null, span, self.policy.bets)

    def _add(self, state: CalibrationState, pairs: list[LabelledPair]) -> CalibrationState:
        policy, weights = self.policy, self._weights(pairs)
        own = np.array([pair.candidate.confidence - (pair.candidate.label == pair.truth) for pair in pairs])
        change = own - np.array([pair.stable.confidence - (pair.stable.label == pair.truth) for pair in pairs])
        brier = np.array([pair.candidate.brier - pair.stable.brier for pair in pairs])
        harmful, brier_harmful = self._test(policy.tolerance_gap), self._test(policy.tolerance_brier)
        safe, safe_own = self._test(-policy.margin_gap), self._test(-policy.margin_gap, _GAP_SPAN)
        found = add_all(
            [
                *_both(harmful, state.harm_gap, change),
                *_both(safe, state.safe_change, change),
                *_both(safe_own, state.safe_own, own),
                (brier_harmful, state.harm_brier, brier),
                (self._test(-policy.margin_brier), state.safe_brier, -brier),
            ],
            weights,
        )
        return CalibrationState(
            harm_gap=Sides(*found[0:2]),
            safe_change=Sides(*found[2:4]),
            safe_own=Sides(*found[4:6]),
            harm_brier=found[6],
            safe_brier=found[7],
            change=state.change.add(change, weights, _CHANGE_SPAN, self.promotion_alpha),
            own=state.own.add(own, weights, _GAP_SPAN, self.promotion_alpha),
            brier=state.brier.add(brier, weights, _CHANGE_SPAN, self.promotion_alpha),
        )

    def _weights(self, pairs: list[LabelledPair]) -> Values:
        """Bets in inverse proportion to the chance of being labelled test the mean over all pairs."""
        least = self.policy.inclusion_probability_min
        if least is None:
            return np.ones(len(pairs))
        return np.array([least / pair.inclusion_probability for pair in pairs])

    def _problem(self, pairs: list[LabelledPair]) -> str | None:
        least = self.policy.inclusion_probability_min
        below = [] if least is None else [p for p in pairs if p.inclusion_probability < least]
        if not below:
            return None
        return f"inclusion_probability: {below[0].inclusion_probability:g} is below the design's smallest, {least:g}"

    def _verdict(self, state: CalibrationState, look: Look) -> Verdict:
        policy = self.policy
        change, own = state.change.mean(_CHANGE_SPAN), state.own.mean(_GAP_SPAN)
        brier, samples = state.brier.mean(_CHANGE_SPAN), state.change.count
        enough = samples >= policy.pairs_min
        gap_worse, brier_worse = self._gap_worse(state, change, own), self._brier_worse(state, brier)
        passed = enough and self._gap_held(state, change, own) and self._brier_held(state, brier)
        outcome = settle(failed=enough and (gap_worse or brier_worse), passed=passed)
        needed = self._needed(state) if outcome is Outcome.INCONCLUSIVE else None
        return Verdict(
            self.name,
            self.stage,
            outcome,
            self._reason(outcome, state, needed, gap_worse=gap_worse),
            value=change if samples else None,
            unit="confidence gap",
            interval=Interval(*state.change.interval(_CHANGE_SPAN, self.promotion_alpha), 1 - self.promotion_alpha),
            threshold=policy.margin_gap,
            samples=samples,
            samples_needed=needed,
            window=look.window,
        )

    def _gap_worse(self, state: CalibrationState, change: float, own: float) -> bool:
        fired = max(state.harm_gap.high.peak, state.harm_gap.low.peak) >= self._rollback_threshold
        return fired and abs(change) >= self.policy.guard_gap and abs(own) > abs(own - change)

    def _brier_worse(self, state: CalibrationState, brier: float) -> bool:
        return state.harm_brier.peak >= self._rollback_threshold and brier >= self.policy.guard_brier

    @property
    def _rollback_threshold(self) -> float:
        """No exact test exists for these means, so all of the level is spent by watching."""
        return math.log(3 / self.alpha)

    def _gap_held(self, state: CalibrationState, change: float, own: float) -> bool:
        margin, threshold = self.policy.margin_gap, math.log(2 / self.promotion_alpha)
        unchanged = state.safe_change.weaker >= threshold and abs(change) < margin
        return unchanged or (state.safe_own.weaker >= threshold and abs(own) < margin)

    def _brier_held(self, state: CalibrationState, brier: float) -> bool:
        return state.safe_brier.peak >= math.log(1 / self.promotion_alpha) and brier < self.policy.margin_brier

    def _needed(self, state: CalibrationState) -> int | None:
        penalty = math.log(len(self.policy.bets))
        parts = (
            (min(max(state.safe_change.high.log_capital), max(state.safe_change.low.log_capital)), 2),
            (max(state.safe_brier.log_capital), 1),
        )
        found = [
            samples_to_settle(state.change.count, log_e, math.log(factor / self.promotion_alpha) + penalty)
            for log_e, factor in parts
        ]
        known = [needed for needed in found if needed is not None]
        return max(known) if len(known) == len(found) else None

    def _reason(self, outcome: Outcome, state: CalibrationState, needed: int | None, *, gap_worse: bool) -> str:
        samples = state.change.count
        if not samples:
            return "No pair labelled by chance yet: calibration needs labels that were not asked for by disagreement."
        change, own = state.change.mean(_CHANGE_SPAN), state.own.mean(_GAP_SPAN)
        brier = state.brier.mean(_CHANGE_SPAN)
        seen = f"confidence minus accuracy {own:+.3f}, stable's {own - change:+.3f}, in {samples:,} labelled pairs"
        if outcome is Outcome.FAIL and gap_worse:
            word = "overconfident" if own > 0 else "underconfident"
            return f"The candidate is {word}: {seen}."
        if outcome is Outcome.FAIL:
            return f"The probabilities got worse, Brier score {brier:+.3f}: {seen}."
        if outcome is Outcome.PASS:
            return f"Calibration holds within {self.policy.margin_gap:g}: {seen}; Brier score {brier:+.3f}."
        return f"Calibration not settled yet: {seen}; {more(needed, samples, 'labels of further texts')}."


def _both(test: MeanTest, sides: Sides, values: Values) -> list[tuple[MeanTest, BetState, Values]]:
    """Against a mean above ``test.null`` (or, for the certificate, below its mirror image), on either side."""
    return [(test, sides.high, values), (test, sides.low, -values)]
