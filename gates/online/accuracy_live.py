"""accuracy.live: is the candidate wrong more often on its own live requests, where labels arrived?

Harm is a ratio of the rates of wrong answers above 1 (F1); safety is a difference below the margin, in points. The two
versions answered different requests, so this needs many more labels than ``accuracy.shadow``: by default promotion
does not wait for it (``required``), but it can stop a release at any time.
"""

import math
from dataclasses import dataclass, field

from gates.checks import LABELS
from gates.evidence import LabelCounts, Look
from gates.gate import Timing, bounds, settle
from gates.outcome import Outcome
from gates.policy import LiveAccuracyPolicy
from gates.stats.difference import DifferenceState, DifferenceTest
from gates.stats.numerics import samples_to_settle
from gates.stats.ratio import Arms, RatioBounds, RatioState, RatioTest
from gates.verdict import Stage, Verdict
from gates.wording import more, of

GUESSES = (-2.0, -0.5, 0.0, 0.4)  # differences that the certificate bets on, in margins


@dataclass(frozen=True, slots=True)
class LiveAccuracyState:
    harm: RatioState
    safe: DifferenceState
    bounds: RatioBounds = field(default_factory=RatioBounds)


@dataclass(frozen=True, slots=True)
class LiveAccuracyGate:
    policy: LiveAccuracyPolicy
    alpha: float
    promotion_alpha: float
    name: str = "accuracy.live"
    stage: Stage = Stage.LIVE
    sources: frozenset[str] = frozenset({LABELS})

    @property
    def _harm(self) -> RatioTest:
        return RatioTest(1.0, self.policy.grid)

    @property
    def _safe(self) -> DifferenceTest:
        margin = self.policy.margin_points / 100
        return DifferenceTest(margin, tuple(margin * guess for guess in GUESSES))

    @property
    def required(self) -> bool:
        return self.policy.required

    def start(self) -> LiveAccuracyState:
        return LiveAccuracyState(self._harm.start(), self._safe.start())

    def look(self, state: LiveAccuracyState, look: Look, timing: Timing) -> tuple[LiveAccuracyState, Verdict]:
        none = LabelCounts(0, 0)
        candidate, stable = look.candidate_labels or none, look.stable_labels or none
        arms = Arms(candidate.wrong, candidate.labelled, stable.wrong, stable.labelled)
        state = LiveAccuracyState(
            self._harm.add(state.harm, arms), self._safe.add(state.safe, arms), state.bounds.add(arms)
        )
        return state, self._verdict(state, look, timing)

    def _verdict(self, state: LiveAccuracyState, look: Look, timing: Timing) -> Verdict:
        policy, arms = self.policy, state.harm.arms
        enough = min(arms.candidate_total, arms.stable_total) >= policy.labels_min
        points = _points(arms)
        fired = timing.fires(self.alpha, state.harm.peak, state.harm.equal_rates_p_value)
        threshold = math.log(1 / self.promotion_alpha)
        outcome = settle(
            failed=enough and fired and points is not None and points >= policy.guard_points,
            passed=enough and state.safe.peak >= threshold and points is not None and points < policy.margin_points,
        )
        low, high = state.bounds.interval(self.promotion_alpha)
        base = 100 * arms.stable_events / arms.stable_total if arms.stable_total else 0.0
        best = max(state.safe.log_e)
        needed = samples_to_settle(arms.candidate_total, best, threshold + math.log(len(GUESSES)))
        return Verdict(
            self.name,
            self.stage,
            outcome,
            self._reason(outcome, arms, points, needed),
            value=points,
            unit="points",
            interval=bounds(base * (low - 1), base * (high - 1), self.promotion_alpha) if base else None,
            threshold=policy.margin_points,
            samples=arms.candidate_total,
            samples_needed=needed if outcome is Outcome.INCONCLUSIVE else None,
            window=look.window,
            advisory=not self.required and outcome is not Outcome.FAIL,
        )

    def _reason(self, outcome: Outcome, arms: Arms, points: float | None, needed: int | None) -> str:
        if points is None:
            return "No labels of live answers of both versions yet; promotion " + (
                "waits for them." if self.policy.required else "does not wait for them."
            )
        seen = "the candidate was wrong in " + of(arms.candidate_events, arms.candidate_total, "labelled answers")
        seen += ", stable in " + of(arms.stable_events, arms.stable_total, "labelled answers")
        if outcome is Outcome.FAIL:
            return f"Live accuracy is {points:.1f} points below stable's: {seen}."
        if outcome is Outcome.PASS:
            return f"Live accuracy holds, a loss of {self.policy.margin_points:g} points is excluded: {seen}."
        return f"Live accuracy not settled yet: {seen}; {more(needed, arms.candidate_total, 'labels')}."


def _points(arms: Arms) -> float | None:
    if not arms.comparable:
        return None
    return 100 * (arms.candidate_events / arms.candidate_total - arms.stable_events / arms.stable_total)
