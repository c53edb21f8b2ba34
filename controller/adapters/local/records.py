"""The record of each local deployment, in one small file each, so that the next controller finds them running."""

import dataclasses
import json
import logging
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any

import psutil

from controller.adapters.local.marks import is_anothers, keeper_of, running_marked, told_settings
from controller.adapters.local.processes_os import ProcessIdentity, identity_from, runs
from controller.errors import PermanentError, TransientError
from controller.files import replace_file
from controller.reserve import make_room
from serving.contract import NameRefusedError, replica_name, replica_of

log = logging.getLogger(__name__)

_CLOCK_STEP_NS = 1_000_000_000  # two changes within one tick of a file system's clock bear one time
_START_BYTES = 1 << 16  # what a replica writes before it serves: its ports, and why not
_DAMAGED = (ValueError, KeyError, TypeError, AttributeError)
_UNREADABLE = (OSError, *_DAMAGED)
_BY_THE_CLOCK = {  # of earlier versions of Serin, and what stands for it now
    "create_time_s": None,
    "started_at_s": None,
    "starts_s": None,
    "ending_since_s": "ending_s",
    "failed_at_s": "failed_s",
}


@dataclass(frozen=True, slots=True)
class Record:
    """The present start of one replica of a deployment. ``failure`` is empty while its process is believed to run.

    Times are by the monotonic clock of the machine's run that ``boot_id`` names; they say nothing in another run.
    """

    model: str
    version: str
    pid: int
    start_ticks: int
    boot_id: str
    command: tuple[str, ...]
    started_s: float
    recent_starts_s: tuple[float, ...]  # this start and those before it that still count for the restart limit
    log_offset: int  # where this start's output begins in the log
    port: int | None = None
    answered: bool = False  # it answered its health route at least once since this start
    ending_s: float | None = None  # since when it is being ended
    restarts: int = 0  # starts after the first, since the deployment was asked for
    failed_s: float | None = None
    failure: str = ""
    shadow_port: int | None = None  # none: started by a version of Serin in which copies had no port of their own
    fingerprint: str = ""  # of the package that it was started with
    memory_kills: int | None = None  # on this machine, before it was started
    recovering: bool = False  # it had died by itself before this start, after it had answered or ever since
    ours: bool = False  # the failure is one of this machine
    replica: int = 1  # of its version's
    settings: str = ""  # the digest of the settings that it was started with; "": the defaults
    failed_before: str = ""  # how the start before this one ended, where that was one too many

    @property
    def name(self) -> str:
        return replica_name(self.model, self.version, self.replica)

    @property
    def identity(self) -> ProcessIdentity:
        return ProcessIdentity(self.pid, self.start_ticks, self.boot_id)

    @property
    def url(self) -> str | None:
        return _url(self.port)

    @property
    def shadow_url(self) -> str | None:
        return _url(self.shadow_port)


def _url(port: int | None) -> str | None:
    return None if port is None else f"http://127.0.0.1:{port}"


@dataclass(frozen=True, slots=True)
class _Listing:
    """The names in the folder, by model, as they were when the folder had this time of change."""

    changed_ns: int
    names: Mapping[str, Sequence[str]]
    sure: bool  # it had stood still for so long that every later change bears another time


