"""accuracy.slices: the sequential McNemar test of each slice that has traffic, and of each class that labels name.

D is the loss on one pair (`gates.online.pairing`). Only labelled pairs on which the versions disagree bear on "no more
lost than won", so the time of a look grows with their number and not with that of the slices. How many pairs of a slice
agree is only needed to say how many points it lost. Of a class by its true labels that is known for the labelled pairs
alone. Versions that find equally many texts of the class lose and win equally many of them, whatever else they get
wrong.

A small slice can certify nothing in time, so promotion waits for no certificate. But while a slice is suspected of a
loss, by a plain test of what was seen so far, the release waits until the loss is shown or the suspicion ends.
"""

import math
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field, replace

from scipy.special import ndtr

from gates.checks import LABELS, PREDICTIONS
from gates.evidence import LabelledPair, Look
from gates.gate import Timing
from gates.online.accuracy_slices.policy import WatchedSlicesPolicy
from gates.online.alike import expected, seen, with_times
from gates.online.pairing import loss_of
from gates.outcome import Outcome
from gates.quick import quick
from gates.stats import betting, uneven
from gates.stats.alike import Alike
from gates.stats.betting import Trinomial
from gates.stats.exact import upper_tail
from gates.stats.numerics import log_mean_exp
from gates.stats.uneven import FLOOR_LOG_WEIGHT, Chances, Graded, Span
from gates.stats.weighted import Drawn
from gates.verdict import Limit, Rule, Stage, Verdict
from gates.wording import changed, pct

_SPAN = Span(-1.0, 1.0)  # of D
_TRUTH = "truth:"
_TOLD = 3  # slices that one sentence names
# The share of releases without a loss that wait at any one time, at most; because of the guard it is far less.
_SUSPECTED = 0.5  # because of any slice
_SUSPECTED_ONE = 0.1  # because of one slice
_SUSPECTED_BY_TRUTH = 0.1  # because of any class by its true labels: these are many with few labels, so chance shows


@quick
@dataclass(frozen=True, slots=True)
class Watched:
    """One slice. ``agreed`` and ``disagreed``: its pairs; ``apart``: D of the labelled ones that disagree; ``peak``:
    the highest log evidence so far that more were lost than won."""

    name: str
    agreed: float = 0
    disagreed: float = 0
    apart: Trinomial = field(default_factory=Trinomial)
    chances: Chances = field(default_factory=Chances)
    graded: Graded = field(default_factory=Graded)  # sums of D, kept once not all were equally likely to be labelled
    peak: float = 0.0

    @property
    def pairs(self) -> float:
        return self.agreed + self.disagreed

    @property
    def points(self) -> float:
        """The points of accuracy lost, over all pairs of the slice."""
        apart, pairs = self.apart, self.pairs
        if not (pairs and apart.total):
            return 0.0
        among = apart.mean if self.chances.even else self.graded.kept.sample.mean
        return 100 * among * self.disagreed / pairs

    def p_value(self, effect: float) -> float:
        """Return the p-value of this look by itself against "no more were lost than won": of the sign test; or, where
        some pairs were likelier to be labelled than others, of the weighted mean and its standard error. ``effect``
        pairs count as one."""
        if self.chances.even:
            lost, differing = self.apart.plus, self.apart.plus + self.apart.minus
            return upper_tail(math.floor(lost / effect), differing / effect, 0.5)
        seen = self.graded.kept.sample
        return float(ndtr(-seen.total / math.sqrt(effect * seen.spread))) if seen.spread else 1.0

    def add(
        self,
        pairs: Sequence[LabelledPair],
        bets: Sequence[float],
        *,
        weighable: bool,
        effect: float = 1.0,
        most: float = math.inf,
    ) -> "Watched":
        """Return the slice with one look's labelled pairs on which the versions disagree, of which ``effect`` count as
        one. ``weighable``: it is known how many pairs each label stands for; if not, nothing counts as evidence.
        ``most``: the log evidence by which a look may raise the highest one."""
        losses = [loss_of(pair) for pair in pairs]
        lost, won = losses.count(1), losses.count(-1)
        probabilities = [pair.inclusion_probability for pair in pairs]
        counts, chances = self.apart, self.chances.add(probabilities)
        apart = Trinomial(counts.plus + lost, counts.minus + won, counts.zero + len(losses) - lost - won)
        graded = self.graded
        if not chances.even:
            before = _evenly(counts, self.chances.least) if self.chances.even else graded
            graded = before.add_all([float(loss) for loss in losses], probabilities)
        # Evidence of earlier looks is void once the range of probabilities grows: it rested on the range before.
        kept = chances == self.chances or chances.even
        found = Watched(self.name, self.agreed, self.disagreed, apart, chances, graded, self.peak if kept else 0.0)
        harm = min(found.log_harm(bets, effect), found.peak + most) if weighable else 0.0
        return replace(found, peak=harm) if harm > found.peak else found

    def log_harm(self, bets: Sequence[float], effect: float) -> float:
        """Return the log evidence against "no more were lost than won", where ``effect`` pairs count as one."""
        if self.chances.even:
            return betting.log_e_mean_at_most(self.apart, 0.0, bets, effect)
        kept = self.graded.kept
        logs = uneven.log_capitals(kept.sample, kept.least, 0.0, _SPAN, bets)
        return log_mean_exp(betting.divided(logs, effect)) + (FLOOR_LOG_WEIGHT if kept.aside else 0.0)


