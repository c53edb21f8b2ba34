"""Drills on an installation elsewhere, by the interface of its controller and by its gateway: F8 and F9."""

import re
import time
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Final

from controller.adapters.clock import SystemClock
from controller.adapters.local.drill_guard import Guard
from controller.adapters.local.drill_lists import LongLists
from controller.adapters.local.drill_requests import asked as asked_once
from controller.adapters.local.drill_strangers import EVERY_S, Strangers
from controller.adapters.remote.installation import RemoteInstallation
from controller.bootstrap import drill_undo, drill_undo_afar
from controller.bootstrap.afar import wire_to
from controller.bootstrap.drill_counts import Counts, refused_by_interface
from controller.bootstrap.drill_metrics import alerts_of, batches, refused_of
from controller.bootstrap.drill_sight import AfarLookout, faults_of
from controller.bootstrap.drilling import FREEZE_SPARE_S, GUARD_SPARE_S, Asked, in_a_freeze, under_load
from controller.core.drills import By, Drill, Drilled, Means, Noted
from controller.drilling import DrillPorts, drilled
from controller.errors import Source, TransientError, UsageError
from controller.overview import Overview
from controller.ports.drills import Injection
from controller.report.words import until
from serving.contract import LABELS_ROUTE

_SCRAPED_EVERY_S: Final = 15.0  # nobody tells from here
_PROBE_TIMEOUT_S: Final = 10.0
_OF_A_DRILL: Final = re.compile(r"drill F\d: ")
_FROM_HERE: Final = "; what logs hold of them is not looked at from afar."
_INSTEAD: Final[Mapping[Means, str]] = dict.fromkeys(
    (Means.SLOWED, Means.ALL_SLOWED, Means.WORKER_KILLED, Means.REPLICA_KILLED),
    "does something to processes: play it on the machine of `serin up`; on a cluster delete a pod, or use its chaos "
    "tool: the alerts are the same",
) | dict.fromkeys(
    (Means.ALTERED_PACKAGE, Means.EXCHANGED_CLASSES, Means.SURER),
    "alters a copy of a package: play it on the machine of `serin up`",
)


@dataclass(frozen=True, slots=True)
class Afar:
    """Where the installation is. ``predict_url``: of the model at its gateway; ``shown``: the headers with the token
    that clients show there, where they need one. ``prometheus``: where its metrics are read; None: nowhere."""

    url: str
    token_file: Path | None
    ca_file: Path | None
    predict_url: str
    shown: Mapping[str, str]
    prometheus: str | None
    every_s: float = EVERY_S  # a request of strangers

    def play(self, asked: Asked, *, wait: Callable[[float], bool], tell: Callable[[Noted], None]) -> Drilled:
        """Play a drill to its end; nothing of it is left.

        Raises:
            UsageError: it cannot be played from here, and why; nothing was done.
            TransientError: something that it needs does not answer; what was injected is undone, or the freeze is named
                that could not be lifted.
        """
        ground = _ground(self, asked)
        injection, times = _injection(ground), asked.times
        length_s = times.before_s + times.for_s + times.over_within_s + GUARD_SPARE_S
        token = self.shown.get("authorization", "").removeprefix("Bearer ") or None
        with ExitStack() as stack:
            stack.enter_context(_frozen(ground, length_s))
            users = stack.enter_context(under_load(self.predict_url, ground.texts, asked.rate_per_s, length_s, token))
            since_s = ground.overview.now_s  # by the clock there
            lookout = AfarLookout(ground.installation, self.prometheus, asked.model, since_s)
            ports = DrillPorts(injection, lookout, users, SystemClock(), wait, tell)
            return drilled(_seen_from_afar(ground), asked.model, times, ports)

    def foreseen(self, asked: Asked) -> Sequence[str]:
        """Return what the drill would be done to. Raises UsageError as `play`, but asks for no freeze; nothing is done
        or frozen."""
        return _injection(_ground(self, in_a_freeze(asked))).targets


@dataclass(frozen=True, slots=True)
class _Ground:
    """The installation as a drill finds it."""

    afar: Afar
    installation: RemoteInstallation
    asked: Asked
    overview: Overview
    texts: Sequence[str]


def check_from_afar(drill: Drill) -> None:
    """Raise UsageError where the drill cannot be played from afar, with what to do instead."""
    if (why := _INSTEAD.get(drill.means)) is not None:
        raise UsageError(f"{drill.mode} {why}")


