"""The supervisor of `serin up`: in order, kept running, and nothing left behind, however it ends."""

import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import textwrap
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import psutil
import pytest

from controller.adapters.local.kept import PROCESSES_FILE, end_leftovers, running_supervisor
from controller.adapters.local.liveness import Liveness, Patience, used_by
from controller.adapters.local.loopback import accepts_connections, free_port
from controller.adapters.local.processes_os import identity_of
from controller.adapters.local.supervisor import ProcessSpec, Supervisor
from controller.errors import PermanentError, UsageError
from tests.lessons.test_a_shortage_deletes_nothing import open_files_left
from tests.patience import PATIENCE_S, eventually

SERVER = """
import http.server, signal, sys
server = http.server.HTTPServer(("127.0.0.1", int(sys.argv[1])), http.server.SimpleHTTPRequestHandler)
print("listening", flush=True)
server.serve_forever()
"""


ORDINARY = Patience()
QUICK = Patience(every_s=0.05, missed_idle=2, missed_busy=1_000)


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


def looked(supervisor: Supervisor, condition: Callable[[], object], *, what: str) -> None:
    """Let the supervisor look again and again, as ``run`` does, until the condition holds."""

    def after_a_look() -> object:
        supervisor.look()
        return condition()

    eventually(after_a_look, what=what)