@dataclass(slots=True)
class Records:
    """The folder of records, logs and port files. One writer at a time. A record whose process is kept for another
    folder, of which this one is a copy, is none.

    A record that cannot be written is kept here, and written later: what this process started is never started twice.
    One that was damaged or deleted is made anew from the process itself, if that runs.
    """

    directory: Path
    now_s: Callable[[], float] = time.monotonic
    _unwritten: dict[str, Record] = field(default_factory=dict)
    _listing: _Listing | None = None
    _anothers: dict[ProcessIdentity, bool] = field(default_factory=dict)

    def load(self, name: str) -> Record | None:
        """Return the record; None where there is no such deployment, so far as its record tells: see ``found``."""
        if name in self._unwritten:
            return self.save(self._unwritten[name])
        path = self._path(name)
        try:
            return self._ours(_decoded(json.loads(path.read_text(encoding="utf-8")), self.now_s()))
        except FileNotFoundError:
            return None
        except _DAMAGED as error:
            log.warning("%s was damaged (%r): rewritten from what is running", path, error)
            found = self.found(name)
            if found is None:
                path.unlink(missing_ok=True)
            return found

    def found(self, name: str) -> Record | None:
        """The record of what runs under this name although no record tells of it; None where nothing does."""
        identity = running_marked(self.directory).get(name)
        if identity is None:
            return None
        model, version, replica = replica_of(name)
        command, now_s = tuple(psutil.Process(identity.pid).cmdline()), self.now_s()
        flags = dict(pairwise(command))
        log_file = self.log_file(name)
        offset = log_file.stat().st_size if log_file.exists() else 0
        fingerprint = flags.get("--fingerprint", "")
        known = dataclasses.asdict(identity)
        return self.save(
            Record(
                model=model,
                version=version,
                **known,
                command=command,
                started_s=now_s,
                recent_starts_s=(now_s,),
                log_offset=offset,
                fingerprint=fingerprint,
                replica=replica,
                settings=told_settings(identity),
            )
        )

    def of(self, model: str, version: str) -> Sequence[Record]:
        """Those of one version, by the numbers of its replicas."""
        found = [record for record in self.of_model(model) if record.version == version]
        return sorted(found, key=lambda record: record.replica)

    def of_model(self, model: str) -> Sequence[Record]:
        """Those of one model; no other's file is read."""
        unwritten = [name for name, record in self._unwritten.items() if record.model == model]
        names = sorted({*self._listed().get(model, ()), *unwritten})
        return [record for record in map(self.load, names) if record is not None and record.model == model]

    def _listed(self) -> Mapping[str, Sequence[str]]:
        """The names of the records by model. The folder is read again once it has changed."""
        try:
            changed_ns = self.directory.stat().st_mtime_ns
        except FileNotFoundError:
            return {}
        if self._listing is None or not self._listing.sure or self._listing.changed_ns != changed_ns:
            names: dict[str, list[str]] = {}
            for path in self.directory.glob("*.json"):
                with suppress(NameRefusedError):  # no deployment is called so
                    names.setdefault(replica_of(path.stem)[0], []).append(path.stem)
            self._listing = _Listing(changed_ns, names, time.time_ns() - changed_ns > _CLOCK_STEP_NS)
        return self._listing.names

    def all(self) -> Sequence[Record]:
        names = {path.stem for path in self.directory.glob("*.json")} | self._unwritten.keys()
        return [record for record in map(self.load, sorted(names)) if record is not None]

    def readable(self) -> Sequence[Record]:
        """Those that can be read, as they stand; nothing is mended."""
        found = []
        for path in sorted(self.directory.glob("*.json")):
            with suppress(*_UNREADABLE):
                found.append(self._ours(_decoded(json.loads(path.read_text(encoding="utf-8")), self.now_s())))
        return [record for record in found if record is not None]

    def _ours(self, record: Record) -> Record | None:
        """The record, unless its process runs for another folder."""
        identity = record.identity
        if identity not in self._anothers:
            anothers = runs(identity) and is_anothers(keeper_of(identity.pid), self.directory)
            self._anothers[identity] = anothers
        return None if self._anothers[identity] else record

    def save(self, record: Record) -> Record:
        """Write the record; where that is refused, it is kept in memory until it is not."""
        try:
            replace_file(self._path(record.name), json.dumps(dataclasses.asdict(record), indent=1))
        except TransientError as error:
            if record.name not in self._unwritten:
                log.warning("kept in memory alone until there is room: %s", error)
            self._unwritten[record.name] = record
        else:
            self._unwritten.pop(record.name, None)
        return record

    def forget(self, name: str) -> None:
        """The log stays: it may be all that tells why."""
        self._unwritten.pop(name, None)
        self._path(name).unlink(missing_ok=True)
        self.port_file(name).unlink(missing_ok=True)
        self.token_file(name).unlink(missing_ok=True)

    def prepare(self, name: str) -> int:
        """Make room for a new start, and say where its output will begin in the log."""
        self.directory.mkdir(parents=True, exist_ok=True)
        make_room(self.directory, _START_BYTES)
        self.port_file(name).unlink(missing_ok=True)
        log_file = self.log_file(name)
        return log_file.stat().st_size if log_file.exists() else 0

    def port_file(self, name: str) -> Path:
        return self.directory / f"{name}.port"

    def token_file(self, name: str) -> Path:
        """The secret by which the replica sends its predictions."""
        return self.directory / f"{name}.token"

    def log_file(self, name: str) -> Path:
        return self.directory / f"{name}.log"

    def read_ports(self, name: str) -> tuple[int, int] | None:
        """The port for live requests and that for copies; None until the replica has written both, to the last line's
        end."""
        try:
            lines = self.port_file(name).read_text(encoding="ascii").splitlines(keepends=True)
        except FileNotFoundError:
            return None
        ports = [int(line) for line in lines if line.endswith("\n") and line.strip().isdigit()]
        return (ports[0], ports[1]) if len(ports) == 2 else None

    def log_tail(self, record: Record, *, bytes_max: int = 1500) -> str:
        """The end of what this start said; nothing where the log was cleared away."""
        if not self.log_file(record.name).exists():
            return ""
        with self.log_file(record.name).open("rb") as log_file:
            end = log_file.seek(0, 2)
            log_file.seek(max(record.log_offset, end - bytes_max))
            return log_file.read().decode("utf-8", errors="replace").strip()

    def _path(self, name: str) -> Path:
        if Path(name).name != name or name.startswith("."):
            raise PermanentError(f"a deployment cannot be called {name!r}: that would be a path")
        return self.directory / f"{name}.json"


def _decoded(fields: Mapping[str, Any], now_s: float) -> Record:
    """Raises KeyError, TypeError, ValueError or AttributeError where it is no record of ours."""
    known = {name: value for name, value in fields.items() if name not in _BY_THE_CLOCK}
    if "start_ticks" not in fields:  # of a version of Serin that told time by the wall clock: its times begin now
        known |= {"started_s": now_s, "recent_starts_s": (now_s,)}
        known |= {new: now_s for old, new in _BY_THE_CLOCK.items() if new and fields.get(old) is not None}
    known |= dataclasses.asdict(identity_from(fields))
    known |= {"command": tuple(known["command"]), "recent_starts_s": tuple(known["recent_starts_s"])}
    return Record(**known)