def _ground(afar: Afar, asked: Asked) -> _Ground:
    """The installation, if the drill may be played there. Raises UsageError where it may not."""
    model = asked.model
    check_from_afar(asked.drill)
    if asked.texts is None:
        raise UsageError("--texts: a model's suite cannot be read from here: name a file of texts to send")
    wire = wire_to(afar.url, token_file=afar.token_file, ca_file=afar.ca_file)
    installation = RemoteInstallation(wire)
    overview = installation.overview(model)
    newest = next(iter(installation.releases(model, limit=1)), None)
    if newest is not None and newest.active:
        raise UsageError(
            f"{newest.release_id} is {newest.phase}, and the drill would count in it: wait until it is "
            f"over (`serin wait {model} --server {afar.url}`)"
        )
    for freeze in overview.freezes:
        if _OF_A_DRILL.match(freeze.reason):
            raise UsageError(
                f"another drill froze {freeze.model} ({freeze.reason!r}, by {freeze.by}): wait until it is "
                f"over{until(freeze, overview.now_s)}; if its machine is lost, "
                f"`serin unfreeze {freeze.model} --server {afar.url}`"
            )
    if asked.freeze is None and not overview.freezes:
        raise UsageError(f"{model} is not frozen: `serin freeze {model} --reason ...` before, or --freeze --reason ...")
    if model not in overview.traffic:
        raise UsageError(f"no version of {model} serves: there is nothing to drill")
    if faults := faults_of(model, overview):
        told = "; ".join(f"{name} {fault}" for name, fault in faults.items())
        raise UsageError(f"not everything answers, and the drill would be blamed for that: {told}. See `serin status`")
    if afar.prometheus is not None and (fault := next(iter(alerts_of(afar.prometheus, model)[1].values()), "")):
        raise UsageError(f"--prometheus {afar.prometheus}: {fault}")
    found = asked_once(afar.predict_url, {"text": asked.texts[0]}, afar.shown, timeout_s=_PROBE_TIMEOUT_S)
    if found.how != "200":
        way = ": name the file of a client's token with --bearer-file" if found.how == "401" and not afar.shown else ""
        raise UsageError(f"{afar.predict_url} answers with {found.how}, and the drill would be blamed for that{way}")
    return _Ground(afar, installation, asked, overview, asked.texts)


@contextmanager
def _frozen(ground: _Ground, length_s: float) -> Iterator[None]:
    """Freeze the model while the block lasts, where that is asked for and it is not frozen, beside a guard that lifts
    the freeze should this process die; should its machine be lost, the freeze ends by itself. A token that may freeze
    and not lift freezes nothing."""
    asked, installation, afar = ground.asked, ground.installation, ground.afar
    if asked.freeze is None or ground.overview.freezes:
        yield
        return
    nobody = f"drill-{uuid.uuid4().hex}"
    installation.unfreeze(nobody, reason=drill_undo.OVER, by=drill_undo.BY)  # raises where the token may not
    reason = f"{asked.freeze} ({time.strftime('%Y-%m-%d %H:%M:%S', time.gmtime(ground.overview.now_s))} UTC)"
    undo = drill_undo_afar.command_of(afar.url, afar.token_file, afar.ca_file, asked.model, reason)
    with Guard([], length_s, undo):
        try:
            installation.freeze(asked.model, reason=reason, by=asked.by, for_s=length_s + FREEZE_SPARE_S)
            yield
        finally:
            _lifted(ground, reason)


def _lifted(ground: _Ground, reason: str) -> None:
    model, url = ground.asked.model, ground.afar.url
    try:
        drill_undo_afar.lifted(ground.installation, model, reason)
    except TransientError as error:
        told = f"{model} stays frozen for now ({reason!r}): {error}; then `serin unfreeze {model} --server {url}`"
        raise TransientError(Source.FREEZES, told) from error


# --- what is injected ------------------------------------------------------------------------------------------------
def _injection(ground: _Ground) -> Injection:
    """Raises UsageError where it cannot be done from here."""
    return _long_lists(ground) if ground.asked.drill.means is Means.LONG_LISTS else _strangers(ground)


def _long_lists(ground: _Ground) -> LongLists:
    """Its limits are found by asking: no policy is read from here."""
    afar, asked = ground.afar, ground.asked
    if afar.prometheus is None:
        raise UsageError(
            f"--prometheus: {asked.drill.mode} is noticed by metrics of replicas: say where they can be read"
        )
    if not asked.users_may_fail:
        raise UsageError(
            f"if serving.admission.wait_ms_max of {asked.model} is set, requests that would wait behind "
            "the drill's are refused, and the policy cannot be read from here: add --users-may-fail"
        )
    lately = partial(batches, afar.prometheus, _SCRAPED_EVERY_S, asked.model)
    return LongLists(afar.predict_url, ground.texts[0], afar.shown, lately)


def _strangers(ground: _Ground) -> Strangers:
    """To the gateway where clients need a token, else to the controller's interface."""
    afar, model = ground.afar, ground.asked.model
    if not afar.shown:
        wire = wire_to(afar.url, token_file=afar.token_file, ca_file=afar.ca_file)
        counts = Counts(partial(refused_by_interface, wire), "the controller's metrics")
        return Strangers(afar.url.rstrip("/") + LABELS_ROUTE, {}, "labels", counts, afar.ca_file, every_s=afar.every_s)
    if afar.prometheus is None:
        raise UsageError(
            "--prometheus: refusals at the gateway are counted by replicas: say where their metrics can be read"
        )
    counts = Counts(partial(refused_of, afar.prometheus, model), "the replicas' metrics")
    return Strangers(afar.predict_url, {}, "text", counts, every_s=afar.every_s)


def _seen_from_afar(ground: _Ground) -> Drill:
    """Return the drill with what can be seen of it from here, and what of its promise is not looked at."""
    drill, afar = ground.asked.drill, ground.afar
    if drill.means is not Means.STRANGERS:
        return drill
    alerts = drill.alerts if afar.shown else ()  # the interface's refusals are no replica's
    return replace(drill, promise=drill.promise.partition(";")[0] + _FROM_HERE, alerts=alerts, told_by=By.METRICS)
