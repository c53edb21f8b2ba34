"""From pairs of answers to counts of losses, whichever pairs were labelled.

Where both versions predict the same class, D is 0 whatever the truth is; only disagreements need a label. Labels may
therefore be asked for where they tell most (directed), as long as the agreeing pairs enter at the rate at which
disagreements are resolved: a disagreement that still waits for its label must hold back its share of agreeing pairs,
or every pass would come early.

Pairs that were likelier to be labelled than others count one over their probability. Then the labelled pairs stand for
all on their own; or, where labels were asked for by disagreement, the labelled disagreements for all disagreements.
What cannot be weighed are both at once: of a disagreement that was labelled because it is one, nobody says how likely
it was to be labelled anyway. It tells of harm all the same: say that no disagreement was more than ``1 / r`` times as
likely to be labelled as another. Where no more were lost than won, the mean of "``r`` if lost, -1 if won" among the
labelled ones is at most 0, whichever of them were likely: bets against that are fair.

Labels come with ``p`` by chance, or else with ``q`` by direction: with ``p + q - p q``. Twice both is at most twice
that, so ``r`` is the smaller of the two ratios, of the least ``p`` to the most and of the least ``q`` to the most.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from itertools import compress

from gates.evidence import LabelledPair
from gates.quick import quick
from gates.stats import betting, uneven
from gates.stats.betting import Trinomial
from gates.stats.share import ShareState
from gates.stats.uneven import FLOOR_LOG_WEIGHT, SET_ASIDE_MAX, Chances, Graded, Kept, Span
from gates.stats.weighted import Drawn

SHARE_WEIGHT = 0.1  # of the level: that the share of disagreements is bounded, where it has to be
_SPAN = Span(-1.0, 1.0)  # of D
_NEVER = 1e-9


@quick
@dataclass(frozen=True, slots=True)
class Losses:
    """``counts`` of D: +1 stable right and candidate wrong, -1 the reverse, 0 otherwise.

    ``counted``: the look stream tells how many pairs agreed and disagreed, labelled or not. If it does not, D = 0
    comes from agreeing pairs that were labelled by chance. ``apart`` and ``alike`` are the labelled pairs whose
    answers differ, and do not, by how likely each was.
    """

    counts: Trinomial = field(default_factory=Trinomial)
    counted: bool = False
    agreed_waiting: int = 0
    disagreed_waiting: int = 0
    chances: Chances = field(default_factory=Chances)
    apart: Drawn = field(default_factory=Drawn)
    alike: Drawn = field(default_factory=Drawn)
    directed: bool = False
    by_chance: Chances = field(default_factory=Chances)  # of the labels that were not directed
    graded_apart: Graded = field(default_factory=Graded)
    graded_all: Graded = field(default_factory=Graded)
    graded_chance: Graded = field(default_factory=Graded)  # of the labels that were not directed
    graded_directed: Graded = field(default_factory=Graded)  # of those that were

    def add(self, pairs: Sequence[LabelledPair], agreed: int, disagreed: int) -> "Losses":
        """One look's labelled pairs, and how many pairs were completed in it."""
        return self.joined(losses_of(pairs), agreed, disagreed)

    def joined(self, labelled: "Losses", agreed: int = 0, disagreed: int = 0) -> "Losses":
        """With labelled pairs, and with as many pairs as were completed, labelled or not."""
        counts, resolved = self.counts + labelled.counts, labelled.apart.count
        counted = self.counted or agreed + disagreed > 0
        agreed_waiting, disagreed_waiting = self.agreed_waiting + agreed, self.disagreed_waiting + disagreed
        settled = labelled.alike.count
        if counted:
            settled = agreed_waiting * resolved // max(disagreed_waiting, resolved, 1)
            agreed_waiting -= settled
            disagreed_waiting = max(disagreed_waiting - resolved, 0)
        counts += Trinomial(zero=settled)
        return self._with(
            labelled, counts, counted=counted, agreed_waiting=agreed_waiting, disagreed_waiting=disagreed_waiting
        )

    def __add__(self, other: "Losses") -> "Losses":
        """Return the labelled pairs of both; agreeing ones are in ``alike`` only."""
        return self._with(other, self.counts + other.counts)

    def _with(
        self,
        other: "Losses",
        counts: Trinomial,
        *,
        counted: bool = False,
        agreed_waiting: int = 0,
        disagreed_waiting: int = 0,
    ) -> "Losses":
        return Losses(
            counts=counts,
            counted=counted,
            agreed_waiting=agreed_waiting,
            disagreed_waiting=disagreed_waiting,
            chances=self.chances + other.chances,
            apart=self.apart + other.apart,
            alike=self.alike + other.alike,
            directed=self.directed or other.directed,
            by_chance=self.by_chance + other.by_chance,
            graded_apart=self.graded_apart + other.graded_apart,
            graded_all=self.graded_all + other.graded_all,
            graded_chance=self.graded_chance + other.graded_chance,
            graded_directed=self.graded_directed + other.graded_directed,
        )

    @property
    def labels(self) -> int:
        return self.apart.count + self.alike.count

    @property
    def even(self) -> bool:
        """All labelled pairs were equally likely to be: ``counts`` tell all."""
        return self.chances.even

    @property
    def weighable(self) -> bool:
        """It is known how many pairs each label stands for."""
        return not self.directed or self.by_chance.even

    @property
    def basis(self) -> tuple[float, bool, float | None] | None:
        """Return what evidence rests on: of an earlier look it counts only if that rested on the same."""
        return None if self.even else (self.chances.least, self.directed, None if self.weighable else self._unlikeliest)

    def mean(self, differ: ShareState) -> float:
        """Return the mean of D over all pairs; ``differ``: how many of them disagreed."""
        if self.even:
            return self.counts.mean
        if self.counted and differ.total:
            return differ.share * self.apart.mean if self.apart.count else 0.0
        return self._all.mean

    def mean_at_worst(self, differ: ShareState, apart_times: float) -> float:
        """Return the mean of D, where the versions disagree so many times as often on the labels by chance as on all
        pairs, if each of those that are too many was labelled because the candidate won it.

        Those that it lost are the same part of labels by chance then as of all pairs; what else disagrees it won.
        """
        mean = self.mean(differ)
        if apart_times <= 1 or not self.apart.count:
            return mean
        by_chance = 1 - self.graded_directed.count / self.apart.count
        lost = (differ.share + mean) / 2 * (1 + (apart_times - 1) * by_chance)
        return 2 * lost - differ.share

    @property
    def kept(self) -> Kept:
        """Return what tells of harm where a few labels claim to be much less likely than all others, or nothing says
        how many pairs each stands for."""
        if not self.directed:
            return self.graded_all.kept
        apart, chance = self.graded_apart.kept, self.graded_chance.kept
        if self.weighable:
            return apart
        even = chance.aside and chance.least == chance.most  # without the few it is known what each stands for
        if even and apart.least >= chance.least:
            return replace(apart, aside=chance.aside)
        lost, won, every = self._unlikeliest, -1.0, self.apart.count
        total, squares = (
            lost * self.counts.plus + won * self.counts.minus,
            lost**2 * self.counts.plus + self.counts.minus,
        )
        return Kept(Drawn(every, every, total, every, total, squares), aside=chance.aside)

    @property
    def _unlikeliest(self) -> float:
        """Return how likely a disagreement was to be labelled, beside any other, at least."""
        parts = [self.graded_directed.kept]
        if self.graded_chance.count > SET_ASIDE_MAX * self.graded_all.count:
            parts.append(self.graded_chance.kept)
        return min(part.least / part.most for part in parts)

    def kept_mean(self, differ: ShareState) -> float:
        """Return the mean of D over all pairs but those as unlikely to be labelled as the few set aside; where nothing
        says how many pairs each label stands for, what it is at least."""
        kept = self.kept
        if self.weighable and not kept.aside:
            return self.mean(differ)
        return kept.sample.mean * (differ.share if self.directed and differ.total else 1.0)

    def log_harm(self, bets: Sequence[float], effect: float = 1.0) -> float:
        """Log evidence against "E[D] is at most 0", where ``effect`` labelled pairs count as one."""
        if self.even:
            return betting.log_e_of_middle(betting.divided(betting.log_capitals(self.counts, 0.0, bets), effect))
        sample = self.apart if self.directed else self._all

        def against(sample: Drawn, least: float) -> float:
            return betting.log_e_of_middle(
                betting.divided(uneven.log_capitals(sample, least, 0.0, _SPAN, bets), effect)
            )

        found = against(sample, self.chances.least) if self.weighable else 0.0
        kept = self.kept
        if self.weighable and not kept.aside:
            return found
        return max(found, against(kept.sample, kept.least) + FLOOR_LOG_WEIGHT)

    def log_safe(self, margin: float, bets: Sequence[float], share_max: float) -> list[float]:
        """Log capital of each bet against "E[D] is at least ``margin``". ``share_max``: what the share of disagreements
        is at most; a loss beyond the margin is one of ``margin / share_max`` among them."""
        if self.even:
            return betting.log_capitals(self.counts.mirrored, -margin, bets)
        if not self.weighable:
            return [0.0] * len(bets)
        if not self.directed:
            return uneven.log_capitals(-self._all, self.chances.least, -margin, _SPAN, bets)
        among = min(margin / max(share_max, _NEVER), 1.0)
        return uneven.log_capitals(-self.apart, self.chances.least, -among, _SPAN, bets)

    def bounds(self, bets: Sequence[float], alpha: float, share: tuple[float, float]) -> tuple[float, float]:
        """Bounds on E[D] that hold at every look at once with probability ``1 - alpha``, given bounds on the ``share``
        of disagreements."""
        if self.even:
            return betting.mean_bounds(self.counts, bets, alpha)
        if not self.weighable:
            return -1.0, 1.0
        if not self.directed:
            return uneven.mean_bounds(self._all, self.chances.least, _SPAN, bets, alpha)
        low, high = uneven.mean_bounds(self.apart, self.chances.least, _SPAN, bets, alpha)
        return min(low * part for part in share), max(high * part for part in share)

    @property
    def share_weight(self) -> float:
        """The part of a certificate's level that a bound on the share of disagreements takes."""
        return SHARE_WEIGHT if self.directed and not self.even else 0.0

    @property
    def _all(self) -> Drawn:
        return self.apart + self.alike


