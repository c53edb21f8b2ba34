"""The evidence that a controller would gather of a release, look by look, and the same as plain numbers."""

from collections.abc import Iterable
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from gates.evidence import (
    PAIR_CONFIDENCE_EDGES,
    ArmCounts,
    LabelChance,
    LabelCounts,
    LabelledPair,
    Look,
    PairProfile,
    SlicePairs,
    label_counts,
)
from gates.verdict import Window
from tests.bench.world import errors
from tests.bench.world.demand import Anyone, Demand, Sticky, Users
from tests.bench.world.latency import EDGES_MS, STABLE_P95, Independent, Latency, law
from tests.bench.world.requests import Asked, asked
from tests.bench.world.scenarios import Scenario
from tests.bench.world.weather import Forecast


@dataclass(frozen=True, slots=True)
class Numbers:
    """One look as other tools would see it. ``slow`` is above the bucket edge of stable's P95."""

    requests: int
    errors: int
    slow: int
    p95_ms: float
    p99_ms: float
    labelled: int
    wrong: int

    @property
    def timed(self) -> int:
        return self.requests - self.errors


@dataclass(frozen=True, slots=True)
class Both:
    candidate: Numbers
    stable: Numbers
    paired: int  # mirrored pairs whose label came
    lost: int
    won: int


@dataclass(slots=True)
class _Labelled:
    """What is learnt at one look: of mirrored pairs, and of live answers by how likely each was to be labelled."""

    pairs: list[LabelledPair] = field(default_factory=list)
    lost: int = 0
    won: int = 0
    stable: list[LabelChance] = field(default_factory=list)
    candidate: list[LabelChance] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class _Mirrored:
    """Pairs completed at one look, labelled or not."""

    agreed: int
    disagreed: int
    slices: tuple[SlicePairs, ...]
    profile: PairProfile


