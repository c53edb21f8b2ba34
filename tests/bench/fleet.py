"""Hundreds of models with a release each: what rounds cost, whether each look comes in time, and a rollback after it.

The real loop with its threads, on a real SQLite journal; the world is in memory. The replica of one model hangs and the
registry answers nobody. Some candidates begin to fail in the middle. The load is bounded by time and stops by itself.
"""

import logging
import math
import sys
import tempfile
import threading
import time
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any, Final

from controller.adapters.clock import SystemClock
from controller.adapters.local.packages import PackageStore
from controller.adapters.local.suites import SuiteRuns
from controller.adapters.sql.store import open_store
from controller.adapters.sql.upgrade import upgrade_store
from controller.bootstrap import interpreter
from controller.bootstrap.controller import CALM_S
from controller.core.events import Event, PhaseEntered, Started, fold
from controller.core.policy import ReleasePolicy
from controller.core.release import Phase, Purpose, Version
from controller.core.traffic import Drift, TrafficTable
from controller.errors import TransientError
from controller.journal.codec import entry_of, record_of
from controller.loop.candidate_poller import CandidatePoller
from controller.loop.executor import World
from controller.loop.fleet import Fleet
from controller.loop.jobs import ThreadedJobs
from controller.loop.reconciler import Books
from controller.ports.metrics import CounterCursor, GatewayCounts, MetricCounts, Usage
from controller.ports.runtime import DeploymentSpec, DeploymentStatus
from controller.ports.samples import AnswerCounts, SampleCursor, SampleEvidence
from gates.evidence import Answer, ArmCounts, LabelCounts, LabelledPair
from gates.online.slices import Attributes
from gates.policy import GatePolicy
from serving.contract import deployment_name
from tests.bench._table import Bar, machine, report
from tests.controller.registered import write_package
from tests.fakes.deployments import MemoryDeployments
from tests.fakes.freezes import FakeFreezes
from tests.fakes.registry import FakeRegistry
from tests.fakes.replicas import FakeReplicas
from tests.fakes.traffic import MemoryTraffic

MODELS: Final = 500
WARM_S_MAX: Final = 120.0  # until there was a look at each: a controller that starts verifies every package first
SETTLED_S: Final = 10.0  # after it
MEASURED_S: Final = 30.0
FAILING_S: Final = 50.0  # and with failing candidates: no look alone may take one back
TICK_S: Final = 0.25
EDGES_MS: Final = tuple(float(edge) for edge in (5, 10, 20, 30, 40, 50, 75, 100, 150, 200, 300, 500, 1000))
REQUESTS: Final = 200  # of each version, a look
FAILING: Final = 10  # models whose candidates begin to fail

CORES_MAX: Final = 1.0
GAP_S_MAX: Final = 12.0
ROLLBACK_S_MAX: Final = 1.0


