"""The evidence that a controller would gather of a release, look by look, and the same as plain numbers."""

from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr

from controller.core.policy import ReleasePolicy
from gates.evidence import ArmCounts, LabelChance, LabelCounts, LabelledPair, Look
from gates.verdict import Window
from serving.contract import latency_edges_ms
from tests.bench.world.answers import Pool, Skill, pool
from tests.bench.world.scenarios import Scenario

EDGES_MS = latency_edges_ms(ReleasePolicy("any").objectives_ms)
_LOG_EDGES = np.log(EDGES_MS)
_MEDIAN_MS, _SPREAD = 40.0, 0.5  # of a log-normal latency; with the wander of the weather P95 is some 95 ms
_STABLE_P95 = int(np.searchsorted(EDGES_MS, _MEDIAN_MS * np.exp(1.645 * _SPREAD)))
_HARD = 3.0  # how much more often both versions err on the harder kind of request


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


@dataclass(frozen=True, slots=True)
class _Labelled:
    """Mirrored pairs of one look, and what was learnt about them later."""

    pairs: tuple[LabelledPair, ...]
    lost: int
    won: int
    stable: LabelCounts  # of those by chance
    candidate: LabelCounts


_NONE = LabelCounts(0, 0)
_NOTHING = _Labelled((), 0, 0, _NONE, _NONE)


@lru_cache(maxsize=8)
def _pools(skill: Skill) -> tuple[Pool, Pool]:
    hard = replace(skill, both_wrong=_HARD * skill.both_wrong, lost=_HARD * skill.lost, won=_HARD * skill.won)
    return pool(skill), pool(hard)


class Traffic:
    """One release's traffic. ``look`` is called once for each look, in order."""

    def __init__(self, scenario: Scenario, rng: np.random.Generator) -> None:
        self._scenario, self._rng = scenario, rng
        self._weather = scenario.forecast(rng, scenario.looks)
        self._pools = _pools(scenario.candidate.skill)
        self._waiting = deque([_NOTHING] * scenario.labels.delay_looks)

    def look(self, number: int, share: float) -> tuple[Look, Both | None]:
        """Look ``number`` (from 1), at the configured share of the candidate."""
        if self._scenario.paired_per_look is not None:
            return self._paired(number, self._scenario.paired_per_look), None
        rng, weather, scenario, place = self._rng, self._weather, self._scenario, number - 1
        requests = int(rng.poisson(weather.requests_per_s[place] * scenario.look_s))
        to_candidate = int(rng.binomial(requests, share * scenario.share_factor))
        to_stable = requests - to_candidate
        stable, candidate, shadow = self._arms(place, to_stable, to_candidate)
        hard = float(weather.hard[place])
        labelled, agreed, disagreed = self._mirror(to_stable, to_candidate, hard)
        self._waiting.append(labelled)
        arrived = self._waiting.popleft()
        look = Look(
            sequence=number,
            window=Window(scenario.look_s * place, scenario.look_s * number),
            candidate_share=share,
            latency_edges_ms=EDGES_MS,
            stable=stable,
            candidate=candidate if share else None,
            shadow=shadow,
            pairs=arrived.pairs,
            pairs_agreed=agreed,
            pairs_disagreed=disagreed,
            stable_labels=arrived.stable,
            candidate_labels=arrived.candidate if share else None,
        )
        return look, _both(stable, candidate, arrived)

    def _arms(self, place: int, to_stable: int, to_candidate: int) -> tuple[ArmCounts, ArmCounts, ArmCounts]:
        candidate, error = self._scenario.candidate, float(self._weather.error_ratio[place])
        slowness = float(self._weather.slowness[place])
        own = _buckets(slowness)
        other = own if candidate.slow == 1 else _buckets(slowness * candidate.slow)
        worse = error * candidate.error_factor
        return (
            self._arm(to_stable, error, own),
            self._arm(to_candidate, worse, other),
            self._arm(to_stable, worse, other),
        )

    def _arm(self, requests: int, error: float, buckets: NDArray[np.float64]) -> ArmCounts:
        errors, clusters = self._errors(requests, error)
        counts = self._rng.multinomial(requests - errors, buckets)
        return ArmCounts(requests, errors, tuple(counts.tolist()), clusters)

    def _errors(self, requests: int, error: float) -> tuple[int, int]:
        """Errors, and sessions that had any."""
        rng, cluster = self._rng, self._scenario.cluster
        if cluster == 1:
            errors = int(rng.binomial(requests, error))
            return errors, errors
        clusters = int(rng.poisson(requests * error / cluster)) if requests else 0
        errors = min(requests, int(rng.geometric(1 / cluster, clusters).sum()))
        return errors, min(clusters, errors)

    def _mirror(self, mirrored: int, live: int, hard: float) -> tuple[_Labelled, int, int]:
        """What the versions answered to the requests of one look: (those that will be labelled, agreed, disagreed)."""
        counts = (mirrored, 0) if not hard else _divide(self._rng, mirrored, hard)
        parts = [self._label(pool, count) for pool, count in zip(self._pools, counts, strict=True) if count]
        pairs = tuple(pair for part, _ in parts for pair in part.pairs)
        disagreed = sum(apart for _, apart in parts)
        found = _Labelled(
            pairs,
            lost=sum(part.lost for part, _ in parts),
            won=sum(part.won for part, _ in parts),
            stable=_sum(part.stable for part, _ in parts),
            candidate=self._live_labels(live, hard),
        )
        return found, mirrored - disagreed, disagreed

    def _live_labels(self, live: int, hard: float) -> LabelCounts:
        """Of what the candidate answered to users."""
        if self._scenario.labels.by_doubt:
            return self._ask(self._pools[0], live)[1]
        easy, harder = self._scenario.candidate.skill.candidate_wrong, hard * (_HARD - 1) + 1
        of_live = int(self._rng.binomial(live, self._scenario.labels.chance))
        return LabelCounts(of_live, int(self._rng.binomial(of_live, easy * harder)))

    def _ask(self, pool: Pool, count: int) -> tuple[NDArray[np.int64], LabelCounts]:
        """Of ``count`` requests, those that people are asked about by stable's doubt; and how the candidate did."""
        asked = int(self._rng.binomial(count, pool.doubted))
        chosen = np.searchsorted(pool.asked_before, self._rng.random(asked))
        return chosen, _by_chance(pool.candidate_wrong[chosen], pool.doubts[chosen])

    def _label(self, pool: Pool, count: int) -> tuple[_Labelled, int]:
        """Of ``count`` pairs, those that get a label; and how many disagree in all."""
        rng, labels = self._rng, self._scenario.labels
        if labels.by_doubt:
            return self._doubted(pool, count)
        by_chance = int(rng.binomial(count, labels.chance))
        chosen = rng.integers(0, len(pool.chance), by_chance)
        change = pool.change[chosen]
        apart = int(rng.binomial(count - by_chance, pool.disagree))
        directed = rng.integers(0, len(pool.directed), int(rng.binomial(apart, labels.directed)))
        more = pool.directed_change[directed]
        pairs = [pool.chance[place] for place in chosen.tolist()] + [pool.directed[n] for n in directed.tolist()]
        lost = int(np.count_nonzero(change > 0)) + int(np.count_nonzero(more > 0))
        won = int(np.count_nonzero(change < 0)) + int(np.count_nonzero(more < 0))
        of_stable = LabelCounts(by_chance, int(pool.stable_wrong[chosen].sum()))
        found = _Labelled(tuple(pairs), lost, won, of_stable, _NONE)
        return found, apart + int(np.count_nonzero(change))

    def _doubted(self, pool: Pool, count: int) -> tuple[_Labelled, int]:
        chosen, _ = self._ask(pool, count)
        change = pool.change[chosen]
        apart = int(self._rng.binomial(count - len(chosen), pool.disagree_unasked))
        found = _Labelled(
            tuple(pool.asked[place] for place in chosen.tolist()),
            lost=int(np.count_nonzero(change > 0)),
            won=int(np.count_nonzero(change < 0)),
            stable=_by_chance(pool.stable_wrong[chosen], pool.doubts[chosen]),
            candidate=_NONE,
        )
        return found, apart + int(np.count_nonzero(change))

    def _paired(self, number: int, count: int) -> Look:
        found, disagreed = self._label(self._pools[0], count)
        look_s = self._scenario.look_s
        return Look(
            sequence=number,
            window=Window(look_s * (number - 1), look_s * number),
            candidate_share=0.0,
            pairs=found.pairs,
            pairs_agreed=count - disagreed,
            pairs_disagreed=disagreed,
        )


