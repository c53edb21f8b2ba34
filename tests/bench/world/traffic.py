"""The evidence that a controller would gather of a release, look by look, and the same as plain numbers."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

import numpy as np

from controller.core.policy import ReleasePolicy
from gates.evidence import ArmCounts, LabelCounts, Look, Replayed
from gates.verdict import Window
from serving.contract import USER_EDGES_MS
from tests.bench.world import errors
from tests.bench.world.demand import Anyone, Demand, Sticky, Users
from tests.bench.world.latency import EDGES_MS, STABLE_P95, Latency, law
from tests.bench.world.pairs import Answers, Labelled
from tests.bench.world.scenarios import Scenario
from tests.bench.world.weather import Forecast

REPLAYED_PER_S: Final = ReleasePolicy("any").shadow_replay.requests_per_s_max
COPIED_BACK: Final = ReleasePolicy("any").probation_mirror_pct / 100


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


class Traffic:
    """One release's traffic. ``look`` is called once for each look, in order."""

    def __init__(self, scenario: Scenario, rng: np.random.Generator) -> None:
        candidate, looks = scenario.candidate, scenario.looks
        self._scenario, self._rng = scenario, rng
        self._apart = rng.spawn(1)[0]  # what is told of some worlds alone leaves the draws of all others as they are
        weather, self._mix = scenario.forecast(rng, looks), scenario.mix(rng, looks)
        self._users: Users = (
            Anyone(rng, weather, self._mix, scenario.look_s, scenario.share_factor)
            if scenario.crowd is None
            else Sticky(rng, weather, scenario.look_s, scenario.crowd)
        )
        self._since = 1  # the look at which these users' weather begins
        self._answers = Answers(scenario, rng)
        self._recorded = scenario.replayed  # that were not asked again yet
        self._stable = _Version(scenario.stable_latency(rng), scenario.stable_errors(rng, looks))
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
        again = 0 if share else min(self._recorded, int(REPLAYED_PER_S * scenario.look_s))
        self._recorded -= again
        parts = [self._stable.arm(part, part.requests, 1.0, 1.0, 0, 1 - share) for part in of_stable.parts]
        stable, candidate, shadow = self._arms(number, of_stable, of_candidate, share, again)
        stable = _sum(parts) if parts else stable
        mirrored = self._answers.mirror(number, of_stable.requests, of_stable.kinds, again)
        self._answers.answer(number, of_candidate)
        arrived = self._answers.arrived(number)
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
            classes=self._answers.classes,
            pair_profile=mirrored.profile,
            stable_labels=arrived.stable_counts,
            candidate_labels=arrived.candidate_counts if share else None,
            replayed=Replayed(again, *mirrored.replayed) if again else None,
            former=self._former(of_candidate, share),
            sticky=scenario.crowd is not None,
            stable_users=tuple(_by_user_edges(part) for part in parts),
            users_edges_ms=USER_EDGES_MS if parts else (),
        )
        return look, _both(look, candidate, arrived)

    def _former(self, served: Demand, share: float) -> ArmCounts | None:
        """What stable answers to copies: of some of what the candidate serves in probation; beside it of all, which is
        told where users keep to their version."""
        if share < 1:
            return self._stable.shadow(self._apart, served, 1.0, 1.0, 0) if share and self._scenario.crowd else None
        copied = replace(served, requests=int(self._rng.binomial(served.requests, COPIED_BACK)))
        return self._stable.shadow(self._rng, copied, 1.0, 1.0, 0)

    def _arms(
        self, number: int, stable: Demand, candidate: Demand, share: float, again: int
    ) -> tuple[ArmCounts, ArmCounts, ArmCounts]:
        """What stable and the candidate served, and what was mirrored to the candidate or asked of it ``again``."""
        differs = self._scenario.candidate
        begun = number >= differs.onset
        slow, fails = (differs.slow, differs.error_factor) if begun else (1.0, 1.0)
        other = self._candidate
        live, mirrored = other.errors.mishap(number, candidate.requests, stable.requests)
        return (
            self._stable.arm(stable, stable.requests, 1.0, 1.0, 0, 1 - share),
            other.arm(candidate, candidate.requests, fails, slow, live, share),
            other.shadow(self._rng, replace(stable, requests=stable.requests + again), fails, slow, mirrored),
        )

    def _paired(self, number: int, count: int) -> Look:
        mirrored = self._answers.mirror(number, count, self._mix[number - 1])
        look_s = self._scenario.look_s
        return Look(
            sequence=number,
            window=Window(look_s * (number - 1), look_s * number),
            candidate_share=0.0,
            pairs=tuple(self._answers.arrived(number).pairs),
            pairs_agreed=mirrored.agreed,
            pairs_disagreed=mirrored.disagreed,
            classes=self._answers.classes,
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


def _sum(parts: Sequence[ArmCounts]) -> ArmCounts:
    counts = np.sum([part.latency_counts for part in parts], axis=0)
    requests, errors = (sum(getattr(part, name) for part in parts) for name in ("requests", "errors"))
    return ArmCounts(requests, errors, tuple(counts.tolist()), sum(part.error_clusters or 0 for part in parts))


def _by_user_edges(part: ArmCounts) -> ArmCounts:
    """As a replica counts it."""
    places = np.searchsorted(USER_EDGES_MS, np.append(EDGES_MS, np.inf))
    counts = np.bincount(places, weights=part.latency_counts, minlength=len(USER_EDGES_MS) + 1)
    return ArmCounts(part.requests, part.errors, tuple(counts.astype(int).tolist()))


def slow_shares(factor: float) -> tuple[float, float]:
    """Probabilities that an answer of stable, and of a version so many times slower, exceeds stable's P95 edge."""
    stable, candidate = (float(law(((1.0, slowness),))[STABLE_P95 + 1 :].sum()) for slowness in (1.0, factor))
    return stable, candidate


def _both(look: Look, candidate: ArmCounts, arrived: Labelled) -> Both:
    assert look.stable is not None
    return Both(
        _numbers(candidate, arrived.candidate_counts),
        _numbers(look.stable, arrived.stable_counts),
        len(arrived.pairs),
        arrived.lost,
        arrived.won,
    )


def _numbers(arm: ArmCounts, labels: LabelCounts) -> Numbers:
    reached = np.cumsum(arm.latency_counts)
    p95, p99 = (float(_TOPS[np.searchsorted(reached, share * reached[-1])]) for share in (0.95, 0.99))
    slow = int(reached[-1] - reached[STABLE_P95])
    return Numbers(arm.requests, arm.errors, slow, p95, p99, labels.labelled, labels.wrong)


_TOPS = np.append(EDGES_MS, EDGES_MS[-1])
