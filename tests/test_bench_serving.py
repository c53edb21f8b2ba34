"""What the serving benchmark rests on: its load, its parts, its models, and that nothing that fails is passed over."""

import asyncio
import json
import math
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest

from tests.bench._load import Plan, Spacing, Stream, load
from tests.bench._table import Bar
from tests.bench.served import page, rivals
from tests.bench.served.models import Models, Subject, few, texts_of
from tests.bench.served.store import Store
from tests.patience import PATIENCE_S

NOWHERE = Path("nowhere")


class Server:
    """Answers each request on a connection with ``answer``; closes the connection after ``answers_max`` of them."""

    def __init__(self, answer: bytes, answers_max: int) -> None:
        self._answer = answer
        self._answers_max = answers_max
        self.bodies: list[object] = []
        self.port = 0
        self._up = threading.Event()
        self._end = asyncio.Event()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_until_complete, args=(self._serve(),))

    @contextmanager
    def running(self) -> Iterator["Server"]:
        self._thread.start()
        assert self._up.wait(PATIENCE_S)
        try:
            yield self
        finally:
            self._loop.call_soon_threadsafe(self._end.set)
            self._thread.join()
            self._loop.close()

    async def _serve(self) -> None:
        async with await asyncio.start_server(self._handle, "127.0.0.1", 0) as server:
            self.port = server.sockets[0].getsockname()[1]
            self._up.set()
            await self._end.wait()

    async def _handle(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for _ in range(self._answers_max):
            try:
                head = await reader.readuntil(b"\r\n\r\n")
            except asyncio.IncompleteReadError:
                break
            length = int(head.lower().split(b"content-length: ")[1].split(b"\r\n")[0])
            self.bodies.append(json.loads(await reader.readexactly(length)))
            writer.write(b"HTTP/1.1 200 OK\r\n" + self._answer)
        writer.close()


PLAIN = b"Content-Length: 2\r\n\r\n{}"
CHUNKED = b"Transfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n"


def sent(server: Server, stream: Stream, requests: int) -> list[int | None]:
    with server.running(), load(Plan(f"http://127.0.0.1:{server.port}/", [stream], 30, requests)) as running:
        return [answer.status for answer in running.result().answers]


@pytest.mark.parametrize("answer", [PLAIN, CHUNKED], ids=["by length", "chunked"])
def test_every_text_is_sent_as_often_as_the_others(answer: bytes) -> None:
    """Whoever is free takes the next text, so that a long one makes no connection fall behind with its share."""
    server = Server(answer, 100)
    assert sent(server, Stream(3, ["a", "b", "c", "d"]), 40) == [200] * 40
    assert sorted(body["text"] for body in server.bodies) == sorted("abcd" * 10)  # type: ignore[index]


def test_a_text_is_sent_in_the_field_that_a_server_wants() -> None:
    server = Server(PLAIN, 10)
    sent(server, Stream(1, ["a"], field="inputs"), 1)
    assert server.bodies == [{"inputs": ["a"]}]


def test_random_moments_survive_servers_that_close_idle_connections() -> None:
    """A server that closes after each answer gets every request all the same, once."""
    server = Server(PLAIN, 1)
    stream = Stream(4, ["a"], interval_s=0.02, spacing=Spacing.RANDOM)
    assert sent(server, stream, 50) == [200] * 50
    assert len(server.bodies) == 50


def test_fewer_texts_keep_the_mix_of_lengths() -> None:
    texts = texts_of()
    for percent in (10, 50, 90):
        of_all, of_few = (np.percentile([len(text) for text in some], percent) for some in (texts, few(texts, 60)))
        assert of_few == pytest.approx(of_all, rel=0.2)


def test_a_part_is_measured_once_unless_it_failed(tmp_path: Path) -> None:
    """An interrupted run goes on where it was; what gave no figure is tried again."""
    figures = iter([math.nan, 1.0, 2.0])

    def rows() -> list[float]:
        return [row.value for row in Store(tmp_path).rows("part", lambda: [Bar("a figure", next(figures), "s")])][:1]

    first, *others = rows(), rows(), rows()
    assert math.isnan(first[0])
    assert others == [[1.0], [1.0]]


SUBJECTS = [
    Subject(name, NOWHERE, NOWHERE, ["a text"], 1, 100.0, 1) for name in ("66 M int8", "66 M fp32", "demo model")
]


@pytest.mark.parametrize("rival", rivals.RIVALS, ids=lambda rival: rival.name)
def test_a_rival_that_is_not_there_falls_short(
    rival: rivals.Rival, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Its rows are there, with no figure and a bar that does not hold; one line says how to install it."""
    monkeypatch.setenv(rivals.ENVIRONMENT, str(tmp_path))
    asked = [row for row in rivals.rows(rival, SUBJECTS[0], SUBJECTS[1:2]) if row.bar]
    assert {row.what.split(":")[0] for row in asked} == {"66 M int8", "66 M fp32"}
    assert all(row.holds is False for row in asked)
    assert rivals.PREPARE in str(rivals.how_to_prepare())


def test_the_page_names_what_falls_short_and_what_was_not_measured(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Every rival has a line in the tables, measured or not."""
    monkeypatch.setenv(rivals.ENVIRONMENT, str(tmp_path))
    rows = [row for rival in rivals.RIVALS for row in rivals.rows(rival, SUBJECTS[0], SUBJECTS[1:2])]
    rows += [row for rival in rivals.RIVALS for row in rivals.rows(rival, SUBJECTS[2])]
    rows += [Bar("a hop", 0.2, "ms", at_most=0.5), Bar("part: load average before", 3.0, "")]
    text = page.write(rows, [Bar("cores of this machine", 2, "")], Models(*SUBJECTS), tmp_path).read_text()
    assert "The machine was busy" in text
    assert "| a hop | 0.2 ms | <= 0.5 | yes |" in text
    for rival in rivals.RIVALS:
        assert f"| {rival.name} | not measured" in text
        assert f"demo model: Serin against {rival.name}, requests/s" in text.split("## Bars")[1].split("\n\n")[1]
