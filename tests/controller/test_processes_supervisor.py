"""The supervisor of `serin up`: in order, kept running, and nothing left behind, however it ends."""

import json
import os
import signal
import subprocess
import sys
import textwrap
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import psutil
import pytest

from controller.adapters.local.loopback import accepts_connections, free_port
from controller.adapters.local.processes_os import identity_of
from controller.adapters.local.supervisor import (
    PROCESSES_FILE,
    ProcessSpec,
    Supervisor,
    end_leftovers,
    running_supervisor,
)
from controller.errors import PermanentError, UsageError
from tests.patience import eventually

SERVER = """
import http.server, signal, sys
server = http.server.HTTPServer(("127.0.0.1", int(sys.argv[1])), http.server.SimpleHTTPRequestHandler)
print("listening", flush=True)
server.serve_forever()
"""


def server(name: str, directory: Path) -> ProcessSpec:
    port = free_port()
    command = (sys.executable, "-c", SERVER, str(port))
    return ProcessSpec(name, command, f"http://127.0.0.1:{port}/", directory / f"{name}.log", cwd=directory)


def program(name: str, directory: Path, code: str) -> ProcessSpec:
    """A program of one line, ready when it has said so in its log."""
    log = directory / f"{name}.log"
    command = (sys.executable, "-c", textwrap.dedent(code))
    return ProcessSpec(name, command, lambda: log.exists() and "ready" in log.read_text(), log)


def recorded(home: Path) -> dict[str, int]:
    return {name: entry["pid"] for name, entry in json.loads((home / PROCESSES_FILE).read_text()).items()}


def runs(pid: int) -> bool:
    return psutil.pid_exists(pid) and psutil.Process(pid).status() != psutil.STATUS_ZOMBIE


class Home:
    """A home directory, with supervisors whose progress is kept."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.stopping = threading.Event()
        self.said: list[str] = []

    def supervisor(self, *specs: ProcessSpec) -> Supervisor:
        return Supervisor(self.directory, specs, progress=self.said.append, stopping=self.stopping, grace_s=0.5)


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Home]:
    home = Home(tmp_path)
    yield home
    end_leftovers(tmp_path, grace_s=0.5)


class TestStart:
    def test_each_is_ready_before_the_next_starts(self, home: Home) -> None:
        """A program may rely on those before it; the progress says what is waited for, and how long it took."""
        with home.supervisor(server("registry", home.directory), server("gateway", home.directory)) as supervisor:
            assert supervisor.start()
        assert [line.split(" after")[0] for line in home.said] == [
            "starting registry",
            "registry is ready",
            "starting gateway",
            "gateway is ready",
            "ending gateway",
            "ending registry",
        ]

    def test_one_that_ends_at_its_start_is_told_with_its_log(self, home: Home) -> None:
        """No waiting for a deadline, no search for the reason; what had started before is ended."""
        bad = program("bad", home.directory, "raise SystemExit('port taken')")
        with pytest.raises(PermanentError, match=r"bad ended with code 1: port taken"):
            self._started(home, server("registry", home.directory), bad)
        assert "ending registry" in home.said

    def test_one_that_is_not_ready_in_time_is_told_with_its_log(self, home: Home) -> None:
        """The deadline is each program's own."""
        slow = program("slow", home.directory, "import signal; print('still loading', flush=True); signal.pause()")
        with pytest.raises(PermanentError, match=r"(?s)slow was not ready within 1 s: still loading"):
            self._started(home, replace(slow, ready_within_s=1.0))

    def test_a_stop_during_the_start_is_heard(self, home: Home) -> None:
        """Ctrl-C does not wait for a slow program to become ready."""
        slow = program("slow", home.directory, "import signal; signal.pause()")
        threading.Timer(0.2, home.stopping.set).start()
        with home.supervisor(slow, server("gateway", home.directory)) as supervisor:
            assert not supervisor.start()
        assert home.said == ["starting slow", "ending slow"]

    def test_a_second_one_in_the_same_home_is_refused(self, home: Home) -> None:
        """Two would end each other's processes."""
        with home.supervisor(server("registry", home.directory)) as supervisor:
            supervisor.start()
            with pytest.raises(UsageError, match=f"already up in .* as process {os.getpid()}"):
                home.supervisor().__enter__()
            assert running_supervisor(home.directory) == identity_of(os.getpid())

    def _started(self, home: Home, *specs: ProcessSpec) -> None:
        with home.supervisor(*specs) as supervisor:
            supervisor.start()


