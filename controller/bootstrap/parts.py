"""The parts of an installation, each asked now whether it answers: what `serin status` and `serin doctor` go by.

What a controller wrote down of a part is the past's; nothing here is read from there. Whoever answers in the place of
the controller is known by the word of the home that it runs in, so that another home's is no answer.
"""

import json
import ssl
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from threading import Lock
from typing import Final
from urllib.parse import urlsplit

from controller.adapters.envoy.admin import BOOTSTRAP_FILE
from controller.adapters.envoy.bootstrap import is_ready
from controller.adapters.envoy.clusters import Addresses
from controller.adapters.envoy.tables import read_clusters
from controller.adapters.local.kept import recorded, running_supervisor
from controller.adapters.local.loopback import get, status_of
from controller.adapters.local.ports import holder_of
from controller.adapters.local.processes_os import runs
from controller.adapters.local.records import Record, Records
from controller.config.settings import Home, Settings
from controller.config.variables import INSTALLATION_KEY
from controller.core.parts import Kind, Part
from controller.core.traffic import TrafficTable
from controller.errors import SerinError
from controller.files import is_locked
from controller.naming import deployment_named
from serving.contract import HEALTH_ROUTE

ANSWERS_WITHIN_S: Final = 2.0
_KEPT_S: Final = 2.0
_OK: Final = 200
_BROKEN: Final = 500  # from this status on it is the server that fails, and not who asks
_LOG_LINE_BYTES: Final = 1_500
_ASKED_AT_ONCE: Final = 16

Ask = Callable[[], str]
"""Ask a part; returns why it does not answer, and nothing where it does."""


@dataclass(frozen=True, slots=True)
class _Question:
    part: Part
    ask: Ask
    way_out: str


class Lately:
    """The parts as they answered at most two seconds ago: many may look at once."""

    def __init__(self, read: Callable[[], Sequence[Part]]) -> None:
        self._read = read
        self._lock = Lock()
        self._found: Sequence[Part] = ()
        self._until_s = 0.0

    def __call__(self) -> Sequence[Part]:
        with self._lock:
            if time.monotonic() >= self._until_s:
                self._found = self._read()
                self._until_s = time.monotonic() + _KEPT_S
            return self._found


def parts_of(home: Home, tables: Mapping[str, TrafficTable]) -> Sequence[Part]:
    """Ask everything at once: the gateway and each replica that users are or could be answered by, where they run on
    this machine; the controller, the registry, and where metrics are read."""
    settings = home.load()
    questions = list(_questions(home, settings, tables))
    with ThreadPoolExecutor(min(_ASKED_AT_ONCE, len(questions))) as pool:
        return tuple(pool.map(_asked, questions))


def the_store(error: SerinError | None) -> Part:
    """Return the database as a part, with what it failed by when it was asked."""
    part = Part(Kind.STORE, "the database", "")
    if error is None:
        return part
    ways = {"disk is full": "Make room on its disk", "readonly database": "Mount its disk writable"}
    way_out = next((way for words, way in ways.items() if words in str(error)), "Bring it back")
    way_out += "; answers to users do not need it."
    return replace(part, fault=f"does not answer: {error}", way_out=way_out)


def why_a_word_waits(home: Home) -> str:
    """Return why no controller takes up now what somebody asks for, and when one will; empty where one does."""
    settings = home.load()
    kept = _Kept(home, here=settings.runtime is None)
    if kept.here and not kept.supervised and not is_locked(home.controller_lock):
        return "no controller runs here: it waits until `serin up` starts one."
    part = _asked(_of_the_controller(home, settings, kept))
    return part.fault and f"{part.name} at {part.place} {part.fault}: it waits until that answers. {part.way_out}"


def word_of(home: Home) -> str:
    """The word that tells the home from any other, copies of it too; empty where no controller has run there yet."""
    try:
        return home.controller_lock.read_text(encoding="ascii").strip()
    except (OSError, UnicodeError):
        return ""