@dataclass
class Service:
    """The same steady traffic for every model. Implements ``Metrics`` and ``Samples``."""

    looked_s: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))
    failing: set[str] = field(default_factory=set)
    read_s: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))  # of failing models, each look

    def counts(self, model: str, versions: Sequence[str], cursor: CounterCursor | None, *, at_s: float) -> MetricCounts:
        self.looked_s[model].append(time.monotonic())
        arm = _arm(0) if cursor is not None else _nothing()
        return MetricCounts(
            live=dict.fromkeys(versions, arm),
            shadow=dict.fromkeys(versions, self._shadow(model) if cursor is not None else _nothing()),
            latency_edges_ms=EDGES_MS,
            cursor=CounterCursor({f"{model}|{n}": at_s for n in range(60)}, at_s),
            usage={version: Usage(1) for version in versions},
            token_edges=(8, 16, 32, 64, 128),
        )

    def _shadow(self, model: str) -> ArmCounts:
        if model not in self.failing:
            return _arm(0)
        self.read_s[model].append(time.monotonic())
        return _arm(REQUESTS // 2)

    def gateway(
        self, model: str, versions: Sequence[str], cursor: CounterCursor | None, *, at_s: float
    ) -> GatewayCounts:
        arm = _arm(0) if cursor is not None else _nothing()
        return GatewayCounts(
            live=dict.fromkeys(versions, arm),
            copies=dict.fromkeys(versions, arm.requests),
            sent=dict.fromkeys(versions, arm.requests),
            latency_edges_ms=EDGES_MS,
            cursor=CounterCursor({f"{model}|{n}": at_s for n in range(30)}, at_s),
        )

    def service_errors(self, model: str, windows_s: Sequence[float], *, at_s: float) -> Mapping[float, tuple[int, int]]:
        del model, at_s
        return dict.fromkeys(windows_s, (0, 10_000))

    def latest(self) -> SampleCursor:
        return SampleCursor()

    def last_answers(self, model: str, version: str) -> Sequence[Attributes]:  # noqa: ARG002 - none tells of itself
        return ()

    def since(self, model: str, stable: str, candidate: str, cursor: SampleCursor, **_: object) -> SampleEvidence:
        del model, stable, candidate
        answers = AnswerCounts({"refund": REQUESTS}, (0,) * 9 + (REQUESTS,))
        return SampleEvidence(
            pairs=(PAIR,) * 5,
            pairs_agreed=REQUESTS - 3,
            pairs_disagreed=3,
            stable_labels=LabelCounts(5, 1),
            candidate_labels=LabelCounts(5, 1),
            cursor=cursor,
            slice_pairs=(),
            stable_answers=answers,
            candidate_answers=answers,
        )

    def reference(self, *_: object, **__: object) -> Sequence[AnswerCounts]:
        return ()


PAIR: Final = LabelledPair("refund", Answer("refund", 0.9, 0.02), Answer("refund", 0.9, 0.02))


def _arm(errors: int) -> ArmCounts:
    answered = [0] * (len(EDGES_MS) + 1)
    answered[4] = REQUESTS - errors
    return ArmCounts(REQUESTS, errors, tuple(answered), min(errors, 3))


def _nothing() -> ArmCounts:
    return ArmCounts(0, 0, (0,) * (len(EDGES_MS) + 1), 0)


class Hanging:
    """A port of which some calls hang until the benchmark ends, and then say that nobody answered."""

    def __init__(self, port: object, calls: Sequence[str], over: threading.Event, model: str | None = None) -> None:
        self._port, self._calls, self._over, self._model = port, calls, over, model

    def __getattr__(self, name: str) -> Any:
        call = getattr(self._port, name)

        def called(*arguments: Any, **named: Any) -> Any:
            whose = getattr(arguments[0], "model", arguments[0]) if arguments else None
            if name in self._calls and self._model in (None, whose):
                self._over.wait(10)  # as long as adapters wait
                raise TransientError("registry", "nobody answered within 10 s")
            return call(*arguments, **named)

        return called


class Ready(MemoryDeployments):
    """Every version that is asked for runs."""

    def ensure(self, spec: DeploymentSpec) -> DeploymentStatus:
        super().ensure(spec)
        return self.status(spec.model)[spec.version]


class Timed(MemoryTraffic):
    """Remembers when each model's traffic was moved."""

    def __init__(self) -> None:
        super().__init__()
        self.written_s: dict[str, float] = {}

    def write(self, table: TrafficTable, *, over: Drift | None = None) -> None:
        super().write(table, over=over)
        self.written_s[table.model] = time.monotonic()


def version_of(packages: Path, model: str, number: str) -> Version:
    """The version, with its package taken in already."""
    source_id = "m-" + f"{MODELS}{number}".rjust(32, "0")
    digest = write_package(packages / deployment_name(model, number) / source_id, content=f"{model} {number}")
    return Version(number, source_id, digest)


def policy_of(model: str) -> ReleasePolicy:
    """The default one, but that an incident is as short as a look: how soon the loop acts on a verdict is measured, and
    not how many looks the gates want for one."""
    return ReleasePolicy(model, gates=GatePolicy(incident_s=0.0))


def begun(packages: Path, model: str, now_s: float) -> list[Event]:
    """A release in shadow, as the journal holds it."""
    candidate, stable = version_of(packages, model, "7"), version_of(packages, model, "6")
    policy = policy_of(model)
    return [
        Started(f"{model}-v7-1", model, Purpose.PROMOTE, candidate, stable, None, policy, "bench", "Many models."),
        PhaseEntered(Phase.SHADOW, "The suites passed.", now_s + policy.deadline_s),
    ]


def run(directory: Path) -> list[Bar]:
    interpreter.suit()
    clock, over = SystemClock(), threading.Event()
    url = f"sqlite:///{directory}/store.db"
    upgrade_store(url)
    store, service, traffic = open_store(url), Service(), Timed()
    models = [f"model-{number:03}" for number in range(MODELS)]
    deployments, packages = Ready(), directory / "packages"
    for model in models:
        now_s = clock.now_s()
        events = begun(packages, model, now_s)
        release = fold(None, events, now_s)
        store.journal.append(record_of(release, len(events)), [entry_of(event, now_s) for event in events])
        traffic.write(TrafficTable(model, {"6": 100.0}, None, "6", generation=1))
    registry = Hanging(FakeRegistry(), ("aliases", "aliases_by_model", "version", "tag", "fetch"), over)
    jobs = ThreadedJobs(clock)
    package_store = PackageStore(registry, packages)
    poller = CandidatePoller(registry, package_store, clock, jobs)
    world = World(
        clock=clock,
        traffic=traffic,
        deployments=Hanging(deployments, ("ensure", "status"), over, models[0]),
        registry=registry,
        replicas=FakeReplicas(),
        metrics=service,
        samples=service,
        freezes=FakeFreezes(),
        suites=SuiteRuns(FakeReplicas(), directory / "suites"),
    )
    policies = {model: policy_of(model) for model in models}
    books = Books(store.journal, store.inbox, poller, package_store, jobs)
    fleet = Fleet(world, books, lambda: policies, calm_s=CALM_S)
    bars = machine()
    try:
        started_s = time.monotonic()
        while len(service.looked_s) < MODELS - 1 and time.monotonic() - started_s < WARM_S_MAX:
            going_round(fleet, TICK_S)
        first_s = time.monotonic() - started_s
        going_round(fleet, SETTLED_S)
        service.looked_s.clear()
        before_s, began_s = time.process_time(), time.monotonic()
        going_round(fleet, MEASURED_S)
        service.failing |= set(models[1 : FAILING + 1])
        going_round(fleet, FAILING_S)
        ended_s, spent_s = time.monotonic(), time.process_time() - before_s
    finally:
        over.set()
        jobs.close()
    looks = sum(map(len, service.looked_s.values()))
    others = models[1:]
    gaps = [gap(service.looked_s[model], began_s, ended_s) for model in others if model not in service.failing]
    back = [since_look(service.read_s[model], traffic.written_s[model]) for model in service.failing]
    store.close()
    return [
        *bars,
        Bar("models with a release under way", MODELS, ""),
        Bar("from the start of the controller to a first look at each", first_s, "s"),
        Bar("cores", spent_s / (ended_s - began_s), "processor s/s", at_most=CORES_MAX),
        Bar("looks", looks / (ended_s - began_s), "a second"),
        Bar("a look, with its share of all else", 1_000 * spent_s / looks, "processor ms"),
        Bar("longest time between two looks at a model", max(gaps), "s", at_most=GAP_S_MAX),
        Bar("candidates that failed and were taken back", sum(map(math.isfinite, back)), "", at_least=FAILING),
        Bar(
            "longest time from the look to the traffic moved",
            max(back),
            "s",
            at_most=ROLLBACK_S_MAX,
        ),
    ]


def since_look(looks_s: Sequence[float], written_s: float) -> float:
    """Return how long after the look that decided it the traffic was moved; infinite where it was not."""
    before = [at_s for at_s in looks_s if at_s <= written_s]
    return written_s - before[-1] if before else math.inf


def gap(looks_s: Sequence[float], began_s: float, ended_s: float) -> float:
    moments = [began_s, *looks_s, ended_s]
    return max(later - earlier for earlier, later in pairwise(moments))


def going_round(fleet: Fleet, seconds: float) -> None:
    pause, until_s = threading.Event(), time.monotonic() + seconds
    while time.monotonic() < until_s:
        fleet.tick()
        pause.wait(TICK_S)


def main() -> int:
    logging.disable(logging.WARNING)
    with tempfile.TemporaryDirectory() as directory:
        return report("fleet", run(Path(directory)))


if __name__ == "__main__":
    sys.exit(main())
