"""Deployments as processes of this machine. They outlive the controller, whose successor takes them up again."""

import errno
import logging
import signal
import subprocess
import threading
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from enum import Enum, auto
from pathlib import Path

from controller.adapters.local.loopback import get
from controller.adapters.local.marks import marked, running_marked
from controller.adapters.local.processes_os import (
    boot_id,
    end_groups,
    group_runs,
    identity_of,
    memory_kills,
    runs,
    signal_group,
    start_process,
)
from controller.adapters.local.records import Record, Records
from controller.adapters.local.tries import MISSES_MAX, Patience, endpoint_of
from controller.core.condition import Condition
from controller.core.serving import digest_of
from controller.errors import PermanentError
from controller.naming import deployment_named
from controller.ports.clock import Clock
from controller.ports.runtime import DeploymentSpec, DeploymentStatus, Endpoint
from serving.contract import EXIT_SHORTAGE, EXIT_USAGE, HEALTH_ROUTE, replica_name

log = logging.getLogger(__name__)

_HEALTH_WITHIN_S = 0.5
_COULD_NOT_ASK = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM, errno.EADDRNOTAVAIL})
_EXITS_OURS = frozenset({EXIT_USAGE, EXIT_SHORTAGE})  # its command line is ours, and so is what this machine lacks


Place = tuple[str, str | None]  # the url for live requests, and that for copies


@dataclass(frozen=True, slots=True)
class Gateway:
    """The one who must know where a deployment answers. Both calls are safe to repeat, and may refuse by raising."""

    announce: Callable[[str, str, Mapping[str, Place]], None]  # model, version, and by replica where it answers
    withdraw: Callable[[str, str], None]  # model, version


