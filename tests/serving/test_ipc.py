"""The way between the HTTP process and its workers loses nothing and sees an end at once."""

import asyncio
import socket
import threading
import time
from collections.abc import Callable

import pytest

from serving.ipc.dispatcher import Dispatcher
from serving.ipc.frames import FrameBuffer, frame
from serving.ipc.worker_end import DisconnectedError, Inbox, WorkerEnd
from serving.messages import Job, Outcome

PID = 4711
ROW = (b'{"label": "a"}', 3, 1, True)


def job(uid: int, cost: int = 1) -> Job:
    return Job(uid, (f"text of {uid}",), cost)


async def reach(condition: Callable[[], object]) -> None:
    async with asyncio.timeout(5):
        while not condition():
            await asyncio.sleep(0)


def test_frames_survive_any_cut() -> None:
    messages = [("é" * 50, 7, b"\xff"), [], "ready"]
    data = b"".join(frame(message) for message in messages)
    for size in (1, 3, 7, len(data)):
        buffer = FrameBuffer()
        pieces = (data[at : at + size] for at in range(0, len(data), size))
        assert [message for piece in pieces for message in buffer.feed(piece)] == messages


def test_a_worker_takes_everything_that_has_arrived() -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        ours.sendall(frame(([(1, ("a",))], [], {})) + frame(([(2, ("b", "c"))], [7], {})))
        assert WorkerEnd([theirs]).receive(None) == Inbox([Job(1, ("a",)), Job(2, ("b", "c"))], [7])


def test_a_worker_that_may_not_wait_does_not() -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        assert WorkerEnd([theirs]).receive(0.0) == Inbox()
        assert WorkerEnd([theirs]).receive(0.001) == Inbox()


def test_a_worker_that_nobody_can_reach_ends() -> None:
    ours, theirs = socket.socketpair()
    ours.close()
    with theirs, pytest.raises(DisconnectedError):
        WorkerEnd([theirs]).receive(None)


def test_jobs_wait_for_the_first_worker_and_come_back_answered() -> None:
    async def scenario() -> list[Outcome]:
        outcomes: list[Outcome] = []
        dispatcher = Dispatcher(outcomes.append)
        dispatcher.submit(job(1))
        assert not dispatcher.ready
        ours, theirs = socket.socketpair()
        await dispatcher.add_worker(ours, PID)
        thread = threading.Thread(target=echo, args=(theirs, 1))
        thread.start()
        await reach(lambda: outcomes)
        assert dispatcher.depth == 0
        await asyncio.to_thread(thread.join)
        return outcomes

    (outcome,) = asyncio.run(scenario())
    assert outcome == Outcome(1, [ROW])


def echo(connection: socket.socket, answers: int) -> None:
    with connection:
        end = WorkerEnd([connection])
        end.send_ready()
        for done in end.receive(None).jobs[:answers]:
            end.send([Outcome(done.uid, [ROW])], 0.5)


def test_a_worker_that_ends_has_its_requests_answered_with_an_error() -> None:
    """LitServe leaves such requests waiting for ever."""

    async def scenario() -> list[Outcome]:
        outcomes: list[Outcome] = []
        dispatcher = Dispatcher(outcomes.append)
        ours, theirs = socket.socketpair()
        await dispatcher.add_worker(ours, PID)
        WorkerEnd([theirs]).send_ready()
        await reach(lambda: dispatcher.ready)
        dispatcher.submit(job(5))
        theirs.close()
        await reach(lambda: outcomes)
        assert not dispatcher.ready
        return outcomes

    (outcome,) = asyncio.run(scenario())
    assert outcome.uid == 5
    assert outcome.error


async def joined(dispatcher: Dispatcher, workers: int) -> list[WorkerEnd]:
    """The ends of so many ready workers; their process ids count from ``PID``."""
    ends = []
    for number in range(workers):
        ours, theirs = socket.socketpair()
        await dispatcher.add_worker(ours, PID + number)
        ends.append(WorkerEnd([theirs]))
        ends[-1].send_ready()
    await reach(lambda: len([worker for worker in dispatcher._workers if worker.ready]) == workers)
    return ends


def test_work_is_spread_over_the_workers() -> None:
    async def scenario() -> list[int]:
        dispatcher = Dispatcher(lambda _: None)
        ends = await joined(dispatcher, 2)
        for number in range(6):
            dispatcher.submit(job(number))
        counts = [len(await asyncio.to_thread(gathered, end, 3)) for end in ends]
        for end in ends:
            end.close()
        await reach(lambda: not dispatcher.ready)
        return counts

    assert asyncio.run(scenario()) == [3, 3]


def test_a_worker_that_hangs_is_not_given_what_another_can_do() -> None:
    """Its requests are given up one by one: it must not look idle for that, and draw all others in."""

    async def scenario() -> list[int]:
        dispatcher = Dispatcher(lambda _: None)
        ends = await joined(dispatcher, 2)
        dispatcher.submit(job(0))
        hung, well = ends
        assert [done.uid for done in await asyncio.to_thread(gathered, hung, 1)] == [0]
        dispatcher.cancel(0)
        taken = []
        for number in range(1, 5):
            dispatcher.submit(job(number))
            taken += [done.uid for done in await asyncio.to_thread(gathered, well, 1)]
            well.send([Outcome(number, [ROW])], 0.1)
            await reach(lambda: dispatcher.depth == 0)
        for end in ends:
            end.close()
        await reach(lambda: not dispatcher.ready)
        return taken

    assert asyncio.run(scenario()) == [1, 2, 3, 4]


