"""The way between the HTTP process and its workers loses nothing and sees an end at once."""

import asyncio
import math
import socket
import threading
from collections.abc import Callable

import pytest

from serving.link import Dispatcher, FrameBuffer, Job, LinkClosedError, Outcome, Row, WorkerEnd, frame


def job(uid: str) -> Job:
    return Job(uid, (f"text of {uid}",), math.inf)


async def reach(condition: Callable[[], object]) -> None:
    async with asyncio.timeout(5):
        while not condition():
            await asyncio.sleep(0)


def test_frames_survive_any_cut() -> None:
    messages = [{"a": "é" * 50}, [], "ready"]
    data = b"".join(frame(message) for message in messages)
    for size in (1, 3, 7, len(data)):
        buffer = FrameBuffer()
        pieces = (data[at : at + size] for at in range(0, len(data), size))
        assert [message for piece in pieces for message in buffer.feed(piece)] == messages


def test_a_worker_takes_everything_that_has_arrived() -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        ours.sendall(frame(("1", ("a",), 9.5)) + frame(("2", ("b", "c"), 9.5)))
        assert WorkerEnd(theirs).receive(None) == [Job("1", ("a",), 9.5), Job("2", ("b", "c"), 9.5)]


def test_a_worker_that_nobody_can_reach_ends() -> None:
    ours, theirs = socket.socketpair()
    ours.close()
    with theirs, pytest.raises(LinkClosedError):
        WorkerEnd(theirs).receive(None)


def test_jobs_wait_for_the_first_worker_and_come_back_answered() -> None:
    async def scenario() -> list[Outcome]:
        outcomes: list[Outcome] = []
        dispatcher = Dispatcher(outcomes.append)
        dispatcher.submit(job("early"))
        assert not dispatcher.ready
        ours, theirs = socket.socketpair()
        await dispatcher.add_worker(ours)
        thread = threading.Thread(target=echo, args=(theirs, 1))
        thread.start()
        await reach(lambda: outcomes)
        assert dispatcher.depth == 0
        await asyncio.to_thread(thread.join)
        return outcomes

    (outcome,) = asyncio.run(scenario())
    assert outcome == Outcome("early", (Row([0.25, 0.75], 3, 1, True),))


def echo(connection: socket.socket, answers: int) -> None:
    with connection:
        end = WorkerEnd(connection)
        end.send_ready()
        for done in end.receive(None)[:answers]:
            end.send([Outcome(done.uid, (Row((0.25, 0.75), 3, 1, True),))])


def test_a_worker_that_ends_has_its_requests_answered_with_an_error() -> None:
    """LitServe leaves such requests waiting for ever."""

    async def scenario() -> list[Outcome]:
        outcomes: list[Outcome] = []
        dispatcher = Dispatcher(outcomes.append)
        ours, theirs = socket.socketpair()
        await dispatcher.add_worker(ours)
        WorkerEnd(theirs).send_ready()
        await reach(lambda: dispatcher.ready)
        dispatcher.submit(job("lost"))
        theirs.close()
        await reach(lambda: outcomes)
        assert not dispatcher.ready
        return outcomes

    (outcome,) = asyncio.run(scenario())
    assert outcome.uid == "lost"
    assert outcome.error


def test_work_is_spread_over_the_workers() -> None:
    async def scenario() -> list[int]:
        dispatcher = Dispatcher(lambda _: None)
        ends = []
        for _ in range(2):
            ours, theirs = socket.socketpair()
            await dispatcher.add_worker(ours)
            ends.append(WorkerEnd(theirs))
            ends[-1].send_ready()
        await reach(lambda: len([worker for worker in dispatcher._workers if worker.ready]) == 2)
        for number in range(6):
            dispatcher.submit(job(str(number)))
        await asyncio.sleep(0)
        counts = [len(end.receive(5)) for end in ends]
        for end in ends:
            end._socket.close()
        await reach(lambda: not dispatcher.ready)
        return counts

    assert asyncio.run(scenario()) == [3, 3]