class LocalProcesses:
    """Implements ``Deployments``; what it must remember stands in ``directory``. Calls may come from any thread.

    Times are those of the monotonic clock, the same in every process of this run of the machine: setting the wall clock
    changes nothing here.
    """

    def __init__(
        self,
        directory: Path,
        command: Callable[[DeploymentSpec, Path], Sequence[str]],
        gateway: Gateway,
        clock: Clock,
        patience: Patience | None = None,
    ) -> None:
        self._records = Records(directory, clock.monotonic_s)
        self._command = command
        self._gateway = gateway
        self._clock = clock
        self._patience = patience or Patience()
        self._children: dict[str, subprocess.Popen[bytes]] = {}
        self._announced: dict[tuple[str, str], Collection[Place]] = {}  # by version: what the gateway was told by us
        self._misses: dict[str, int] = {}  # name -> health checks since the last one that it passed
        self._silent_s: dict[str, float] = {}  # name -> since when it has answered nothing at all
        self._lock = threading.RLock()

    def ensure(self, spec: DeploymentSpec) -> DeploymentStatus:
        with self._lock:
            numbers = range(1, spec.serving.replicas + 1)
            return DeploymentStatus(spec.version, tuple(self._ensured(spec, number) for number in numbers))

    def _ensured(self, spec: DeploymentSpec, number: int) -> Endpoint:
        """One replica of the version."""
        deployment_named(spec.model, spec.version)
        name = replica_name(spec.model, spec.version, number)
        record = self._records.load(name) or self._records.found(name)
        record = record and self._observed(record)
        if record is not None and not _is_of(record, spec):
            self.remove(spec.model, spec.version)
            return Endpoint(Condition.DISTURBED, detail="it makes room for what is needed now")
        if record is None or self._is_due(record):
            record = self._start(spec, number, after=record)
        return self.seen_last(record)

    def status(self, model: str) -> Mapping[str, DeploymentStatus]:
        with self._lock:
            observed = [self._observed(record) for record in self._records.of_model(model)]
            return _by_version((record, self.seen_last(record)) for record in observed if record is not None)

    def remove(self, model: str, version: str) -> None:
        """The first call withdraws it from the gateway and sends SIGTERM; later calls of any method see it through."""
        with self._lock:
            for record in self._records.of(model, version):
                self._observed(record if record.ending_s is not None else self._ended(record))

    def _ended(self, record: Record) -> Record:
        """Withdrawn from the gateway, and told to end."""
        self._gateway.withdraw(record.model, record.version)
        signal_group(record.identity, signal.SIGTERM)
        return self._records.save(replace(record, ending_s=self._clock.monotonic_s()))

    def _start(self, spec: DeploymentSpec, number: int, *, after: Record | None) -> Record:
        """``after``: the record of the start that it replaces."""
        name = replica_name(spec.model, spec.version, number)
        offset = self._records.prepare(name)
        if after is not None:
            log.warning("%s is started again: %s", name, after.failure.partition("; its log ends:")[0])
        command = tuple(self._command(spec, self._records.port_file(name)))
        settings = digest_of(spec.serving)
        env = marked(self._records.directory, name, settings=settings)
        child = start_process(command, self._records.log_file(name), env=env)
        identity = identity_of(child.pid)  # it is our child and not reaped, so it has one even if it has ended already
        if identity is None:
            raise PermanentError(f"{name} was started, but there is no process {child.pid}")
        self._children[name] = child
        now_s = self._clock.monotonic_s()
        return self._records.save(
            Record(
                model=spec.model,
                version=spec.version,
                **asdict(identity),
                command=command,
                started_s=now_s,
                recent_starts_s=(*(self._patience.counted_starts(after, now_s) if after else ()), now_s),
                restarts=after.restarts + 1 if after else 0,
                log_offset=offset,
                fingerprint=spec.artifact.fingerprint,
                replica=number,
                settings=settings,
                memory_kills=memory_kills(),
                recovering=after is not None and not after.ours and (after.answered or after.recovering),
                failed_before=after.failure if after is not None and self._patience.has_failed(after, now_s) else "",
            )
        )

    def _observed(self, record: Record) -> Record | None:
        """The record after a look at the process; None where it was being ended and is gone."""
        self._reap(record.name)  # a dead child that nobody asks for stays in the table of processes
        if record.boot_id not in ("", boot_id()):  # the machine was started again: nothing that it did ended it
            self._forget(record)
            return None
        if record.ending_s is not None:
            return self._seen_through(record, record.ending_s)
        if record.failure:
            return record
        if not runs(record.identity):
            return self._failed(record, f"it ended{self._exit(record)}", ours=self._is_ours(record))
        if record.port is None and (ports := self._records.read_ports(record.name)) is not None:
            record = self._records.save(replace(record, port=ports[0], shadow_port=ports[1]))
        return self._probed(record)

    def _probed(self, record: Record) -> Record:
        url = record.url
        answer = _asked(url) if url is not None else _Answer.NONE
        if answer is _Answer.COULD_NOT_ASK:
            return record
        if answer is not _Answer.NONE:
            self._silent_s.pop(record.name, None)
        if answer is _Answer.WELL and url is not None:
            return self._found_well(record, url)
        now_s = self._clock.monotonic_s()
        misses = self._misses[record.name] = self._misses.get(record.name, 0) + 1
        if not record.answered and now_s - record.started_s > self._patience.start_within_s:
            return self._failed(record, f"it did not answer {HEALTH_ROUTE} within {self._patience.start_within_s:g} s")
        silent_s = now_s - self._silent_s.setdefault(record.name, now_s) if answer is _Answer.NONE else 0.0
        if record.answered and misses > MISSES_MAX and silent_s > self._patience.hung_after_s:
            return self._failed(record, f"it hung: nothing answered {HEALTH_ROUTE} for {silent_s:.0f} s")
        return record

    def _found_well(self, record: Record, url: str) -> Record:
        self._misses[record.name] = 0
        if not self._has_seen(record):
            self._announce(record)
            log.info("%s answers at %s", record.name, url)
        if record.answered and not record.failed_before:
            return record
        return self._records.save(replace(record, answered=True, failed_before=""))

    def _announce(self, changed: Record) -> None:
        """Tell the gateway where the version answers, this replica as it is now; where no replica does, it goes on by
        what it was told."""
        others = [one for one in self._records.of(changed.model, changed.version) if one.name != changed.name]
        well = [one for one in others if one.answered]
        places = {
            one.name: (one.url, one.shadow_url)
            for one in sorted([*well, changed], key=lambda one: one.replica)
            if one.url is not None and not one.failure and one.ending_s is None
        }
        if places:
            self._gateway.announce(changed.model, changed.version, places)
            self._announced[changed.model, changed.version] = frozenset(places.values())

    def _failed(self, record: Record, what: str, *, ours: bool = False) -> Record:
        signal_group(record.identity, signal.SIGKILL)  # what it may have left behind
        failure = f"{what}; its log ends: {self._records.log_tail(record) or '(it said nothing)'}"
        dead = self._records.save(replace(record, failed_s=self._clock.monotonic_s(), failure=failure, ours=ours))
        if self._has_seen(record):
            self._announce(dead)  # where others answer, none is sent to this one any more
        log.warning("%s, %s: %s", dead.name, self._patience.count(dead, self._clock.monotonic_s()), failure)
        return dead

    def _seen_through(self, record: Record, ending_since_s: float) -> Record | None:
        if group_runs(record.identity):
            if self._clock.monotonic_s() - ending_since_s > self._patience.end_within_s:
                signal_group(record.identity, signal.SIGKILL)
            return record
        self._forget(record)
        return None

    def _forget(self, record: Record) -> None:
        self._records.forget(record.name)
        self._reap(record.name)
        self._announced.pop((record.model, record.version), None)
        for memory in (self._children, self._misses, self._silent_s):
            memory.pop(record.name, None)

    def _reap(self, name: str) -> None:
        if (child := self._children.get(name)) is not None:
            child.poll()

    def _exit(self, record: Record) -> str:
        code = self._exit_code(record)
        if code is None:
            seen = self._has_seen(record)
            return "; an earlier controller had started it" if seen else " while no controller watched"
        return f" with exit code {code}" if code >= 0 else f" by {signal.Signals(-code).name}"

    def _exit_code(self, record: Record) -> int | None:
        self._reap(record.name)
        child = self._children.get(record.name)
        return child.returncode if child is not None and child.pid == record.pid else None

    def _is_ours(self, record: Record) -> bool:
        """Return whether nothing says that it ended by itself, or it did for want of something that this machine did
        not give it, by its own word or the kernel's."""
        code = self._exit_code(record)
        if code is None and not self._has_seen(record):
            return True  # with whatever ended the controller: nothing says that it was the version's own doing
        if code == -signal.SIGKILL and record.memory_kills is not None:
            return (memory_kills() or 0) > record.memory_kills
        return code in _EXITS_OURS

    def _has_seen(self, record: Record) -> bool:
        """Return whether this controller found it well: of one that an earlier controller started no exit code is
        told."""
        return (record.url, record.shadow_url) in self._announced.get((record.model, record.version), ())

    def _is_due(self, record: Record) -> bool:
        return self._patience.is_due(record, self._clock.monotonic_s())

    def seen_last(self, record: Record) -> Endpoint:
        """Return what the record says, without a look at the process."""
        misses = self._misses.get(record.name, 0)
        return endpoint_of(record, self._patience, misses=misses, now_s=self._clock.monotonic_s())


