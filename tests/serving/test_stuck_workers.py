"""A worker that hangs behind an HTTP process that answers: found by who asks for the replica's health, and replaced."""

import os
import signal
from pathlib import Path

import httpx
import psutil
import pytest

from serving.contract import PREDICT_ROUTE, WORKER_RESTARTS_METRIC
from serving.ipc.progress import Progress, activity
from tests.serving.replica import Replica, replica, until

PID, STUCK_AFTER_S = 7, 2.0


def judged(*seen: tuple[float, str, int]) -> list[bool]:
    """Whether it is taken for stuck at each (time, state, ticks of the processor)."""
    now: list[tuple[str, int]] = []
    progress = Progress(STUCK_AFTER_S, lambda _: now[-1])
    found = []
    for at_s, state, ticks in seen:
        now.append((state, ticks))
        found.append(progress.is_stuck(PID, at_s))
    return found


def test_one_that_sleeps_without_using_a_processor_is_stuck() -> None:
    assert judged((0, "S", 5), (1.9, "S", 5), (STUCK_AFTER_S, "S", 5)) == [False, False, True]
    assert judged((0, "T", 5), (STUCK_AFTER_S, "T", 5)) == [False, True]


def test_a_long_engine_call_is_no_hang() -> None:
    """It uses a processor, waits for one, or for its memory to be read back from disk."""
    assert not any(judged(*((float(second), "S", second) for second in range(10))))
    assert not any(judged((0, "S", 5), (1, "R", 5), (2, "R", 5), (3, "D", 5), (4, "S", 5)))


def test_what_answered_meanwhile_is_judged_anew() -> None:
    progress = Progress(STUCK_AFTER_S, lambda _: ("S", 5))
    assert not progress.is_stuck(PID, 0)
    progress.forget_but(set())
    assert not progress.is_stuck(PID, 60)
    assert progress.is_stuck(PID, 62)


def test_a_process_that_is_not_there_is_not_judged() -> None:
    assert Progress(STUCK_AFTER_S, lambda _: None).is_stuck(PID, 60) is False
    found = activity(os.getpid())
    assert found is not None
    assert found[0] in "RS"


@pytest.mark.integration
@pytest.mark.parametrize("busy", [False, True], ids=["idle", "with a request"])
def test_a_hung_worker_is_found_and_replaced_in_seconds(package: Path, busy: bool) -> None:
    """Not after the time that a request may take (30 s). One that is idle is found by who asks for the health."""
    with replica(package, "--stuck-after-s", "2") as running:
        assert _answers(running)
        worker = _worker(running)
        worker.send_signal(signal.SIGSTOP)
        if busy:
            with httpx.Client(trust_env=False, timeout=25) as client:
                answer = client.post(running.url + PREDICT_ROUTE, json={"text": "hello"})
            assert answer.status_code == 500
            assert "ended while it had this request" in answer.text
        until(lambda: not (running.is_healthy() and worker.is_running()), "it is found")
        until(running.is_healthy, "a new worker in its place")
        assert _answers(running)
        assert running.total(WORKER_RESTARTS_METRIC) == 1
        assert "it has given no sign of life; ended" in running.log.read_text()


def _answers(running: Replica) -> bool:
    with httpx.Client(trust_env=False, timeout=25) as client:
        return client.post(running.url + PREDICT_ROUTE, json={"text": "hello"}).status_code == 200


def _worker(running: Replica) -> psutil.Process:
    """The one that was forked last."""
    return max(psutil.Process(running.process.pid).children(), key=lambda child: child.pid)