def _evenly(counts: Trinomial, probability: float) -> Graded:
    """Return the sums of pairs that were all labelled with this probability."""
    if not counts.total:
        return Graded()
    weight, net = 1 / probability, counts.plus - counts.minus
    square = weight * weight
    sample = Drawn(
        counts.total, weight * counts.total, weight * net, square * counts.total, square * net,
        square * (counts.plus + counts.minus),
    )  # fmt: skip
    return Graded().add(sample, Chances(probability, probability))


@quick
@dataclass(frozen=True, slots=True)
class SlicesState:
    """The slices in the order in which they began; a slice keeps its place. ``directed`` and ``by_chance`` tell whether
    labels can be weighted, as in `gates.online.pairing`.

    ``truths``: the classes by their true labels, whose pairs are the labelled ones. Each pair counts ``chance`` over
    its own inclusion probability; ``chance`` is that of the first pair that was labelled by chance (0 before there is
    one).
    """

    watched: tuple[Watched, ...] = ()
    directed: bool = False
    by_chance: Chances = field(default_factory=Chances)
    truths: tuple[Watched, ...] = ()
    chance: float = 0.0
    alike: Alike = field(default_factory=Alike)  # D of the labelled disagreements, of all slices

    @property
    def learnt(self) -> float:
        """The number of labelled disagreements that came together and count as one, for the next release to expect."""
        return self.alike.learnt

    @property
    def weighable(self) -> bool:
        """Return whether it is known how many pairs each label stands for."""
        return not self.directed or self.by_chance.even