def slow_shares(factor: float) -> tuple[float, float]:
    """Probabilities that an answer of stable, and of a version so many times slower, exceeds stable's P95 edge."""
    stable, candidate = (float(_buckets(slowness)[_STABLE_P95 + 1 :].sum()) for slowness in (1.0, factor))
    return stable, candidate


def _by_chance(wrong: NDArray[np.bool_], doubts: NDArray[np.float64]) -> LabelCounts:
    """Labelled answers, by how likely each was to be."""
    parts = []
    for chance in np.unique(doubts).tolist():
        of_chance = wrong[doubts == chance]
        parts.append(LabelChance(chance, len(of_chance), int(of_chance.sum())))
    return LabelCounts(len(wrong), int(wrong.sum()), tuple(parts))


def _sum(found: Iterable[LabelCounts]) -> LabelCounts:
    parts = list(found)
    chances = tuple(chance for part in parts for chance in part.chances)
    return LabelCounts(sum(part.labelled for part in parts), sum(part.wrong for part in parts), chances)


def _divide(rng: np.random.Generator, count: int, share: float) -> tuple[int, int]:
    other = int(rng.binomial(count, share))
    return count - other, other


def _buckets(slowness: float) -> NDArray[np.float64]:
    """Probabilities of the latency buckets."""
    below = ndtr((_LOG_EDGES - np.log(_MEDIAN_MS * slowness)) / _SPREAD)
    return np.diff(below, prepend=0.0, append=1.0)


def _both(stable: ArmCounts, candidate: ArmCounts, arrived: _Labelled) -> Both:
    return Both(
        _numbers(candidate, arrived.candidate),
        _numbers(stable, arrived.stable),
        len(arrived.pairs),
        arrived.lost,
        arrived.won,
    )


def _numbers(arm: ArmCounts, labels: LabelCounts) -> Numbers:
    reached = np.cumsum(arm.latency_counts)
    p95, p99 = (float(_TOPS[np.searchsorted(reached, share * reached[-1])]) for share in (0.95, 0.99))
    slow = int(reached[-1] - reached[_STABLE_P95])
    return Numbers(arm.requests, arm.errors, slow, p95, p99, labels.labelled, labels.wrong)


_TOPS = np.append(EDGES_MS, EDGES_MS[-1])
