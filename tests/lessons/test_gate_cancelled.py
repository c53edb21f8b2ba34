"""A gate that is cancelled, however that is done, leaves no process and no folder."""

import os
import shutil
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from controller.adapters.local.scratch import scratch_folder
from tests.lessons.pipeline import INTENTS, cases, replicas_of, started, written
from tests.patience import PATIENCE_S
from tests.serving.replica import until

pytestmark = pytest.mark.integration


@pytest.fixture
def package(intents_package: Path, tmp_path: Path) -> Path:
    """One of this test's own, by whose name its processes are known."""
    return Path(shutil.copytree(intents_package, tmp_path / "package"))


@pytest.fixture
def temporary(tmp_path: Path) -> Path:
    (tmp_path / "tmp").mkdir()
    return tmp_path / "tmp"


@pytest.fixture
def gate(package: Path, temporary: Path, tmp_path: Path) -> Iterator[subprocess.Popen[bytes]]:
    """A gate in the middle of a suite that takes it long."""
    documents = [
        document | {"id": f"{n}-{document['id']}", "text": f"{document['text']} {n}"}
        for n in range(10)
        for document in cases(600)
    ]
    suite = written(tmp_path / "long.jsonl", documents)
    running = started(
        "gate", "--model", package, "--suite", suite, "--json", tmp_path / "result.json", temporary=temporary
    )
    try:
        until(lambda: len(replicas_of(package)) > 1, "the replica and its workers")
        yield running
    finally:
        for process in (running, *replicas_of(package)):
            process.kill()
        running.wait()


def folders(temporary: Path) -> list[str]:
    return sorted(path.name for path in temporary.glob("serin-gate-*"))


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP, signal.SIGINT])
def test_a_signal_ends_the_replica_and_removes_the_folder(
    gate: subprocess.Popen[bytes], number: signal.Signals, package: Path, temporary: Path, tmp_path: Path
) -> None:
    """A pipeline that is cancelled sends one of these; the exit code is no verdict, and the result says it."""
    assert folders(temporary)
    gate.send_signal(number)
    assert gate.wait(PATIENCE_S) == 128 + number
    assert (replicas_of(package), folders(temporary)) == ([], [])
    assert "the step was cancelled" in (tmp_path / "result.json").read_text()


def test_a_second_signal_does_not_disturb_the_cleaning_up(
    gate: subprocess.Popen[bytes], package: Path, temporary: Path
) -> None:
    """An impatient person presses Ctrl-C again; a pipeline follows with SIGTERM."""
    for number in (signal.SIGINT, signal.SIGINT, signal.SIGTERM):
        gate.send_signal(number)
    assert gate.wait(PATIENCE_S) in (130, 143)
    assert (replicas_of(package), folders(temporary)) == ([], [])


def test_a_gate_that_is_killed_takes_its_replica_along(
    gate: subprocess.Popen[bytes], package: Path, temporary: Path
) -> None:
    """Nothing of it can clean up; the kernel tells the replica. Its folder goes with the next gate."""
    gate.kill()
    gate.wait()
    until(lambda: not replicas_of(package), "the end of the replica")
    assert folders(temporary)
    before = os.environ.get("TMPDIR")
    assert before != str(temporary)
    done = started("gate", "--model", package, "--suite", INTENTS / "suite.jsonl", temporary=temporary, stdout=-3)
    assert done.wait(PATIENCE_S) == 0
    assert folders(temporary) == []


def test_a_deleted_temporary_folder_leaves_no_process(
    gate: subprocess.Popen[bytes], package: Path, temporary: Path
) -> None:
    """Where a cleaner of /tmp was quicker: the replica is known by its process, not by a file."""
    shutil.rmtree(temporary)
    gate.terminate()
    assert gate.wait(PATIENCE_S) == 143
    assert replicas_of(package) == []


def test_a_folder_that_is_in_use_is_not_swept_away(monkeypatch: pytest.MonkeyPatch, temporary: Path) -> None:
    """Two gates run on one machine."""
    monkeypatch.setattr("tempfile.tempdir", str(temporary))
    left = temporary / "serin-test-left"
    left.mkdir()
    (left / ".in-use").touch()
    (temporary / "serin-test-new").mkdir()
    with scratch_folder("serin-test-") as first, scratch_folder("serin-test-") as second:
        assert first.is_dir()
        assert second.is_dir()
        assert not left.exists()
    assert [path.name for path in temporary.glob("serin-test-*")] == ["serin-test-new"]
