"""The backtest of a policy on a service's own traffic: whole releases of candidates whose quality is known.

Each release is simulated with the controller's own decisions and gates, on looks that `gates.offline.backtest` draws
from recorded evidence. A release ends when it is promoted, rolled back, or past its deadline.
"""

import concurrent.futures
import multiprocessing
import signal
import statistics
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Final

import numpy as np

from controller.core.decide import decide
from controller.core.events import Looked, evolve, fold
from controller.core.facts import Routed
from controller.core.policy import ReleasePolicy
from controller.core.release import Phase, Purpose, Release, Version
from controller.errors import UsageError
from controller.offline.evidence_file import RecordedLook
from controller.offline.scenarios import Scenario, Sizes, scenarios
from gates.codec import encode
from gates.evidence import Look
from gates.gate_set import GateSet
from gates.offline.backtest.injection import EQUAL, Injection
from gates.offline.backtest.service import Service, observe
from gates.offline.backtest.simulation import Simulation, moments
from gates.stats.exact import median_bounds, share_bounds
from gates.table import without_watching

SCHEMA: Final = "serin.backtest/v1"
LEVEL: Final = 0.95
_LOOKS_MAX: Final = 120  # in one release; recorded looks are summed to keep to this number
_CHUNKS: Final = 8  # parts of a scenario's runs; progress is reported after each


class End(StrEnum):
    PROMOTED = "promoted"
    ROLLED_BACK = "rolled_back"  # by a gate
    NOT_PROVEN = "not_proven"  # by the deadline; the policy says what follows (held, or rolled back)


@dataclass(frozen=True, slots=True)
class Ended:
    """The end of one simulated release. ``seconds``: from the start of its first look."""

    end: End
    seconds: float
    blamed: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Rate:
    """A rate, ``hits`` of ``runs``, with its Clopper-Pearson interval from ``low`` to ``high``."""

    hits: int
    runs: int
    low: float
    high: float
    level: float = LEVEL

    @property
    def share(self) -> float:
        return self.hits / self.runs if self.runs else 0.0


@dataclass(frozen=True, slots=True)
class Found:
    """The results of one scenario.

    The false-alarm rate is ``rolled_back`` of the equal candidate; the miss rate is ``promoted`` of a harmful one.
    ``seconds_to_decide``: the 10th, 50th and 90th percentile over the decided releases. ``median_interval_s``: the 95 %
    interval of the true median (by order statistics; None for fewer than six releases).
    """

    scenario: Scenario
    promoted: Rate
    rolled_back: Rate
    not_proven: Rate
    seconds_to_decide: tuple[float, float, float] | None
    median_interval_s: tuple[float, float] | None
    blamed: tuple[tuple[str, int], ...]  # gate, and the number of releases that it failed; most first


@dataclass(frozen=True, slots=True)
class Backtest:
    runs: int
    seed: int
    look_s: float  # the mean length of a simulated look
    found: tuple[Found, ...] = ()


@dataclass(frozen=True, slots=True)
class Plays:
    """The settings of a backtest: ``runs`` releases of each scenario, the seed, and the number of processes."""

    runs: int = 200
    seed: int = 1
    jobs: int = 1
    sizes: Sizes = field(default_factory=Sizes)


def service_of(policy: ReleasePolicy, recorded: Sequence[RecordedLook]) -> Service:
    """Return the service that the evidence shows, in moments of which a release has about ``_LOOKS_MAX`` at most.

    Raises:
        UsageError: the evidence shows no live traffic of a stable version.
    """
    try:
        return observe(by_release(recorded), moment_s=policy.deadline_s / _LOOKS_MAX)
    except ValueError as error:
        raise UsageError(f"the evidence shows no service: {error}") from error


def by_release(recorded: Sequence[RecordedLook]) -> tuple[list[Look], ...]:
    """Return the looks of each release, in the order of the evidence."""
    releases: dict[str, list[Look]] = {}
    for line in recorded:
        releases.setdefault(line.release, []).append(line.look)
    return tuple(releases.values())


def backtest(
    policy: ReleasePolicy, service: Service, plays: Plays, advance: Callable[[int], None] = lambda _: None
) -> Backtest:
    """Simulate every scenario, and return the results. They do not depend on ``plays.jobs``.

    ``advance`` is called with the number of releases that ended or were skipped; these sum to ``plays.runs`` for each
    scenario.
    """
    asked = scenarios(policy, service, plays.sizes)
    tasks = [
        _Task(place, scenario.injection, plays.seed, tuple(range(first, plays.runs, _CHUNKS)))
        for place, scenario in enumerate(asked)
        if not scenario.skipped
        for first in range(min(_CHUNKS, plays.runs))
    ]
    ended: dict[int, list[Ended]] = {place: [] for place in range(len(asked))}
    advance(plays.runs * sum(bool(scenario.skipped) for scenario in asked))
    for task, results in _carry_out(policy, service, tasks, plays.jobs):
        ended[task.scenario] += results
        advance(len(results))
    look_s = service.seconds / len(service.moments)
    found = tuple(_found(scenario, ended[place]) for place, scenario in enumerate(asked))
    return Backtest(plays.runs, plays.seed, look_s, found)


