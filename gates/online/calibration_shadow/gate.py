"""calibration.shadow: did the candidate's confidence move away from how often it is right?

Pairs count if they were labelled by chance: a label asked for because the versions disagreed says nothing of
calibration. G is the change of the gap on one pair: (confidence - correct) of the candidate minus that of stable, in
[-2, 2], tested two-sided. The shape is the same with the sign turned below some confidences; it shows what cancels in
the gap. Both have mean zero for a candidate that is less accurate, or less sharp, but as well calibrated. The Brier
score has not, so it blames nobody here: a large rise of it, by pairs, holds promotion, and the sentence gives its parts
(`gates.stats.murphy`). The rollback level is divided by three: for the gap's two sides, and for the mean of the
evidence of all shapes.

A candidate that moves the gap *towards* zero does no harm. So a failure on the gap also needs the candidate's own gap
to be larger than stable's, and a failure on the shape needs its miscalibration by bands of confidence to be larger. An
own gap within the margin passes as well as an unchanged one.

A pair counts one over its inclusion probability. Where the policy declares the smallest probability, each bet is scaled
by it over the pair's own. Where the smallest is only seen, evidence comes from sums that do not depend on it
(`gates.stats.uneven`), and the shape is not tested.
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import TypeVar

import numpy as np

from gates.checks import LABELS, PREDICTIONS
from gates.evidence import Answer, LabelledPair, LeastLikely, Look
from gates.gate import Timing, settle
from gates.online.alike import expected, seen, with_times
from gates.online.calibration_shadow.policy import CalibrationPolicy
from gates.online.calibration_shadow.state import CalibrationState, Shape, Sides, Sums, log_evidence
from gates.online.calibration_shadow.words import brier_told, shape_told
from gates.outcome import Outcome
from gates.stats.bounded import BetState, MeanTest, Values, add_all
from gates.stats.murphy import Band, added, murphy, places
from gates.stats.numerics import log_mean_exp, samples_to_settle
from gates.stats.uneven import FLOOR_LOG_WEIGHT, Span, declared, log_capitals, mean_bounds
from gates.stats.weighted import Drawn
from gates.verdict import Interval, Limit, Rule, Stage, Verdict
from gates.wording import more, set_aside, weighed

Sided = TypeVar("Sided", Values, Drawn)
"""Values, or sums over values: both can be negated."""

_CHANGE_SPAN = 2.0  # largest size of G, and of the Brier difference
_FIRST_LOOKS = 3.2  # fewer than usual leave doubt: every label tells of confidence, so it shows sooner how values come
_GAP_SPAN = 1.0  # largest size of one version's own gap


@dataclass(frozen=True, slots=True)
class CalibrationGate:
    policy: CalibrationPolicy
    alpha: float
    promotion_alpha: float
    incident_s: float = 0.0
    name: str = "calibration.shadow"
    stage: Stage = Stage.SHADOW
    sources: frozenset[str] = frozenset({LABELS, PREDICTIONS})
    required: bool = True

    def start(self) -> CalibrationState:
        fresh = self._test(0.0).start()
        both = Sides(fresh, fresh)
        chances = declared(self.policy.inclusion_probability_min)
        edges = len(self.policy.shape_edges)
        bands = (Band(),) * (edges + 1)
        return CalibrationState(both, both, both, fresh, Shape((both,) * edges, bands, bands), sums=Sums(chances))

    def look(self, state: CalibrationState, look: Look, _timing: Timing) -> tuple[CalibrationState, Verdict]:
        pairs = [pair for pair in look.pairs if not pair.directed]
        state = replace(state, alike=expected(state.alike, look, self.name))
        state = self._add(state, pairs, look) if pairs else state
        return state, self._verdict(state, look)

    def _test(self, null: float, span: float = _CHANGE_SPAN) -> MeanTest:
        return MeanTest(null, span, self.policy.bets)

    def _add(self, state: CalibrationState, pairs: list[LabelledPair], look: Look) -> CalibrationState:
        sure, right = _answers(pair.candidate for pair in pairs), _rights(pairs, of_candidate=True)
        sure_stable, right_stable = _answers(pair.stable for pair in pairs), _rights(pairs, of_candidate=False)
        own, other = sure - right, sure_stable - right_stable
        change = own - other
        brier = np.array([pair.candidate.brier - pair.stable.brier for pair in pairs])
        probabilities = [pair.inclusion_probability for pair in pairs]
        sums = state.sums.add(change, own, brier, probabilities)
        alike = seen(state.alike, change.tolist(), pairs, look, self.incident_s)
        state = replace(state, alike=with_times(alike, pairs, look, self.incident_s))
        if not self._weighable(sums):
            return self._from_sums(state, sums)
        # Bets in inverse proportion to the chance of being labelled test the mean over all pairs.
        weights = sums.chances.least / np.array(probabilities)
        edges = np.array(self.policy.shape_edges)
        band, band_stable = places(sure, edges), places(sure_stable, edges)
        above = np.arange(len(edges))[:, np.newaxis]
        shapes = np.where(band > above, own, -own) - np.where(band_stable > above, other, -other)
        values = [*_sides(change, own, brier), *(side for shape in shapes for side in (shape, -shape))]
        found = add_all(self._questions(state), np.array(values), weights)
        stable = added(state.shape.stable, band_stable, sure_stable, right_stable, weights)
        candidate = added(state.shape.candidate, band, sure, right, weights)
        return replace(
            _of(found, Shape((), stable, candidate, state.shape.peak)),
            alike=state.alike,
            change=state.change.add(change, weights, _CHANGE_SPAN, self.promotion_alpha),
            own=state.own.add(own, weights, _GAP_SPAN, self.promotion_alpha),
            brier=state.brier.add(brier, weights, _CHANGE_SPAN, self.promotion_alpha),
            sums=sums,
        )

    def _weighable(self, sums: Sums) -> bool:
        """Return whether each pair can be weighted by itself: all probabilities are the same, or none is below the
        declared one."""
        return sums.chances.even or sums.chances.least == self.policy.inclusion_probability_min

    def _from_sums(self, before: CalibrationState, sums: Sums) -> CalibrationState:
        """Return the state with evidence from sums. Evidence of earlier looks counts on only if it rested on the same
        smallest probability."""
        kept = sums.chances.least == before.sums.chances.least and not self._weighable(before.sums)
        start = self.start()
        asked = zip(self._questions(before if kept else start), _sides(sums.change, sums.own, sums.brier), strict=False)
        found = [_summed(test, state, sample, sums.chances.least) for (test, state), sample in asked]
        if sums.aside:
            found = self._without_few(found, sums)
        shapes = [side for sides in start.shape.sides for side in (sides.high, sides.low)]
        counted = replace(_of([*found, *shapes], start.shape), sums=sums, alike=before.alike)
        return replace(counted, change=before.change, own=before.own, brier=before.brier)

    def _without_few(self, found: Sequence[BetState], sums: Sums) -> list[BetState]:
        """Return the tests found, those of harm with the evidence without the few least likely labels, where that is
        more."""
        change, tolerance = sums.graded_change.kept, self.policy.tolerance_gap
        raised = list(found)
        for place, sample in enumerate((change.sample, -change.sample)):
            kept = _summed(self._test(tolerance), self._test(tolerance).start(), sample, change.least)
            raised[place] = replace(found[place], peak=max(found[place].peak, kept.peak + FLOOR_LOG_WEIGHT))
        return raised

    def _questions(self, state: CalibrationState) -> list[tuple[MeanTest, BetState]]:
        """Return each test and its state, in the order of the values of ``_sides`` and the shapes, in which ``_of``
        reads them."""
        policy, harm, safe, own = self.policy, state.harm_gap, state.safe_change, state.safe_own
        harmful, changed = self._test(policy.tolerance_gap), self._test(-policy.margin_gap)
        itself = self._test(-policy.margin_gap, _GAP_SPAN)
        return [
            *((harmful, harm.high), (harmful, harm.low)),
            *((changed, safe.high), (changed, safe.low)),
            *((itself, own.high), (itself, own.low)),
            (self._test(-policy.margin_brier), state.safe_brier),
            *((harmful, side) for sides in state.shape.sides for side in (sides.high, sides.low)),
        ]

    def _means(self, state: CalibrationState) -> tuple[float, float, float]:
        """Return the means of G, of the candidate's own gap, and of the Brier difference."""
        sums = state.sums
        if self._weighable(sums):
            return state.change.mean(_CHANGE_SPAN), state.own.mean(_GAP_SPAN), state.brier.mean(_CHANGE_SPAN)
        return sums.change.mean, sums.own.mean, sums.brier.mean

    def _kept_means(self, state: CalibrationState) -> tuple[float, float, float]:
        """Return the means of G and of the candidate's own gap, both without the few labels that are set aside, and of
        the Brier difference."""
        sums = state.sums
        if self._weighable(sums) or not sums.aside:
            return self._means(state)
        return sums.graded_change.kept.sample.mean, sums.graded_own.kept.sample.mean, sums.brier.mean

    def _interval(self, state: CalibrationState) -> Interval:
        alpha, sums = self.promotion_alpha, state.sums
        if self._weighable(sums):
            return Interval(*state.change.interval(_CHANGE_SPAN, alpha), 1 - alpha)
        span = Span(-_CHANGE_SPAN, _CHANGE_SPAN)
        return Interval(*mean_bounds(sums.change, sums.chances.least, span, self.policy.bets, alpha), 1 - alpha)

    def _verdict(self, state: CalibrationState, look: Look) -> Verdict:
        policy = self.policy
        (change, own, brier), samples = self._means(state), state.sums.brier.count
        enough = samples >= policy.pairs_min
        left = self._kept_means(state)
        harm_at = self._harm_at(state)
        gap_worse = self._gap_worse(state, harm_at, left[0], left[1])
        shape_worse = self._shape_worse(state.shape, harm_at)
        passed = enough and self._gap_held(state, change, own) and self._brier_held(state, brier)
        outcome = settle(failed=enough and (gap_worse or shape_worse), passed=passed)
        needed = self._needed(state) if outcome is Outcome.INCONCLUSIVE else None
        return Verdict(
            self.name,
            self.stage,
            outcome,
            self._reason(outcome, state, needed, look.least_likely, gap_worse=gap_worse),
            value=left[0] if samples else None,
            unit="confidence gap",
            interval=self._interval(state),
            threshold=policy.margin_gap,
            samples=samples,
            samples_needed=needed,
            window=look.window,
            limits=self._limits(outcome, state.shape, left, gap_worse=gap_worse) if samples else (),
        )

    def _limits(
        self, outcome: Outcome, shape: Shape, means: tuple[float, float, float], *, gap_worse: bool
    ) -> tuple[Limit, ...]:
        """Return the limits that decided; of a pass both that of the gap, against stable or by itself, and that of the
        Brier score."""
        policy, (change, own, brier) = self.policy, means
        if outcome is Outcome.FAIL and gap_worse:
            return (Limit(Rule.GUARD, policy.guard_gap, abs(change), "confidence gap"),)
        if outcome is Outcome.FAIL:
            return (Limit(Rule.GUARD, policy.guard_gap, abs(shape.change), "gap between classes of confidence"),)
        gap = Limit(Rule.MARGIN, policy.margin_gap, abs(change), "confidence gap")
        if outcome is Outcome.PASS and abs(change) >= policy.margin_gap:
            gap = Limit(Rule.MARGIN, policy.margin_gap, abs(own), "own confidence gap")
        return gap, Limit(Rule.MARGIN, policy.margin_brier, brier, "Brier score")

    def _gap_worse(self, state: CalibrationState, harm_at: float, change: float, own: float) -> bool:
        fired = max(state.harm_gap.high.peak, state.harm_gap.low.peak) >= harm_at
        return fired and abs(change) >= self.policy.guard_gap and abs(own) > abs(own - change)

    def _shape_worse(self, shape: Shape, harm_at: float) -> bool:
        if shape.peak < harm_at:
            return False
        candidate, stable = murphy(shape.candidate), murphy(shape.stable)
        return abs(shape.change) >= self.policy.guard_gap and candidate.reliability > stable.reliability

    def _harm_at(self, state: CalibrationState) -> float:
        """Return the log evidence that fails; infinite as long as too few labels came. No exact test exists for these
        means, so watching spends the whole level. Where texts that are alike come together (`gates.stats.alike`),
        proportionally more is needed."""
        if not state.alike.could_have_decided:  # what loses accuracy is too sure as well: accuracy may decide first
            return math.inf
        return state.alike.doubted(_FIRST_LOOKS) * math.log(3 / self.alpha)

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
            samples_to_settle(state.sums.brier.count, log_e, math.log(factor / self.promotion_alpha) + penalty)
            for log_e, factor in parts
        ]
        known = [needed for needed in found if needed is not None]
        return max(known) if len(known) == len(found) else None

    def _reason(
        self,
        outcome: Outcome,
        state: CalibrationState,
        needed: int | None,
        unlikely: LeastLikely | None,
        *,
        gap_worse: bool,
    ) -> str:
        samples, chances = state.sums.brier.count, state.sums.chances
        if not samples:
            return "No pair labelled by chance yet: calibration needs labels that were not asked for by disagreement."
        change, own, brier = self._kept_means(state)
        seen = f"confidence minus accuracy {own:+.3f}, stable's {own - change:+.3f}, in {samples:,} labelled pairs"
        seen += "" if chances.even else f", {weighed(chances.least, chances.most)}"
        seen += f"; {brier_told(brier, state.shape)}"
        if outcome is Outcome.FAIL and gap_worse:
            word = "overconfident" if own > 0 else "underconfident"
            return f"The candidate is {word}: {seen}."
        if outcome is Outcome.FAIL:
            return f"{shape_told(state.shape, self.policy.shape_edges)}: {seen}."
        if outcome is Outcome.PASS:
            return f"Calibration holds within {self.policy.margin_gap:g}: {seen}."
        aside = "" if self._weighable(state.sums) else set_aside(state.sums.aside, chances.least, unlikely)
        further = aside or more(needed, samples, "labels of further texts")
        if samples >= self.policy.pairs_min and self._gap_held(state, change, own):
            rise = f"a rise of the Brier score by {self.policy.margin_brier:g} is not excluded yet"
            return f"Confidence holds within {self.policy.margin_gap:g}, {rise}: {seen}; {further}."
        return f"Calibration not settled yet: {seen}; {further}."


