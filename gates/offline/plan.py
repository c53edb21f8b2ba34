"""The plan before a release starts: how long each gate needs, and which gates cannot settle by the deadline.

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
    required: bool  # whether promotion waits for the gate
    pass_s: float | None  # for a candidate that changes nothing
    pass_chance: float  # by the deadline, for that candidate
    fail_s: float | None  # for a candidate as bad as the margin
    fail_chance: float  # by the deadline, for that candidate
    advice: str  # what would settle the gate sooner; empty where nothing need change


Chance = Callable[[float], float]
"""The chance that something has happened by so many seconds after the start."""


@dataclass(frozen=True, slots=True)
class Curves:
    """One gate and one candidate: the chance over time that the gate has passed it, and that it has failed it."""

    gate: str
    stage: Stage
    required: bool
    margin: Candidate  # a candidate as bad as the gate's margin
    passed: Chance
    failed: Chance


def curves(
    policy: GatePolicy, traffic: Traffic, candidate: Candidate = UNCHANGED, *, required_in: Stage | None = None
) -> tuple[Curves, ...]:
    """Return the curves of every gate that can pass by a test of its own. ``required_in``: only of the gates that
    promotion waits for in this stage."""
    found = races(policy, traffic, candidate)
    return tuple(
        _curves(race, traffic) for race in found if required_in is None or (race.required and race.stage is required_in)
    )


def races(policy: GatePolicy, traffic: Traffic, candidate: Candidate) -> Iterator[Race]:
    """Yield the race of every gate that can pass and fail by a test of its own, with this candidate."""
    for one in configured(policy):
        if one.kind.forecast is not None:
            yield one.kind.forecast(one.asked, traffic, candidate)


def plan(
    policy: GatePolicy, traffic: Traffic, *, stage: Stage | None = None, only: Collection[str] | None = None
) -> tuple[GatePlan, ...]:
    """Return the forecast for one release: an entry for every gate of the policy that can pass by a test of its own,
    only of this ``stage`` and of the names in ``only`` where these are given.

    Gates that no test decides are not planned: drift, limits, experiment.
    """
    return tuple(
        _forecast(race, policy, traffic)
        for race in races(policy, traffic, UNCHANGED)
        if stage in (None, race.stage) and (only is None or race.gate in only)
    )


def reached_s(chance: Chance, level: float, deadline_s: float) -> float | None:
    """Return the seconds after which the chance reaches this level; ``None``: not by the deadline."""
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
    """Return the chance that ``make`` makes, made at its first call: a plan needs both chances of few gates only."""
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
    """Return the largest of the proofs' chances, as they rest on much the same evidence; 0 without proofs."""
    found = [_reached(proof, traffic) for proof in proofs]
    return lambda seconds: max((chance(seconds) for chance in found), default=0.0)


def _all(parts: Sequence[Chance]) -> Chance:
    """Return a lower bound of the chance of all parts, which holds however they depend on each other."""
    return lambda seconds: max(0.0, 1 - sum(1 - chance(seconds) for chance in parts))


def _reached(proof: Proof, traffic: Traffic) -> Chance:
    spans = [(seconds, proof.growth(step)) for step, seconds in _spans(traffic, labelled=proof.labelled)]
    bets = [[Stretch(seconds, growth[bet]) for seconds, growth in spans] for bet in range(len(spans[0][1]))]
    stretches, threshold = deciding(bets, proof.threshold)
    delay_s = _delay_s(traffic, labelled=proof.labelled)
    return lambda seconds: chance_to_cross(stretches, threshold, within_s=seconds - delay_s)


def _enough(minimum: Minimum, traffic: Traffic) -> Chance:
    """Return the chance that the least number of samples has come (Poisson)."""
    if minimum.least <= 0:
        return lambda _seconds: 1.0
    seen = _samples(minimum, traffic)
    return lambda seconds: float(pdtrc(math.ceil(minimum.least) - 1, seen(seconds)))


def _measured(failed: Chance, minimum: Minimum, traffic: Traffic) -> Chance:
    """Return the chance that at one look there is evidence (``failed``) and the estimate, which wanders around the
    guard, is not below the guard.

    Between two times a walk without drift stays on one side of its start with the chance of the arcsine law, half of it
    below (Feller 1968, chapter III). What adds evidence also raises the estimate, so both are taken to come together.
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
    """Return the function that gives the expected number of samples by so many seconds after the start."""
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
    """Yield each step with the seconds of it that count: labels of the last answers come too late."""
    left = max(traffic.deadline_s - _delay_s(traffic, labelled=labelled), 0.0)
    for step in traffic.steps:
        seconds = min(step.duration_s, left)
        left -= seconds
        yield step, seconds
