"""Lists of long texts against a server: how long they are, who waits for whom, and how what is too much is refused."""

import json
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Lock, Thread

import pytest

from controller.adapters.local.drill_lists import LongLists
from controller.core.drills import Batches
from controller.errors import UsageError
from gates.outcome import Outcome
from serving.contract import DRILL_REQUEST_PREFIX, REQUEST_ID_HEADER
from tests.patience import eventually

Answer = Callable[[int], tuple[int, dict[str, str]]]
"""What a request with so many texts is answered with: status and headers."""
OUT_OF_TIME = {"retry-after": "1"}


@contextmanager
def server(answer: Answer, per_text_s: float = 0.0, *, in_order: bool = False) -> Iterator[tuple[str, list[str]]]:
    """A gateway that takes its time for lists; the ids that it saw."""
    ids: list[str] = []
    turn = Lock()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["content-length"])))
            ids.append(self.headers[REQUEST_ID_HEADER])
            texts = len(body.get("texts", ["one"]))
            status, headers = answer(texts)
            with turn if in_order else nullcontext():
                time.sleep(per_text_s * texts if in_order or "texts" in body else 0.0)
            self.send_response(status)
            for name, value in {**headers, "content-length": "0"}.items():
                self.send_header(name, value)
            self.end_headers()

        def log_message(self, *_: object) -> None: ...

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as listening:
        Thread(target=lambda: listening.serve_forever(0.01), daemon=True).start()
        yield f"http://127.0.0.1:{listening.server_port}/predict", ids
        listening.shutdown()


def well(_: int) -> tuple[int, dict[str, str]]:
    return 200, {}


@contextmanager
def lists(
    answer: Answer,
    per_text_s: float = 0.0,
    batches: Callable[[], Batches | None] = Batches,
    in_order: bool = False,
    **more: float,
) -> Iterator[LongLists]:
    with server(answer, per_text_s, in_order=in_order) as (url, ids):
        found = LongLists(url, "where is my parcel", {}, batches, between_s=0.0, short_every_s=0.005, **more)  # type: ignore[arg-type]
        found.begin()
        try:
            eventually(lambda: len(found._short) >= 40 and len(found._lists) >= 10, what="both were answered")
            yield found
        finally:
            found.end()
    assert {one.startswith(DRILL_REQUEST_PREFIX) for one in ids} == {True}, "samples of what no user asked"


def outcomes(found: LongLists) -> list[Outcome]:
    found.end()
    assert found.is_over()
    return [check.outcome for check in found.checks()]


def test_short_texts_that_go_before_are_as_promised() -> None:
    with lists(well, per_text_s=0.01, texts=4) as found:
        assert outcomes(found) == [Outcome.PASS, Outcome.PASS]


def test_short_texts_that_wait_break_a_promise() -> None:
    """A server that answers in order: nobody goes before anybody."""
    with lists(well, per_text_s=0.01, in_order=True, texts=4) as found:
        assert outcomes(found)[0] is Outcome.FAIL


@pytest.mark.parametrize(
    ("status", "headers", "outcome"),
    [
        (503, OUT_OF_TIME, Outcome.PASS),
        (429, OUT_OF_TIME, Outcome.PASS),
        (503, {}, Outcome.FAIL),
        (504, OUT_OF_TIME, Outcome.FAIL),
    ],
)
def test_what_is_too_much_is_refused_with_the_word_when(status: int, headers: dict[str, str], outcome: Outcome) -> None:
    """The list that measured how many texts it may have is answered; those after it are not."""
    left = iter([True])

    def answer(texts: int) -> tuple[int, dict[str, str]]:
        return (200, {}) if texts == 1 or next(left, False) else (status, headers)

    with lists(answer) as found:
        assert outcomes(found) == [Outcome.INCONCLUSIVE, outcome]


def test_a_list_that_is_not_taken_is_shorter() -> None:
    """Where a replica takes two texts at the most, and where it takes its time for each."""
    with lists(lambda texts: (200 if texts <= 3 else 422, {})) as found:
        assert found.texts == 2, "half as many, until it is taken"
        assert outcomes(found)[1] is Outcome.PASS
    with lists(well, per_text_s=0.01, list_ms_max=45.0) as found:
        assert found.texts in (3, 4), "of a hundredth of a second each"
    with lists(well, per_text_s=0.01, list_ms_max=5.0) as found:
        assert found.texts == 1


def test_a_server_that_takes_no_long_text_is_told() -> None:
    with (
        server(lambda _: (422, {})) as (url, _),
        pytest.raises(UsageError, match="of 2,000 characters is not answered: 422"),
    ):
        LongLists(url, "where is my parcel " * 200, {}, Batches).begin()


def test_what_metrics_show_is_told_once() -> None:
    """Twice as large calls as before, or a queue; what cannot be read is no sight."""
    shown = iter([Batches(2.0, 1.0), None, Batches(3.9, 2.0), Batches(4.1, 2.0), Batches(9.0, 9.0)])
    with lists(well, batches=lambda: next(shown)) as found:
        assert [list(found.told()) for _ in range(3)] == [
            [],
            [],
            ["a call of the engine has 4.1 texts on average (2.0 before), and up to 2 requests waited (1 before)"],
        ]
        assert found.told() == ()