class Home:
    """A home directory, with supervisors whose progress is kept."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.stopping = threading.Event()
        self.said: list[str] = []

    def supervisor(self, *specs: ProcessSpec, patience: Patience = ORDINARY) -> Supervisor:
        said, stopping = self.said.append, self.stopping
        return Supervisor(self.directory, specs, progress=said, stopping=stopping, grace_s=0.5, patience=patience)


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Home]:
    home = Home(tmp_path)
    yield home
    end_leftovers(tmp_path, grace_s=0.5)


class TestStart:
    def test_what_answers_users_is_up_before_anything_else_starts_and_ends_last(self, home: Home) -> None:
        """The others start side by side; the progress says what is waited for, and how long it took."""
        gateway = replace(server("gateway", home.directory), data_plane=True)
        with home.supervisor(server("registry", home.directory), gateway) as supervisor:
            assert supervisor.start()
            assert supervisor.missing == ()
            supervisor.stop_all_but_data_plane()
            assert set(recorded(home.directory)) == {"serin up", "registry", "gateway"}
            assert accepts_connections("127.0.0.1", int(gateway.command[-1]), timeout_s=1)
        assert [line.split(" after")[0] for line in home.said] == [
            "starting gateway",
            "gateway is ready",
            "starting registry",
            "registry is ready",
            "ending registry",
            "ending gateway",
        ]

    def test_a_gateway_that_ends_at_its_start_is_told_with_its_log(self, home: Home) -> None:
        """No waiting for a deadline, no search for the reason."""
        bad = program("bad", home.directory, "raise SystemExit('port taken')")
        with pytest.raises(PermanentError, match=r"bad ended with code 1: port taken"):
            self._started(home, replace(bad, data_plane=True))

    def test_a_gateway_that_is_not_ready_in_time_is_told_with_its_log(self, home: Home) -> None:
        """The deadline is each program's own."""
        slow = program("slow", home.directory, "import signal; print('still loading', flush=True); signal.pause()")
        with pytest.raises(PermanentError, match=r"(?s)slow was not ready within 1 s: still loading"):
            self._started(home, replace(slow, data_plane=True, ready_within_s=1.0))

    def test_the_gateway_serves_without_what_else_cannot_be_started(self, home: Home) -> None:
        """One that ends at once, one that is late, one that does not exist: each is told, and tried again."""
        gateway = replace(server("gateway", home.directory), data_plane=True)
        bad = program("bad", home.directory, "raise SystemExit('port taken')")
        slow = program("slow", home.directory, "import signal; print('still loading', flush=True); signal.pause()")
        nobody = replace(bad, name="nobody", command=("/no/such/program",), ready_within_s=0.2)
        with home.supervisor(gateway, bad, replace(slow, ready_within_s=1.0), nobody) as supervisor:
            assert supervisor.start()
            assert supervisor.missing == ("bad", "slow", "nobody")
            assert accepts_connections("127.0.0.1", int(gateway.command[-1]), timeout_s=1)
        said = "\n".join(home.said)
        assert "bad ended with code 1, starts again in 0.5 s" in said
        assert "port taken" in said
        assert "slow was not ready within 1 s: still loading" in said
        assert "cannot start /no/such/program" in said

    def test_a_stop_during_the_start_is_heard(self, home: Home) -> None:
        """Ctrl-C does not wait for a slow program to become ready."""
        slow = program("slow", home.directory, "import signal; signal.pause()")
        threading.Timer(0.2, home.stopping.set).start()
        with home.supervisor(slow) as supervisor:
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
            port = int(spec.command[-1])
            looked(supervisor, lambda: "started gateway again" in home.said, what="the second start")
            looked(supervisor, lambda: accepts_connections("127.0.0.1", port, timeout_s=1), what="it to serve again")
            assert recorded(home.directory)["gateway"] != first
        assert any("gateway ended with code -9, starts again in 0.5 s" in line for line in home.said)

    @pytest.mark.parametrize("damage", ["", "{", None])
    def test_a_record_that_is_damaged_or_gone_is_written_again(self, home: Home, damage: str | None) -> None:
        """`serin down`, and the next `serin up`, find what runs."""
        file = home.directory / PROCESSES_FILE
        with home.supervisor(server("gateway", home.directory)) as supervisor:
            supervisor.start()
            before = file.read_text()
            file.unlink() if damage is None else file.write_text(damage)
            supervisor.look()
            assert file.read_text() == before

    def test_nothing_is_ended_because_a_file_cannot_be_written(self, home: Home) -> None:
        """Told once, with the way out, and once more when it is over."""
        with home.supervisor(server("gateway", home.directory)) as supervisor:
            supervisor.start()
            pid = recorded(home.directory)["gateway"]
            file = home.directory / PROCESSES_FILE
            file.unlink()
            file.mkdir()  # root may write anywhere: a folder stands for what refuses
            for _ in range(3):
                supervisor.look()
            assert runs(pid)
            refused = [line for line in home.said if "cannot write" in line]
            assert len(refused) == 1
            assert refused[0].endswith("nothing is ended because of that, and it is tried again")
            file.rmdir()
            supervisor.look()
            assert recorded(home.directory)["gateway"] == pid
            assert home.said[-1].startswith("over: cannot write")

    def test_a_chore_that_fails_is_told_once_and_ends_nothing(self, home: Home) -> None:
        """Whatever it raises, a defect too."""
        spec, said = server("gateway", home.directory), home.said

        def chore() -> None:
            raise ZeroDivisionError("a defect")

        stopping = threading.Event()
        with Supervisor(home.directory, [spec], progress=said.append, stopping=stopping, chores=[chore]) as supervisor:
            supervisor.start()
            for _ in range(3):
                supervisor.look()
            assert runs(recorded(home.directory)["gateway"])
        assert sum("ZeroDivisionError: a defect" in line for line in said) == 1

    def test_without_open_files_what_has_died_is_started_as_soon_as_there_are_some(self, home: Home) -> None:
        """Nothing is ended meanwhile."""
        with home.supervisor(server("gateway", home.directory), server("other", home.directory)) as supervisor:
            supervisor.start()
            pids = recorded(home.directory)
            os.kill(pids["other"], signal.SIGKILL)
            looked(supervisor, lambda: any("other ended" in line for line in home.said), what="the death to be seen")
            with open_files_left(0):
                looked(supervisor, lambda: any("ulimit -n" in line for line in home.said), what="the refusal")
            looked(supervisor, lambda: recorded(home.directory)["other"] != pids["other"], what="the second start")
            assert recorded(home.directory)["gateway"] == pids["gateway"]