def _asked(question: _Question) -> Part:
    fault = question.ask()
    return replace(question.part, fault=fault, way_out=question.way_out) if fault else question.part


def _questions(home: Home, settings: Settings, tables: Mapping[str, TrafficTable]) -> Iterator[_Question]:
    kept = _Kept(home, here=settings.runtime is None)
    if kept.here:
        part = Part(Kind.GATEWAY, "the gateway (Envoy)", settings.gateway)
        yield _Question(part, partial(_gateway, home, settings), kept.way_out("envoy"))
        yield from _of_replicas(home, tables, kept)
    yield _of_the_controller(home, settings, kept)
    own = settings.registry_url is None
    part = Part(Kind.REGISTRY, "the registry (MLflow)", settings.registry)
    ask = partial(_own, home, settings.mlflow_port, "/health") if own else partial(_serves, settings.registry)
    yield _Question(part, ask, kept.way_out("mlflow") if own else f"See what is wrong at {settings.registry}.")
    own = settings.prometheus_url is None
    part = Part(Kind.METRICS, "Prometheus", settings.prometheus)
    ask = partial(_own, home, settings.prometheus_port, "/-/ready") if own else partial(_serves, settings.prometheus)
    yield _Question(part, ask, kept.way_out("prometheus") if own else f"See what is wrong at {settings.prometheus}.")


def _of_the_controller(home: Home, settings: Settings, kept: "_Kept") -> _Question:
    part = Part(Kind.CONTROLLER, "the controller", settings.api)
    return _Question(part, partial(_controller, home, settings), kept.way_out("controller"))


def _of_replicas(home: Home, tables: Mapping[str, TrafficTable], kept: "_Kept") -> Iterator[_Question]:
    """Yield the replicas of each version that a table leads to; of one without any, that there is none."""
    fallbacks = _fallbacks(home)
    records: dict[tuple[str, str], list[Record]] = {}
    for record in Records(home.deployments).readable():
        records.setdefault((record.model, record.version), []).append(record)
    for model, table in tables.items():
        for version in dict.fromkeys([*table.weights_pct, *([table.known_good] if table.known_good else [])]):
            for record in records.get((model, version), ()):
                stands_in_for = _whom_it_stands_in_for(record, table, fallbacks)
                place = record.url or "no port yet"
                part = Part(Kind.REPLICA, record.name, place, model=model, version=version, stands_in_for=stands_in_for)
                yield _Question(part, partial(_replica, record), kept.way_out_of(record.name))
            if (model, version) not in records:
                part = Part(Kind.REPLICA, f"{model}-v{version}", "no port", model=model, version=version)
                yield _Question(part, lambda: "is not running", kept.way_out(""))


def _fallbacks(home: Home) -> Mapping[str, Addresses]:
    """Return who stands in for each cluster by the file that Envoy goes by; a policy may say otherwise by now. None
    where it cannot be read: that somebody answers in a version's place is not supposed."""
    try:
        return read_clusters(home.envoy).fallbacks
    except SerinError:
        return {}


def _whom_it_stands_in_for(record: Record, table: TrafficTable, fallbacks: Mapping[str, Addresses]) -> str:
    """Return the version that has requests and whose cluster has the replica as its fallback; empty where none has."""
    if record.url is None:
        return ""
    parts = urlsplit(record.url)
    others = (version for version in table.weights_pct if version != record.version)
    mine = (parts.hostname, parts.port)
    return next((one for one in others if mine in fallbacks.get(deployment_named(table.model, one), ())), "")


# --- asked ------------------------------------------------------------------------------------------------------------
def _gateway(home: Home, settings: Settings) -> str:
    try:
        if not (home.envoy / BOOTSTRAP_FILE).exists() or not is_ready(home.envoy):
            return "does not answer at its admin interface"
        get(settings.gateway, timeout_s=ANSWERS_WITHIN_S)
    except (SerinError, OSError) as error:
        return _why(error)
    return ""


