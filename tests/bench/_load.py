"""Load from a process of its own: keep-alive connections, each with at most one request under way.

A connection sends its next request when the last one was answered or, with ``interval_s``, at its next moment after
that. It speaks just enough HTTP/1.1 (answers with a Content-Length, or chunked) to cost less than what it measures.
Times are ``time.monotonic()``, which all processes of a machine share.
"""

import asyncio
import dataclasses
import functools
import itertools
import json
import math
import random
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any, Final, NamedTuple, cast
from urllib.parse import urlsplit

import uvloop

from serving.contract import MODEL_VERSION_HEADER

_REPOSITORY = Path(__file__).parents[2]
_DRAIN_S = 10.0
_VERSION = f"\r\n{MODEL_VERSION_HEADER}: ".encode()
_LENGTH = b"\r\ncontent-length: "
_CHUNKED = b"\r\ntransfer-encoding: chunked\r\n"
_LAST_CHUNK: Final = b"0\r\n\r\n"


class Spacing(StrEnum):
    """Of a connection's moments."""

    EVEN = "even"
    """A request that is late leaves out the moments that it missed."""
    RANDOM = "random"
    """All connections together send as many users would (a Poisson process). No moment is left out: a request that had
    to wait for its connection has been waiting since its moment, and its time counts from there. A connection that the
    server closes while it is idle, as many do after five seconds, is opened again, as a client's pool would."""


@dataclass(frozen=True, slots=True)
class Stream:
    """So many connections that send these texts (a tuple: one request with many) in turn, over and over.

    With ``field`` each text is sent in a list under this name, as other servers want it.
    """

    connections: int
    texts: Sequence[str | Sequence[str]]
    interval_s: float = 0.0
    spacing: Spacing = Spacing.EVEN
    field: str = ""


@dataclass(frozen=True, slots=True)
class Plan:
    """Where to, what, and for how long and how many requests at most."""

    url: str
    streams: Sequence[Stream]
    seconds: float
    requests_max: int = 200_000


class Answer(NamedTuple):
    """One request. ``answered_s`` and ``status`` are None where no answer came."""

    sent_s: float
    answered_s: float | None
    status: int | None
    version: str | None


@dataclass(frozen=True, slots=True)
class Result:
    """Every request in the order of sending, and the processor time that the load itself took."""

    answers: tuple[Answer, ...]
    cpu_s: float