class TestHangs:
    def test_one_that_stands_still_is_ended_and_started_again(self, home: Home) -> None:
        """It runs, so nobody would start another; what it would have answered is lost either way."""
        with home.supervisor(server("registry", home.directory), patience=QUICK) as supervisor:
            assert supervisor.start()
            looked(supervisor, lambda: answered(supervisor), what="it has answered once")
            pid = recorded(home.directory)["registry"]
            os.kill(pid, signal.SIGSTOP)
            looked(supervisor, lambda: recorded(home.directory)["registry"] != pid, what="another runs")
            looked(supervisor, lambda: supervisor.missing == (), what="it answers")
            assert not runs(pid)
        assert "registry runs and has stopped answering: it is ended, to be started again" in home.said
        assert any(line.startswith("registry ended with code -9, starts again in 0.5 s") for line in home.said)

    def test_who_answers_users_is_left_to_a_person(self, home: Home) -> None:
        """The gateway may answer them while nothing else of it is answered, as where it takes no new connection."""
        gateway = replace(server("gateway", home.directory), data_plane=True)
        with home.supervisor(gateway, server("registry", home.directory), patience=QUICK) as supervisor:
            assert supervisor.start()
            looked(supervisor, lambda: answered(supervisor), what="they have answered once")
            before = recorded(home.directory)
            for name in ("gateway", "registry"):
                os.kill(before[name], signal.SIGSTOP)
            looked(supervisor, lambda: recorded(home.directory)["registry"] != before["registry"], what="another runs")
            assert recorded(home.directory)["gateway"] == before["gateway"]
            assert runs(before["gateway"])
            os.kill(before["gateway"], signal.SIGCONT)

    def test_one_that_is_busy_has_more_time(self) -> None:
        """On a machine that is out of breath everything is late; what stands still uses no processor."""
        assert self._hangs_after(used_s_each=0.0) == 3
        assert self._hangs_after(used_s_each=1.0) == 10

    def test_what_it_started_in_a_session_of_its_own_does_not_count(self, home: Home) -> None:
        """Replicas answer users while the controller that started them stands still."""
        code = """
            import subprocess, sys, time
            busy = [sys.executable, "-c", "while True: pass"]
            kept = subprocess.Popen(busy, start_new_session=True)
            print("ready", flush=True)
            time.sleep(600)
        """
        with home.supervisor(program("controller", home.directory, code)) as supervisor:
            assert supervisor.start()
            identity = identity_of(recorded(home.directory)["controller"])
            assert identity is not None
            (busy,) = psutil.Process(identity.pid).children()
            try:
                before_s = used_by(identity)
                eventually(lambda: busy.cpu_times().user > 0.3, what="it is busy")
                assert used_by(identity) - before_s < 0.1
            finally:
                busy.kill()

    def test_one_that_never_answered_is_starting_while_it_works(self) -> None:
        """A log may be read for minutes; what stands still at its start as well is ended in the longer time."""
        patience, used = Patience(every_s=1.0, missed_idle=1, missed_busy=10), [0.0]
        idle = Liveness(lambda: False, lambda: 0.0, patience)
        assert [idle.hangs(float(second)) for second in range(10)] == [False] * 9 + [True]

        def works() -> float:
            used[0] += 1.0
            return used[0]

        busy = Liveness(lambda: False, works, patience)
        assert not any(busy.hangs(float(second)) for second in range(100))

    def test_answers_in_a_row_count(self) -> None:
        """One that comes late now and then is no cause; nor is time in which nobody asked."""
        says = iter([True, False, False, True] * 20)
        one = Liveness(lambda: next(says), lambda: 0.0, Patience(every_s=1.0, missed_idle=3))
        assert not any(one.hangs(second * 1_000.0) for second in range(80))

    @staticmethod
    def _hangs_after(used_s_each: float) -> int:
        """How many answers are missing when it is taken to hang."""
        says, used = [True], [0.0]
        one = Liveness(lambda: says[0], lambda: used[0], Patience(every_s=1.0, missed_idle=3, missed_busy=10))
        assert not one.hangs(0.0)
        says[0] = False
        for missed in range(1, 100):
            if one.hangs(float(missed)):
                return missed
            used[0] += used_s_each
        raise AssertionError("it was never taken to hang")


def answered(supervisor: Supervisor) -> bool:
    """Whether each that may be found hanging has answered once."""
    found = [one.liveness for one in supervisor._running if one.liveness is not None]
    return bool(found) and all(one._has_answered for one in found)


