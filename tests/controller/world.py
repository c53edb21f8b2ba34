"""The whole release path in memory: a service with users at the ports, the real controller between them.

    world.given(candidate=LESS_ACCURATE).when_settled()
    assert world.weights == {"v6": 100} and world.report.blames("accuracy")

Version 6 is the champion and serves; version 7 is the candidate. Time passes only when a test says so.
"""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Self

from controller.adapters.local.packages import PackageStore
from controller.adapters.local.suite_pace import Pace
from controller.adapters.local.suites import SuiteRuns
from controller.core.commands import Ask, Command
from controller.core.events import PhaseEntered, evolve
from controller.core.policy import ReleasePolicy, Step
from controller.core.release import TERMINAL, Phase, Release
from controller.core.traffic import Override, TrafficTable
from controller.journal.answered import AnsweredBefore
from controller.journal.codec import event_of, release_of
from controller.loop.candidate_poller import CandidatePoller
from controller.loop.executor import World as Ports
from controller.loop.fleet import Fleet
from controller.loop.jobs import InlineJobs, Jobs
from controller.loop.reconciler import Books
from controller.loop.replay import NoReplays, Replays
from controller.loop.sampling import Everything, Needs, SampledAsNeeded, Sampling
from controller.ports.registry import CANDIDATE, CHAMPION
from controller.subscribers.feed import Follower
from controller.subscribers.registry_tags import RegistryTags
from gates.policy import (
    CalibrationPolicy,
    GatePolicy,
    LatencyPolicy,
    LiveErrorsPolicy,
    PairedAccuracyPolicy,
    ShadowErrorsPolicy,
    SuitePolicy,
)
from suites.runner import BATCH_CASES
from tests.controller.registered import PackagedRegistry, golden_tokens
from tests.controller.releases import course
from tests.controller.service import CLASSES, GOOD, MODEL, Behaviour, Service
from tests.fakes.clock import FakeClock
from tests.fakes.deployments import MemoryDeployments
from tests.fakes.freezes import FakeFreezes
from tests.fakes.inbox import FakeInbox
from tests.fakes.journal import FakeJournal
from tests.fakes.replicas import FakeReplica, FakeReplicas
from tests.fakes.samples import FakeSamples
from tests.fakes.traffic import MemoryTraffic

TICK_S = 10.0
UNHURRIED = Pace(BATCH_CASES, 1.0)  # time passes only when a test says so
RESTS = TERMINAL | {Phase.HELD, Phase.PROBATION}

# Wider margins than the defaults: minutes of virtual traffic settle every gate.
GATES = GatePolicy(
    incident_s=0.0,  # three looks decide
    accuracy_shadow=PairedAccuracyPolicy(margin_points=3.0),
    calibration_shadow=CalibrationPolicy(margin_gap=0.06, margin_brier=0.06),
    errors_shadow=ShadowErrorsPolicy(error_ratio_max=0.02),
    errors_live=LiveErrorsPolicy(error_ratio_max=0.005),
    latency=LatencyPolicy(p95_margin_ratio=1.5, p99_margin_ratio=2.0),
    suite=SuitePolicy(calibration_gap_max=0.15),
)
POLICY = ReleasePolicy(
    model=MODEL,
    steps=(Step(10.0, min_s=30, min_requests=100), Step(50.0, min_s=30, min_requests=100)),
    look_every_s=TICK_S,
    warm_up_s=0.0,
    deadline_s=3_600.0,
    probation_s=300.0,
    gates=GATES,
)


class KilledError(BaseException):
    """The controller's process ends here: nothing of it may catch this."""


@dataclass(frozen=True, slots=True)
class Report:
    """What the journal tells of one release."""

    release: Release
    phases: tuple[Phase, ...]

    def blames(self, gate: str) -> bool:
        """Whether the gate, or one of its group (``accuracy`` of ``accuracy.shadow``), is among those blamed."""
        return any(name == gate or name.startswith(f"{gate}.") for name in self.release.blamed)