class Traffic:
    """One release's traffic. ``look`` is called once for each look, in order."""

    def __init__(self, scenario: Scenario, rng: np.random.Generator) -> None:
        candidate, looks = scenario.candidate, scenario.looks
        self._scenario, self._rng = scenario, rng
        weather, self._mix = scenario.forecast(rng, looks), scenario.mix(rng, looks)
        self._users: Users = (
            Anyone(rng, weather, self._mix, scenario.look_s, scenario.share_factor)
            if scenario.crowd is None
            else Sticky(rng, weather, scenario.look_s, scenario.crowd)
        )
        self._since = 1  # the look at which these users' weather begins
        self._kinds = [asked(kind, scenario.labels, scenario.look_s) for kind in scenario.all_kinds]
        self._classes = tuple(sorted({name for kind in scenario.all_kinds for name in kind.names}))
        self._names = {of: kind.names for kind, of in zip(scenario.all_kinds, map(id, self._kinds), strict=True)}
        self._waiting: dict[int, _Labelled] = {}  # by the look at which it is learnt
        self._stable = _Version(Independent(rng), scenario.stable_errors(rng, looks))
        self._candidate = _Version(candidate.latency(rng), candidate.errors(rng, looks))

    def promoted(self, number: int, probation: Forecast) -> None:
        """From look ``number`` on everybody is served by the candidate, in that weather."""
        looks, rng = self._scenario.probation_looks, self._rng
        kinds = np.tile(self._mix[-1], (looks, 1))
        self._users = Anyone(rng, probation(rng, looks), kinds, self._scenario.look_s, share_factor=1.0)
        self._since = number

    def look(self, number: int, share: float) -> tuple[Look, Both | None]:
        """Look ``number`` (from 1), at the configured share of the candidate."""
        if self._scenario.paired_per_look is not None:
            return self._paired(number, self._scenario.paired_per_look), None
        scenario = self._scenario
        of_stable, of_candidate = self._users.look(number - self._since, share)
        stable, candidate, shadow = self._arms(number, of_stable, of_candidate, share)
        recorded = scenario.replayed if number == 1 else 0
        mirrored = self._mirror(number, of_stable.requests + recorded, of_stable.kinds)
        self._answer(number, of_candidate)
        arrived = self._waiting.pop(number, _Labelled())
        look = Look(
            sequence=number,
            window=Window(scenario.look_s * (number - 1), scenario.look_s * number),
            candidate_share=share,
            latency_edges_ms=EDGES_MS,
            stable=stable,
            candidate=candidate if share else None,
            shadow=shadow,
            pairs=tuple(arrived.pairs),
            pairs_agreed=mirrored.agreed,
            pairs_disagreed=mirrored.disagreed,
            slice_pairs=mirrored.slices,
            classes=self._classes,
            pair_profile=mirrored.profile,
            stable_labels=_counts(arrived.stable),
            candidate_labels=_counts(arrived.candidate) if share else None,
        )
        return look, _both(look, candidate, arrived)

    def _arms(
        self, number: int, stable: Demand, candidate: Demand, share: float
    ) -> tuple[ArmCounts, ArmCounts, ArmCounts]:
        """What stable and the candidate served, and what was mirrored to the candidate."""
        differs = self._scenario.candidate
        begun = number >= differs.onset
        slow, fails = (differs.slow, differs.error_factor) if begun else (1.0, 1.0)
        other = self._candidate
        live, mirrored = other.errors.mishap(number, candidate.requests, stable.requests)
        return (
            self._stable.arm(stable, stable.requests, 1.0, 1.0, 0, 1 - share),
            other.arm(candidate, candidate.requests, fails, slow, live, share),
            other.shadow(self._rng, stable, fails, slow, mirrored),
        )

    def _mirror(self, number: int, count: int, shares: NDArray[np.float64]) -> _Mirrored:
        """What both versions answer to the same requests. Their labels come later."""
        agreed = disagreed = 0
        slices = []
        confidences = np.zeros((2, len(PAIR_CONFIDENCE_EDGES) + 1), int)
        classes = dict.fromkeys(self._classes, 0)
        for kind, delay, of_kind in self._divided(count, shares):
            drawn = self._rng.integers(0, len(kind.told), of_kind)
            apart = int(np.count_nonzero(kind.pool.change[drawn]))
            agreed, disagreed = agreed + of_kind - apart, disagreed + apart
            if slice_ := kind.told[0].slices:
                slices.append(SlicePairs(slice_[0], of_kind - apart, apart))
            for side, bins in enumerate((kind.stable_bins, kind.candidate_bins)):
                confidences[side] += np.bincount(bins[drawn], minlength=confidences.shape[1])
            says_truth = int(np.count_nonzero(kind.stable_says_truth[drawn]))
            for name, counted in zip(self._names[id(kind)], (says_truth, of_kind - says_truth), strict=True):
                classes[name] += counted
            self._label(self._later(number + delay), kind, drawn)
        of_stable, of_candidate = (tuple(side) for side in confidences.tolist())
        profile = PairProfile(of_stable, of_candidate, tuple(classes.values()))
        return _Mirrored(agreed, disagreed, tuple(slices), profile)

    def _label(self, found: _Labelled, kind: Asked, drawn: NDArray[np.int64]) -> None:
        """Those of the pairs that get a label."""
        luck = self._rng.random(len(drawn))
        chosen = drawn[luck < kind.chances[drawn]]
        change = kind.pool.change
        found.pairs += [kind.told[place] for place in chosen.tolist()]
        found.stable += _by_chance(kind.pool.stable_wrong[chosen], kind.said[chosen])
        if directed := self._scenario.labels.directed:
            rest = drawn[(luck >= kind.chances[drawn]) & (change[drawn] != 0)]
            rest = rest[self._rng.random(len(rest)) < directed]
            found.pairs += [kind.directed[place] for place in rest.tolist()]
            chosen = np.concatenate((chosen, rest))
        found.lost += int(np.count_nonzero(change[chosen] > 0))
        found.won += int(np.count_nonzero(change[chosen] < 0))

    def _answer(self, number: int, live: Demand) -> None:
        """What the candidate answered to users."""
        for kind, delay, count in self._divided(live.requests, live.kinds):
            drawn = self._rng.integers(0, len(kind.told), count)
            chosen = drawn[self._rng.random(count) < kind.live_chances[drawn]]
            wrong = kind.pool.candidate_wrong[chosen]
            self._later(number + delay).candidate += _by_chance(wrong, kind.live_said[chosen])

    def _divided(self, count: int, shares: NDArray[np.float64]) -> Iterable[tuple[Asked, int, int]]:
        """The requests of a look by kind: (kind, looks until its labels come, how many)."""
        counts = [count] if len(self._kinds) == 1 else self._rng.multinomial(count, shares).tolist()
        for kind, asked_for, of_kind in zip(self._scenario.all_kinds, self._kinds, counts, strict=True):
            if of_kind:
                yield asked_for, self._scenario.labels.delay_looks + kind.label_delay_looks, of_kind

    def _later(self, number: int) -> _Labelled:
        return self._waiting.setdefault(number, _Labelled())

    def _paired(self, number: int, count: int) -> Look:
        mirrored = self._mirror(number, count, self._mix[number - 1])
        look_s = self._scenario.look_s
        return Look(
            sequence=number,
            window=Window(look_s * (number - 1), look_s * number),
            candidate_share=0.0,
            pairs=tuple(self._waiting.pop(number, _Labelled()).pairs),
            pairs_agreed=mirrored.agreed,
            pairs_disagreed=mirrored.disagreed,
            classes=self._classes,
            pair_profile=mirrored.profile,
        )