class TestPorts:
    """A port that another has is named with its holder; who answers there instead is not what was started."""

    def test_before_anything_is_started_it_is_said_who_has_a_port(self, home: Home) -> None:
        spec = server("registry", home.directory)
        spec = replace(spec, ports={"mlflow_port": int(spec.command[-1])})
        with listening(spec.ports["mlflow_port"]), pytest.raises(UsageError) as refused:
            self._entered(home, spec)
        held = f"mlflow_port {spec.ports['mlflow_port']} is held by process {os.getpid()} ("
        assert str(refused.value).startswith(held)
        assert str(refused.value).endswith("end that, or choose other ports: `serin up --free-ports`")
        assert home.said == []

    def test_another_home_is_named_with_how_to_end_it_once_for_all_its_ports(self, home: Home, tmp_path: Path) -> None:
        """A second home with the same settings: one sentence, and not six."""
        other, specs = Home(tmp_path / "other"), [server(name, home.directory) for name in ("registry", "gateway")]
        specs = [replace(spec, ports={f"{spec.name}_port": int(spec.command[-1])}) for spec in specs]
        with other.supervisor(*specs) as supervisor:
            assert supervisor.start()
            with pytest.raises(UsageError) as refused:
                self._entered(home, *specs)
        pid = r"process \d+ \(python[^)]*\)"
        ports = [next(iter(spec.ports.values())) for spec in specs]
        assert re.fullmatch(
            rf"registry_port {ports[0]} is held by {pid} of the home {other.directory}, and "
            rf"gateway_port {ports[1]} by it too: end it with `serin down --home {other.directory}`, "
            "or choose other ports: `serin up --free-ports`",
            str(refused.value),
        )

    def test_another_that_answers_at_its_port_does_not_make_it_ready(self, home: Home) -> None:
        """The home of somebody else answered the questions of this one."""
        deaf = server("registry", home.directory)
        port = int(deaf.command[-1])
        command = (sys.executable, "-c", "import signal; signal.pause()")
        deaf = replace(deaf, command=command, ports={"mlflow_port": port}, ready_within_s=0.5)
        with home.supervisor(deaf) as supervisor, answering(port):
            assert supervisor.start()
            assert supervisor.missing == ("registry",)
        assert any("registry was not ready within 0.5 s" in line for line in home.said)

    def test_one_whose_port_was_taken_waits_until_it_is_free(self, home: Home) -> None:
        """Told once, and not tried again and again in vain."""
        spec = server("registry", home.directory)
        port = int(spec.command[-1])
        with home.supervisor(replace(spec, ports={"mlflow_port": port})) as supervisor:
            supervisor.start()
            first = recorded(home.directory)["registry"]
            os.kill(first, signal.SIGKILL)
            looked(supervisor, lambda: any("registry ended" in one for one in home.said), what="its end to be seen")
            with listening(port):
                looked(supervisor, lambda: any("waits: mlflow_port" in one for one in home.said), what="the holder")
                for _ in range(3):
                    supervisor.look()
            looked(supervisor, lambda: accepts_connections("127.0.0.1", port, timeout_s=1), what="it to serve again")
            assert recorded(home.directory)["registry"] != first
        assert sum("waits: mlflow_port" in line and "over: " not in line for line in home.said) == 1

    def test_one_that_keeps_ending_is_told_of_no_more(self, home: Home) -> None:
        """It is tried as before; a screen full of the same line hides everything else."""
        bad = program("bad", home.directory, "raise SystemExit('no luck')")
        with home.supervisor(bad) as supervisor:
            supervisor.start()
            for deaths in range(2, 9):
                supervisor._running[0].start_again_s = 0.0  # its pause is over
                looked(supervisor, lambda n=deaths: supervisor._running[0].deaths == n, what="its end")
        told = [line for line in home.said if "bad ended" in line]
        assert len(told) == 6
        assert "6 times in a row: Serin keeps trying, and says when it is running" in told[-1]

    def _entered(self, home: Home, *specs: ProcessSpec) -> None:
        with home.supervisor(*specs):
            pass


@contextmanager
def listening(port: int) -> Iterator[None]:
    """Somebody else has the port."""
    with socket.socket() as taken:
        taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        taken.bind(("127.0.0.1", port))
        taken.listen()
        yield


