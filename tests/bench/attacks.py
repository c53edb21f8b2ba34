"""Attacks on what a real installation stands on: its database taken away in several ways, its files used up.

Nights like those of ``tests/bench/night.py``, under the same load and real releases.
"""

import itertools
import resource
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

import psutil
import psycopg

from controller.adapters.sql.upgrade import upgrade_store
from controller.config.settings import Home, Settings
from suites.intents.demo.installation import SERIN
from tests.bench._table import Bar
from tests.bench.night import NIGHT_S, RATE_PER_S, STOPPED_S, Night, night, register, shares
from tests.patience import eventually
from tests.postgres_support import PostgresServer, postgres_server

AWAY: Final = "database did not answer"
NO_FILES: Final = "files open and may have no more than"
FULL_S: Final = 5.0  # well below what a replica may be silent for before it is taken for hung
AGAIN_S: Final = 0.1
FEW_FILES: Final = 1024  # as on a machine with old defaults
FEW_FILES_EACH: Final = ("prlimit", f"--nofile={FEW_FILES}:{FEW_FILES}")
REPLICAS: Final = ("intent-v1",)
KEPT: Final = ("controller", "envoy", "prometheus", "mlflow", *REPLICAS)
WORDS: Final = (("envoy", "rollback"), ("intent-v1", "abort"), ("controller", "rollback"), ("controller", "abort"))


def database(_seed: int) -> list[Bar]:
    """PostgreSQL killed, stopped, restarted and out of connections in a canary; rolled back while it stands still."""
    with (
        postgres_server() as server,
        server.database() as url,
        night(prepare=partial(_kept_at, url)) as it,
        it.site.load(rate_per_s=RATE_PER_S, for_s=NIGHT_S) as load,
    ):
        it.site.register("v2")
        eventually(lambda: it.site.phase("2") == "canary", within_s=300, what="a canary")
        before, told, back_s = it.pids(), 0, []
        for name, away in _ways(server, url).items():
            with away():
                threading.Event().wait(STOPPED_S)
                told += AWAY in status_of(it)
            began_s = time.monotonic()
            _looks_on(it)
            back_s.append(time.monotonic() - began_s)
            print(f"  {name}: looks go on after {back_s[-1]:.1f} s; {it.site.phase('2')}")
        releases = sum(release["version"] == "2" for release in it.site.serin.releases())
        phase = it.site.phase("2")
        with _stopped(server):
            threading.Event().wait(3.0)  # so that it is found hanging
            began_s = time.monotonic()
            it.site.serin.serin("rollback", "intent", "--reason", "a night's word")
            eventually(lambda: shares(it) == {"1": 100.0}, what="all traffic at version 1")
            rolled_back_s = time.monotonic() - began_s
        eventually(lambda: it.site.phase("2") == "rolled_back", what="the release to end")
        ended = before.items() - it.pids().items()
    print(f"  {load['failed']} of {load['sent']} requests failed: {load['failures']}; ended: {sorted(ended)}")
    what = "PostgreSQL killed, stopped, restarted, out of connections"
    return [
        Bar(f"{what}: {STOPPED_S:g} s each; releases ended or begun anew", _disturbed(phase, releases), "", at_most=0),
        Bar(f"{what}: times that `serin status` said so", told, "of 3", at_least=3),
        Bar(f"{what}: until the release looked again, once it was back (longest)", max(back_s), "s"),
        Bar("serin rollback while PostgreSQL stands still: until confirmed", rolled_back_s, "s", at_most=1.0),
        Bar("processes ended meanwhile", len(ended), "", at_most=0),
        Bar("requests failed meanwhile", load["failed"], f"of {load['sent']}", at_most=0),
    ]


def _disturbed(phase: str | None, releases: int) -> int:
    return int(phase not in ("canary", "promoting", "probation")) + abs(releases - 1)


def _kept_at(url: str, home: Path) -> None:
    upgrade_store(url)
    Home(home).save(Settings(database_url=url))


def _ways(server: PostgresServer, url: str) -> Mapping[str, Callable[[], AbstractContextManager[None]]]:
    return {
        "killed": partial(_killed, server),
        "stopped": partial(_stopped, server),
        "out of connections": partial(_crowded, url),
        "restarted": partial(_restarted, server),
    }


@contextmanager
def _killed(server: PostgresServer) -> Iterator[None]:
    server.kill()
    try:
        yield
    finally:
        server.start()


@contextmanager
def _stopped(server: PostgresServer) -> Iterator[None]:
    server.signal(signal.SIGSTOP)
    try:
        yield
    finally:
        server.signal(signal.SIGCONT)


@contextmanager
def _restarted(server: PostgresServer) -> Iterator[None]:
    server.stop()
    server.start()
    yield


@contextmanager
def _crowded(url: str) -> Iterator[None]:
    """Others take every connection that there is, as soon as one is free; those in use are ended once."""
    with ExitStack() as stack:
        with suppress(psycopg.OperationalError):
            while True:
                one = stack.enter_context(psycopg.connect(url, autocommit=True))
                one.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'serin'")
        yield


def _looks_on(it: Night) -> None:
    looks = eventually(lambda: _looks(it), what="the controller to answer")
    eventually(lambda: (_looks(it) or 0) >= looks + 3, what="three more looks")