class World:
    def __init__(
        self,
        directory: Path,
        *,
        policy: ReleasePolicy = POLICY,
        seed: int = 1,
        service: Callable[..., Service] = Service,
    ) -> None:
        self.policies = {MODEL: policy}
        self.clock = FakeClock()
        self.traffic = MemoryTraffic()
        self.deployments = MemoryDeployments()
        self.registry = PackagedRegistry(directory / "registry")
        self.replicas = FakeReplicas()
        self.freezes = FakeFreezes()
        self.inbox = FakeInbox()
        self.journal = FakeJournal(self.inbox)
        self.service = service(self.clock, self.traffic, self.deployments, seed=seed)
        self.interrupt: Callable[[str], None] = lambda _: None  # called before and after each call of a port
        self.jobs: Jobs = InlineJobs()
        self.leads = True  # of the controllers that share the database
        self.calm_s = 0.0
        self.replays: Replays = NoReplays()  # taken up by a controller that starts
        self.needs: Needs | None = None  # how much has to be sampled; None: everything is
        self._packages = directory / "packages"
        self.controller = self._start_controller()

    @property
    def policy(self) -> ReleasePolicy:
        return self.policies[MODEL]

    @policy.setter
    def policy(self, policy: ReleasePolicy) -> None:
        self.policies[MODEL] = policy

    # --- given ---------------------------------------------------------------------------------------------------
    def given(self, *, stable: Behaviour | None = GOOD, candidate: Behaviour | None = None) -> Self:
        if stable is not None:
            self.register("v6", stable)
            self.registry.aliases_of[MODEL][CHAMPION] = "6"
            self.traffic.write(TrafficTable(MODEL, {"6": 100.0}, known_good=None, generation=1))
            self.tick()
            self.tick()  # it is ready at the second look
        if candidate is not None:
            self.given_candidate("v7", candidate)
        return self

    def given_candidate(self, version: str, behaviour: Behaviour) -> Self:
        """Somebody registers the version and sets the alias on it."""
        self.register(version, behaviour)
        self.registry.aliases_of[MODEL][CANDIDATE] = version.removeprefix("v")
        return self

    def register(self, version: str, behaviour: Behaviour) -> None:
        number = version.removeprefix("v")
        fingerprint = self.registry.publish(MODEL, number)
        self.service.behaviours[number] = behaviour
        url = f"http://{MODEL}-{version}-shadow.test"  # nothing of ours is asked where users are served
        self.replicas.running[url] = FakeReplica(fingerprint, golden_tokens, _model(behaviour))

    def serve_as(self, version: str, like: str) -> None:
        """The version's replica is of the same files as the other's."""
        self.replicas.running[f"http://{MODEL}-{version}-shadow.test"] = self.replicas.running[
            f"http://{MODEL}-{like}-shadow.test"
        ]

    # --- when ----------------------------------------------------------------------------------------------------
    def when_settled(self, *, within_s: float = 7_200.0) -> Self:
        """Time passes until the newest release rests: ended, held for a person, or promoted and on probation."""
        return self.when(lambda: self.release.phase in RESTS, within_s=within_s)

    def when_phase(self, phase: Phase, *, step: int = 0, within_s: float = 7_200.0) -> Self:
        """Time passes until the newest release has entered the phase (and, in a canary, the step)."""

        return self.when(lambda: self.release.phase is phase and self.release.step >= step, within_s=within_s)

    def when(self, reached: Callable[[], bool], *, within_s: float = 7_200.0) -> Self:
        """Time passes, the controller has at least one look, until what is waited for is reached by some release."""
        until_s = self.clock.now_s() + within_s
        self.when_time_passes(TICK_S)
        while not (self.journal.releases() and reached()):
            assert self.clock.now_s() < until_s, f"not reached within {within_s:g} s: {self._standing()}"
            self.when_time_passes(TICK_S)
        return self

    def when_time_passes(self, seconds: float) -> Self:
        until_s = self.clock.now_s() + seconds
        while self.clock.now_s() < until_s:
            passing_s = min(TICK_S, until_s - self.clock.now_s())
            self.service.serve(passing_s)
            self.clock.pass_s(passing_s)
            self.tick()
        return self

    def restart(self) -> None:
        """The controller starts anew."""
        self.controller = self._start_controller()

    def tick(self) -> None:
        try:
            self.controller.tick()
        except KilledError:
            self.controller = self._start_controller()

    def when_asked(self, ask: Ask, *, version: str | None = None, reason: str = "I say so") -> Self:
        number = version.removeprefix("v") if version else None
        at_s = self.clock.now_s()
        self.inbox.put(Command(f"{ask}-{at_s:.0f}", ask, MODEL, number, reason, "ana", at_s))
        return self

    def when_traffic_is_moved(self, to: str, *, reason: str = "pager") -> Self:
        """A person moves everything to a version past the controller, as `serin rollback` does."""
        found = self.traffic.read(MODEL)
        assert found is not None
        override = Override(reason, "bo", self.clock.now_s())
        weights_pct = {to.removeprefix("v"): 100.0}
        self.traffic.write(found.next(weights_pct=weights_pct, mirror=None, known_good=None, override=override))
        return self

    # --- then ----------------------------------------------------------------------------------------------------
    @property
    def weights(self) -> dict[str, float]:
        table = self.traffic.read(MODEL)
        return {} if table is None else {f"v{version}": pct for version, pct in table.weights_pct.items()}

    @property
    def champion(self) -> str | None:
        number = self.registry.aliases(MODEL).get(CHAMPION)
        return None if number is None else f"v{number}"

    @property
    def running(self) -> set[str]:
        return {f"v{version}" for version in self.deployments.status(MODEL)}

    @property
    def release(self) -> Release:
        """The newest one, as recorded."""
        return release_of(self.journal.releases(limit=1)[0])

    @property
    def report(self) -> Report:
        """Of the newest release."""
        return self.reports[0]

    @property
    def ends(self) -> list[tuple[str, Phase]]:
        """Every release's version and phase, oldest first."""
        records = reversed(self.journal.releases())
        return [(f"v{record.version}", Phase(record.phase)) for record in records]

    @property
    def reports(self) -> list[Report]:
        """Newest first. What the journal holds replays to what it says the state is."""
        return [self._report(record.release_id) for record in self.journal.releases()]

    def _report(self, release_id: str) -> Report:
        record = self.journal.release(release_id)
        assert record is not None
        state, phases = None, []
        for recorded in self.journal.entries(release_id):
            event = event_of(recorded.entry)
            state = evolve(state, event, recorded.entry.at_s)
            if isinstance(event, PhaseEntered):
                phases.append(event.phase)
        assert course(state) == course(release_of(record)), "the journal does not replay to the recorded state"
        return Report(release_of(record), tuple(phases))

    def _standing(self) -> str:
        if not self.journal.releases():
            return "no release"
        release = self.release
        gates = "; ".join(f"{v.gate} {v.outcome}: {v.reason}" for v in release.verdicts.values())
        return f"{release.phase} step {release.step}, {release.reason!r}; faults {release.faults}; {gates}"

    # --- the controller ------------------------------------------------------------------------------------------
    def _start_controller(self) -> Fleet:
        registry = _Watched(self.registry, "registry", self)
        packages = PackageStore(registry, self._packages)
        ports = Ports(
            clock=self.clock,
            traffic=_Watched(self.traffic, "traffic", self),
            deployments=_Watched(self.deployments, "deployments", self),
            registry=registry,
            replicas=_Watched(self.replicas, "replicas", self),
            metrics=_Watched(self.service.metrics, "metrics", self),
            samples=_Watched(self.service.samples, "samples", self),
            freezes=_Watched(self.freezes, "freezes", self),
            suites=SuiteRuns(
                _Watched(self.replicas, "replicas", self),
                self._packages.with_name("suites"),
                AnsweredBefore(self.journal),
                alone=UNHURRIED,
                beside_users=UNHURRIED,
            ),
            sampling=self._sampling(),
            replays=self.replays,
        )
        books = Books(
            journal=_Watched(self.journal, "journal", self),
            inbox=_Watched(self.inbox, "inbox", self),
            poller=CandidatePoller(registry, packages, self.clock),
            artifacts=packages,
            jobs=self.jobs,
            leads=lambda: self.leads,
        )
        followers = [Follower(books.journal, RegistryTags(ports.registry, books.journal))]
        return Fleet(ports, books, lambda: self.policies, followers=followers, calm_s=self.calm_s)

    def _sampling(self) -> Sampling:
        if self.needs is None:
            return Everything()
        metrics = self.service.metrics
        return SampledAsNeeded(self.needs, metrics, FakeSamples(), self.journal, self.clock, self.jobs)


