"""A real PostgreSQL server for a run of the tests: on a socket of its own, gone with whoever started it."""

import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import Final

import psutil
import psycopg
import pytest

from tests.patience import PATIENCE_S

_UNPACKED: Final = Path(__file__).parents[1] / ".venv" / "postgresql"
_NOBODY: Final = 65_534  # PostgreSQL refuses to run as root
_ROLE: Final = "serin"
# Nothing here outlives the run: what keeps data through a power cut is left out, and with it most of the time.
_SETTINGS: Final = {
    "autovacuum": "off",  # tests say themselves when
    "fsync": "off",
    "full_page_writes": "off",
    "listen_addresses": "",
    "max_connections": "40",
    "max_wal_senders": "0",
    "synchronous_commit": "off",
    "wal_level": "minimal",
}


@dataclass(slots=True)
class PostgresServer:
    """A server that runs, unless it was killed; ``folder`` holds its socket."""

    folder: Path
    programs: Path
    process: subprocess.Popen[bytes] | None = None
    _numbers: Iterator[int] = field(default_factory=count)

    def start(self) -> None:
        """Start it on what it has, and wait until it answers."""
        options = [part for name, value in _SETTINGS.items() for part in ("-c", f"{name}={value}")]
        command = [str(self.programs / "postgres"), "-D", str(self.folder / "data"), "-k", str(self.folder), *options]
        with (self.folder / "log").open("ab") as log:
            self.process = subprocess.Popen(
                _as_nobody(command), cwd=self.folder, stdout=log, stderr=log, env=_environment()
            )
        _wait(self, self.process)

    def signal(self, number: int) -> None:
        """Signal the server and all that answers clients, each of them."""
        assert self.process is not None
        for pid in (self.process.pid, *(child.pid for child in psutil.Process(self.process.pid).children())):
            with suppress(ProcessLookupError):
                os.kill(pid, number)

    def kill(self) -> None:
        """SIGKILL, and wait until nothing of it is left."""
        assert self.process is not None
        left = psutil.Process(self.process.pid).children()
        self.signal(signal.SIGKILL)
        self.process.wait()
        psutil.wait_procs(left)

    def stop(self) -> None:
        if self.process is None:
            return
        self.process.terminate()
        with suppress(subprocess.TimeoutExpired):
            self.process.wait(5.0)
        self.process.kill()
        self.process.wait()

    def url(self, database: str) -> str:
        return f"postgresql://{_ROLE}@/{database}?host={self.folder}"

    @contextmanager
    def database(self, template: str = "template0") -> Iterator[str]:
        """The URL of a new database, a copy of ``template``; dropped afterwards."""
        name = f"test_{next(self._numbers)}"
        self.execute(f"CREATE DATABASE {name} TEMPLATE {template} STRATEGY file_copy")
        try:
            yield self.url(name)
        finally:
            self.execute(f"DROP DATABASE {name} WITH (FORCE)")

    def execute(self, statement: str) -> None:
        """Run one statement outside of any transaction, in the server's own database."""
        with psycopg.connect(self.url("postgres"), autocommit=True) as connection:
            connection.execute(statement.encode())


@contextmanager
def postgres_server() -> Iterator[PostgresServer]:
    """A server with an empty cluster, ended with the block. Skips the test where none is installed."""
    programs = _programs()
    if programs is None:
        pytest.skip("no PostgreSQL server is installed: `make setup` says why")
    # Not under pytest's folder, which only its owner may enter; and a socket's path must be short.
    folder = Path(tempfile.mkdtemp(prefix="serin-pg-"))
    try:
        if os.getuid() == 0:
            os.chown(folder, _NOBODY, _NOBODY)
        with _running(programs, folder) as server:
            yield server
    finally:
        shutil.rmtree(folder)


@contextmanager
def _running(programs: Path, folder: Path) -> Iterator[PostgresServer]:
    made = [str(programs / "initdb"), "--no-sync", "--no-instructions", "--auth=trust", f"--username={_ROLE}"]
    _run([*made, "--locale=C", "--encoding=UTF8", f"--pgdata={folder / 'data'}"])
    server = PostgresServer(folder, programs)
    try:
        server.start()
        yield server
    finally:
        server.stop()


def _wait(server: PostgresServer, process: subprocess.Popen[bytes]) -> None:
    give_up_at = time.monotonic() + PATIENCE_S
    while True:
        try:
            server.execute("SELECT 1")
        except psycopg.OperationalError as error:
            if process.poll() is not None or time.monotonic() > give_up_at:
                log = (server.folder / "log").read_text(encoding="utf-8", errors="replace")
                raise AssertionError(f"PostgreSQL does not start: {log[-2_000:]}") from error
            time.sleep(0.02)
        else:
            return


def _programs() -> Path | None:
    """The folder of ``initdb`` and ``postgres``: what `make setup` unpacked, the newest installed, that on PATH."""
    found = [*_UNPACKED.glob("usr/lib/postgresql/*/bin"), *Path("/usr/lib/postgresql").glob("*/bin")]
    on_path = shutil.which("postgres")
    by_version = sorted(found, key=lambda folder: int(folder.parent.name), reverse=True)
    for folder in [*by_version, *([Path(on_path).resolve().parent] if on_path else [])]:
        if (folder / "initdb").exists() and (folder / "postgres").exists():
            return folder
    return None


def _run(command: list[str]) -> None:
    done = subprocess.run(_as_nobody(command), cwd="/", capture_output=True, text=True, env=_environment(), check=False)
    assert done.returncode == 0, done.stderr


def _as_nobody(command: list[str]) -> list[str]:
    """As somebody who is not root, and ended at once when this process ends in whatever way."""
    prefix = ["setpriv", "--pdeathsig", "QUIT"]
    if os.getuid() == 0:
        prefix += [f"--reuid={_NOBODY}", f"--regid={_NOBODY}", "--clear-groups"]
    return [*prefix, *command]


def _environment() -> dict[str, str]:
    libraries = ":".join(map(str, _UNPACKED.glob("usr/lib/*-linux-gnu")))
    return {
        "PATH": "/usr/bin:/bin",
        "LC_ALL": "C",
        "TZ": "UTC",
        **({"LD_LIBRARY_PATH": libraries} if libraries else {}),
    }