@contextmanager
def answering(port: int) -> Iterator[None]:
    """Somebody else has the port, and answers 200."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("content-length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            """Quiet."""

    other = ThreadingHTTPServer(("127.0.0.1", port), Handler)
    thread = threading.Thread(target=other.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield
    finally:
        other.shutdown()
        other.server_close()
        thread.join()


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

    def test_what_answers_users_outlives_a_killed_supervisor_and_is_taken_up_by_the_next(self, home: Home) -> None:
        """SIGKILL leaves no time to clean up. What is tied to the supervisor goes; the next one ends what is not of its
        own configuration, whatever became of the record."""
        killed = """
            import os, signal, sys, threading
            from pathlib import Path
            from controller.adapters.local.supervisor import ProcessSpec, Supervisor
            home = Path(sys.argv[1])
            command = (sys.executable, "-c", "import signal; signal.pause()")
            specs = [
                ProcessSpec("kept", command, lambda: True, home / "kept.log", env={"FROM": "1"}, data_plane=True),
                ProcessSpec("other", command, lambda: True, home / "other.log", env={"FROM": "1"}, data_plane=True),
                ProcessSpec("tied", command, lambda: True, home / "tied.log"),
            ]
            supervisor = Supervisor(home, specs, progress=print, stopping=threading.Event()).__enter__()
            supervisor.start()
            os.kill(os.getpid(), signal.SIGKILL)
        """
        died = subprocess.run(
            [sys.executable, "-c", textwrap.dedent(killed), str(home.directory)],
            check=False,
            timeout=PATIENCE_S,
            stdout=subprocess.DEVNULL,
        )
        assert died.returncode == -signal.SIGKILL
        pids = recorded(home.directory)
        eventually(lambda: not runs(pids["tied"]), what="the kernel to end what is tied to the supervisor")
        assert runs(pids["kept"])
        (home.directory / PROCESSES_FILE).write_text("{")
        command = (sys.executable, "-c", "import signal; signal.pause()")
        kept, other = (
            ProcessSpec(name, command, lambda: True, home.directory / "log", env={"FROM": of}, data_plane=True)
            for name, of in (("kept", "1"), ("other", "2"))
        )
        with home.supervisor(kept, other) as supervisor:
            supervisor.start()
            now = recorded(home.directory)
            assert now["kept"] == pids["kept"]
            assert now["other"] != pids["other"]
            assert not runs(pids["other"])
            assert home.said[:2] == [
                "ended other, left over from an earlier run",
                "kept is still running, and is taken over",
            ]
            os.kill(pids["kept"], signal.SIGKILL)
            looked(supervisor, lambda: recorded(home.directory)["kept"] != pids["kept"], what="a new one in its place")
        eventually(lambda: not any(map(runs, set(now.values()) - {os.getpid()})), what="all of it to be gone")

    def test_a_copy_of_a_home_ends_nothing_of_the_home(self, home: Home, tmp_path: Path) -> None:
        """Somebody looks at a backup beside the service, and says `serin down` there. A home that was moved is up."""
        with home.supervisor(replace(server("gateway", home.directory), data_plane=True)) as supervisor:
            assert supervisor.start()
            copy = tmp_path.with_name(f"{tmp_path.name}-copy")
            shutil.copytree(home.directory, copy)
            assert running_supervisor(copy) is None
            assert end_leftovers(copy, grace_s=0.5) == []
            assert runs(recorded(home.directory)["gateway"])
            home.directory.rename(moved := tmp_path.with_name(f"{tmp_path.name}-moved"))
            assert running_supervisor(moved) is not None
            moved.rename(home.directory)

    def test_without_a_record_what_runs_is_found_by_its_mark(self, home: Home) -> None:
        """`serin down` leaves nothing behind, whatever became of the file."""
        supervisor = home.supervisor(server("gateway", home.directory)).__enter__()
        supervisor.start()
        pid = recorded(home.directory)["gateway"]
        (home.directory / PROCESSES_FILE).write_text("{")
        assert end_leftovers(home.directory, grace_s=0.5) == ["gateway"]
        supervisor._running[0].child.wait(PATIENCE_S)  # type: ignore[union-attr]
        assert not runs(pid)
