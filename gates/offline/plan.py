"""Before a release starts: how long will each gate need, and which one cannot settle by the deadline?

For two candidates, one that changes nothing and one that is as bad as the margin of the gate, the growth of the
evidence follows from the traffic, by the forecast of each kind of gate. Plans are forecasts: they decide nothing.
"""

import math
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass
from functools import cache

from scipy.special import pdtrc

from gates.forecast.candidate import UNCHANGED, Candidate
from gates.forecast.race import Minimum, Proof, Race
from gates.forecast.traffic import PlannedStep, Traffic
from gates.policy import GatePolicy
from gates.stats.growth import Stretch, chance_to_cross, deciding
from gates.table import configured
from gates.verdict import Stage


@dataclass(frozen=True, slots=True)
class GatePlan:
    """One gate's forecast. Seconds count from the start of the release and are medians: half of the releases need less.

    ``None``: not by the deadline, for most of them.
    """

    gate: str
    stage: Stage
    required: bool  # whether promotion waits for it
    pass_s: float | None  # for a candidate that changes nothing
    pass_chance: float  # by the deadline, for that candidate
    fail_s: float | None  # for a candidate as bad as the margin
    fail_chance: float  # by the deadline, for that candidate
    advice: str  # what would settle it sooner; empty where nothing need change


Chance = Callable[[float], float]
"""By so many seconds after the start, the chance that something has come."""


@dataclass(frozen=True, slots=True)
class Curves:
    """One gate and one candidate: the chance that it has passed, and that it has failed."""

    gate: str
    stage: Stage
    required: bool
    margin: Candidate  # as bad as the gate's margin
    passed: Chance
    failed: Chance


def curves(
    policy: GatePolicy, traffic: Traffic, candidate: Candidate = UNCHANGED, *, required_in: Stage | None = None
) -> tuple[Curves, ...]:
    """Return the curves of every gate that can pass by a test of its own; ``required_in``: of those alone that
    promotion waits for in this stage."""
    found = races(policy, traffic, candidate)
    return tuple(
        _curves(race, traffic) for race in found if required_in is None or (race.required and race.stage is required_in)
    )


def races(policy: GatePolicy, traffic: Traffic, candidate: Candidate) -> Iterator[Race]:
    """Every gate that can pass and fail by a test of its own, with this candidate."""
    for one in configured(policy):
        if one.kind.forecast is not None:
            yield one.kind.forecast(one.asked, traffic, candidate)


def plan(
    policy: GatePolicy, traffic: Traffic, *, stage: Stage | None = None, only: Collection[str] | None = None
) -> tuple[GatePlan, ...]:
    """The forecast for one release; every gate of the policy that can pass by a test of its own has an entry: of this
    stage, and of these names, where one is told.

    Not planned is what no test decides: drift, limits, experiment.
    """
    return tuple(
        _forecast(race, policy, traffic)
        for race in races(policy, traffic, UNCHANGED)
        if stage in (None, race.stage) and (only is None or race.gate in only)
    )


def reached_s(chance: Chance, level: float, deadline_s: float) -> float | None:
    """Return when the chance reaches this level; ``None``: not by the deadline."""
    if chance(deadline_s) < level:
        return None
    low, high = 0.0, deadline_s
    while high - low > 1e-3 * high:
        middle = (low + high) / 2
        low, high = (low, middle) if chance(middle) >= level else (middle, high)
    return high


def _forecast(race: Race, policy: GatePolicy, traffic: Traffic) -> GatePlan:
    worst = next(other for other in races(policy, traffic, race.margin) if other.gate == race.gate)
    passed, failed = _curves(race, traffic).passed, _curves(worst, traffic).failed
    pass_chance = passed(traffic.deadline_s)
    return GatePlan(
        gate=race.gate,
        stage=race.stage,
        required=race.required,
        pass_s=reached_s(passed, 0.5, traffic.deadline_s),
        pass_chance=pass_chance,
        fail_s=reached_s(failed, 0.5, traffic.deadline_s),
        fail_chance=failed(traffic.deadline_s),
        advice=race.advice if pass_chance < 0.9 else "",
    )