def test_a_worker_that_says_nothing_while_it_has_work_is_told_of_once() -> None:
    """By its process id, so that it can be ended; one that works gives a sign of life between two engine calls."""

    async def scenario() -> list[list[int]]:
        dispatcher = Dispatcher(lambda _: None)
        ends = await joined(dispatcher, 2)
        loop = asyncio.get_running_loop()
        found = [dispatcher.hung(loop.time() + 60)]
        for number in (0, 1):
            dispatcher.submit(job(number))
        for end in ends:
            await asyncio.to_thread(gathered, end, 1)
        before_the_sign_s, owed_s = loop.time(), dispatcher._workers[0].unheard_s
        ends[0].sign(time.monotonic())
        await reach(lambda: dispatcher._workers[0].unheard_s != owed_s)
        found += [
            dispatcher.hung(before_the_sign_s),
            dispatcher.hung(loop.time() + 60),
            dispatcher.hung(loop.time() + 60),
        ]
        for end in ends:
            end.close()
        await reach(lambda: not dispatcher.ready)
        return found

    assert asyncio.run(scenario()) == [[], [PID + 1], [PID], []]


def test_a_job_that_is_given_up_is_owed_a_sign_until_the_worker_has_heard_so() -> None:
    """Else clients that leave early would hide that it hangs, or it would be blamed for what it never has to answer."""

    async def scenario() -> list[list[int]]:
        dispatcher = Dispatcher(lambda _: None)
        (end,) = await joined(dispatcher, 1)
        end.sign(time.monotonic())  # the next by the clock is a second away
        after = asyncio.get_running_loop().time() + 60
        dispatcher.submit(job(0))
        await asyncio.to_thread(gathered, end, 1)
        dispatcher.cancel(0)
        inbox = await asyncio.to_thread(end.receive, None)
        worker = dispatcher._workers[0]
        owed, told = worker.unheard_s, inbox.cancelled
        end.sign(time.monotonic())
        await reach(lambda: worker.unheard_s is None)
        end.close()
        await reach(lambda: not dispatcher.ready)
        return [told, [int(owed is not None)], dispatcher.hung(after)]

    assert asyncio.run(scenario()) == [[0], [1], []]


def gathered(end: WorkerEnd, jobs: int) -> list[Job]:
    """The first so many jobs that arrive."""
    found: list[Job] = []
    while len(found) < jobs:
        found += end.receive(None).jobs
    return found


def test_an_idle_worker_is_sent_a_job_at_once_and_a_busy_one_many_together() -> None:
    """Each write is a system call of the process that small models wait for."""

    async def scenario() -> list[list[int]]:
        dispatcher = Dispatcher(lambda _: None)
        ours, theirs = socket.socketpair()
        await dispatcher.add_worker(ours, PID)
        end = WorkerEnd([theirs])
        end.send_ready()
        await reach(lambda: dispatcher.ready)
        dispatcher.submit(job(0))
        first = await asyncio.to_thread(end.receive, None)
        for number in (1, 2, 3):
            dispatcher.submit(job(number))
            await asyncio.sleep(0)
        rest = await asyncio.to_thread(end.receive, None)
        theirs.close()
        await reach(lambda: not dispatcher.ready)
        return [[done.uid for done in inbox.jobs] for inbox in (first, rest)]

    assert asyncio.run(scenario()) == [[0], [1, 2, 3]]


def test_a_cancelled_job_is_not_sent_and_one_that_was_sent_is_called_back() -> None:
    async def scenario() -> tuple[Inbox, Inbox, list[Outcome]]:
        outcomes: list[Outcome] = []
        dispatcher = Dispatcher(outcomes.append)
        dispatcher.submit(job(0))
        dispatcher.submit(job(1))
        dispatcher.cancel(1)
        ours, theirs = socket.socketpair()
        await dispatcher.add_worker(ours, PID)
        end = WorkerEnd([theirs])
        end.send_ready()
        first = await asyncio.to_thread(end.receive, None)
        dispatcher.submit(job(2))
        dispatcher.cancel(2)
        dispatcher.cancel(0)
        second = await asyncio.to_thread(end.receive, None)
        assert dispatcher.depth == 0
        theirs.close()
        await reach(lambda: not dispatcher.ready)
        return first, second, outcomes

    first, second, outcomes = asyncio.run(scenario())
    assert [done.uid for done in first.jobs] == [0]
    assert second == Inbox([], [0])
    assert outcomes == [], "who cancelled knows it"


def test_the_pace_is_told_with_the_cost_of_what_was_answered() -> None:
    async def scenario() -> list[tuple[float, int]]:
        seen: list[tuple[float, int]] = []
        dispatcher = Dispatcher(lambda _: None, lambda busy_s, cost: seen.append((busy_s, cost)))
        dispatcher.submit(job(1, cost=40))
        ours, theirs = socket.socketpair()
        await dispatcher.add_worker(ours, PID)
        thread = threading.Thread(target=echo, args=(theirs, 1))
        thread.start()
        await reach(lambda: seen)
        await asyncio.to_thread(thread.join)
        return seen

    assert asyncio.run(scenario()) == [(0.5, 40)]
