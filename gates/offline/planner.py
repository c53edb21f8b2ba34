"""Before a release starts: how long will each gate need, and which one cannot settle by the deadline?

For two candidates, one that changes nothing and one that is as bad as the margin of the gate, the growth of the
evidence follows from the traffic (`gates.planner_evidence`). Plans are forecasts: they decide nothing.
"""

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from scipy.special import pdtrc

from gates.offline.planner_evidence import Minimum, PlannedSlice, PlannedStep, Proof, Race, Traffic, races
from gates.policy import GatePolicy
from gates.stats.growth import Stretch, chance_to_cross, deciding, until
from gates.verdict import Stage

__all__ = ["GatePlan", "Plan", "PlannedSlice", "PlannedStep", "Traffic", "plan"]


@dataclass(frozen=True, slots=True)
class GatePlan:
    """One gate's forecast. Seconds count from the start of the release and are medians: half of the releases need less.

    ``None``: not by the deadline, for most of them.
    """

    gate: str
    stage: Stage
    pass_s: float | None  # for a candidate that changes nothing
    pass_chance: float  # by the deadline, for that candidate
    fail_s: float | None  # for a candidate as bad as the margin
    fail_chance: float  # by the deadline, for that candidate
    advice: str  # what would settle it sooner; empty where nothing need change

    @property
    def settles(self) -> bool:
        return self.pass_s is not None


@dataclass(frozen=True, slots=True)
class Plan:
    """The forecast of a release. Chances of its ends, for a candidate that changes nothing."""

    gates: tuple[GatePlan, ...]
    step_s: tuple[float | None, ...]  # when the gates that end the step have settled: shadow's, then the live ones
    promoted_chance: float
    rolled_back_chance_max: float

    @property
    def held_chance(self) -> float:
        return max(0.0, 1 - self.promoted_chance - self.rolled_back_chance_max)


def plan(policy: GatePolicy, traffic: Traffic) -> Plan:
    """The forecast for one release; every gate of the policy that can pass by a test of its own has an entry.

    Not planned: what no test decides (drift, limits, experiment), and ``accuracy.live`` and ``budget.burn``, for which
    a promotion does not wait by default.
    """
    gates = tuple(_forecast(race, traffic) for race in races(policy, traffic))
    by_stage = [[gate.pass_s for gate in gates if gate.stage is stage] for stage in (Stage.SHADOW, Stage.LIVE)]
    return Plan(
        gates=gates,
        step_s=tuple(_latest(times) for times in by_stage),
        promoted_chance=math.prod(gate.pass_chance for gate in gates),
        rolled_back_chance_max=policy.rollback_alpha,
    )


def _latest(times: Sequence[float | None]) -> float | None:
    known = [time for time in times if time is not None]
    return max(known, default=0.0) if len(known) == len(times) else None


Chance = Callable[[float], float]
"""By so many seconds after the start, the chance that something has come."""


def _forecast(race: Race, traffic: Traffic) -> GatePlan:
    passed = _all([*(_any(group, traffic) for group in race.safe), _enough(race.safe_samples, traffic)])
    failed: Chance = _never
    if race.harm is not None:
        failed = _all([_reached(race.harm, traffic), _enough(race.harm_samples, traffic)])
    pass_chance = passed(traffic.deadline_s)
    return GatePlan(
        gate=race.gate,
        stage=race.stage,
        pass_s=_median(passed, traffic.deadline_s),
        pass_chance=pass_chance,
        fail_s=_median(failed, traffic.deadline_s),
        fail_chance=failed(traffic.deadline_s),
        advice=race.advice if pass_chance < 0.9 else "",
    )


def _never(_seconds: float) -> float:
    return 0.0


def _any(proofs: Sequence[Proof], traffic: Traffic) -> Chance:
    """The likeliest: they rest on much the same evidence."""
    found = [_reached(proof, traffic) for proof in proofs]
    return lambda seconds: max(chance(seconds) for chance in found)


def _all(parts: Sequence[Chance]) -> Chance:
    """A lower bound that holds however the parts depend on each other."""
    return lambda seconds: max(0.0, 1 - sum(1 - chance(seconds) for chance in parts))


def _median(chance: Chance, deadline_s: float) -> float | None:
    """When the chance reaches one half."""
    if chance(deadline_s) < 0.5:
        return None
    low, high = 0.0, deadline_s
    while high - low > 1e-3 * high:
        middle = (low + high) / 2
        low, high = (low, middle) if chance(middle) >= 0.5 else (middle, high)
    return high


def _reached(proof: Proof, traffic: Traffic) -> Chance:
    spans = [(seconds, proof.growth(step)) for step, seconds in _spans(traffic, labelled=proof.labelled)]
    bets = [[Stretch(seconds, growth[bet]) for seconds, growth in spans] for bet in range(len(spans[0][1]))]
    stretches, threshold = deciding(bets, proof.threshold)
    delay_s = _delay_s(traffic, labelled=proof.labelled)
    return lambda seconds: chance_to_cross(list(until(stretches, seconds - delay_s)), threshold)


def _enough(minimum: Minimum, traffic: Traffic) -> Chance:
    """That the least number of samples has come (Poisson)."""
    spans = list(_spans(traffic, labelled=minimum.labelled))
    delay_s = _delay_s(traffic, labelled=minimum.labelled)

    def chance(seconds: float) -> float:
        left, seen = seconds - delay_s, 0.0
        for step, lasts in spans:
            seen += minimum.rate(step) * max(min(lasts, left), 0.0)
            left -= lasts
        return 1.0 if minimum.least <= 0 else float(pdtrc(math.ceil(minimum.least) - 1, seen))

    return chance


def _delay_s(traffic: Traffic, *, labelled: bool) -> float:
    return traffic.label_delay_s if labelled else 0.0


def _spans(traffic: Traffic, *, labelled: bool) -> Iterator[tuple[PlannedStep, float]]:
    """The steps and how much of each counts: late labels of the last answers come too late."""
    left = max(traffic.deadline_s - _delay_s(traffic, labelled=labelled), 0.0)
    for step in traffic.steps:
        seconds = min(step.duration_s, left)
        left -= seconds
        yield step, seconds