def _curves(race: Race, traffic: Traffic) -> Curves:
    passed = _when_asked(lambda: _passed(race, traffic))
    failed = _when_asked(lambda: _failed(race, traffic))
    return Curves(race.gate, race.stage, race.required, race.margin, passed, failed)


def _when_asked(make: Callable[[], Chance]) -> Chance:
    """The chance that this makes, made when it is asked first: who plans asks few gates for both of theirs."""
    made = cache(make)

    def chance(seconds: float) -> float:
        return made()(seconds)

    return chance


def _passed(race: Race, traffic: Traffic) -> Chance:
    return _all([*(_any(group, traffic) for group in race.safe), _enough(race.safe_samples, traffic)])


def _failed(race: Race, traffic: Traffic) -> Chance:
    if not race.harm:
        return lambda _seconds: 0.0
    failed = _all([*(_reached(proof, traffic) for proof in race.harm), _enough(race.harm_samples, traffic)])
    return _measured(failed, race.harm_samples, traffic) if race.harm_at_guard else failed


def _any(proofs: Sequence[Proof], traffic: Traffic) -> Chance:
    """The likeliest: they rest on much the same evidence. Of no proofs, never."""
    found = [_reached(proof, traffic) for proof in proofs]
    return lambda seconds: max((chance(seconds) for chance in found), default=0.0)


def _all(parts: Sequence[Chance]) -> Chance:
    """A lower bound that holds however the parts depend on each other."""
    return lambda seconds: max(0.0, 1 - sum(1 - chance(seconds) for chance in parts))


def _reached(proof: Proof, traffic: Traffic) -> Chance:
    spans = [(seconds, proof.growth(step)) for step, seconds in _spans(traffic, labelled=proof.labelled)]
    bets = [[Stretch(seconds, growth[bet]) for seconds, growth in spans] for bet in range(len(spans[0][1]))]
    stretches, threshold = deciding(bets, proof.threshold)
    delay_s = _delay_s(traffic, labelled=proof.labelled)
    return lambda seconds: chance_to_cross(stretches, threshold, within_s=seconds - delay_s)


def _enough(minimum: Minimum, traffic: Traffic) -> Chance:
    """That the least number of samples has come (Poisson)."""
    if minimum.least <= 0:
        return lambda _seconds: 1.0
    seen = _samples(minimum, traffic)
    return lambda seconds: float(pdtrc(math.ceil(minimum.least) - 1, seen(seconds)))


def _measured(failed: Chance, minimum: Minimum, traffic: Traffic) -> Chance:
    """That at one look there is evidence and the estimate, which wanders around the guard, is not below it.

    A walk without drift stays below its start from one time to another with the arcsine law's chance, half of it on
    this side (Feller 1968, chapter III). What makes evidence raises the estimate: both are taken to come together.
    """
    first_s = reached_s(failed, 0.5, traffic.deadline_s)
    if first_s is None:
        return failed
    seen = _samples(minimum, traffic)

    def chance(seconds: float) -> float:
        before = seen(first_s) / max(seen(seconds), seen(first_s))
        return min(failed(seconds), 1 - math.asin(math.sqrt(before)) / math.pi)

    return chance


def _samples(minimum: Minimum, traffic: Traffic) -> Callable[[float], float]:
    """Return how many are expected to have come."""
    spans = [(minimum.rate(step), lasts_s) for step, lasts_s in _spans(traffic, labelled=minimum.labelled)]
    delay_s = _delay_s(traffic, labelled=minimum.labelled)

    def seen(seconds: float) -> float:
        left, total = seconds - delay_s, 0.0
        for rate, lasts_s in spans:
            total += rate * max(min(lasts_s, left), 0.0)
            left -= lasts_s
        return total

    return seen


def _delay_s(traffic: Traffic, *, labelled: bool) -> float:
    return traffic.label_delay_s if labelled else 0.0


def _spans(traffic: Traffic, *, labelled: bool) -> Iterator[tuple[PlannedStep, float]]:
    """The steps and how much of each counts: late labels of the last answers come too late."""
    left = max(traffic.deadline_s - _delay_s(traffic, labelled=labelled), 0.0)
    for step in traffic.steps:
        seconds = min(step.duration_s, left)
        left -= seconds
        yield step, seconds