class TestRun:
    def test_a_crashed_program_is_started_again(self, home: Home) -> None:
        """After a pause that is announced, under its new pid."""
        spec = server("gateway", home.directory)
        with home.supervisor(spec) as supervisor:
            supervisor.start()
            first = recorded(home.directory)["gateway"]
            os.kill(first, signal.SIGKILL)
            loop = threading.Thread(target=supervisor.run)
            loop.start()
            port = int(spec.command[-1])
            eventually(lambda: "started gateway again" in home.said, what="the second start")
            eventually(lambda: accepts_connections("127.0.0.1", port, timeout_s=1), what="it to serve again")
            home.stopping.set()
            loop.join(10)
            assert recorded(home.directory)["gateway"] != first
        assert any("gateway ended with code -9, starts again in 0.5 s" in line for line in home.said)

    def test_one_that_is_not_to_be_restarted_ends_the_run(self, home: Home) -> None:
        """Its end is the end of `serin up`, with its last words."""
        once = program("once", home.directory, "print('ready', flush=True); raise SystemExit('done for')")
        spec = replace(once, restart=False, ready=lambda: "done for" in once.log_file.read_text())
        with home.supervisor(spec) as supervisor:
            supervisor.start()
            with pytest.raises(PermanentError, match=r"once ended with code 1: (?s:.*)done for"):
                supervisor.run()


class TestEnd:
    def test_nothing_is_left_behind(self, home: Home) -> None:
        """Not the program, not its children, not one that ignores SIGTERM, and no record of them."""
        stubborn = """
            import signal, subprocess, sys
            signal.signal(signal.SIGTERM, signal.SIG_IGN)
            child = subprocess.Popen([sys.executable, "-c", "import signal; signal.pause()"])
            print("ready", flush=True)
            signal.pause()
        """
        with home.supervisor(program("stubborn", home.directory, stubborn)) as supervisor:
            supervisor.start()
            leader = psutil.Process(recorded(home.directory)["stubborn"])
            pids = [leader.pid, *(child.pid for child in leader.children())]
            assert len(pids) == 2
        eventually(lambda: not any(map(runs, pids)), what="the whole group to be gone")
        assert not (home.directory / PROCESSES_FILE).exists()

    def test_what_a_killed_supervisor_left_is_ended_by_the_next(self, home: Home) -> None:
        """SIGKILL leaves no time to clean up: the record tells the next one, or `serin down`, what to end."""
        killed = """
            import os, signal, sys, threading
            from pathlib import Path
            from controller.adapters.local.supervisor import ProcessSpec, Supervisor
            home = Path(sys.argv[1])
            command = (sys.executable, "-c", "import signal; signal.pause()")
            kept = ProcessSpec("kept", command, lambda: True, home / "kept.log", ends_with_us=False)
            tied = ProcessSpec("tied", command, lambda: True, home / "tied.log")
            supervisor = Supervisor(home, [kept, tied], progress=print, stopping=threading.Event()).__enter__()
            supervisor.start()
            os.kill(os.getpid(), signal.SIGKILL)
        """
        died = subprocess.run(
            [sys.executable, "-c", textwrap.dedent(killed), str(home.directory)],
            check=False,
            timeout=60,
            stdout=subprocess.DEVNULL,
        )
        assert died.returncode == -signal.SIGKILL
        pids = recorded(home.directory)
        eventually(lambda: not runs(pids["tied"]), what="the kernel to end what is tied to the supervisor")
        assert runs(pids["kept"])
        with home.supervisor(server("gateway", home.directory)) as supervisor:
            assert not runs(pids["kept"])
            supervisor.start()
        assert home.said[0] == "ended kept, left over from an earlier run"

    def test_a_damaged_record_is_named(self, home: Home) -> None:
        """Nobody guesses what to kill."""
        file = home.directory / PROCESSES_FILE
        file.write_text("{")
        with pytest.raises(PermanentError, match=r"processes\.json is damaged"):
            end_leftovers(home.directory)
        file.unlink()