def _looks(it: Night) -> int | None:
    """Looks at version 2 so far; None while the controller does not tell."""
    found = next((release for release in it.site.serin.releases() if release["version"] == "2"), None)
    release = it.site.serin.release(found["release_id"]) if found is not None else None
    return int(release["state"]["looks"]) if release is not None else None


def status_of(it: Night) -> str:
    """What `serin status` says, on both streams, whatever it ends with."""
    done = subprocess.run(
        [SERIN, "status", "--home", str(it.home)], capture_output=True, text=True, check=False, timeout=120
    )
    return " ".join((done.stdout + done.stderr).split())


def files(_seed: int) -> list[Bar]:
    """As many clients connected to Envoy as it may have files open, and more; a replica and the controller that may
    open no more; a person's word meanwhile. The replica may open some again before users are asked."""
    told, took_s, ended = 0, {}, 0
    with night(under=FEW_FILES_EACH) as it, it.site.load(rate_per_s=RATE_PER_S, for_s=NIGHT_S) as load:
        for number, (part, word) in enumerate(WORDS, start=2):
            register(it, "v2")
            version = str(number)
            eventually(lambda: it.site.phase(version) == "canary", what="a canary")  # noqa: B023
            before = it.pids()
            it.site.serin.serving_version()  # with a connection that is kept
            it.done.append((part, time.monotonic()))
            with _crowd(it) if part == "envoy" else _no_more_files(before, part):
                threading.Event().wait(FULL_S)
                told += NO_FILES in status_of(it)
                began_s = time.monotonic()
                it.site.serin.serin(word, "intent", "--reason", "a night's word")
                if part not in REPLICAS:  # it would have to accept who comes from the other version
                    took_s[f"serin {word}, {part}"] = _until_stable(it) - began_s
            took_s.setdefault(f"serin {word}, {part}", _until_stable(it) - began_s)
            eventually(lambda: it.site.phase(version) in ("aborted", "rolled_back"), what="the end")  # noqa: B023
            gone = [name for name in KEPT if before[name] != it.pids().get(name)]
            ended += len(gone)
            it.site.serin.serin("unfreeze", "intent", "--reason", "the night goes on")
            took = took_s[f"serin {word}, {part}"]
            print(
                f"  {part}: {word} after {took:.2f} s; ended: {', '.join(gone) or 'nothing'}; said {told}", flush=True
            )
    print(f"  {load['failed']} of {load['sent']} requests failed: {load['failures']}")
    unexplained = it.unexplained(load, REPLICAS, refused="envoy")
    refused = it.unexplained(load, REPLICAS) - unexplained
    what = "no more open files"
    told_of = len(WORDS) - 1  # Envoy keeps some
    return [
        *(Bar(f"{what}: {how}: until users are answered by stable", it_s, "s") for how, it_s in took_s.items()),
        Bar(f"{what}: times that `serin status` said so", told, f"of {told_of}", at_least=told_of),
        Bar(f"{what}: processes ended meanwhile", ended, "", at_most=0),
        Bar(f"{what}: requests refused: new clients, while all of Envoy's places were taken", refused, ""),
        Bar(
            f"{what}: requests failed, waiting for the replica that accepts none",
            load["failed"] - unexplained - refused,
            "",
        ),
        Bar(f"{what}: other requests failed meanwhile", unexplained, f"of {load['sent']}", at_most=0),
    ]


@contextmanager
def _crowd(it: Night) -> Iterator[None]:
    """As many clients as Envoy may have files open, of which none asks anything."""
    parts = urlsplit(it.site.serin.gateway)
    with ExitStack() as stack:
        for _ in range(FEW_FILES):
            stack.enter_context(socket.create_connection((parts.hostname or "", parts.port or 0), timeout=10))
        yield


def _until_stable(it: Night) -> float:
    """Return when all users are answered by version 1 (monotonic)."""
    eventually(lambda: _answers(it) == {"1"}, what="all users answered by version 1")
    return time.monotonic()


def _answers(it: Night) -> set[str | None]:
    return {it.site.serin.serving_version() for _ in range(10)}


@contextmanager
def _no_more_files(pids: Mapping[str, int], part: str) -> Iterator[None]:
    """The part may open none, until the block ends, and nor may what it has started, other parts apart."""
    family = {one.pid for one in _family(pids[part])}
    for name, pid in pids.items():
        if pid in family and not name.startswith(part):
            family -= {one.pid for one in _family(pid)}
    before = {pid: resource.prlimit(pid, resource.RLIMIT_NOFILE) for pid in family}
    over = threading.Event()

    def lower() -> None:
        while not over.wait(AGAIN_S):  # it closes some, and would have room again
            for one, (_, hard) in before.items():
                with suppress(OSError):  # it has ended
                    resource.prlimit(one, resource.RLIMIT_NOFILE, (_lowest_free(one), hard))

    lowering = threading.Thread(target=lower)
    lowering.start()
    try:
        yield
    finally:
        over.set()
        lowering.join()
        for one, limits in before.items():
            with suppress(ProcessLookupError):
                resource.prlimit(one, resource.RLIMIT_NOFILE, limits)


def _lowest_free(pid: int) -> int:
    used = {int(file.name) for file in Path(f"/proc/{pid}/fd").iterdir()}
    return next(number for number in itertools.count() if number not in used)


def _family(pid: int) -> list[psutil.Process]:
    process = psutil.Process(pid)
    return [process, *process.children(recursive=True)]


ATTACKS: Final[Mapping[str, Callable[[int], list[Bar]]]] = {"databases": database, "files": files}
