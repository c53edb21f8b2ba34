"""accuracy.live: is the candidate wrong more often on its own live requests, where labels arrived?

Harm is a ratio of the rates of wrong answers (F1, `gates.stats.ratio`) above the ratio that is a loss of the guard's
points; safety is a difference of the rates below the margin, in points. The two versions answered different requests,
so this needs many more labels than ``accuracy.shadow``: by default promotion does not wait for it (``required``), but
it can stop a release at any time.

Where some answers were likelier to be labelled than others, each label counts one over its inclusion probability, and
harm too is a difference: above 0 (`gates.stats.uneven`).

Where users stick to a version, each version's answers are those to users of its own, and nothing tells how hard their
requests are to answer: only a ratio far beyond what users differ by fails (`gates.stats.noise`), and nothing passes.
"""

import math
from dataclasses import dataclass, field, replace

from gates.checks import LABELS
from gates.evidence import LabelChance, LabelCounts, LeastLikely, Look
from gates.gate import Timing, bounds, settle
from gates.online.accuracy_live.policy import LiveAccuracyPolicy
from gates.online.noise import as_begun
from gates.outcome import Outcome
from gates.stats.difference import DifferenceState, DifferenceTest
from gates.stats.noise import Found, Noise
from gates.stats.numerics import samples_to_settle
from gates.stats.ratio import Arms, RatioBounds
from gates.stats.spread import Spread
from gates.stats.uneven import FLOOR_LOG_WEIGHT, Arm, Chances, declared, log_e_difference_at_least, share_bounds
from gates.stats.watch import RatioWatch, WatchState, cap_of
from gates.stats.weighted import Drawn
from gates.verdict import Interval, Limit, Rule, Stage, Verdict
from gates.wording import more, of, set_aside, weighed

GUESSES = (-2.0, -0.5, 0.0, 0.4)  # differences that the certificate bets on, in margins


BETS = (0.1, 0.2, 0.4, 0.8)  # on labels that were not equally likely


@dataclass(frozen=True, slots=True)
class Uneven:
    """The labelled answers of each version, with their inclusion probabilities, and the highest log evidence where
    these differ."""

    candidate: Arm = field(default_factory=Arm)
    stable: Arm = field(default_factory=Arm)
    peak_harm: float = 0.0
    peak_safe: float = 0.0

    @property
    def even(self) -> bool:
        return self.candidate.chances.even and self.stable.chances.even

    @property
    def least(self) -> tuple[float, float] | None:
        """Return the smallest probabilities of the candidate's and of stable's answers, on which evidence rests; None
        where all are equal."""
        return None if self.even else (self.candidate.chances.least, self.stable.chances.least)

    @property
    def told(self) -> str:
        both = (self.candidate.chances, self.stable.chances)
        return weighed(min(one.least for one in both), max(one.most for one in both))

    @property
    def points(self) -> float:
        """Return the points of accuracy lost, without the few answers that are set aside."""
        return 100 * (self.candidate.kept.sample.mean - self.stable.kept.sample.mean)

    @property
    def points_of_all(self) -> float:
        return 100 * (self.candidate.sample.mean - self.stable.sample.mean)

    @property
    def peaks(self) -> tuple[float, float]:
        """The highest log evidence of harm, and of safety."""
        return self.peak_harm, self.peak_safe

    @property
    def aside(self) -> int:
        return self.candidate.graded.kept.aside + self.stable.graded.kept.aside


@dataclass(frozen=True, slots=True)
class LiveAccuracyState:
    harm: WatchState
    safe: DifferenceState
    bounds: RatioBounds = field(default_factory=RatioBounds)
    uneven: Uneven = field(default_factory=Uneven)
    spread: Spread = field(default_factory=Spread)
    noise: Noise = field(default_factory=Noise)

    @property
    def effect(self) -> float:
        """The number of wrong answers that count as one at the next look."""
        return self.noise.effect(self.spread.sudden)

    @property
    def learnt(self) -> float:
        """The number of wrong answers that came together and count as one, for the next release to expect."""
        return self.spread.learnt

    @property
    def found(self) -> Found | None:
        """Return how wrong answers come together, and how far parts of stable differ; None before the first wrong
        answer."""
        return Found(self.learnt, self.noise.apart(self.learnt)) if self.spread.events else None

    @property
    def suspicions(self) -> int:
        return self.harm.suspicions