def statuses(directory: Path, clock: Clock) -> Mapping[str, Mapping[str, DeploymentStatus]]:
    """Every deployment that is recorded in the directory, by model and version, as its controller saw it last; nothing
    is asked, started, ended or written. One whose process is gone is not ready, whether that was noticed or not."""
    keeper = LocalProcesses(directory, lambda *_: (), Gateway(lambda *_: None, lambda *_: None), clock)
    seen: dict[str, list[tuple[Record, Endpoint]]] = {}
    for record in Records(directory, clock.monotonic_s).readable():
        endpoint = keeper.seen_last(record)
        if endpoint.condition is Condition.READY and not runs(record.identity):
            endpoint = Endpoint(Condition.FAILING, detail="its process is gone", restarts=endpoint.restarts)
        seen.setdefault(record.model, []).append((record, endpoint))
    return {model: _by_version(found) for model, found in seen.items()}


def _by_version(seen: Iterable[tuple[Record, Endpoint]]) -> Mapping[str, DeploymentStatus]:
    """Return the deployments of one model, by version."""
    found: dict[str, list[Endpoint]] = {}
    for record, endpoint in sorted(seen, key=lambda one: (one[0].version, one[0].replica)):
        found.setdefault(record.version, []).append(endpoint)
    return {version: DeploymentStatus(version, tuple(endpoints)) for version, endpoints in found.items()}


def _is_of(record: Record, spec: DeploymentSpec) -> bool:
    """Return whether the process is of the package and of the settings that are wanted: a number may be given again."""
    packages = {record.fingerprint, spec.artifact.fingerprint} - {""}
    return len(packages) < 2 and record.settings == digest_of(spec.serving)


def end_recorded(directory: Path, *, grace_s: float = 25.0) -> list[str]:
    """End every deployment of the directory, recorded or marked, whoever started it, and return their names. Waits for
    the end.

    For when everything is stopped; a controller that runs would start them again.
    """
    records = Records(directory)
    found = {record.name: record.identity for record in records.all()}
    ends = {**running_marked(directory), **found}
    end_groups(list(ends.values()), grace_s=grace_s, reap=())
    for name in ends:
        records.forget(name)
    return sorted(ends)


class _Answer(Enum):
    """The answer of a replica that was asked how it is."""

    WELL = auto()
    UNWELL = auto()
    NONE = auto()
    COULD_NOT_ASK = auto()  # this process lacked what asking needs, such as an open file: nothing is known


def _asked(url: str) -> _Answer:
    try:
        return _Answer.WELL if get(url + HEALTH_ROUTE, timeout_s=_HEALTH_WITHIN_S)[0] == 200 else _Answer.UNWELL
    except OSError as error:
        return _Answer.COULD_NOT_ASK if error.errno in _COULD_NOT_ASK else _Answer.NONE
