"""Jobs beside the rounds: what is quick is done at once, what is slow is taken up later, what hangs keeps nobody."""

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future, wait
from functools import partial

import pytest

from controller.adapters.clock import SystemClock
from controller.loop.jobs import COMPUTING_MAX, InlineJobs, Jobs, Running, ThreadedJobs, Turns
from tests.patience import PATIENCE_S, eventually


@pytest.fixture
def jobs() -> Iterator[ThreadedJobs]:
    threaded = ThreadedJobs(SystemClock(), workers=2)
    yield threaded
    threaded.close()


@pytest.fixture
def busy() -> Iterator[ThreadedJobs]:
    threaded = ThreadedJobs(SystemClock())
    yield threaded
    threaded.close()


@pytest.mark.parametrize("make", [InlineJobs, lambda: ThreadedJobs(SystemClock())], ids=["inline", "threaded"])
def test_a_quick_job_is_done_where_it_is_asked_for(make: Callable[[], Jobs]) -> None:
    """Its result, or what it raised; and the next one begins anew."""
    jobs, calls = make(), []

    def work() -> int:
        calls.append(1)
        return len(calls)

    def fails() -> int:
        raise ValueError("no such version")

    for number in (1, 2):
        assert jobs.ask("registry", "intent", "look", work, patience_s=PATIENCE_S) == number
    for _ in range(2):
        with pytest.raises(ValueError, match="no such version"):
            jobs.ask("registry", "intent", "look", fails, patience_s=PATIENCE_S)


def test_a_slow_job_is_begun_once_and_taken_up_later(jobs: ThreadedJobs) -> None:
    go, calls = threading.Event(), []

    def work() -> str:
        calls.append(1)
        go.wait(PATIENCE_S)
        return "done"

    for _ in range(3):
        assert isinstance(jobs.ask("suites", "intent", 1, work, patience_s=0), Running)
    assert jobs.busy()
    go.set()
    assert jobs.ask("suites", "intent", 1, work, patience_s=PATIENCE_S) == "done"
    assert len(calls) == 1
    assert not jobs.busy()


@pytest.mark.parametrize("error", [None, TimeoutError("MLflow took 5 s")], ids=["a result", "a time-out of its own"])
def test_a_job_that_ends_at_the_very_moment_that_it_is_asked_for_gives_what_it_has(
    jobs: ThreadedJobs, monkeypatch: pytest.MonkeyPatch, error: Exception | None
) -> None:
    """Between "not within its patience" and "does it run still": a round ended there by a time-out of nobody's."""
    go = threading.Event()

    def work() -> str:
        go.wait(PATIENCE_S)
        if error is not None:
            raise error
        return "done"

    def late(future: Future[str], within_s: float) -> None:
        assert not future.done()
        go.set()
        wait([future], timeout=PATIENCE_S)

    monkeypatch.setattr("controller.loop.jobs.wait_for", late)
    if error is None:
        assert jobs.ask("followers", "tags", "tags", work, patience_s=PATIENCE_S) == "done"
    else:
        with pytest.raises(TimeoutError, match="MLflow took 5 s"):
            jobs.ask("followers", "tags", "tags", work, patience_s=PATIENCE_S)
    assert not jobs.busy()


def test_a_result_that_was_for_something_else_is_dropped(jobs: ThreadedJobs) -> None:
    """A look that was begun before an abort counts nothing; while it runs, the slot is taken."""
    go = threading.Event()

    def hangs() -> str:
        go.wait(PATIENCE_S)
        return "of before"

    assert isinstance(jobs.ask("metrics", "intent", "before", hangs, patience_s=0), Running)
    waiting = jobs.ask("metrics", "intent", "after", lambda: "of after", patience_s=0)
    assert isinstance(waiting, Running)
    assert waiting.purpose == "before"
    go.set()
    found: object = waiting
    while isinstance(found, Running):
        found = jobs.ask("metrics", "intent", "after", lambda: "of after", patience_s=PATIENCE_S)
    assert found == "of after"


def test_what_hangs_in_one_pool_keeps_no_other_waiting(jobs: ThreadedJobs) -> None:
    """As many as there are threads hang, and one more waits; another pool answers."""
    go = threading.Event()
    for model in range(3):
        hung = jobs.ask("registry", model, 1, lambda: go.wait(PATIENCE_S), patience_s=0)
        assert isinstance(hung, Running)
    assert jobs.ask("metrics", 0, 1, lambda: "answered", patience_s=PATIENCE_S) == "answered"
    go.set()


def test_few_compute_at_a_time(busy: ThreadedJobs) -> None:
    """Python runs one of them anyhow, and every further one makes it dearer."""
    go, begun = threading.Event(), []

    def turn(model: int) -> None:
        begun.append(model)
        go.wait(PATIENCE_S)

    for model in range(6):
        busy.ask("models", model, 1, partial(turn, model), patience_s=0)
    eventually(lambda: len(begun) == COMPUTING_MAX, what="as many as may")
    go.set()
    eventually(lambda: len(begun) == 6, what="each in its turn")


def test_who_waits_lets_another_one_compute(busy: ThreadedJobs) -> None:
    """All have a source that hangs, and a seventh model is to be rolled back."""
    go = threading.Event()

    def turn(model: int) -> None:
        busy.ask("metrics", model, 1, lambda: go.wait(PATIENCE_S), patience_s=PATIENCE_S)

    for model in range(6):
        busy.ask("models", model, 1, partial(turn, model), patience_s=0)
    try:
        assert busy.ask("models", 6, 1, lambda: "rolled back", patience_s=PATIENCE_S) == "rolled back"
    finally:
        go.set()


def test_a_turn_that_failed_is_over(busy: ThreadedJobs) -> None:
    def fails() -> None:
        raise ValueError("no such version")

    for model in range(2 * COMPUTING_MAX):
        with pytest.raises(ValueError, match="no such version"):
            busy.ask("models", model, 1, fails, patience_s=PATIENCE_S)


def test_whoever_waits_is_before_whoever_is_quicker() -> None:
    """A thread that ends a turn begins its next one before any other has woken up: some models waited for 45 s."""
    turns, order = Turns(1), []

    def hold() -> None:
        other.start()
        eventually(lambda: turns.waiting == 1, what="another one waits")
        order.append("first")

    other = threading.Thread(target=turns.taken, args=(partial(order.append, "other"),))
    turns.taken(hold)
    turns.taken(partial(order.append, "first again"))
    other.join(PATIENCE_S)
    assert order == ["first", "other", "first again"]


def test_turns_that_hang_keep_nobody() -> None:
    """Whoever has one may wait for a disk or a gateway that does not answer, and says so to nobody."""
    turns, go = Turns(1), threading.Event()
    hanging = threading.Thread(target=turns.taken, args=(partial(go.wait, PATIENCE_S),))
    hanging.start()
    try:
        assert turns.taken(lambda: "rolled back") == "rolled back"
    finally:
        go.set()
        hanging.join(PATIENCE_S)
    order: list[str] = []
    for name in ("one", "after the other"):
        turns.taken(partial(order.append, name))
    assert order == ["one", "after the other"]
    assert turns.waiting == 0
