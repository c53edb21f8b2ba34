"""The figures of the benchmark, with their Monte-Carlo errors and the bars that they must reach."""

import math
import statistics
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from scipy.optimize import minimize_scalar

from gates.gate_set import GateSet
from gates.online.latency.gate import OBJECTIVE_SHARE
from gates.policy import GatePolicy
from tests.bench._table import Bar
from tests.bench.world import scenarios as s
from tests.bench.world.requests import Labels
from tests.bench.world.runs import Played
from tests.bench.world.scenarios import Candidate, Scenario
from tests.bench.world.traffic import Traffic, slow_shares
from tests.bench.world.worlds import EQUAL_WORLDS, WORLDS, WORSE_WORLDS

Results = Mapping[str, Sequence[Played]]

EXPOSED = {name: s.exposed(name, candidate) for name, candidate in s.HARMFUL.items()} | {
    "P95 +10 %": s.exposed("P95 +10 %", s.SLOWER_10),
    "errors x10": s.exposed("errors x10", s.FAILING_TEN),
}
RELEASED = {name: s.released(name, candidate) for name, candidate in s.HARMFUL.items()}
STEPPED = {
    "P95 +10 %": s.stepped("P95 +10 %", s.SLOWER_10),
    "P95 +20 %": s.stepped("P95 +20 %", s.SLOWER_20),
}
AT_MARGIN = s.released("accuracy -1", s.LOSES_ONE)
PAIRED = {name: s.paired(name, c) for name, c in (("-1", s.LOSES_ONE), ("-2", s.LOSES_TWO), ("-5", s.LOSES_FIVE))}
DIRECTED = s.paired("-2", s.LOSES_TWO, directed=True)
INCIDENT, *HARDER = s.HARDER


def work(runs: int) -> list[tuple[Scenario, int]]:
    """What is played how often; the false alarms are the rare thing, so most goes there."""
    tenth, fortieth = runs // 10, runs // 40
    return [
        (s.EQUAL, runs),
        (INCIDENT, tenth),
        (s.RELEASED, tenth),
        *((scenario, tenth) for scenario in RELEASED.values()),
        (AT_MARGIN, tenth),
        (PAIRED["-2"], tenth),
        (DIRECTED, tenth),
        (PAIRED["-1"], fortieth),
        (PAIRED["-5"], fortieth),
        *((scenario, fortieth) for scenario in (*EXPOSED.values(), *STEPPED.values())),
        *((scenario, fortieth) for scenario in HARDER),
        *((scenario, fortieth) for scenario in WORLDS.values()),
    ]


@dataclass(frozen=True, slots=True)
class Share:
    """How many of how many, in per cent, with the standard error of the simulation."""

    hits: int
    runs: int

    @property
    def pct(self) -> float:
        return 100 * self.hits / self.runs if self.runs else math.nan

    @property
    def error_pct(self) -> float:
        """Of a share that is not quite 0 or 1, so that no count of none looks like certainty."""
        share = (self.hits + 0.5) / (self.runs + 1)
        return 100 * math.sqrt(share * (1 - share) / (self.runs + 1))

    def bar(self, what: str, *, at_most: float | None = None, at_least: float | None = None) -> Bar:
        return Bar(what, self.pct, f"% of {self.runs:,} (s.e. {self.error_pct:.2g})", at_most, at_least)


def failed(played: Sequence[Played]) -> Share:
    return Share(sum(one.ended.failed_at is not None for one in played), len(played))


def promoted(played: Sequence[Played]) -> Share:
    """Promoted, and not failed before or later."""
    ends = [one.ended for one in played]
    return Share(sum(end.promoted_at is not None and end.failed_at is None for end in ends), len(ends))


def ever_promoted(played: Sequence[Played]) -> Share:
    return Share(sum(one.ended.promoted_at is not None for one in played), len(played))


def mean_bar(what: str, values: Sequence[float], unit: str, at_most: float | None = None, scale: float = 1.0) -> Bar:
    if len(values) < 2:
        return Bar(what, math.nan, unit, at_most)
    error = statistics.stdev(values) / math.sqrt(len(values)) / scale
    return Bar(what, statistics.fmean(values) / scale, f"{unit} (s.e. {error:.2g})", at_most)


def median_bar(what: str, values: Sequence[float], unit: str, at_most: float | None = None) -> Bar:
    """Its standard error from the order statistics half a root of n beside the middle."""
    if len(values) < 2:
        return Bar(what, math.nan, unit, at_most)
    ordered, half = sorted(values), math.sqrt(len(values)) / 2
    middle = len(values) / 2
    low, high = ordered[max(int(middle - half), 0)], ordered[min(int(middle + half), len(values) - 1)]
    return Bar(what, statistics.median(values), f"{unit} (s.e. {(high - low) / 2:.2g})", at_most)


def minutes_to_fail(scenario: Scenario, played: Sequence[Played]) -> list[float]:
    """From the first look at live traffic; of those that got there."""
    offset = 0 if scenario.steps else 1  # a look that leads to the first step is still one of shadow
    ends = ((one.ended.exposed_at, one.ended.failed_at) for one in played)
    return [(back - first + offset) * scenario.look_s / 60 for first, back in ends if first and back]


def bars(results: Results) -> list[Bar]:
    """Those of the issue first, then what else is promised, then what is only told."""
    return [*_asked(results), *_promised(results), *_told(results)]


