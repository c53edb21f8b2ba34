"""Drills on an installation of this machine: whether one can be played there, and how it is."""

import shutil
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Final
from urllib.parse import quote

from controller.adapters.clock import SystemClock
from controller.adapters.local.drill_guard import Guard
from controller.adapters.local.drill_lists import CHARS, TEXTS, LongLists
from controller.adapters.local.drill_package import AlteredPackage
from controller.adapters.local.drill_strangers import Logs, Strangers
from controller.adapters.local.drills import STOPPED_MS_MAX, Killed, Slowed
from controller.adapters.local.kept import running_supervisor
from controller.adapters.local.packages import PackageStore
from controller.adapters.local.records import Record, Records
from controller.adapters.mlflow.registry import MlflowRegistry
from controller.bootstrap import drill_undo
from controller.bootstrap.drill_load import LoadUsers, loading
from controller.bootstrap.drill_metrics import batches, requests_of
from controller.bootstrap.drill_sight import HomeLookout
from controller.bootstrap.drill_worse import WorseVersion
from controller.bootstrap.installations import service_of
from controller.bootstrap.parts import parts_of
from controller.config.secret_files import read_line
from controller.config.settings import Home, Settings
from controller.core.drills import STARTS_SPARE, Drill, Drilled, Means, Noted
from controller.core.policy import ReleasePolicy
from controller.core.release import Version
from controller.core.serving import ServingPolicy
from controller.core.traffic import TrafficTable
from controller.drilling import DrillPorts, Times, drilled
from controller.errors import Source, UsageError
from controller.files import is_locked, locked
from controller.monitoring.rules import groups_of
from controller.ports.drills import Injection
from controller.ports.runtime import DeploymentSpec
from controller.service import Service
from serving.contract import LABELS_ROUTE, PREDICT_ROUTE
from suites.cases import SuiteError
from suites.cases import load as load_suite

_RESTART_WINDOW_S: Final = 600.0
GUARD_SPARE_S: Final = 60.0
FREEZE_SPARE_S: Final = 600.0  # beyond the guard's time: the freeze of a drill whose machine is lost ends by itself
_SLOW_BEYOND: Final = 2.0  # times the least objective, which is that of P95
_OBJECTIVE_MS: Final = 200.0


@dataclass(frozen=True, slots=True)
class Asked:
    """The wish for a drill. ``texts``: what the drill's own requests say; none: those of the model's suites.
    ``freeze``: the reason of a freeze of its own; None: there has to be one."""

    drill: Drill
    model: str
    times: Times
    rate_per_s: float
    texts: Sequence[str] | None = None
    freeze: str | None = None
    by: str = ""
    users_may_fail: bool = False


def in_a_freeze(asked: Asked) -> Asked:
    """Return the wish as it is once the model is frozen: nobody freezes it to be told what would be done."""
    return replace(asked, freeze=asked.freeze or "a dry run")


@dataclass(frozen=True, slots=True)
class _Ground:
    """The installation as a drill finds it."""

    home: Home
    settings: Settings
    service: Service
    asked: Asked
    table: TrafficTable

    def records(self, versions: Sequence[str]) -> Sequence[Record]:
        known = [one for one in Records(self.home.deployments).readable() if one.model == self.asked.model]
        return [one for one in known if one.version in versions and one.answered and not one.failure]

    @property
    def policy(self) -> ReleasePolicy | None:
        return self.service.site.policies().get(self.asked.model)

    def package(self) -> Path:
        """Return the files of the version with most users."""
        store = PackageStore(MlflowRegistry(self.settings.registry), self.home.packages)
        return store.place(self.asked.model, Version(self.most))

    @property
    def most(self) -> str:
        """Return the version with most users."""
        return max(self.table.weights_pct, key=lambda version: self.table.weights_pct[version])