@dataclass(frozen=True, slots=True)
class WatchedSlicesGate:
    """The gate of accuracy.slices. ``named``: slices of the policy, which have gates of their own."""

    policy: WatchedSlicesPolicy
    alpha: float
    named: Collection[str] = ()
    incident_s: float = 0.0
    name: str = "accuracy.slices"
    stage: Stage = Stage.SHADOW
    sources: frozenset[str] = frozenset({LABELS, PREDICTIONS})
    required: bool = False

    def start(self) -> SlicesState:
        return SlicesState()

    def look(self, state: SlicesState, look: Look, timing: Timing) -> tuple[SlicesState, Verdict]:
        by_chance = state.by_chance.add([pair.inclusion_probability for pair in look.pairs if not pair.directed])
        directed = state.directed or any(pair.directed for pair in look.pairs)
        first = next((pair.inclusion_probability for pair in look.pairs if not pair.directed), 0.0)
        apart = [pair for pair in look.pairs if pair.stable.label != pair.candidate.label]
        alike = seen(expected(state.alike, look, self.name), list(map(loss_of, apart)), apart, look, self.incident_s)
        alike = with_times(alike, look.pairs, look, self.incident_s)
        after = SlicesState(directed=directed, by_chance=by_chance, chance=state.chance or first, alike=alike)
        part = alike.may_add(state.alike)

        counts = [(part.slice, part.agreed, part.disagreed) for part in look.slice_pairs]
        counts = [part for part in counts if part[0] not in self.named]
        of_slices = [(name, pair) for pair in apart for name in pair.slices]
        watched = self._counted(state.watched, counts, self.policy.slices_max)
        watched = self._tested(watched, of_slices, after, part * self._harm_at(self.policy.slices_level))

        truths = self._counted(state.truths, _by_truth(look.pairs, after.chance), self.policy.truths_max)
        of_truths = [(_name_of(pair.truth), pair) for pair in apart]
        truths = self._tested(truths, of_truths, after, part * self._harm_at(self.policy.truths_level))

        if timing.labels.hold:  # then nothing is concluded from any label
            watched, truths = ([replace(one, peak=0.0) for one in some] for some in (watched, truths))
        after = replace(after, watched=tuple(watched), truths=tuple(truths))
        return after, self._verdict(after, look)

    def _counted(
        self, before: Sequence[Watched], counts: Sequence[tuple[str, float, float]], most: int
    ) -> list[Watched]:
        """Return the slices with a look's pairs, given by name: how many agree, and how many do not. A new name is
        watched as long as there are fewer than ``most``."""
        found, places = list(before), {one.name: place for place, one in enumerate(before)}
        for name, agreed, disagreed in counts:
            if name not in places and len(found) < most:
                places[name] = len(found)
                found.append(Watched(name))
            if name in places:
                one = found[places[name]]
                found[places[name]] = Watched(
                    name, one.agreed + agreed, one.disagreed + disagreed, one.apart, one.chances, one.graded, one.peak
                )
        return found

    def _tested(
        self, watched: Sequence[Watched], differing: Sequence[tuple[str, LabelledPair]], after: SlicesState, most: float
    ) -> list[Watched]:
        """Return the slices with a look's labelled pairs on which the versions disagree, given by name. ``most``: the
        log evidence by which a look may raise a slice's highest one."""
        bets, weighable, effect = self.policy.bets, after.weighable, after.alike.effect
        by_name: dict[str, list[LabelledPair]] = {}
        for name, pair in differing:
            by_name.setdefault(name, []).append(pair)
        return [
            one.add(by_name[one.name], bets, weighable=weighable, effect=effect, most=most)
            if one.name in by_name
            else one
            for one in watched
        ]

    def _verdict(self, state: SlicesState, look: Look) -> Verdict:
        slices = [one for one in state.watched if one.pairs >= self.policy.pairs_min]
        parts = (
            (slices, self.policy.slices_level, min(_SUSPECTED / max(len(state.watched), 1), _SUSPECTED_ONE)),
            (state.truths, self.policy.truths_level, _SUSPECTED_BY_TRUTH / max(len(state.truths), 1)),
        )
        lost = [one for part, level, _ in parts for one in part if self._is_lost(one, level)]
        effect = state.alike.seen  # with the doubt of the first looks a loss that is there would not be suspected
        suspected = [
            one
            for part, _, chance in parts
            for one in part
            if state.weighable and self._is_suspected(one, chance, effect)
        ]
        worst = max(lost or suspected or (*state.watched, *state.truths), key=lambda one: one.peak, default=None)
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

    def _is_lost(self, one: Watched, level: float) -> bool:
        """Return whether a slice surely lost more than the guard. No exact test is kept for the deadline: watching
        spends the whole level."""
        return one.peak >= self._harm_at(level) and self._is_beyond(one)

    def _harm_at(self, level: float) -> float:
        """Return the log evidence that fails a slice with this part of the gate's level."""
        return -math.log(self.alpha * level) if level else math.inf

    def _is_suspected(self, one: Watched, chance: float, effect: float) -> bool:
        """Return whether a loss beyond the guard may well be there. Half of the guard is enough: by chance a loss of
        ten points may show as less than five."""
        return one.points >= self.policy.guard_points / 2 and one.p_value(effect) <= chance

    def _is_beyond(self, one: Watched) -> bool:
        """Return whether the loss, as measured, is at least the guard."""
        return one.points >= self.policy.guard_points

    def _reason(
        self, state: SlicesState, lost: Sequence[Watched], suspected: Sequence[Watched], worst: Watched | None
    ) -> str:
        if worst is None:
            return "No slice is watched yet: they are chosen by the classes, lengths and tags of sampled answers."
        if suspected and not lost:
            return f"Accuracy may have fallen in a slice, not settled yet: {_told(worst)}."
        if not lost:
            seen = f"{_number_of(state)} are watched, and none surely lost accuracy"
            if not any(one.apart.total for one in (*state.watched, *state.truths)):
                return f"{seen}: no labelled pair of theirs in which the versions disagree yet."
            return f"{seen}; the one nearest to it is {_told(worst)}."
        ordered = sorted(lost, key=lambda one: -one.points)
        others = f" ({len(lost) - _TOLD} more)" if len(lost) > _TOLD else ""
        return f"Accuracy fell in {'; in '.join(map(_told, ordered[:_TOLD]))}{others}."


def _number_of(state: SlicesState) -> str:
    numbers = ((len(state.watched), "slice", "slices"), (len(state.truths), "true class", "true classes"))
    return " and ".join(f"{number} {one if number == 1 else more}" for number, one, more in numbers if number)


def _name_of(truth: str) -> str:
    return f"{_TRUTH}{truth}"


def _by_truth(pairs: Sequence[LabelledPair], chance: float) -> list[tuple[str, float, float]]:
    """Return the labelled pairs by true class: how many agree, and how many do not. Only labels by chance are counted,
    since directed ones say nothing of how often the versions agree. A class with directed labels alone is there too,
    with 0."""
    agreed: dict[str, float] = {}
    disagreed: dict[str, float] = {}
    for pair in pairs:
        same, truth = pair.stable.label == pair.candidate.label, pair.truth
        counts, others = (agreed, disagreed) if same else (disagreed, agreed)
        counts[truth] = counts.get(truth, 0.0) + (0.0 if pair.directed else chance / pair.inclusion_probability)
        others.setdefault(truth, 0.0)
    return [(_name_of(truth), counted, disagreed[truth]) for truth, counted in agreed.items()]


def _told(one: Watched) -> str:
    counts = one.apart
    whats = "labelled requests" if one.name.startswith(_TRUTH) else "requests"
    differ = (
        f"the versions disagree on {pct(one.disagreed / one.pairs)} of its {one.pairs:,.0f} {whats}"
        if one.pairs
        else ""
    )
    return (
        f"{one.name} by {one.points:.1f} points: {changed(counts.plus, counts.minus)}{', ' + differ if differ else ''}"
    )