def play(policy: ReleasePolicy, service: Service, simulation: Simulation, rng: np.random.Generator) -> Ended:
    """Simulate one release from shadow until it ends, and return its end."""
    gate_set = GateSet(without_watching(policy.gates))  # no profiles are drawn, and traffic is split as configured
    state = gate_set.start(deadline_s=policy.deadline_s)
    release = _in_shadow(policy)
    at_s = 0.0
    for number, moment in enumerate(moments(service, rng), start=1):
        share = release.canary_step.weight_pct / 100 if release.phase is Phase.CANARY else 0.0
        look = simulation.look(rng, moment, sequence=number, start_s=at_s, candidate_share=share)
        at_s = look.window.end_s
        state, verdicts = gate_set.look(state, look)
        release = evolve(release, Looked(look, verdicts), at_s)
        release = fold(release, decide(release, (Routed({}, number),), at_s), at_s)
        if release.phase is Phase.PROMOTING:
            return Ended(End.PROMOTED, at_s)
        if release.phase is Phase.ROLLING_BACK:
            return Ended(End.ROLLED_BACK if release.blamed else End.NOT_PROVEN, at_s, release.blamed)
    raise AssertionError("moments do not end, and a release settles by its deadline")


def _in_shadow(policy: ReleasePolicy) -> Release:
    return Release(
        id="backtest",
        model=policy.model,
        purpose=Purpose.PROMOTE,
        candidate=Version("candidate"),
        stable=Version("stable"),
        fallback=None,
        policy=policy,
        started_at_s=0.0,
        started_by="backtest",
        phase=Phase.SHADOW,
        deadline_at_s=policy.deadline_s,
        routed=True,
    )


@dataclass(frozen=True, slots=True)
class _Task:
    """Some runs of one scenario, by number. A run's randomness depends only on seed, scenario and number."""

    scenario: int
    injection: Injection
    seed: int
    runs: tuple[int, ...]


def _carry_out(
    policy: ReleasePolicy, service: Service, tasks: Sequence[_Task], jobs: int
) -> Iterator[tuple[_Task, list[Ended]]]:
    if jobs <= 1:
        for task in tasks:
            yield task, _play_all(policy, service, task)
        return
    context = multiprocessing.get_context("spawn")
    with concurrent.futures.ProcessPoolExecutor(jobs, context, _keep, (policy, service)) as pool:
        waiting = {pool.submit(_play_kept, task): task for task in tasks}
        try:
            for future in concurrent.futures.as_completed(waiting):
                yield waiting[future], future.result()
        finally:
            pool.shutdown(cancel_futures=True)


_kept: list[tuple[ReleasePolicy, Service]] = []  # in a worker process, so that they are sent only once


def _keep(policy: ReleasePolicy, service: Service) -> None:
    signal.signal(signal.SIGINT, signal.SIG_DFL)  # only the parent reports Ctrl-C
    _kept.append((policy, service))


def _play_kept(task: _Task) -> list[Ended]:
    return _play_all(*_kept[0], task)


def _play_all(policy: ReleasePolicy, service: Service, task: _Task) -> list[Ended]:
    simulation = Simulation(service, task.injection)
    seeds = ((task.seed, task.scenario, run) for run in task.runs)
    return [play(policy, service, simulation, np.random.default_rng(seed)) for seed in seeds]


def _found(scenario: Scenario, ended: Sequence[Ended]) -> Found:
    decided = sorted(one.seconds for one in ended if one.end is not End.NOT_PROVEN)
    blamed = Counter(gate for one in ended for gate in one.blamed)
    promoted, rolled_back, not_proven = (_rate(sum(one.end is end for one in ended), len(ended)) for end in End)
    return Found(
        scenario,
        promoted,
        rolled_back,
        not_proven,
        seconds_to_decide=_percentiles(decided),
        median_interval_s=median_bounds(decided, 1 - LEVEL),
        blamed=tuple(sorted(blamed.items(), key=lambda item: (-item[1], item[0]))),
    )


def _rate(hits: int, runs: int) -> Rate:
    low, high = share_bounds(hits, runs, 1 - LEVEL) if runs else (0.0, 1.0)
    return Rate(hits, runs, low, high)


def _percentiles(seconds: Sequence[float]) -> tuple[float, float, float] | None:
    if not seconds:
        return None
    if len(seconds) == 1:
        return (seconds[0],) * 3
    tenths = statistics.quantiles(seconds, n=10, method="inclusive")
    return tenths[0], statistics.median(seconds), tenths[8]


def as_document(found: Backtest) -> dict[str, Any]:
    """Return the result as JSON values. ``false_alarm_rate`` and ``miss_rate`` are null in scenarios where they do not
    apply."""
    return {
        "schema": SCHEMA,
        "runs": found.runs,
        "seed": found.seed,
        "look_s": found.look_s,
        "scenarios": [_as_row(row) for row in found.found],
    }


def _as_row(row: Found) -> dict[str, Any]:
    document: dict[str, Any] = encode(row)
    scenario = document.pop("scenario")
    played = not row.scenario.skipped
    equal = row.scenario.injection == EQUAL
    return {
        **scenario,
        "false_alarm_rate": encode(row.rolled_back) if equal else None,
        "miss_rate": encode(row.promoted) if row.scenario.harmful and played else None,
        **document,
    }