def _asked(results: Results) -> list[Bar]:
    rows = [
        failed(results[s.EQUAL.name]).bar("false rollback of an equal candidate, 5 %", at_most=0.5),
        failed(results[INCIDENT.name]).bar("false rollback in an incident shared by both", at_most=0.5),
    ]
    for name, scenario in RELEASED.items():
        rows.append(ever_promoted(results[scenario.name]).bar(f"promoted beyond its margin: {name}", at_most=0.0))
    pairs = [float(one.ended.labels) for one in results[PAIRED["-2"].name] if one.ended.failed_at]
    bound = paired_bound(s.LOSES_TWO, alpha_of("accuracy.shadow"))
    asked = [float(one.ended.labels) for one in results[DIRECTED.name] if one.ended.failed_at]
    slower = STEPPED["P95 +20 %"]
    rows += [
        mean_bar("-2 points, paired: mean pairs over the bound", pairs, "", 1.2, scale=bound),
        mean_bar("-2 points, directed: mean labels", asked, "labels", 150.0),
        median_bar("P95 +20 % at 1 request/s: median", minutes_to_fail(slower, results[slower.name]), "min", 9.0),
        promoted(results[s.RELEASED.name]).bar("equal candidate promoted, half the labels directed", at_least=90.0),
        Bar("one look, all gates, after 10 million requests", look_ms(), "ms", at_most=2.0),
    ]
    return rows


def _promised(results: Results) -> list[Bar]:
    """What the levels promise, whatever the weather."""
    rows = [
        failed(results[s.RELEASED.name]).bar("false rollback of an equal candidate, default steps", at_most=1.0),
        ever_promoted(results[AT_MARGIN.name]).bar("promoted at its margin: accuracy -1", at_most=1.0),
    ]
    equal, worse = (*HARDER, *EQUAL_WORLDS), WORSE_WORLDS
    return [
        *rows,
        *(failed(results[one.name]).bar(f"false rollback, equal: {one.name}", at_most=1.0) for one in equal),
        *(ever_promoted(results[one.name]).bar(f"promoted, worse: {one.name}", at_most=1.0) for one in worse),
    ]


def _told(results: Results) -> list[Bar]:
    rows = [ever_promoted(results[scenario.name]).bar(f"equal, promoted: {scenario.name}") for scenario in s.HARDER]
    for name, scenario in PAIRED.items():
        pairs = [float(one.ended.labels) for one in results[scenario.name] if one.ended.failed_at]
        rows.append(median_bar(f"{name} points, paired: median pairs", pairs, "pairs"))
    rows.append(Bar("-2 points, paired: the bound at this gate's level", paired_bound(s.LOSES_TWO), "pairs"))
    for name, scenario in EXPOSED.items():
        played = results[scenario.name]
        rows.append(failed(played).bar(f"{name}, 5 %: rolled back"))
        rows.append(median_bar(f"{name}, 5 %: median", minutes_to_fail(scenario, played), "min"))
    for name, scenario in STEPPED.items():
        played = results[scenario.name]
        rows.append(median_bar(f"{name}, shadow, then 5 %: median", minutes_to_fail(scenario, played), "min"))
        bound_min = latency_bound_min(scenario.candidate)
        rows.append(Bar(f"{name}, 5 %: the bound of the mean at this gate's level", bound_min, "min"))
    return rows


def alpha_of(gate: str) -> float:
    """The rollback level of one gate of the default policy, as spent by watching on its comparison with stable."""
    policy = GatePolicy()
    judging: Any = next(judging for judging in GateSet(policy)._gates if judging.name == gate)
    if gate.startswith("latency"):  # it has no exact test at the deadline, and an objective
        return float(judging.alpha) * (1 - OBJECTIVE_SHARE)
    return float(judging.alpha) * (1 - policy.deadline_fraction)


def paired_bound(candidate: Candidate, alpha: float | None = None) -> float:
    """Least mean number of pairs of any e-process: ln(1/alpha) over the largest expected growth of a fixed bet."""
    lost, won = candidate.skill.lost, candidate.skill.won
    best = minimize_scalar(
        lambda bet: -(lost * math.log1p(bet) + won * math.log1p(-bet)), bounds=(0, 0.999), method="bounded"
    )
    return math.log(1 / (alpha or alpha_of("accuracy.shadow"))) / -float(best.fun)


def latency_bound_min(candidate: Candidate) -> float:
    """The same for slow answers at 5 % of 20 requests a second, in minutes: events of a look are worth the divergence
    of their division between the versions from the division of equal rates."""
    share, (stable, slow) = s.EQUAL.share, slow_shares(candidate.slow)
    ours, theirs = share * slow, (1 - share) * stable
    theta = ours / (ours + theirs)
    growth = ours * math.log(theta / share) + theirs * math.log((1 - theta) / (1 - share))
    return math.log(1 / alpha_of("latency.p95")) / (growth * 20 * 60)


def look_ms() -> float:
    """Time of one processor for one look of the usual size after 10 million requests: the median of 120."""
    rng = np.random.default_rng(1)
    crowded = replace(s.EQUAL, look_s=10_000.0, labels=Labels(chance=0.001, delay_looks=0), looks=50)
    usual = Traffic(replace(s.EQUAL, labels=Labels(delay_looks=0)), rng)
    busy, gate_set = Traffic(crowded, rng), GateSet(s.EQUAL.policy)
    state = gate_set.start(deadline_s=1e9)
    for number in range(1, crowded.looks + 1):
        state, _ = gate_set.look(state, busy.look(number, s.EQUAL.share)[0])
    assert state.end_s is not None
    took_ms = []
    for number in range(1, s.EQUAL.looks + 1):
        look, _ = usual.look(number, s.EQUAL.share)
        window = replace(look.window, start_s=look.window.start_s + state.end_s, end_s=look.window.end_s + state.end_s)
        look = replace(look, sequence=number + crowded.looks, window=window)
        began = time.process_time()
        gate_set.look(state, look)
        took_ms.append(1000 * (time.process_time() - began))
    return statistics.median(took_ms)