class _Watched:
    """A port of which every call is a point where a test may look at the world, or end the controller."""

    def __init__(self, port: object, name: str, world: World) -> None:
        self._port = port
        self._name = name
        self._world = world

    def __getattr__(self, method: str) -> Callable[..., Any]:
        call = getattr(self._port, method)

        def watched(*arguments: Any, **named: Any) -> Any:
            self._world.interrupt(f"before {self._name}.{method}")
            result = call(*arguments, **named)
            self._world.interrupt(f"after {self._name}.{method}")
            return result

        return watched


def _model(behaviour: Behaviour) -> Callable[[str], Mapping[str, float]]:
    """Answers suite texts of the form ``<truth> <number of 100>``: right on as many as its accuracy says."""

    def predict(text: str) -> Mapping[str, float]:
        truth, number = text.split()
        right = 37 * int(number) % 100 < 100 * behaviour.accuracy
        label = truth if right else next(name for name in CLASSES if name != truth)
        confidence = min(0.999, behaviour.accuracy + behaviour.overconfidence)
        rest = (1 - confidence) / (len(CLASSES) - 1)
        return dict.fromkeys(CLASSES, rest) | {label: confidence}

    return predict


def write_suite(path: Path, *, cases: int = 300) -> Path:
    """A suite that a model of accuracy 0.9 answers with 90 % right."""
    lines = [
        json.dumps({"id": f"case-{n}", "text": f"{CLASSES[n % 3]} {n % 100}", "label": CLASSES[n % 3]})
        for n in range(cases)
    ]
    path.write_text("\n".join(lines), encoding="utf-8")
    return path


def with_suite(directory: Path, **changes: Any) -> ReleasePolicy:
    """The policy with a suite that is judged first."""
    return replace(POLICY, suites=(str(write_suite(directory / "suite.jsonl")),), **changes)
