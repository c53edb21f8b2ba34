"""Drills on real processes: turns of being stopped end with the drill, however that ends."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest

from controller.adapters.local.drill_guard import Guard
from controller.adapters.local.drills import Killed, Slowed, requests_that_were_cold
from controller.adapters.local.processes_os import ProcessIdentity, end_groups, identity_of, start_process
from controller.adapters.local.records import Record
from controller.errors import UsageError
from gates.outcome import Outcome
from serving.contract import COLD_REQUESTS_METRIC
from tests.patience import eventually

SLEEPER = [sys.executable, "-c", "import time\nwhile True: time.sleep(1)"]
PARENT = [sys.executable, "-c", f"import subprocess, time; subprocess.Popen({SLEEPER!r}); time.sleep(600)"]
SLOWS_AND_WAITS = """
import sys, json, time
from controller.adapters.local.drill_guard import Guard
from controller.adapters.local.drills import Slowed
from controller.adapters.local.processes_os import ProcessIdentity
from tests.controller.test_drill_processes import record_of
one = ProcessIdentity(*json.loads(sys.argv[1]))
with Guard([one], 600.0, [sys.executable, "-c", f"open({sys.argv[2]!r}, 'w')"]) as guard:
    Slowed([record_of(one)], 60_000.0, guard).begin()
    print("begun", flush=True)
    time.sleep(600)
"""


def record_of(one: ProcessIdentity) -> Record:
    return Record("intent", "1", one.pid, one.start_ticks, one.boot_id, (), 0.0, (), 0, answered=True)


@contextmanager
def replica(tmp_path: Path, command: list[str] = SLEEPER) -> Iterator[ProcessIdentity]:
    """A process that leads a group, as a replica does."""
    child = start_process(command, tmp_path / "log")
    identity = identity_of(child.pid)
    assert identity is not None
    try:
        yield identity
    finally:
        end_groups([identity], grace_s=0, reap=[child])
        child.wait()


def is_stopped(one: ProcessIdentity) -> bool:
    return psutil.Process(one.pid).status() == psutil.STATUS_STOPPED


def test_replicas_are_stopped_in_turns_and_go_on(tmp_path: Path) -> None:
    with replica(tmp_path) as one, Guard([one], 60.0) as guard:
        slowed = Slowed([record_of(one)], 100.0, guard)
        slowed.begin()
        for _ in range(2):
            eventually(lambda: is_stopped(one), what="stopped")
            eventually(lambda: not is_stopped(one), what="let go in its turn")
        slowed.end()
        assert not is_stopped(one)
        assert slowed.is_over()


def test_one_that_is_stopped_already_is_let_be(tmp_path: Path) -> None:
    """Somebody else did it, and a drill's end would undo that."""
    with replica(tmp_path) as one, Guard([one], 60.0) as guard:
        os.kill(one.pid, signal.SIGSTOP)
        eventually(lambda: is_stopped(one), what="stopped")
        slowed = Slowed([record_of(one)], 100.0, guard)
        with pytest.raises(UsageError, match="stopped already"):
            slowed.begin()
        slowed.end()
        assert is_stopped(one)
        os.kill(one.pid, signal.SIGCONT)


def test_a_drill_that_is_killed_is_undone_by_its_guard(tmp_path: Path) -> None:
    """SIGKILL while the replica is stopped: it goes on, and what was to be done afterwards is done."""
    after = tmp_path / "lifted"
    with replica(tmp_path) as one:
        arguments = [f"[{one.pid}, {one.start_ticks}, {one.boot_id!r}]".replace("'", '"'), str(after)]
        root = Path(__file__).parents[2]
        command = [sys.executable, "-c", SLOWS_AND_WAITS, *arguments]
        with subprocess.Popen(command, stdout=subprocess.PIPE, cwd=root, text=True) as drill:
            assert drill.stdout is not None
            assert drill.stdout.readline() == "begun\n"
            eventually(lambda: is_stopped(one), what="stopped for a minute")
            drill.kill()
        eventually(lambda: not is_stopped(one), what="let go by the guard")
        eventually(after.exists, what="what was to be done afterwards")


def test_without_its_guard_nothing_is_stopped(tmp_path: Path) -> None:
    with replica(tmp_path) as one, Guard([one], 60.0) as guard:
        slowed = Slowed([record_of(one)], 50.0, guard)
        slowed.begin()
        (child,) = [one for one in psutil.Process().children() if "drill_guard" in " ".join(one.cmdline())]
        child.kill()
        eventually(slowed.broken_off, what="it is broken off")
        eventually(lambda: not is_stopped(one), what="let go")
        slowed.end()


def test_a_guard_lets_go_when_the_time_is_over(tmp_path: Path) -> None:
    with replica(tmp_path) as one:
        os.kill(one.pid, signal.SIGSTOP)
        eventually(lambda: is_stopped(one), what="stopped")
        with Guard([one], 0.1):
            eventually(lambda: not is_stopped(one), what="let go by the guard")


def test_a_guard_that_is_told_so_does_nothing(tmp_path: Path) -> None:
    after = tmp_path / "lifted"
    with Guard([], 60.0, [sys.executable, "-c", f"open({str(after)!r}, 'w')"]):
        pass
    assert not after.exists()


def test_the_youngest_process_of_a_replica_is_its_worker(tmp_path: Path) -> None:
    """And one that nothing replaces breaks the promise."""
    with replica(tmp_path, PARENT) as one:
        (worker,) = eventually(lambda: psutil.Process(one.pid).children(), what="its child")
        killed = Killed(tmp_path, record_of(one), worker=True)
        assert str(worker.pid) in killed.begin()
        eventually(lambda: not worker.is_running() or worker.status() == psutil.STATUS_ZOMBIE, what="its end")
        assert psutil.Process(one.pid).is_running()
        assert not killed.is_over()
        assert [check.outcome for check in killed.checks()] == [Outcome.FAIL]


@pytest.mark.parametrize(("value", "cold"), [("0", 0), ("3", 3), ("1e+00", 1)])
def test_cold_requests_are_read_of_a_replicas_own_metrics(value: str, cold: int) -> None:
    told = f'# HELP {COLD_REQUESTS_METRIC} Requests.\n{COLD_REQUESTS_METRIC}{{model="intent"}} {value}\nserin_other 7\n'
    assert requests_that_were_cold(told) == cold
