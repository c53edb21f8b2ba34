"""Counts of losses from pairs of answers, whichever pairs were labelled.

D is the loss on one pair: 1 where only stable is right, -1 where only the candidate is, 0 otherwise.

Where both versions predict the same class, D is 0 whatever the truth is; only disagreements need a label. So labels may
be asked for where the versions disagree (directed), as long as agreeing pairs are counted at the rate at which
disagreements get their labels: a disagreement that waits for its label holds back its share of the agreeing pairs.
Otherwise every pass would come too early.

A labelled pair counts one over its inclusion probability. Then the labelled pairs stand for all pairs; or, where labels
were directed, the labelled disagreements stand for all disagreements. Directed labels beside unequally likely labels by
chance cannot be weighted: nothing says how likely a directed pair was to be labelled by chance. They are still evidence
of harm. Say that no disagreement was more than ``1 / r`` times as likely to be labelled as another. If no more
disagreements were lost than won, the mean of "``r`` if lost, -1 if won" over the labelled ones is at most 0, whichever
of them were the likely ones: bets against that are fair.

A disagreement is labelled by chance with probability ``p``, or else by direction with ``q``: in all with
``p + q - p q``. Multiplying both by a factor above 1 multiplies that by at most the same factor. So ``r`` is the
smaller of two ratios: of the least ``p`` to the largest, and of the least ``q`` to the largest.
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

SHARE_WEIGHT = 0.1  # of a certificate's level: for a bound on the share of disagreements, where one is needed
_SPAN = Span(-1.0, 1.0)  # of D
_NEVER = 1e-9  # the least share that is divided by


@quick
@dataclass(frozen=True, slots=True)
class Losses:
    """The labelled pairs so far: ``counts`` of D, and sums of D by each pair's inclusion probability.

    ``counted``: looks tell how many pairs agreed and disagreed, labelled or not. If they do not, D = 0 comes from
    agreeing pairs that were labelled by chance. ``agreed_waiting``: agreeing pairs that are held back;
    ``disagreed_waiting``: disagreements without a label yet. ``apart`` and ``alike``: the labelled pairs on which the
    versions disagree, and agree.
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
    graded_directed: Graded = field(default_factory=Graded)  # of the directed labels

    def add(self, pairs: Sequence[LabelledPair], agreed: int, disagreed: int) -> "Losses":
        """Return the losses with one look's labelled pairs, and with the numbers of pairs that were completed in it."""
        return self.joined(losses_of(pairs), agreed, disagreed)

    def joined(self, labelled: "Losses", agreed: int = 0, disagreed: int = 0) -> "Losses":
        """Return the losses with ``labelled`` pairs (of `losses_of`), and with the numbers of pairs that were
        completed, labelled or not."""
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
        """Return the labelled pairs of two results of `losses_of`, whose agreeing pairs are in ``alike`` and not in
        ``counts``."""
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
        """Return whether all labelled pairs were equally likely to be labelled: then ``counts`` are enough."""
        return self.chances.even

    @property
    def weighable(self) -> bool:
        """Return whether it is known how many pairs each label stands for."""
        return not self.directed or self.by_chance.even

    @property
    def basis(self) -> tuple[float, bool, float | None] | None:
        """Return what the evidence rests on: evidence of an earlier look counts only while this is unchanged."""
        return None if self.even else (self.chances.least, self.directed, None if self.weighable else self._unlikeliest)

    def mean(self, differ: ShareState) -> float:
        """Return the mean of D over all pairs. ``differ``: all pairs, with the disagreements as events."""
        if self.even:
            return self.counts.mean
        if self.counted and differ.total:
            return differ.share * self.apart.mean if self.apart.count else 0.0
        return self._all.mean

    def mean_at_worst(self, differ: ShareState, apart_times: float) -> float:
        """Return the mean of D in the worst case: where labels by chance have too many disagreements, each one in
        excess was labelled because the candidate won it.

        ``apart_times``: how many times as often the versions disagree on the labels by chance as on all pairs. In that
        case lost pairs are as frequent among the labels by chance as among all pairs, and all other disagreements were
        won.
        """
        mean = self.mean(differ)
        if apart_times <= 1 or not self.apart.count:
            return mean
        by_chance = 1 - self.graded_directed.count / self.apart.count
        lost = (differ.share + mean) / 2 * (1 + (apart_times - 1) * by_chance)
        return 2 * lost - differ.share

    @property
    def kept(self) -> Kept:
        """Return the sums that evidence of harm comes from: of the labels without the few least likely ones; or, where
        nothing says how many pairs each label stands for, of ``r`` for each lost pair and -1 for each won one."""
        if not self.directed:
            return self.graded_all.kept
        apart, chance = self.graded_apart.kept, self.graded_chance.kept
        if self.weighable:
            return apart
        even = chance.aside and chance.least == chance.most  # without the few, each label's weight is known
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
        """Return ``r``: a lower bound on the probability that a disagreement was labelled, over that of any other."""
        parts = [self.graded_directed.kept]
        if self.graded_chance.count > SET_ASIDE_MAX * self.graded_all.count:
            parts.append(self.graded_chance.kept)
        return min(part.least / part.most for part in parts)

    def kept_mean(self, differ: ShareState) -> float:
        """Return the mean of D over all pairs, without those as unlikely to be labelled as the few set aside; a lower
        bound of the mean where nothing says how many pairs each label stands for."""
        kept = self.kept
        if self.weighable and not kept.aside:
            return self.mean(differ)
        return kept.sample.mean * (differ.share if self.directed and differ.total else 1.0)

    def log_harm(self, bets: Sequence[float], effect: float = 1.0) -> float:
        """Return the log evidence against "E[D] is at most 0", where ``effect`` labelled pairs count as one."""
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
        """Return the log capital of each bet against "E[D] is at least ``margin``".

        ``share_max``: an upper bound on the share of disagreements; a loss of ``margin`` over all pairs is at least
        ``margin / share_max`` among the disagreements.
        """
        if self.even:
            return betting.log_capitals(self.counts.mirrored, -margin, bets)
        if not self.weighable:
            return [0.0] * len(bets)
        if not self.directed:
            return uneven.log_capitals(-self._all, self.chances.least, -margin, _SPAN, bets)
        among = min(margin / max(share_max, _NEVER), 1.0)
        return uneven.log_capitals(-self.apart, self.chances.least, -among, _SPAN, bets)

    def bounds(self, bets: Sequence[float], alpha: float, share: tuple[float, float]) -> tuple[float, float]:
        """Return bounds on E[D] that hold at every look at once with probability ``1 - alpha``, given that the bounds
        ``share`` on the share of disagreements hold."""
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
    """Return D: 1 where only stable is right, -1 where only the candidate is, 0 otherwise."""
    return (pair.stable.label == pair.truth) - (pair.candidate.label == pair.truth)


def losses_of(pairs: Sequence[LabelledPair]) -> Losses:
    """Return the losses of labelled pairs, for `Losses.joined`, which counts the agreeing ones."""
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
    if not any(directed):  # the usual case
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
    """D of some labelled pairs, and the inclusion probability of each."""

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