@dataclass(frozen=True, slots=True)
class AtHome:
    """An installation of this machine, where drills are played."""

    home: Home

    def play(self, asked: Asked, *, wait: Callable[[float], bool], tell: Callable[[Noted], None]) -> Drilled:
        """Play a drill to its end; nothing of it is left.

        Raises:
            UsageError: it cannot be played here, and why; nothing was done.
            TransientError: something that it needs does not answer; what was injected is undone.
        """
        home = self.home
        if is_locked(home.drill_lock):
            raise UsageError(f"another drill is being played in {home.path}: wait until it is over")
        with ExitStack() as stack:
            stack.enter_context(locked(home.drill_lock, source=Source.HOME))
            shutil.rmtree(home.drill, ignore_errors=True)  # of a drill that was killed
            ground = stack.enter_context(_ground(home, asked))
            times, texts = asked.times, _texts(ground)
            records = _stopped(ground)
            length_s = times.before_s + times.for_s + times.over_within_s + GUARD_SPARE_S
            undo = drill_undo.command_of(home, asked.model, asked.freeze)
            guard = stack.enter_context(Guard([one.identity for one in records], length_s, undo))
            injection = _injection(ground, guard)
            stack.enter_context(_frozen(ground, length_s))
            token = _own_token(ground)
            url = _predict_url(ground)
            began_s = time.time()
            users = stack.enter_context(under_load(url, texts, asked.rate_per_s, length_s, token))
            lookout = HomeLookout(home, ground.service, asked.model, began_s, rehearses=asked.drill.rehearses)
            ports = DrillPorts(injection, lookout, users, SystemClock(), wait, tell)
            return drilled(_with_alerts_of(ground), asked.model, times, ports)

    def foreseen(self, asked: Asked) -> Sequence[str]:
        """Return what the drill would be done to. Raises UsageError as `play`, but asks for no freeze; nothing is done
        or frozen."""
        with _ground(self.home, in_a_freeze(asked)) as ground:
            _texts(ground)
            return _injection(ground, Guard([], 0.0)).targets


@contextmanager
def _ground(home: Home, asked: Asked) -> Iterator[_Ground]:
    """The installation, if the drill may be played there. Raises UsageError where it may not."""
    settings, model, drill = home.load(), asked.model, asked.drill
    if settings.runtime is not None:
        raise UsageError(
            f"versions run on a cluster, whose pods are not this machine's: {drill.mode} is played there by its own "
            "means (delete a pod, or the chaos tool of the cluster), and seen by the same alerts; F8 and F9 are played "
            "with --server"
        )
    if running_supervisor(home.path) is None:
        raise UsageError(f"{home.path} is not up: a drill needs `serin up`, which restarts what ends")
    with service_of(home) as service:
        service.check(model)
        if (under_way := next(iter(service.releases(model, limit=1)), None)) is not None and under_way.active:
            raise UsageError(
                f"{under_way.release_id} is {under_way.phase}, and the drill would count in it: wait until it "
                f"is over (`serin wait {model}`)"
            )
        if asked.freeze is None and not service.frozen(model):
            raise UsageError(
                f"{model} is not frozen: `serin freeze {model} --reason ...` before, or --freeze --reason ..."
            )
        table = service.site.traffic().get(model)
        if table is None:
            raise UsageError(f"no version of {model} serves: there is nothing to drill")
        away = [part for part in parts_of(home, {model: table}) if not part.answers]
        if away:
            told = "; ".join(f"{part.name} {part.fault}" for part in away)
            raise UsageError(
                f"not everything answers, and the drill would be blamed for that: {told}. See `serin doctor`"
            )
        yield _Ground(home, settings, service, asked, table)


@contextmanager
def _frozen(ground: _Ground, length_s: float) -> Iterator[None]:
    """Freeze the model while the block lasts, where that is asked for and it is not frozen: of two freezes of a model
    none can be lifted alone."""
    asked, service = ground.asked, ground.service
    if asked.freeze is None or service.frozen(asked.model):
        yield
        return
    service.freeze(asked.model, reason=asked.freeze, by=asked.by, for_s=length_s + FREEZE_SPARE_S)
    try:
        yield
    finally:
        drill_undo.lifted(service, asked.model, asked.freeze)


@contextmanager
def under_load(
    url: str, texts: Sequence[str], rate_per_s: float, for_s: float, token: str | None
) -> Iterator[LoadUsers]:
    """Send the drill's own requests while the block lasts. Raises UsageError, which names the option."""
    try:
        with loading(url, texts, rate_per_s, for_s, token) as users:
            yield users
    except ValueError as error:
        name, _, rest = str(error).partition(" ")
        raise UsageError(f"--{name.replace('_', '-')} {rest}") from error


# --- what is injected ------------------------------------------------------------------------------------------------
def _stopped(ground: _Ground) -> Sequence[Record]:
    """Return the replicas that are to be stopped in turns; none, where the drill stops none."""
    means = ground.asked.drill.means
    if means is Means.SLOWED:
        return ground.records([ground.most])
    return ground.records(list(ground.table.weights_pct)) if means is Means.ALL_SLOWED else ()


def _injection(ground: _Ground, guard: Guard) -> Injection:
    """Raises UsageError where it cannot be done here."""
    home, asked, means = ground.home, ground.asked, ground.asked.drill.means
    if means in (Means.SLOWED, Means.ALL_SLOWED):
        return Slowed(_stopped(ground), _stopped_ms(ground), guard)
    if means in (Means.WORKER_KILLED, Means.REPLICA_KILLED):
        worker = means is Means.WORKER_KILLED
        return Killed(home.deployments, _to_kill(ground, worker=worker), worker, _own_token(ground) or "")
    if means is Means.ALTERED_PACKAGE:
        return AlteredPackage(DeploymentSpec(asked.model, Version(ground.most)), ground.package(), home.drill)
    if asked.drill.rehearses:
        return _worse(ground)
    return _long_lists(ground) if means is Means.LONG_LISTS else _strangers(ground)


