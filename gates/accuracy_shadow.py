"""accuracy.shadow: did the candidate answer more requests wrongly than the stable version, on the same requests?"""

import math
from dataclasses import dataclass, field, replace

from gates.betting import Trinomial, log_capitals, log_e_mean_at_least, log_e_mean_at_most, mean_bounds
from gates.checks import LABELS, PREDICTIONS
from gates.evidence import LabelledPair, Look
from gates.exact import upper_tail
from gates.gate import Timing, settle
from gates.numerics import samples_to_settle
from gates.outcome import Outcome
from gates.policy import PairedAccuracyPolicy
from gates.verdict import Interval, Stage, Verdict


@dataclass(frozen=True, slots=True)
class PairedAccuracyState:
    """``losses`` counts pairs by D: +1 stable right and candidate wrong, -1 the reverse, 0 neither or both."""

    losses: Trinomial = field(default_factory=Trinomial)
    peak_harm: float = 0.0
    peak_safe: float = 0.0


@dataclass(frozen=True, slots=True)
class PairedAccuracyGate:
    """F2 on D: fails on E[D] > 0 with an effect of at least the guard, passes on E[D] < margin."""

    policy: PairedAccuracyPolicy
    alpha: float
    promotion_alpha: float
    name: str = "accuracy.shadow"
    stage: Stage = Stage.SHADOW
    sources: frozenset[str] = frozenset({LABELS, PREDICTIONS})

    def start(self) -> PairedAccuracyState:
        return PairedAccuracyState()

    def look(self, state: PairedAccuracyState, look: Look, timing: Timing) -> tuple[PairedAccuracyState, Verdict]:
        losses = _add(state.losses, look.pairs)
        margin, bets = self.policy.margin_points / 100, self.policy.bets
        following = replace(
            state,
            losses=losses,
            peak_harm=max(state.peak_harm, log_e_mean_at_most(losses, 0.0, bets)),
            peak_safe=max(state.peak_safe, log_e_mean_at_least(losses, margin, bets)),
        )
        return following, self._verdict(following, look, timing)

    def _verdict(self, state: PairedAccuracyState, look: Look, timing: Timing) -> Verdict:
        losses, policy = state.losses, self.policy
        points = 100 * losses.mean
        enough = losses.total >= policy.pairs_min
        fired = state.peak_harm >= math.log(1 / timing.running_alpha(self.alpha)) or (
            upper_tail(losses.plus, losses.plus + losses.minus, 0.5) <= timing.deadline_alpha(self.alpha)
        )
        threshold = math.log(1 / self.promotion_alpha)
        outcome = settle(
            failed=enough and fired and points >= policy.guard_points,
            passed=enough and state.peak_safe >= threshold and points < policy.margin_points,
        )
        low, high = mean_bounds(losses, policy.bets, self.promotion_alpha)
        best = max(log_capitals(losses.mirrored, -policy.margin_points / 100, policy.bets))
        needed = samples_to_settle(losses.total, best, threshold + math.log(len(policy.bets)))
        return Verdict(
            self.name,
            self.stage,
            outcome,
            self._reason(outcome, state, points),
            value=points if losses.total else None,
            unit="points",
            interval=Interval(100 * low, 100 * high, 1 - self.promotion_alpha),
            threshold=policy.margin_points,
            samples=losses.total,
            samples_needed=needed if outcome is Outcome.INCONCLUSIVE else None,
            window=look.window,
        )

    def _reason(self, outcome: Outcome, state: PairedAccuracyState, points: float) -> str:
        losses = state.losses
        if not losses.total:
            return "No labelled pair of answers yet: labels of mirrored requests are needed."
        seen = f"{losses.plus} answers got worse and {losses.minus} better in {losses.total} labelled pairs"
        if outcome is Outcome.FAIL:
            return f"Accuracy fell by {points:.1f} points: {seen}."
        if outcome is Outcome.PASS:
            return f"Accuracy holds: a loss of {self.policy.margin_points:g} points is excluded; {seen}."
        return f"Accuracy change {-points:+.1f} points, not settled yet: {seen}; more labels would tell."


def _add(losses: Trinomial, pairs: tuple[LabelledPair, ...]) -> Trinomial:
    plus = sum(pair.stable.label == pair.truth != pair.candidate.label for pair in pairs)
    minus = sum(pair.candidate.label == pair.truth != pair.stable.label for pair in pairs)
    zero = len(pairs) - plus - minus
    return Trinomial(losses.plus + plus, losses.minus + minus, losses.zero + zero)
