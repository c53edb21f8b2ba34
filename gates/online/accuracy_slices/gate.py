"""accuracy.slices: the sequential McNemar test of each slice that has traffic, each with an equal part of the level.

Only pairs that disagree and are labelled bear on "no more lost than won", so a look costs as much as there are of them,
however many slices are watched. How many pairs of a slice agree is only needed to say how many points it lost.

A small slice can certify nothing in time, so promotion waits for none. But while one is suspected to have lost, by a
plain test of what was seen so far, the release waits: either the loss is shown, or it goes as it came.
"""

import math
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field, replace

from scipy.special import ndtr

from gates.checks import LABELS, PREDICTIONS
from gates.evidence import LabelledPair, Look
from gates.gate import Timing
from gates.online.accuracy_slices.policy import WatchedSlicesPolicy
from gates.outcome import Outcome
from gates.stats import betting, uneven
from gates.stats.betting import Trinomial
from gates.stats.exact import upper_tail
from gates.stats.uneven import FLOOR_LOG_WEIGHT, Chances, Graded, Span
from gates.stats.weighted import Drawn
from gates.verdict import Limit, Rule, Stage, Verdict
from gates.wording import pct

_SPAN = Span(-1.0, 1.0)  # of D
_TOLD = 3  # slices that one sentence names
_SUSPECTED = 0.1  # of releases without a loss in any slice, at a time: so many wait, and no more


@dataclass(frozen=True, slots=True)
class Watched:
    """One slice: its pairs by whether the versions agree, the labelled ones of those that do not, and the highest log
    evidence so far that more were lost than won."""

    name: str
    agreed: int = 0
    disagreed: int = 0
    apart: Trinomial = field(default_factory=Trinomial)
    chances: Chances = field(default_factory=Chances)
    graded: Graded = field(default_factory=Graded)  # of D, once not all were equally likely to be labelled
    peak: float = 0.0

    @property
    def pairs(self) -> int:
        return self.agreed + self.disagreed

    @property
    def points(self) -> float:
        """Points of accuracy lost, over all pairs of the slice."""
        if not (self.apart.total and self.pairs):
            return 0.0
        among = self.apart.mean if self.chances.even else self.graded.kept.sample.mean
        return 100 * among * self.disagreed / self.pairs

    @property
    def p_value(self) -> float:
        """The p-value of one look by itself, against "no more were lost than won": of the sign test, or of the weighed
        mean and its standard error where some pairs were likelier to be labelled than others."""
        if self.chances.even:
            return upper_tail(self.apart.plus, self.apart.plus + self.apart.minus, 0.5)
        seen = self.graded.kept.sample
        return float(ndtr(-seen.total / math.sqrt(seen.spread))) if seen.spread else 1.0

    def add(self, pairs: Sequence[LabelledPair], bets: Sequence[float], *, weighable: bool) -> "Watched":
        """With one look's labelled pairs of the slice, in which the versions disagree."""
        losses = [(pair.stable.label == pair.truth) - (pair.candidate.label == pair.truth) for pair in pairs]
        lost, won = losses.count(1), losses.count(-1)
        probabilities = [pair.inclusion_probability for pair in pairs]
        counts, chances = self.apart, self.chances.add(probabilities)
        apart = Trinomial(counts.plus + lost, counts.minus + won, counts.zero + len(losses) - lost - won)
        graded = self.graded
        if not chances.even:
            before = _evenly(counts, self.chances.least) if self.chances.even else graded
            graded = before.add_all([float(loss) for loss in losses], probabilities)
        # What earlier looks were evidence of is not known once a smaller probability was seen.
        kept = chances == self.chances or chances.even
        found = Watched(self.name, self.agreed, self.disagreed, apart, chances, graded, self.peak if kept else 0.0)
        harm = found.log_harm(bets) if weighable else 0.0
        return replace(found, peak=harm) if harm > found.peak else found

    def log_harm(self, bets: Sequence[float]) -> float:
        """Log evidence against "no more were lost than won"."""
        if self.chances.even:
            return betting.log_e_mean_at_most(self.apart, 0.0, bets)
        kept = self.graded.kept
        found = uneven.log_e_mean_at_most(kept.sample, kept.least, 0.0, _SPAN, bets)
        return found + (FLOOR_LOG_WEIGHT if kept.aside else 0.0)


def _evenly(counts: Trinomial, probability: float) -> Graded:
    """The sums of pairs that were all equally likely to be labelled."""
    if not counts.total:
        return Graded()
    weight, net = 1 / probability, counts.plus - counts.minus
    square = weight * weight
    sample = Drawn(
        counts.total, weight * counts.total, weight * net, square * counts.total, square * net,
        square * (counts.plus + counts.minus),
    )  # fmt: skip
    return Graded().add(sample, Chances(probability, probability))