def _stopped_ms(ground: _Ground) -> float:
    """Return how long at a time: beyond what the policy promises, and less than makes a health check fail."""
    objectives_ms = ground.policy.objectives_ms if ground.policy is not None else ()
    return min(STOPPED_MS_MAX, _SLOW_BEYOND * next(iter(objectives_ms), _OBJECTIVE_MS))


def _to_kill(ground: _Ground, *, worker: bool) -> Record:
    """Return the replica, where another one answers meanwhile or users may fail, and which has starts to spare."""
    own, asked = ground.records([ground.most]), ground.asked
    if not own:
        raise UsageError(f"no replica of {asked.model} version {ground.most} answers: see `serin doctor`")
    others = ground.records([*ground.table.weights_pct, *filter(None, [ground.table.known_good])])
    if len(others) < 2 and not asked.users_may_fail:
        what = "while its worker is replaced" if worker else "until it runs again"
        raise UsageError(
            f"{own[0].name} is the only replica that answers users, whose requests fail {what}: add "
            "--users-may-fail, or have the policy run several replicas (`serving.replicas`)"
        )
    since_s = time.monotonic() - _RESTART_WINDOW_S
    started = sum(1 for start_s in own[0].recent_starts_s if start_s >= since_s)
    if not worker and started > STARTS_SPARE:
        raise UsageError(
            f"{own[0].name} was started {started} times within ten minutes: wait until it has run for that long"
        )
    return own[0]


def _with_alerts_of(ground: _Ground) -> Drill:
    """Return the drill with those of its alerts that can come here."""
    asked, policies = ground.asked, ground.service.site.policies()
    there = {alert.name for group in groups_of(policies) for alert in group.alerts}
    if asked.drill.means is Means.STRANGERS and not ground.settings.require_tokens:
        there.clear()  # the interface's refusals are in its log alone
    return replace(asked.drill, alerts=tuple(name for name in asked.drill.alerts if name in there))


def _own_token(ground: _Ground) -> str | None:
    """Return Serin's own token at the replicas, where they want one."""
    return read_line("own token", ground.home.own_token) if ground.settings.require_tokens else None


def _worse(ground: _Ground) -> WorseVersion:
    asked, settings = ground.asked, ground.settings
    return WorseVersion(
        asked.drill.mode,
        asked.model,
        ground.package(),
        ground.home.drill,
        ground.service,
        MlflowRegistry(settings.registry),
        partial(requests_of, settings.prometheus, asked.model, asked.times.over_within_s + GUARD_SPARE_S),
        asked.by,
    )


def _long_lists(ground: _Ground) -> LongLists:
    """Raises UsageError where users' requests may be refused for it."""
    asked, settings, policy = ground.asked, ground.settings, ground.policy
    serving = policy.serving if policy is not None else ServingPolicy()
    if serving.admission.wait_ms_max is not None and not asked.users_may_fail:
        raise UsageError(
            f"serving.admission.wait_ms_max of {asked.model} makes replicas refuse requests that would "
            "wait behind the drill's: add --users-may-fail"
        )
    text = next(iter(_texts(ground)))
    shown = {"authorization": f"Bearer {token}"} if (token := _own_token(ground)) is not None else {}
    return LongLists(
        _predict_url(ground),
        text,
        shown,
        partial(batches, settings.prometheus, settings.scrape_interval_s, asked.model),
        texts=min(TEXTS, serving.limits.texts_max),
        chars=min(CHARS, serving.limits.text_chars_max),
    )


def _strangers(ground: _Ground) -> Strangers:
    home, settings = ground.home, ground.settings
    folders = (home.logs, home.deployments)
    if settings.require_tokens:
        return Strangers(_predict_url(ground), {}, "text", Logs(home.logs / "access.log", folders))
    return Strangers(settings.api + LABELS_ROUTE, {}, "labels", Logs(home.logs / "api-access.log", folders))


def _predict_url(ground: _Ground) -> str:
    return f"{ground.settings.gateway}/models/{quote(ground.asked.model, safe='')}{PREDICT_ROUTE}"


def _texts(ground: _Ground) -> Sequence[str]:
    """Return what the drill's own requests say."""
    if ground.asked.texts is not None:
        return ground.asked.texts
    for file in ground.policy.suites if ground.policy is not None else ():
        try:
            return [case.text for case in load_suite(Path(file)).cases]
        except SuiteError as error:
            raise UsageError(f"the suite of {ground.asked.model} cannot be read: {error}") from error
    raise UsageError(f"{ground.asked.model} has no suite whose texts could be sent: name a file with --texts")