def _controller(home: Home, settings: Settings) -> str:
    try:
        status, body = get(settings.api + HEALTH_ROUTE, timeout_s=ANSWERS_WITHIN_S)
    except OSError as error:
        return _why(error)
    if status != _OK:
        return f"answers with status {status}"
    match _word_in(body):
        case None:
            return "is not what answers there"
        case "":  # one of an earlier version says none; that it runs is told by its lock
            return "" if is_locked(home.controller_lock) else "is not what answers there"
        case word:
            return "" if word == word_of(home) else "does not answer: another home's controller has the port"


def _word_in(body: bytes) -> str | None:
    """Return the word of the home that a controller says it runs in; None where no controller says that."""
    try:
        told = json.loads(body)
    except ValueError:
        return None
    return str(told.get(INSTALLATION_KEY, "")) if isinstance(told, dict) else None


def _replica(record: Record) -> str:
    if record.failure:
        return f"failed: {record.failure}"
    if record.url is None:
        return "is starting"
    return _answers_ok(record.url + HEALTH_ROUTE)


def _own(home: Home, port: int, route: str) -> str:
    """One that `serin up` runs: what another home runs at the port is no answer."""
    fault = _answers_ok(f"http://127.0.0.1:{port}{route}")
    holder = holder_of(port) if not fault else None
    if holder is not None and holder.home not in ("", str(home.path)):
        return f"does not answer: the home {holder.home} has the port"
    return fault


def _answers_ok(url: str) -> str:
    try:
        status, _ = get(url, timeout_s=ANSWERS_WITHIN_S)
    except OSError as error:
        return _why(error)
    return "" if status == _OK else f"answers with status {status}"


def _serves(url: str) -> str:
    """Somebody else's, who may want to know who asks: whatever it says is an answer, but that it is broken."""
    try:
        status = status_of(url, timeout_s=ANSWERS_WITHIN_S)
    except ssl.SSLError:  # it wants to know who asks before anything is said
        return ""
    except OSError as error:
        return _why(error)
    return "" if status < _BROKEN else f"answers with status {status}"


def _why(error: Exception) -> str:
    if isinstance(error, ConnectionRefusedError):
        return "does not answer: nothing listens there"
    if isinstance(error, TimeoutError):
        return f"did not answer within {ANSWERS_WITHIN_S:g} s"
    return f"does not answer: {error}"


# --- the way out ------------------------------------------------------------------------------------------------------
@dataclass
class _Kept:
    """The keeper of a home's parts. ``here``: on this machine, and no cluster does."""

    home: Home
    here: bool
    supervised: bool = field(init=False)

    def __post_init__(self) -> None:
        self.supervised = running_supervisor(self.home.path) is not None

    def way_out(self, name: str) -> str:
        """Return what a person can do for the process of that name."""
        if not self.here:
            return ""
        if not self.supervised:
            return f"`serin up --home {self.home.path}` starts what is missing."
        if not name:
            return ""
        does = "`serin up` keeps restarting it"
        if (it := recorded(self.home.path).get(name)) is not None and runs(it):
            kill = f"`kill -9 {it.pid}` makes `serin up` restart it"
            does = f"It is running as process {it.pid}: if it stays like that, {kill}"
            if name != "envoy":
                does += ", which it does by itself after a minute without any answer"
        return f"{does}; {self._log(self.home.logs / f'{name}.log')}"

    def way_out_of(self, replica: str) -> str:
        if not self.supervised:
            return self.way_out("")
        return f"The controller restarts it; {self._log(self.home.deployments / f'{replica}.log')}"

    @staticmethod
    def _log(file: Path) -> str:
        try:
            with file.open("rb") as log:
                log.seek(max(0, log.seek(0, 2) - _LOG_LINE_BYTES))
                lines = log.read().decode("utf-8", errors="replace").strip().splitlines()
        except OSError:
            lines = []
        return f"{file} ends: {lines[-1]}" if lines else f"see {file}."