def _answers(answers: Iterable[Answer]) -> Values:
    return np.array([answer.confidence for answer in answers])


def _rights(pairs: Sequence[LabelledPair], *, of_candidate: bool) -> Values:
    if of_candidate:
        return np.array([pair.candidate.label == pair.truth for pair in pairs], np.float64)
    return np.array([pair.stable.label == pair.truth for pair in pairs], np.float64)


def _sides(change: Sided, own: Sided, brier: Sided) -> list[Sided]:
    """Return the values that each test reads, in order: of each mean the values, and the values negated, for a mean
    that is too high or too low. The Brier difference is there negated only: the test is that it did not rise."""
    return [change, -change, change, -change, own, -own, -brier]


def _of(found: Sequence[BetState], shape: Shape) -> CalibrationState:
    sides = tuple(Sides(*found[place : place + 2]) for place in range(7, len(found), 2))
    return CalibrationState(
        harm_gap=Sides(*found[0:2]),
        safe_change=Sides(*found[2:4]),
        safe_own=Sides(*found[4:6]),
        safe_brier=found[6],
        shape=Shape(sides, shape.stable, shape.candidate, max(shape.peak, log_evidence(sides))),
    )


def _summed(test: MeanTest, state: BetState, sample: Drawn, least: float) -> BetState:
    logs = log_capitals(sample, least, test.null, Span(-test.span, test.span), test.bets)
    return BetState(tuple(logs), max(state.peak, log_mean_exp(logs)))
