"""What both versions answer, and what is learnt of it later: pairs, labels, and what all pairs looked like."""

from collections.abc import Iterator
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from gates.evidence import (
    PAIR_CONFIDENCE_EDGES,
    LabelChance,
    LabelCounts,
    LabelledPair,
    PairProfile,
    SlicePairs,
    label_counts,
)
from tests.bench.world.demand import Demand
from tests.bench.world.requests import Asked, asked
from tests.bench.world.scenarios import Scenario
from tests.bench.world.texts import Places


@dataclass(slots=True)
class Labelled:
    """What is learnt at one look: of pairs, and of live answers by how likely each was to be labelled."""

    pairs: list[LabelledPair] = field(default_factory=list)
    lost: int = 0
    won: int = 0
    stable: list[LabelChance] = field(default_factory=list)
    candidate: list[LabelChance] = field(default_factory=list)

    @property
    def stable_counts(self) -> LabelCounts:
        return _counts(self.stable)

    @property
    def candidate_counts(self) -> LabelCounts:
        return _counts(self.candidate)


@dataclass(frozen=True, slots=True)
class Mirrored:
    """Pairs completed at one look, labelled or not. ``replayed`` are those of recorded requests: agreed, disagreed."""

    agreed: int
    disagreed: int
    replayed: tuple[int, int]
    slices: tuple[SlicePairs, ...]
    profile: PairProfile


class Answers:
    """The answers of one release."""

    def __init__(self, scenario: Scenario, rng: np.random.Generator) -> None:
        self._labels, self._rng = scenario.labels, rng
        self._kinds = [(kind, asked(kind, scenario.labels, scenario.look_s)) for kind in scenario.all_kinds]
        self._mirrored, self._live = scenario.texts(rng), scenario.texts(rng)
        self.classes = tuple(sorted({name for kind, _ in self._kinds for name in kind.names}))
        self._waiting: dict[int, Labelled] = {}  # by the look at which it is learnt

    def arrived(self, number: int) -> Labelled:
        """What is learnt at this look."""
        return self._waiting.pop(number, Labelled())

    def mirror(self, number: int, count: int, shares: NDArray[np.float64], again: int = 0) -> Mirrored:
        """What both versions answer to so many requests of users, and to recorded ones that are asked ``again``."""
        slices: dict[str, NDArray[np.int64]] = {}  # agreed, disagreed
        totals = {False: np.zeros(2, int), True: np.zeros(2, int)}  # of users and recorded ones: agreed, disagreed
        size = len(PAIR_CONFIDENCE_EDGES) + 1
        confidences = np.zeros((2, len(self.classes) * size), int)  # of each class, one after the other
        alike = np.zeros(len(self.classes), int)
        place = {name: number for number, name in enumerate(self.classes)}
        for replayed, of in ((False, count), (True, again)):
            for kind, names, delay, of_kind in self._divided(of, shares):
                drawn = self._mirrored.draw(len(kind.told), of_kind)
                apart = int(np.count_nonzero(kind.pool.change[drawn]))
                totals[replayed] += (of_kind - apart, apart)
                counts = np.bincount(kind.part[drawn], minlength=2 * len(kind.slices)).reshape(-1, 2)
                for names_of, both in zip(kind.slices, counts, strict=True):
                    for name in names_of:
                        slices[name] = slices.get(name, 0) + both
                of_class = np.where(kind.stable_says_first[drawn], place[names[0]], place[names[1]])
                for side, bins in enumerate((kind.stable_bins, kind.candidate_bins)):
                    confidences[side] += np.bincount(of_class * size + bins[drawn], minlength=confidences.shape[1])
                alike += np.bincount(of_class[kind.pool.change[drawn] == 0], minlength=len(alike))
                self._label(self._later(number + delay), kind, drawn, replayed=replayed)
        agreed, disagreed = (totals[False] + totals[True]).tolist()
        table = confidences.reshape(2, -1, size)
        profile = PairProfile(
            *(tuple(side) for side in table.sum(axis=1).tolist()),
            tuple(table[0].sum(axis=1).tolist()),
            *(tuple(side) for side in confidences.tolist()),
            tuple(alike.tolist()),
        )
        recorded = int(totals[True][0]), int(totals[True][1])
        return Mirrored(agreed, disagreed, recorded, _sliced(slices), profile)

    def _label(self, found: Labelled, kind: Asked, drawn: Places, *, replayed: bool) -> None:
        """Those of the pairs that get a label. Of recorded requests nobody was answered today."""
        luck = self._rng.random(len(drawn))
        chosen = drawn[luck < kind.chances[drawn]]
        change = kind.pool.change
        if complained := self._labels.complained:
            wrong = drawn[(luck >= kind.chances[drawn]) & kind.pool.stable_wrong[drawn]]
            chosen = np.concatenate((chosen, wrong[self._rng.random(len(wrong)) < complained]))
        pairs = [kind.told[place] for place in chosen.tolist()]
        if not replayed:
            found.stable += _by_chance(kind.pool.stable_wrong[chosen], kind.said[chosen])
        if directed := self._labels.directed:
            rest = drawn[(luck >= kind.chances[drawn]) & (change[drawn] != 0)]
            rest = rest[self._rng.random(len(rest)) < directed]
            pairs += [kind.directed[place] for place in rest.tolist()]
            chosen = np.concatenate((chosen, rest))
        found.pairs += [replace(pair, replayed=True) for pair in pairs] if replayed else pairs
        found.lost += int(np.count_nonzero(change[chosen] > 0))
        found.won += int(np.count_nonzero(change[chosen] < 0))

    def answer(self, number: int, live: Demand) -> None:
        """What the candidate answers to users."""
        for kind, _, delay, count in self._divided(live.requests, live.kinds):
            drawn = self._live.draw(len(kind.told), count)
            chosen = drawn[self._rng.random(count) < kind.live_chances[drawn]]
            wrong = kind.pool.candidate_wrong[chosen]
            self._later(number + delay).candidate += _by_chance(wrong, kind.live_said[chosen])

    def _divided(self, count: int, shares: NDArray[np.float64]) -> Iterator[tuple[Asked, tuple[str, str], int, int]]:
        """The requests of a look by kind: (kind, its classes, looks until its labels come, how many)."""
        counts = [count] if len(self._kinds) == 1 else self._rng.multinomial(count, shares).tolist()
        for (kind, of), of_kind in zip(self._kinds, counts, strict=True):
            if of_kind:
                yield of, kind.names, self._labels.delay_looks + kind.label_delay_looks, of_kind

    def _later(self, number: int) -> Labelled:
        return self._waiting.setdefault(number, Labelled())


def _sliced(counts: dict[str, NDArray[np.int64]]) -> tuple[SlicePairs, ...]:
    return tuple(SlicePairs(name, *both.tolist()) for name, both in sorted(counts.items()))


def _by_chance(wrong: NDArray[np.bool_], chances: NDArray[np.float64]) -> list[LabelChance]:
    """Labelled answers, by how likely each was to be."""
    found = []
    for chance in np.unique(chances).tolist():
        of_chance = wrong[chances == chance]
        found.append(LabelChance(chance, len(of_chance), int(of_chance.sum())))
    return found


def _counts(parts: list[LabelChance]) -> LabelCounts:
    """Of all kinds of requests together."""
    sums: dict[float, tuple[int, int]] = {}
    for part in parts:
        labelled, wrong = sums.get(part.inclusion_probability, (0, 0))
        sums[part.inclusion_probability] = labelled + part.labelled, wrong + part.wrong
    return label_counts(LabelChance(chance, *counts) for chance, counts in sums.items())