def loss_of(pair: LabelledPair) -> int:
    """D: 1 where the candidate lost what stable has right, -1 where it won, 0 otherwise."""
    return (pair.stable.label == pair.truth) - (pair.candidate.label == pair.truth)


def losses_of(pairs: Sequence[LabelledPair]) -> Losses:
    """Labelled pairs, as a part that `Losses.joined` takes: their agreeing ones are counted there."""
    chances = [pair.inclusion_probability for pair in pairs]
    differ = [pair.stable.label != pair.candidate.label for pair in pairs]
    values = [float(loss_of(pair)) if apart else 0.0 for pair, apart in zip(pairs, differ, strict=True)]
    apart, every = _Units.of(values, chances, differ), Graded().add_all(values, chances)
    plus, minus = apart.values.count(1.0), apart.values.count(-1.0)
    seen, directed = Chances().add(chances), [pair.directed for pair in pairs]
    all_by_chance = Losses(
        counts=Trinomial(plus, minus, len(apart.values) - plus - minus),
        chances=seen,
        apart=apart.drawn,
        alike=_Units.of(values, chances, [not one for one in differ]).drawn,
        by_chance=seen,
        graded_apart=apart.graded,
        graded_all=every,
        graded_chance=every,
    )
    if not any(directed):  # as mostly
        return all_by_chance
    by_chance = _Units.of(values, chances, [not one for one in directed])
    return replace(
        all_by_chance,
        directed=True,
        by_chance=Chances().add(by_chance.chances),
        graded_chance=by_chance.graded,
        graded_directed=_Units.of(values, chances, directed).graded,
    )


@dataclass(frozen=True, slots=True)
class _Units:
    """D of some labelled pairs, and how likely each was."""

    values: list[float]
    chances: list[float]

    @classmethod
    def of(cls, values: list[float], chances: list[float], chosen: list[bool]) -> "_Units":
        return cls(list(compress(values, chosen)), list(compress(chances, chosen)))

    @property
    def drawn(self) -> Drawn:
        return Drawn().add_all(self.values, self.chances)

    @property
    def graded(self) -> Graded:
        return Graded().add_all(self.values, self.chances)