@dataclass(frozen=True, slots=True)
class SlicesState:
    """The slices in the order in which they began; a place that was taken is kept. ``directed`` and ``by_chance`` tell
    whether labels can be weighed, as in `gates.online.pairing`."""

    watched: tuple[Watched, ...] = ()
    directed: bool = False
    by_chance: Chances = field(default_factory=Chances)

    @property
    def weighable(self) -> bool:
        """It is known how many pairs each label stands for."""
        return not self.directed or self.by_chance.even


@dataclass(frozen=True, slots=True)
class WatchedSlicesGate:
    """``named``: slices of the policy, which have gates of their own."""

    policy: WatchedSlicesPolicy
    alpha: float
    named: Collection[str] = ()
    name: str = "accuracy.slices"
    stage: Stage = Stage.SHADOW
    sources: frozenset[str] = frozenset({LABELS, PREDICTIONS})
    required: bool = False

    def start(self) -> SlicesState:
        return SlicesState()

    def look(self, state: SlicesState, look: Look, timing: Timing) -> tuple[SlicesState, Verdict]:
        counted = {part.slice: part for part in look.slice_pairs if part.slice not in self.named}
        places = {one.name: place for place, one in enumerate(state.watched)}
        found = list(state.watched)
        for name in counted:
            if name not in places and len(found) < self.policy.slices_max:
                places[name] = len(found)
                found.append(Watched(name))
        for name, part in counted.items():
            if name in places:
                one = found[places[name]]
                agreed, disagreed = one.agreed + part.agreed, one.disagreed + part.disagreed
                found[places[name]] = Watched(name, agreed, disagreed, one.apart, one.chances, one.graded, one.peak)
        differing: dict[str, list[LabelledPair]] = {}
        for pair in look.pairs:
            if pair.stable.label != pair.candidate.label:
                for name in pair.slices:
                    if name in places:
                        differing.setdefault(name, []).append(pair)
        by_chance = state.by_chance.add([pair.inclusion_probability for pair in look.pairs if not pair.directed])
        directed = state.directed or any(pair.directed for pair in look.pairs)
        weighable = SlicesState((), directed, by_chance).weighable
        for name, pairs in differing.items():
            found[places[name]] = found[places[name]].add(pairs, self.policy.bets, weighable=weighable)
        if timing.labels.hold:  # nothing is concluded from any label now
            found = [replace(one, peak=0.0) for one in found]
        state = SlicesState(tuple(found), directed, by_chance)
        return state, self._verdict(state, look)

    def _verdict(self, state: SlicesState, look: Look) -> Verdict:
        lost = [one for one in state.watched if self._is_lost(one)]
        suspected = [one for one in state.watched if state.weighable and self._is_suspected(one, len(state.watched))]
        worst = max(lost or suspected or state.watched, key=lambda one: one.peak, default=None)
        points = worst.points if worst is not None and worst.apart.total else None
        return Verdict(
            self.name,
            self.stage,
            Outcome.FAIL if lost else Outcome.INCONCLUSIVE,
            self._reason(state, lost, suspected, worst),
            value=points,
            unit="points lost",
            threshold=self.policy.guard_points,
            samples=sum(one.apart.total for one in state.watched),
            window=look.window,
            advisory=not (lost or suspected),
            limits=(Limit(Rule.GUARD, self.policy.guard_points, points, "points lost"),),
        )

    def _is_lost(self, one: Watched) -> bool:
        """No exact test is kept for the deadline: all of the level is spent by watching."""
        return self._is_beyond(one) and one.peak >= math.log(self.policy.slices_max / self.alpha)

    def _is_suspected(self, one: Watched, watched: int) -> bool:
        return self._is_beyond(one) and one.p_value <= _SUSPECTED / watched

    def _is_beyond(self, one: Watched) -> bool:
        """By what was seen."""
        return one.points >= self.policy.guard_points and one.pairs >= self.policy.pairs_min

    def _reason(
        self, state: SlicesState, lost: Sequence[Watched], suspected: Sequence[Watched], worst: Watched | None
    ) -> str:
        if worst is None:
            return "No slice is watched yet: they are chosen by the classes, lengths and tags of sampled answers."
        if suspected and not lost:
            return f"Not settled yet whether accuracy fell in a slice: in {_told(worst)}."
        if not lost:
            seen = f"{len(state.watched)} slices are watched, and none surely lost accuracy"
            if not any(one.apart.total for one in state.watched):
                return f"{seen}: no labelled pair of theirs in which the versions disagree yet."
            return f"{seen}; the one nearest to it is {_told(worst)}."
        ordered = sorted(lost, key=lambda one: -one.points)
        others = f" ({len(lost) - _TOLD} more)" if len(lost) > _TOLD else ""
        return f"Accuracy fell in {'; in '.join(map(_told, ordered[:_TOLD]))}{others}."


def _told(one: Watched) -> str:
    counts = one.apart
    differ = (
        f"the versions disagree on {pct(one.disagreed / one.pairs)} of its {one.pairs:,} requests" if one.pairs else ""
    )
    return (
        f"{one.name} by {one.points:.1f} points: {counts.plus} answers got worse and {counts.minus} better"
        f"{', ' + differ if differ else ''}"
    )
