"""The execution of a release's actions, which returns facts. Each action has one helper and is safe to repeat."""

import logging
from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any, Final

from controller.core.actions import (
    Action,
    CheckChampion,
    FreezeModel,
    MoveChampion,
    Probe,
    Replay,
    Route,
    RunSuites,
    Serve,
    TakeLook,
    look_due_at_s,
)
from controller.core.commands import Freeze
from controller.core.condition import Condition
from controller.core.facts import (
    AliasAt,
    AliasSurprise,
    Awaited,
    EditReplaced,
    Fact,
    LookTaken,
    Overridden,
    Probed,
    Routed,
    Serving,
    Sighted,
    SuitesRun,
    TableGone,
    Unreachable,
)
from controller.core.judging import judge
from controller.core.policy import ReleasePolicy
from controller.core.release import Phase, Release, Version
from controller.core.serving import ServingPolicy, digest_of
from controller.core.traffic import TrafficTable
from controller.errors import (
    ConflictError,
    PermanentError,
    SerinError,
    Source,
    TransientError,
)
from controller.loop.blame import SOURCES, found_by
from controller.loop.jobs import Jobs, Running
from controller.loop.observe import Sources, look_at
from controller.loop.preflight import judge_replica, origin_of
from controller.loop.replay import Asked, NoReplays, Replays
from controller.loop.sampling import Everything, Sampling
from controller.loop.started_again import StartedAgain
from controller.ports.artifacts import Artifact, Artifacts
from controller.ports.clock import Clock
from controller.ports.metrics import Metrics
from controller.ports.people import Freezes
from controller.ports.recordings import ReplayOrder
from controller.ports.registry import CHAMPION, Registry
from controller.ports.runtime import Deployments, DeploymentSpec, DeploymentStatus, Replicas
from controller.ports.samples import Samples
from controller.ports.suites import Subject, SuiteOrder, Suites
from controller.ports.traffic import Traffic
from gates.evidence import Earlier
from gates.offline.suite_replay import judge_suite_evidence
from gates.outcome import Outcome
from gates.verdict import Verdict
from serving.package.artifact import ArtifactError, Manifest
from suites.cases import SuiteError

log = logging.getLogger(__name__)

OVERDUE_S: Final = 5.0
"""A source that has not answered for this long counts as not answering."""

NamesOfLabels = Callable[[str], Mapping[str, str]]  # model -> the current `label_names` of its policy

_REPLAYS: Final = "replays"  # a pool of jobs for replays only
_REPLAYED_S: Final = 10.0  # the longest stretch of a replay in one job
_EARLIER_TOLD: Final = 10  # the first looks, which are given the findings of earlier releases

_CHANGING: Final = (Serve, Route, MoveChampion, FreezeModel)
"""The actions that change something outside: only the leader may do them. A store's fence guards the journal alone."""


@dataclass(frozen=True, slots=True)
class World:
    """The ports to everything outside that a release uses."""

    clock: Clock
    traffic: Traffic
    deployments: Deployments
    registry: Registry
    replicas: Replicas
    metrics: Metrics
    samples: Samples
    freezes: Freezes
    suites: Suites
    sampling: Sampling = field(default_factory=Everything)
    replays: Replays = field(default_factory=NoReplays)