@dataclass(frozen=True, slots=True)
class _Version:
    latency: Latency
    errors: errors.Errors

    def arm(self, demand: Demand, requests: int, fails: float, slow: float, mishap: int, share: float) -> ArmCounts:
        """What it answered to users."""
        failed = self.errors.failed(requests - mishap, demand.error_ratio * fails)
        wrong = failed.errors + mishap
        speeds = tuple((part, slowness * slow) for part, slowness in demand.speeds)
        counts = self.latency.counts(requests - wrong, speeds, share)
        return ArmCounts(requests, wrong, tuple(counts.tolist()), failed.causes + (mishap > 0))

    def shadow(self, rng: np.random.Generator, demand: Demand, fails: float, slow: float, mishap: int) -> ArmCounts:
        """What it answered to nobody: the latency is nobody's either."""
        failed = self.errors.failed(demand.requests - mishap, demand.error_ratio * fails)
        wrong = failed.errors + mishap
        speeds = tuple((part, slowness * slow) for part, slowness in demand.speeds)
        counts = rng.multinomial(demand.requests - wrong, law(speeds))
        return ArmCounts(demand.requests, wrong, tuple(counts.tolist()), failed.causes + (mishap > 0))


def slow_shares(factor: float) -> tuple[float, float]:
    """Probabilities that an answer of stable, and of a version so many times slower, exceeds stable's P95 edge."""
    stable, candidate = (float(law(((1.0, slowness),))[STABLE_P95 + 1 :].sum()) for slowness in (1.0, factor))
    return stable, candidate


def _by_chance(wrong: NDArray[np.bool_], chances: NDArray[np.float64]) -> list[LabelChance]:
    """Labelled answers, by how likely each was to be."""
    found = []
    for chance in np.unique(chances).tolist():
        of_chance = wrong[chances == chance]
        found.append(LabelChance(chance, len(of_chance), int(of_chance.sum())))
    return found


def _both(look: Look, candidate: ArmCounts, arrived: _Labelled) -> Both:
    assert look.stable is not None
    return Both(
        _numbers(candidate, _counts(arrived.candidate)),
        _numbers(look.stable, _counts(arrived.stable)),
        len(arrived.pairs),
        arrived.lost,
        arrived.won,
    )


def _counts(parts: list[LabelChance]) -> LabelCounts:
    """Of all kinds of requests together."""
    sums: dict[float, tuple[int, int]] = {}
    for part in parts:
        labelled, wrong = sums.get(part.inclusion_probability, (0, 0))
        sums[part.inclusion_probability] = labelled + part.labelled, wrong + part.wrong
    return label_counts(LabelChance(chance, *counts) for chance, counts in sums.items())


def _numbers(arm: ArmCounts, labels: LabelCounts) -> Numbers:
    reached = np.cumsum(arm.latency_counts)
    p95, p99 = (float(_TOPS[np.searchsorted(reached, share * reached[-1])]) for share in (0.95, 0.99))
    slow = int(reached[-1] - reached[STABLE_P95])
    return Numbers(arm.requests, arm.errors, slow, p95, p99, labels.labelled, labels.wrong)


_TOPS = np.append(EDGES_MS, EDGES_MS[-1])