class Load:
    """A load that runs. It ends by itself, when told to, and when this process dies."""

    def __init__(self, process: "subprocess.Popen[bytes]") -> None:
        self._process = process

    def stop(self) -> Result:
        """Send nothing more, wait for the answers under way."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        return self.result()

    def result(self) -> Result:
        """Wait for the end of the plan.

        Raises:
            RuntimeError: it could not be carried out; what it says stands on standard error.
        """
        assert self._process.stdout is not None
        output = self._process.stdout.read()
        if self._process.wait() != 0:
            raise RuntimeError(f"the load ended with {self._process.returncode}")
        document = json.loads(output)
        return Result(tuple(Answer(*answer) for answer in document["answers"]), document["cpu_s"])


@contextmanager
def load(plan: Plan) -> Iterator[Load]:
    """Start the plan in a process of its own; it is ended at the end."""
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.bench._load"], cwd=_REPOSITORY, stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert process.stdin is not None
    assert process.stdout is not None
    with process.stdout, process.stdin:
        try:
            process.stdin.write(json.dumps(dataclasses.asdict(plan)).encode() + b"\n")
            process.stdin.flush()
            yield Load(process)
        finally:
            process.kill()
            process.wait()


_Address = tuple[str | None, int | None]


class _Run:
    """What the connections share: whether to go on, and what happened."""

    def __init__(self, seconds: float, requests_max: int) -> None:
        self.answers: list[Answer] = []
        self._until_s = time.monotonic() + seconds
        self._left = requests_max
        self._under_way = 0
        self.over = asyncio.get_running_loop().create_future()

    @property
    def goes_on(self) -> bool:
        return self._left > 0 and time.monotonic() < self._until_s

    def begin(self) -> float:
        self._left -= 1
        self._under_way += 1
        return time.monotonic()

    def note(self, answer: Answer) -> None:
        self.answers.append(answer)
        self._under_way -= 1
        if self._left <= 0 and self._under_way <= 0 and not self.over.done():
            self.over.set_result(None)  # whoever waits for its next moment waits in vain

    def stop(self) -> None:
        asyncio.get_running_loop().remove_reader(sys.stdin.fileno())
        self._left = 0


class _Connection(asyncio.Protocol):
    def __init__(
        self, run: _Run, requests: Iterator[bytes], interval_s: float, spacing: str, address: _Address
    ) -> None:
        self._run = run
        self._address = address
        self._requests = requests
        self._interval_s = interval_s
        self._is_random = spacing == Spacing.RANDOM
        self._loop = asyncio.get_running_loop()
        self._received = b""
        self._sent_s: float | None = None
        self._opening: asyncio.Task[None] | None = None
        self.done = self._loop.create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)

    def start(self) -> None:
        self._due_s = time.monotonic()
        self.send()

    def send(self) -> None:
        if self.done.done():
            return
        if self._run.goes_on:
            now_s = self._run.begin()
            self._sent_s = self._due_s if self._is_random else now_s
            self._request = next(self._requests)
            if self._transport.is_closing():
                self._open_again()
            else:
                self._transport.write(self._request)
        else:
            self.close()

    def _open_again(self) -> None:
        if self._opening is None:  # else the old connection's end is told while the new one is being opened
            self._opening = self._loop.create_task(self._opened_again())

    async def _opened_again(self) -> None:
        try:
            await self._loop.create_connection(lambda: self, *self._address)
        except OSError:
            self.close()
        else:
            self._transport.write(self._request)
        self._opening = None

    def close(self) -> None:
        """Whatever has no answer yet will have none."""
        if self._sent_s is not None:
            self._note(None, None, None)
        if not self.done.done():
            self.done.set_result(None)
            self._transport.close()

    def data_received(self, data: bytes) -> None:
        self._received += data
        head_end = self._received.find(b"\r\n\r\n")
        if head_end < 0:
            return
        head = self._received[:head_end].lower() + b"\r\n"
        if _CHUNKED in head:
            if not self._received.endswith(_LAST_CHUNK):
                return
        elif len(self._received) < head_end + 4 + int(_header(head, _LENGTH) or 0):
            return
        version = _header(head, _VERSION)
        self._received = b""
        self._note(time.monotonic(), int(head[9:12]), version.decode() if version else None)
        if self._interval_s:
            self._loop.call_later(self._wait_s(), self.send)
        else:
            self.send()

    def _wait_s(self) -> float:
        """Until its next moment."""
        now_s = time.monotonic()
        if self._is_random:
            self._due_s += random.expovariate(1 / self._interval_s)
            return max(0.0, self._due_s - now_s)
        self._due_s += self._interval_s * max(1, math.ceil((now_s - self._due_s) / self._interval_s))
        return self._due_s - now_s

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002  (asyncio passes it)
        if self.done.done():
            return
        if self._is_random:
            if self._sent_s is not None:  # closed in the moment of the sending
                self._open_again()
            return
        # Not by us: even where nothing was under way, the next request had nowhere to go.
        self._sent_s = self._sent_s or time.monotonic()
        self.close()

    def _note(self, answered_s: float | None, status: int | None, version: str | None) -> None:
        assert self._sent_s is not None
        self._run.note(Answer(self._sent_s, answered_s, status, version))
        self._sent_s = None


def _header(head: bytes, name: bytes) -> bytes | None:
    at = head.find(name)
    return head[at + len(name) : head.index(b"\r\n", at + len(name))] if at >= 0 else None


def _requests(url: str, texts: Sequence[str | Sequence[str]], field: str) -> list[bytes]:
    """Ready to send."""
    parts = urlsplit(url)
    head = f"POST {parts.path} HTTP/1.1\r\nhost: {parts.netloc}\r\ncontent-type: application/json\r\n"
    bodies = (json.dumps(_document(text, field)).encode() for text in texts)
    return [f"{head}content-length: {len(body)}\r\n\r\n".encode() + body for body in bodies]


def _document(text: str | Sequence[str], field: str) -> dict[str, object]:
    if field:
        return {field: [text]}
    return {"text": text} if isinstance(text, str) else {"texts": text}


async def _run(plan: dict[str, Any]) -> dict[str, Any]:
    loop = asyncio.get_running_loop()
    parts = urlsplit(plan["url"])
    streams = [(stream, _requests(plan["url"], stream["texts"], stream["field"])) for stream in plan["streams"]]
    connections = []
    random.seed(0)
    address = (parts.hostname, parts.port)
    began_cpu_s = time.process_time()
    run = _Run(plan["seconds"], plan["requests_max"])
    loop.add_reader(sys.stdin.fileno(), run.stop)  # the only thing that can come is the end
    for stream, requests in streams:
        in_turn = itertools.cycle(requests)  # whoever is free takes the next: every text is sent as often as the others
        for number in range(stream["connections"]):
            part = number / stream["connections"]  # each begins at another moment: not in step
            make = functools.partial(_Connection, run, in_turn, stream["interval_s"], stream["spacing"], address)
            _, connection = await loop.create_connection(make, *address)
            is_random = stream["spacing"] == Spacing.RANDOM
            loop.call_later(stream["interval_s"] * (random.expovariate(1) if is_random else part), connection.start)
            connections.append(connection)
    all_done = asyncio.gather(*(connection.done for connection in connections))
    waited_for = [all_done, run.over]
    await asyncio.wait(waited_for, timeout=plan["seconds"] + _DRAIN_S, return_when=asyncio.FIRST_COMPLETED)
    for connection in connections:
        connection.close()
    answers = sorted(run.answers, key=lambda answer: answer.sent_s)
    return {"answers": answers, "cpu_s": time.process_time() - began_cpu_s}


def main() -> None:
    plan = json.loads(sys.stdin.buffer.readline())
    json.dump(uvloop.run(_run(plan)), sys.stdout)


if __name__ == "__main__":
    main()