class Executor:
    """The performer of actions. Errors are returned as facts, and never raised."""

    def __init__(
        self,
        world: World,
        artifacts: Artifacts,
        names_of_labels: NamesOfLabels,
        jobs: Jobs,
        leads: Callable[[], bool] = lambda: True,
        earlier: Callable[[str], Sequence[Earlier]] = lambda _model: (),
    ) -> None:
        """``leads``: whether this controller may change anything now. ``earlier``: gives the findings of a model's
        earlier releases."""
        self._world = world
        self._leads = leads
        self._jobs = jobs
        self._artifacts = artifacts
        self._names_of_labels = names_of_labels
        self._earlier = earlier
        self._verified: dict[tuple[str, str, str], Artifact] = {}  # the artifacts that this process has verified
        self._started_again = StartedAgain(world.clock)
        self._replayed: set[str] = set()  # releases whose replay is over
        self._looked_s: dict[str, float] = {}  # model -> monotonic time of its last look, recorded or not
        self._performers: Mapping[type[Action], Callable[[Release, Any], Iterator[Fact]]] = {
            Serve: self._serve,
            Probe: self._probe,
            RunSuites: self._run_suites,
            Route: self._route,
            TakeLook: self._take_look,
            Replay: self._replay,
            CheckChampion: self._check_champion,
            MoveChampion: self._move_champion,
            FreezeModel: self._freeze,
        }

    def execute(self, release: Release, action: Action) -> tuple[Fact, ...]:
        """Carry out the action, or take up the result of the job that was begun for it, and return the facts."""
        if isinstance(action, Route | FreezeModel):  # quick, and nothing else may happen in between
            return self._performed(release, action)
        source = SOURCES[type(action)]
        slot, purpose = self._job_of(release, action)
        ask = partial(self._performed, release, action)
        if isinstance(action, Replay):  # no round waits for a replay, and no decision follows from its result
            if not isinstance(self._jobs.ask(_REPLAYS, slot, purpose, ask, patience_s=0.0), Running):
                self._jobs.ask(_REPLAYS, slot, purpose, ask, patience_s=0.0)  # begin the next stretch at once
            return ()
        found = self._jobs.ask(self._pool_of(release, action), slot, purpose, ask)
        if not isinstance(found, Running):
            return found
        waited_s = self._world.clock.monotonic_s() - found.since_s
        if waited_s < OVERDUE_S or isinstance(action, RunSuites):  # suites may take until the release's deadline
            return (Awaited(source),)
        return Awaited(source), Unreachable(source, f"no answer for {waited_s:.0f} s")

    def _job_of(self, release: Release, action: Action) -> tuple[Hashable, Hashable]:
        """Return the slot of the action's job, and the purpose that its result must have."""
        model = release.model
        match action:
            case Serve(version) | Probe(version):
                return (type(action).__name__, model, version.number), (release.id, version)
            case TakeLook():  # a result from another phase or before another look would count evidence twice
                standing = (release.phase, release.step, release.phase_since_s, release.looks)
                return ("look", model), (release.id, *standing)
            case CheckChampion(to, expected) | MoveChampion(to, expected):
                return ("alias", model), (release.id, type(action).__name__, to, expected)
            case _:
                return (type(action).__name__, model), release.id

    def _pool_of(self, release: Release, action: Action) -> str:
        """Return the pool of threads for the action; fetching a package has its own, as it waits for the registry."""
        if isinstance(action, Serve) and self._known(release.model, action.version) is None:
            return Source.PACKAGES
        return Source.SUITES if isinstance(action, RunSuites) else SOURCES[type(action)]

    def _performed(self, release: Release, action: Action) -> tuple[Fact, ...]:
        try:
            if isinstance(action, _CHANGING) and not self._leads():  # this process slept, and another one leads now
                return (Unreachable(SOURCES[type(action)], "another controller leads for this database"),)
            return tuple(self._performers[type(action)](release, action))
        except (SerinError, ArtifactError, SuiteError, OSError, MemoryError) as error:
            return (found_by(release, action, error),)
        except Exception as error:  # despite a defect, deadlines and people's commands must be decided
            log.exception("release %s: %s failed", release.id, type(action).__name__)
            return (Unreachable(SOURCES[type(action)], f"{type(error).__name__}: {error}"),)

    # --- capacity ------------------------------------------------------------------------------------------------
    def _serve(self, release: Release, action: Serve) -> Iterator[Fact]:
        artifact = self._artifact(release.model, action.version)
        yield Sighted(artifact.version, artifact.tagged)
        status = self._run(release.policy, release.served_with(action.version), action.version, artifact)
        self._started_again.note(release, status)
        yield Serving(status.version, status.condition, status.detail)

    def keep_running(self, policy: ReleasePolicy, serving: ServingPolicy, version: Version) -> DeploymentStatus:
        """Start the version unless it runs, and return its state. Raises as `Artifacts.obtain`, and TransientError."""
        return self._run(policy, serving, version, self._artifact(policy.model, version))

    def _run(
        self, policy: ReleasePolicy, serving: ServingPolicy, version: Version, artifact: Artifact
    ) -> DeploymentStatus:
        """Start the version unless it runs, and return its state. Raises TransientError if it cannot be started."""
        spec = DeploymentSpec(
            policy.model, artifact.version, policy.objectives_ms, policy.replica, serving, policy.start_timeout_s
        )
        try:
            status = self._world.deployments.ensure(spec)
        except TransientError:
            self._look_again(policy.model, version)
            raise
        except PermanentError as error:
            raise TransientError(Source.DEPLOYMENTS, str(error)) from error
        if status.condition not in (Condition.READY, Condition.STARTING):
            self._look_again(policy.model, version)
        return status

    def _look_again(self, model: str, version: Version) -> None:
        """Have the version's files verified once more before they are used: they may be gone or damaged."""
        self._verified.pop((model, version.number, version.source_id), None)

    def _artifact(self, model: str, version: Version) -> Artifact:
        key = (model, version.number, version.source_id)
        found = self._verified.get(key)
        if found is None or version.fingerprint not in ("", found.version.fingerprint):
            found = self._verified[key] = self._artifacts.obtain(model, version)
        return found

    # --- judged without traffic ----------------------------------------------------------------------------------
    def _probe(self, release: Release, action: Probe) -> Iterator[Fact]:
        artifact = self._artifact(release.model, action.version)
        verdicts: tuple[Verdict, ...] = ()
        for url in self._urls(release.model, action.version):  # every replica must pass before it gets traffic
            verdicts = judge_replica(
                artifact.manifest,
                artifact.version.fingerprint,
                running=self._world.replicas.fingerprint(url),
                token_ids=self._world.replicas.token_ids(url, [golden.text for golden in artifact.manifest.golden]),
            )
            if any(verdict.outcome is not Outcome.PASS for verdict in verdicts):
                break
        if verdicts:
            yield Probed(artifact.version, verdicts, origin_of(artifact.manifest))

    def _run_suites(self, release: Release, action: RunSuites) -> Iterator[Fact]:
        if not action.suites:
            return
        candidate = self._subject(release, action.candidate)
        stable = self._subject(release, action.baseline) if action.baseline is not None else None
        if candidate is None or (action.baseline is not None and stable is None):
            return
        manifest = self._known(release.model, action.candidate)
        evidence = self._world.suites.run(SuiteOrder(release.model, action.suites, candidate, stable, manifest))
        yield SuitesRun(judge_suite_evidence(evidence, release.policy.gates), evidence)

    def _subject(self, release: Release, version: Version) -> Subject | None:
        """Return the version with the address of its first replica; None while it is not ready."""
        url = next(iter(self._urls(release.model, version)), None)
        return Subject(version, url, digest_of(release.served_with(version))) if url is not None else None

    def _urls(self, model: str, version: Version) -> Sequence[str]:
        """Return the addresses at which Serin asks the version's replicas its own questions, as shadow traffic; empty
        unless all replicas are ready.

        Raises:
            TransientError: a replica has no shadow port, so the questions would count as live traffic.
        """
        status = self._world.deployments.status(model).get(version.number)
        if status is None or not status.ready:
            return ()
        urls = [endpoint.shadow_url for endpoint in status.endpoints if endpoint.shadow_url is not None]
        if len(urls) < len(status.endpoints):
            raise TransientError(
                Source.DEPLOYMENTS,
                f"version {version.number} of {model} has no port for copies and questions, because an "
                "earlier version of Serin started it: restart it with `serin down` and `serin up`",
            )
        return urls

    # --- traffic and names ---------------------------------------------------------------------------------------
    def _route(self, release: Release, action: Route) -> Iterator[Fact]:
        traffic = self._world.traffic
        found = traffic.read(release.model)
        if found is not None and found.override is not None and not action.takes_up_override:
            yield Overridden(found.override)
            return
        drift = traffic.drift(release.model)
        if drift is not None and not action.replaces_edit:
            ways = "put it back, or have it replaced by `serin abort` or `serin rollback`"
            yield Unreachable(Source.TRAFFIC, f"{drift.what}; it is not overwritten (on_drift: hold): {ways}")
            return
        if found is None and drift is None and release.had_a_table:
            yield TableGone()
            return
        wanted = TrafficTable(
            model=release.model,
            weights_pct=action.weights_pct,
            mirror=action.mirror,
            known_good=action.known_good,
            generation=found.generation if found is not None else 0,
        )
        if found != wanted or drift is not None:
            wanted = wanted.next()
            traffic.write(wanted, over=drift)
            if found is not None and found.override is not None:  # the new table no longer holds the override
                yield Overridden(found.override)
        if drift is not None:
            yield EditReplaced(drift.by, drift.what)
        progress = traffic.progress(release.model)
        if progress is not None and progress.is_served and progress.generation == wanted.generation:
            yield Routed(dict(wanted.weights_pct), wanted.generation)
        elif progress is not None and progress.detail:
            yield Unreachable(Source.TRAFFIC, f"generation {wanted.generation} is {progress.stage}: {progress.detail}")

    def _check_champion(self, release: Release, action: CheckChampion) -> Iterator[Fact]:
        found = self._world.registry.aliases(release.model).get(CHAMPION)
        expected = action.expected.number if action.expected is not None else None
        if found not in (expected, action.to.number):
            before, now = (f"at version {place}" if place else "nowhere" for place in (expected, found))
            yield AliasSurprise(f"alias {CHAMPION!r} of {release.model}: expected {before}, found {now}.")

    def _move_champion(self, release: Release, action: MoveChampion) -> Iterator[Fact]:
        expected = action.expected.number if action.expected is not None else None
        try:
            self._world.registry.move_alias(release.model, CHAMPION, action.to.number, expected=expected)
        except (ConflictError, PermanentError) as error:
            yield AliasSurprise(str(error))
            return
        yield AliasAt(action.to.number)

    def _freeze(self, release: Release, action: FreezeModel) -> Iterator[Fact]:
        if release.model not in {freeze.model for freeze in self._world.freezes.in_force()}:
            freeze = Freeze(release.model, action.reason, f"serin, release {release.id}", self._world.clock.now_s())
            self._world.freezes.freeze(freeze)
        yield from ()

    # --- evidence ------------------------------------------------------------------------------------------------
    def look_due_at_s(self, release: Release, now_s: float) -> float:
        """Return `core.actions.look_due_at_s`; in probation, looks that were not recorded count too."""
        before_s = self._looked_s.get(release.model)
        if release.phase is Phase.PROBATION and before_s is not None:
            release = replace(release, looked_at_s=now_s - (self._world.clock.monotonic_s() - before_s))
        return look_due_at_s(release, now_s)

    def _take_look(self, release: Release, _: TakeLook) -> Iterator[Fact]:
        world, now_s, elapsed_s = self._world, self._world.clock.now_s(), self._world.clock.monotonic_s()
        if self.look_due_at_s(release, now_s) > now_s or not world.sampling.is_settled(release):
            return
        self._looked_s[release.model] = elapsed_s
        shares = world.sampling.largest(release), world.sampling.least(release)
        sources = Sources(world.metrics, world.samples, world.deployments, *shares)
        manifests = [self._known(release.model, version) for version in (release.stable, release.candidate)]
        look, cursors = look_at(
            sources,
            release,
            *manifests,
            now_s=now_s,
            label_names=self._names_of_labels(release.model),
            users=self._started_again.users(release),
            # Given at several looks: a gate that lacks evidence at the first look does not read the findings there.
            earlier=self._earlier(release.model) if release.looks < _EARLIER_TOLD else (),
        )
        self._started_again.looked(release, elapsed_s)
        yield LookTaken(look, cursors, judge(release, look))

    def _replay(self, release: Release, _: Replay) -> Iterator[Fact]:
        policy, stable = release.policy.shadow_replay, release.stable
        if stable is None or release.id in self._replayed:
            return
        asked = Asked(*(tuple(self._urls(release.model, version)) for version in (stable, release.candidate)))
        if not (asked.stable and asked.candidate):
            return
        order = ReplayOrder(
            release.id,
            release.model,
            stable.number,
            release.candidate.number,
            release.started_at_s,
            policy,
            release.policy.gates.labels.chosen_ratio_max,
            release.policy.suites,
        )
        chance = self._world.sampling.largest(release)  # the same weight as that of live pairs
        for_s = min(release.policy.look_every_s, _REPLAYED_S)
        if not self._world.replays.go_on(order, asked, for_s=for_s, inclusion_probability=chance):
            self._replayed.add(release.id)
        yield from ()

    def _known(self, model: str, version: Version | None) -> Manifest | None:
        """Return the manifest; None unless this process has verified the package."""
        key = (model, version.number, version.source_id) if version is not None else None
        artifact = self._verified.get(key) if key is not None else None
        return artifact.manifest if artifact is not None else None
