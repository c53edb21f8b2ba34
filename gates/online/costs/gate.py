"""cost.shadow: what both versions' answers to the same request cost.

D is the cost of the candidate's answer minus that of stable's, over the cost of the dearest mistake: in [-1, 1], and 0
where both give the same answer, whatever the truth is. So directed labels serve as they do for accuracy: evidence of
harm is of the labelled disagreements, and a rise by the margin over all pairs is at least one by ``margin / share``
among the disagreements, where ``share`` is an upper bound on their share. Only sums of D, each over the inclusion
probability of its label, are remembered (`gates.stats.uneven`). A certificate rests on all labels so far, and not on
what the first ones showed once. Costs of texts that are alike change together, so evidence is divided by how many of
them count as one (`gates.stats.alike`).
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from gates.checks import LABELS, PREDICTIONS
from gates.evidence import LeastLikely, Look
from gates.gate import Timing, settle
from gates.online.alike import expected, seen, with_times
from gates.online.costs.policy import CostPolicy
from gates.outcome import Outcome
from gates.stats.alike import Alike
from gates.stats.betting import divided
from gates.stats.numerics import log_mean_exp, samples_to_settle
from gates.stats.share import ShareState
from gates.stats.uneven import FLOOR_LOG_WEIGHT, Chances, Graded, Span, declared, log_capitals
from gates.stats.weighted import Drawn
from gates.verdict import Limit, Rule, Stage, Verdict
from gates.wording import more, nearest_name, pct, perhaps, quoted_name, set_aside

_SPAN = Span(-1.0, 1.0)  # of D
_SHARE_WEIGHT = 0.1  # of a certificate's level: for the bound on the share of disagreements
_NEVER = 1e-9  # the least share that is divided by


def unknown_class(names: Sequence[str], look: Look, key: str) -> str | None:
    """Return the sentence of a gate whose section ``key`` of the policy names a class that neither version has; None
    where all are known."""
    unknown = next((name for name in names if look.classes and name not in look.classes), None)
    if unknown is None:
        return None
    hint = perhaps(unknown, nearest_name(unknown, look.classes))
    said = f"gates.{key}: no version has a class {quoted_name(unknown)}"
    return f"Could not judge this look: {said}{f' ({hint})' if hint else ''}; mend the policy."


@dataclass(frozen=True, slots=True)
class CostState:
    """``apart``: D of the labelled pairs that disagree, by inclusion probability. ``by_chance``: the probabilities of
    the labels that were not directed. ``labels``: the number of labelled pairs; ``dearer`` and ``cheaper``: those with
    D above and below 0."""

    apart: Graded = field(default_factory=Graded)
    chances: Chances = field(default_factory=Chances)
    by_chance: Chances = field(default_factory=Chances)
    directed: bool = False
    disagreement: ShareState = field(default_factory=ShareState)
    counted: bool = False  # looks tell the number of all pairs, labelled or not
    labels: int = 0
    dearer: int = 0
    cheaper: int = 0
    peak_harm: float = 0.0
    alike: Alike = field(default_factory=Alike)  # D of the labelled disagreements

    @property
    def learnt(self) -> float:
        """The number of labelled disagreements that came together and count as one, for the next release to expect."""
        return self.alike.learnt

    @property
    def shares_known(self) -> bool:
        """Return whether ``disagreement`` is of all pairs, or of labelled ones that stand for all: were some likelier
        to be labelled than others, they do not."""
        return self.counted or (self.chances + self.by_chance).even

    @property
    def weighable(self) -> bool:
        """Return whether it is known how many pairs each label stands for."""
        return not self.directed or self.by_chance.even

    @property
    def sample(self) -> Drawn:
        found = Drawn()
        for grade in self.apart.grades:
            found = found + grade.sample
        return found


@dataclass(frozen=True, slots=True)
class CostGate:
    policy: CostPolicy
    alpha: float
    promotion_alpha: float
    incident_s: float = 0.0
    name: str = "cost.shadow"
    stage: Stage = Stage.SHADOW
    sources: frozenset[str] = frozenset({LABELS, PREDICTIONS})

    @property
    def required(self) -> bool:
        return self.policy.required

    def start(self) -> CostState:
        return CostState(chances=declared(self.policy.inclusion_probability_min))

    def look(self, state: CostState, look: Look, timing: Timing) -> tuple[CostState, Verdict]:
        problem = unknown_class(self.policy.classes, look, "costs")
        if problem is not None:
            advisory = not self.required
            return state, Verdict(self.name, self.stage, Outcome.ERROR, problem, window=look.window, advisory=advisory)
        state, hold = self._add(state, look), timing.labels.hold
        state = replace(state, peak_harm=0.0) if hold else state
        return state, self._verdict(state, look, hold)

    def _add(self, state: CostState, look: Look) -> CostState:
        differing = [pair for pair in look.pairs if pair.stable.label != pair.candidate.label]
        change = self.policy.change
        changes = [change(pair.truth, pair.stable.label, pair.candidate.label) for pair in differing]
        probabilities = [pair.inclusion_probability for pair in differing]
        agreed, disagreed = look.pairs_agreed, look.pairs_disagreed
        counted = state.counted or agreed + disagreed > 0
        if not counted:  # looks tell of labelled pairs alone, which then stand for all
            agreed, disagreed = len(look.pairs) - len(differing), len(differing)
        alike = seen(expected(state.alike, look, self.name), changes, differing, look, self.incident_s)
        before, chances = state, state.chances.add(probabilities)
        state = CostState(
            apart=state.apart.add_all(changes, probabilities),
            chances=chances,
            by_chance=state.by_chance.add([pair.inclusion_probability for pair in look.pairs if not pair.directed]),
            directed=state.directed or any(pair.directed for pair in look.pairs),
            disagreement=ShareState(
                state.disagreement.events + disagreed, state.disagreement.total + agreed + disagreed
            ),
            counted=counted,
            labels=state.labels + len(look.pairs),
            dearer=state.dearer + sum(change > 0 for change in changes),
            cheaper=state.cheaper + sum(change < 0 for change in changes),
            alike=with_times(alike, look.pairs, look, self.incident_s),
        )
        kept = chances.least == before.chances.least and before.weighable and state.weighable
        peak = state.alike.left(before.alike, before.peak_harm) if kept else 0.0
        harm = self._log_harm(state) if state.weighable else 0.0
        return replace(state, peak_harm=state.alike.raised(before.alike, peak, harm, self.alpha))

    def _log_harm(self, state: CostState) -> float:
        """Return the log evidence against "the cost did not rise": with all labels or, where that is more, without the
        few least likely ones."""
        kept = state.apart.kept

        def against(sample: Drawn, least: float) -> float:
            logs = log_capitals(sample, least, 0.0, _SPAN, self.policy.bets)
            return log_mean_exp(divided(logs, state.alike.effect))

        found = against(state.sample, state.chances.least)
        if not kept.aside:
            return found
        return max(found, against(kept.sample, kept.least) + FLOOR_LOG_WEIGHT)

    def _log_safe(self, state: CostState) -> list[float]:
        """Return the log capital of each bet against "the cost rose by the margin or more"."""
        among = min(self.policy.margin_points / 100 / max(self._share_max(state), _NEVER), 1 - _NEVER)
        logs = log_capitals(-state.sample, state.chances.least, -among, _SPAN, self.policy.bets)
        return divided(logs, state.alike.effect)

    def _share_max(self, state: CostState) -> float:
        """Return an upper bound on the share of disagreements."""
        if not (state.shares_known and state.disagreement.total):
            return 1.0
        return state.disagreement.interval(_SHARE_WEIGHT * self.promotion_alpha)[1]

    def _verdict(self, state: CostState, look: Look, hold: str) -> Verdict:
        """Return the verdict. ``hold``: why nothing is concluded from any label now, as a sentence; empty where there
        is no reason."""
        policy, kept = self.policy, state.apart.kept
        points = 100 * kept.sample.mean * state.disagreement.share if kept.sample.count else 0.0
        pairs, fired = state.disagreement.total, state.peak_harm >= math.log(1 / self.alpha)
        certified = self._agrees(state) or (state.weighable and not hold and self._is_certified(state))
        outcome = settle(
            failed=pairs >= policy.pairs_min and fired and points >= policy.guard_points,
            passed=pairs >= policy.pairs_min and certified and not kept.aside and points < policy.margin_points,
        )
        needed = None
        if outcome is Outcome.INCONCLUSIVE and state.weighable:
            target = math.log(len(policy.bets) / self.promotion_alpha)
            needed = samples_to_settle(state.labels, max(self._log_safe(state)), target)
        return Verdict(
            self.name,
            self.stage,
            outcome,
            (hold if outcome is not Outcome.PASS else "")
            or self._reason(outcome, state, points, needed, look.least_likely),
            value=points if kept.sample.count else None,
            unit="points of cost",
            threshold=policy.margin_points,
            samples=state.labels,
            samples_needed=needed,
            window=look.window,
            advisory=not self.required and outcome is not Outcome.FAIL,
            limits=(self._limit(outcome, points if kept.sample.count else None),),
        )

    def _limit(self, outcome: Outcome, points: float | None) -> Limit:
        if outcome is Outcome.FAIL:
            return Limit(Rule.GUARD, self.policy.guard_points, points, "points of cost")
        return Limit(Rule.MARGIN, self.policy.margin_points, points, "points of cost")

    def _agrees(self, state: CostState) -> bool:
        """Return whether the versions disagree on so few requests that the cost cannot rise by the margin, whatever the
        truth is."""
        return self._share_max(state) < self.policy.margin_points / 100

    def _is_certified(self, state: CostState) -> bool:
        safe = log_mean_exp(self._log_safe(state)) + math.log1p(-_SHARE_WEIGHT)
        return safe >= math.log(1 / self.promotion_alpha)

    def _reason(
        self, outcome: Outcome, state: CostState, points: float, needed: int | None, unlikely: LeastLikely | None
    ) -> str:
        if outcome is Outcome.PASS and self._agrees(state):
            few = f"they disagree on {pct(state.disagreement.share)} of {state.disagreement.total:,} requests"
            return f"Wrong answers of both versions cost about as much, whatever the truth is: {few}."
        if not state.labels:
            return "No labelled pair yet: labels of mirrored requests are needed to tell what wrong answers cost."
        each = f"{points / 100 * self.policy.dearest:+.3g} a request ({points:+.2f} points of the dearest mistake)"
        seen = f"{state.dearer} answers got dearer and {state.cheaper} cheaper in {state.labels:,} labelled pairs"
        seen += f", the versions disagree on {pct(state.disagreement.share)} of {state.disagreement.total:,} requests"
        if outcome is Outcome.FAIL:
            return f"Wrong answers cost more, {each}: {seen}."
        if outcome is Outcome.PASS:
            return f"Wrong answers cost no more, a rise of {self.policy.margin_points:g} points is excluded: {seen}."
        if not state.weighable:
            return f"Labels asked for by disagreement beside unequally likely ones cannot show the cost: {seen}."
        further = set_aside(state.apart.kept.aside, state.chances.least, unlikely)
        return (
            f"Cost of wrong answers {each}, not settled yet: {seen}; {further or more(needed, state.labels, 'labels')}."
        )
