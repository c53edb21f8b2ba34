"""The access log: whole lines, off the requests' way, through rotation and full disks, and never a text."""

import json
import threading
from pathlib import Path

import pytest

from serving.access.log import AccessLog, Visit
from serving.contract import Traffic
from serving.refusals import Refusal
from tests.serving.replica import until


def visit(number: int = 0, refusal: Refusal | None = None) -> Visit:
    return Visit(
        1795432308.5, f"r-{number}", "alice", "127.0.0.1", "POST", "/predict", 200, 0.01234, 1, 7, Traffic.LIVE, refusal
    )


class Lost:
    def __init__(self) -> None:
        self.lines = 0

    def __call__(self, lines: int) -> None:
        self.lines += lines


@pytest.fixture
def lost() -> Lost:
    return Lost()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "access.log"


def test_a_line_says_who_asked_what_and_what_came_of_it(path: Path, lost: Lost) -> None:
    log = AccessLog(path, "intent", "7", lost)
    log.start()
    log.note(visit())
    log.note(visit(1, Refusal.RATE))
    log.stop(5)
    first, second = (json.loads(line) for line in path.read_text().splitlines())
    assert first == {
        "at": "2026-11-23T11:11:48.500Z", "request_id": "r-0", "client": "alice", "address": "127.0.0.1",
        "method": "POST", "route": "/predict", "status": 200, "ms": 12.34, "texts": 1, "tokens": 7, "traffic": "live",
        "model": "intent", "model_version": "7",
    }  # fmt: skip
    assert second["refused"] == "rate"
    assert lost.lines == 0


def test_every_line_is_written_once_and_in_order(path: Path, lost: Lost) -> None:
    log = AccessLog(path, "intent", "7", lost)
    log.start()
    for number in range(5000):
        log.note(visit(number))
    log.stop(5)
    assert [json.loads(line)["request_id"] for line in path.read_text().splitlines()] == [f"r-{n}" for n in range(5000)]


def test_lines_do_not_wait_for_the_end(path: Path, lost: Lost) -> None:
    log = AccessLog(path, "intent", "7", lost)
    log.start()
    for number in range(3):  # also after it has fallen asleep again
        log.note(visit(number))
        until(lambda: path.read_text().count("\n") == number + 1, "the line is written")  # noqa: B023
    log.stop(5)


def test_a_full_queue_drops_and_counts(path: Path, lost: Lost) -> None:
    log = AccessLog(path, "intent", "7", lost, queue_max=10)
    for number in range(100):
        log.note(visit(number))
    assert lost.lines == 90
    log.start()
    log.stop(5)
    assert path.read_text().count("\n") == 10


def test_a_rotated_file_is_begun_anew(path: Path, lost: Lost, tmp_path: Path) -> None:
    log = AccessLog(path, "intent", "7", lost)
    log.start()
    log.note(visit(1))
    until(lambda: path.read_text().count("\n") == 1, "the line is written")
    path.rename(tmp_path / "access.log.1")
    log.note(visit(2))
    until(path.exists, "the file is there again")
    log.stop(5)
    assert "r-1" in (tmp_path / "access.log.1").read_text()
    assert "r-2" in path.read_text()


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs a device that is always full")
def test_a_full_disk_loses_lines_and_says_so(lost: Lost, caplog: pytest.LogCaptureFixture) -> None:
    log = AccessLog(Path("/dev/full"), "intent", "7", lost)
    log.start()
    log.note(visit())
    log.stop(5)
    assert lost.lines == 1
    assert "cannot be written" in caplog.text


def test_a_log_that_cannot_be_opened_is_found_at_the_start(tmp_path: Path, lost: Lost) -> None:
    with pytest.raises(OSError, match="No such file"):
        AccessLog(tmp_path / "nowhere" / "log", "intent", "7", lost)


def test_an_idle_log_sleeps(path: Path, lost: Lost) -> None:
    log = AccessLog(path, "intent", "7", lost)
    log.start()
    log.note(visit())
    until(lambda: not log._awake and not log._visits, "it sleeps again")
    assert not log._wake.is_set()
    assert threading.active_count() >= 2
    log.stop(5)