@dataclass(frozen=True, slots=True)
class LiveAccuracyGate:
    policy: LiveAccuracyPolicy
    alpha: float
    promotion_alpha: float
    incident_s: float = 0.0
    name: str = "accuracy.live"
    stage: Stage = Stage.LIVE
    sources: frozenset[str] = frozenset({LABELS})

    @property
    def _safe(self) -> DifferenceTest:
        margin = self.policy.margin_points / 100
        return DifferenceTest(margin, tuple(margin * guess for guess in GUESSES))

    @property
    def required(self) -> bool:
        return self.policy.required

    def start(self) -> LiveAccuracyState:
        arm = Arm(chances=declared(self.policy.inclusion_probability_min))
        return LiveAccuracyState(WatchState(), self._safe.start(), uneven=Uneven(arm, arm))

    def look(self, state: LiveAccuracyState, look: Look, timing: Timing) -> tuple[LiveAccuracyState, Verdict]:
        state = as_begun(state, look, self.name, "spread")
        none = LabelCounts(0, 0)
        candidate, stable = look.candidate_labels or none, look.stable_labels or none
        arms, effect = Arms(candidate.wrong, candidate.labelled, stable.wrong, stable.labelled), state.effect
        state = LiveAccuracyState(
            self._watched(state.harm, arms, effect, look.window.length_s),
            self._safe.add(state.safe, arms, effect),
            state.bounds.add(arms, effect),
            self._weighed(state.uneven, _added(state.uneven.candidate, candidate), _added(state.uneven.stable, stable)),
            state.spread.add(arms),
            replace(state.noise.compared(arms), sticky=state.noise.sticky or look.sticky),
        )
        return state, self._verdict(state, look, timing)

    def _watched(self, harm: WatchState, arms: Arms, effect: float, length_s: float) -> WatchState:
        """Return the evidence of harm with one look's labels, against the ratio of wrong answers that the guard allows.
        That ratio comes from stable's share of wrong answers at earlier looks; one right and one wrong answer are added
        to it, so that it is never 0 or 1."""
        seen = harm.arms
        wrong = (seen.stable_events + 1) / (seen.stable_total + 2)
        guard = 1 + max(self.policy.guard_points, 0.0) / 100 / wrong
        watch = RatioWatch(cap_of(self.alpha, self.incident_s))
        return watch.add(harm, arms, null=guard, effect=effect, length_s=length_s)

    def _weighed(self, before: Uneven, candidate: Arm, stable: Arm) -> Uneven:
        """Return the weighted answers with their evidence. Evidence of earlier looks counts on only if it rested on the
        same smallest probabilities."""
        now = Uneven(candidate, stable)
        if now.even or not (candidate.sample.count and stable.sample.count):
            return now
        kept = before if now.least == before.least else now
        harm = log_e_difference_at_least(stable, candidate, 0.0, BETS)
        if now.aside:
            without = log_e_difference_at_least(stable.kept, candidate.kept, 0.0, BETS) + FLOOR_LOG_WEIGHT
            harm = max(harm, without)
        safe = log_e_difference_at_least(candidate, stable, self.policy.margin_points / 100, BETS)
        return replace(now, peak_harm=max(kept.peak_harm, harm), peak_safe=max(kept.peak_safe, safe))

    def _verdict(self, state: LiveAccuracyState, look: Look, timing: Timing) -> Verdict:
        policy, arms, uneven = self.policy, state.harm.arms, state.uneven
        enough = min(arms.candidate_total, arms.stable_total) >= policy.labels_min
        even = uneven.even
        points = _points(arms) if even or not arms.comparable else uneven.points
        most = points if even or points is None else max(points, uneven.points_of_all)
        sticky, whole = state.noise.sticky, state.noise.effect(state.spread.whole)
        safest = state.safe.log_evidence(state.spread.doubtful)
        peak_harm, safe = (state.harm.peak, safest) if even else uneven.peaks
        exact = (lambda: state.harm.p_value(whole)) if even else _no_exact_test
        fired = (even or not sticky) and timing.fires(self.alpha, peak_harm, exact)
        threshold = math.log(1 / self.promotion_alpha)
        outcome = settle(
            failed=enough and fired and points is not None and points >= policy.guard_points,
            passed=enough and not sticky and safe >= threshold and most is not None and most < policy.margin_points,
        )
        best, guesses = (max(state.safe.log_e), len(GUESSES)) if even else (safe, 1)
        needed = samples_to_settle(arms.candidate_total, best, threshold + math.log(guesses))
        return Verdict(
            self.name,
            self.stage,
            outcome,
            self._reason(outcome, state, points, needed, look.least_likely),
            value=points,
            unit="points",
            interval=self._interval(state),
            threshold=policy.margin_points,
            samples=arms.candidate_total,
            samples_needed=needed if outcome is Outcome.INCONCLUSIVE else None,
            window=look.window,
            advisory=not self.required and outcome is not Outcome.FAIL,
            limits=(self._limit(outcome, points),),
        )

    def _limit(self, outcome: Outcome, points: float | None) -> Limit:
        if outcome is Outcome.FAIL:
            return Limit(Rule.GUARD, self.policy.guard_points, points, "points lost")
        return Limit(Rule.MARGIN, self.policy.margin_points, points, "points lost")

    def _interval(self, state: LiveAccuracyState) -> Interval | None:
        arms, alpha = state.harm.arms, self.promotion_alpha
        if not arms.stable_total:
            return None
        if not state.uneven.even:
            own, others = (share_bounds(arm, BETS, alpha / 2) for arm in (state.uneven.candidate, state.uneven.stable))
            return Interval(100 * (own[0] - others[1]), 100 * (own[1] - others[0]), 1 - alpha)
        low, high = state.bounds.interval(alpha)
        base = 100 * arms.stable_events / arms.stable_total
        return bounds(base * (low - 1), base * (high - 1), alpha) if base else None

    def _reason(
        self,
        outcome: Outcome,
        state: LiveAccuracyState,
        points: float | None,
        needed: int | None,
        unlikely: LeastLikely | None,
    ) -> str:
        arms, uneven = state.harm.arms, state.uneven
        if points is None:
            return "No labels of live answers of both versions yet; promotion " + (
                "waits for them." if self.policy.required else "does not wait for them."
            )
        seen = "the candidate was wrong in " + of(arms.candidate_events, arms.candidate_total, "labelled answers")
        seen += ", stable in " + of(arms.stable_events, arms.stable_total, "labelled answers")
        if not uneven.even:
            seen += f"; {points:+.1f} points of wrong answers when {uneven.told}"
        if outcome is Outcome.FAIL:
            return f"Live accuracy is {points:.1f} points below stable's: {seen}."
        if outcome is Outcome.PASS:
            return f"Live accuracy holds, a loss of {self.policy.margin_points:g} points is excluded: {seen}."
        if state.noise.sticky:
            why = "users stick to a version, and some may be harder to answer than others"
            return f"Live accuracy cannot be settled: {seen}; {why}."
        least = min(uneven.candidate.chances.least, uneven.stable.chances.least)
        further = set_aside(uneven.aside, least, unlikely) or more(needed, arms.candidate_total, "labels")
        return f"Live accuracy not settled yet: {seen}; {further}."


def _added(arm: Arm, labels: LabelCounts) -> Arm:
    parts = labels.chances or (LabelChance(1.0, labels.labelled, labels.wrong),)
    sample, chances, graded = arm.sample, arm.chances, arm.graded
    for part in parts:
        if part.labelled:
            sample = sample.add_shares(part.wrong, part.labelled, part.inclusion_probability)
            chances = chances.add([part.inclusion_probability])
            one = Drawn().add_shares(part.wrong, part.labelled, part.inclusion_probability)
            graded = graded.add(one, Chances().add([part.inclusion_probability]))
    return Arm(sample, chances, graded)


def _no_exact_test() -> float:
    return 1.0


def _points(arms: Arms) -> float | None:
    if not arms.comparable:
        return None
    return 100 * (arms.candidate_events / arms.candidate_total - arms.stable_events / arms.stable_total)
