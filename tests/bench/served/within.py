"""A request's way through both processes, in one process and without an engine: what a small part of it costs.

``python -m tests.bench.served.within PACKAGE`` prints the processor time of a request in µs, block after block: of the
outermost layer, admission, the sockets, the worker's scheduling and its answer. Left out is what no switch changes, and
what would drown one: HTTP, the tokenizer, the engine. So many requests come at once, in every run the same.
"""

import argparse
import asyncio
import itertools
import json
import os
import socket
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import uvloop

from serving.contract import PREDICT_ROUTE
from tests.bench.served.without import Switch, take_out

if TYPE_CHECKING:
    from serving.http.middleware import Middleware
    from serving.inference.engine import Engine
    from serving.inference.heads import Floats
    from serving.inference.tokenizer import TokenizedText

AT_ONCE: Final = 16
REQUESTS: Final = 2048
BLOCKS: Final = 6
"""Of so many requests each; the quickest tells, since whatever else the machine does only adds."""
_OURS: Final = ("127.0.0.1", 8000)
_SCOPE: Final = {
    "type": "http",
    "method": "POST",
    "path": PREDICT_ROUTE,
    "client": ("127.0.0.1", 1),
    "server": _OURS,
}
MODEL, VERSION = "intent", "1"
TEXTS: Final = [" ".join(["where is my order"] * count) for count in (1, 1, 1, 1, 1, 2, 2, 3, 5, 8)]
_HEADERS: Final = [(b"host", b"127.0.0.1:8000"), (b"content-type", b"application/json")]


class Instant:
    """An engine that has computed everything before."""

    def __init__(self, engine: "Engine") -> None:
        self.tokenizer = self
        self.merge = engine.merge
        self.width = engine.width
        self._texts = dict(zip(TEXTS, engine.tokenizer.tokenize(TEXTS), strict=True))
        self._numbers = engine.run([self._texts[TEXTS[0]]])[0]

    def tokenize(self, texts: Sequence[str]) -> "list[TokenizedText]":
        return [self._texts[text] for text in texts]

    def run(self, rows: "Sequence[TokenizedText]") -> "list[Floats]":
        return [self._numbers] * len(rows)


class Way:
    """The HTTP process's side and the worker's, joined by a socket pair."""

    def __init__(self, package: Path) -> None:
        from serving.http.front import Front
        from serving.http.middleware import Middleware
        from serving.http.visitors import Visitors
        from serving.inference.answers import writer_for
        from serving.inference.batching import Batcher
        from serving.inference.classifier import TextClassifier, Work
        from serving.inference.engine import load
        from serving.ipc.shared import Life, Place, WorkerCounts
        from serving.ipc.worker_end import WorkerEnd
        from serving.messages import Identity
        from serving.observe.capture import Capture
        from serving.observe.metrics import ApiMetrics, WorkerMetrics, shared_counters
        from serving.package.artifact import read_manifest
        from serving.settings import Settings

        manifest, _ = read_manifest(package)
        settings = Settings(package, MODEL, VERSION)
        counters = shared_counters(MODEL, VERSION, (), 2)
        metrics = ApiMetrics(counters, 0)
        self._api, self._worker = socket.socketpair()
        place = Place(0, os.getpid(), WorkerCounts(), Life(1), self._api)
        identity = Identity(MODEL, VERSION, manifest.labels)
        self._front = Front(settings, identity, manifest, metrics, Capture(settings.capture, metrics), place)
        self.middleware = Middleware(_nowhere, VERSION, self._front.predict, metrics, Visitors(settings.names))
        classifier: Any = TextClassifier(settings)
        classifier.metrics = WorkerMetrics(counters, 1)
        classifier._engine = Instant(load(package))
        classifier._write = writer_for(manifest)
        self._end = WorkerEnd([self._worker])
        self._work = Work(
            Batcher(classifier.pace, settings.batching.texts_max, 1.0, classifier.width), classifier, settings.limits
        )
        asyncio.get_running_loop().add_reader(self._worker, self._compute)

    async def join(self) -> None:
        await self._front.dispatcher.add_worker(self._api, os.getpid())
        self._end.send_ready()
        while not self._front.dispatcher.ready:
            await asyncio.sleep(0)

    def leave(self) -> None:
        asyncio.get_running_loop().remove_reader(self._worker)
        self._end.close()

    def _compute(self) -> None:
        """As the worker's loop does it, which would wait here."""
        self._work.take_in(self._end.receive(0.0))
        while self._work.waiting:
            if outcomes := self._work.run():
                self._end.send(outcomes, 0.001)


async def measured(package: Path) -> list[float]:
    """Processor µs of a request, in each block."""
    way = Way(package)
    await way.join()
    bodies = [json.dumps({"text": text}).encode() for text in TEXTS]
    spent = []
    for _ in range(BLOCKS):
        requests = itertools.islice(itertools.cycle(bodies), REQUESTS)
        began_ns = time.process_time_ns()
        await asyncio.gather(*(_client(way.middleware, requests) for _ in range(AT_ONCE)))
        spent.append((time.process_time_ns() - began_ns) / 1000 / REQUESTS)
    way.leave()
    return spent


class _Exchange:
    """One request, and its answer."""

    def __init__(self, body: bytes) -> None:
        self._body = body
        self._came = False
        self._over: list[asyncio.Future[None]] = []

    async def receive(self) -> dict[str, Any]:
        if not self._came:
            self._came = True
            return {"type": "http.request", "body": self._body, "more_body": False}
        self._over.append(asyncio.get_running_loop().create_future())  # it is watched whether the client goes away
        await self._over[-1]
        return {"type": "http.disconnect"}

    async def send(self, answer: Any) -> None:
        assert answer.get("status", 200) == 200

    def end(self) -> None:
        for watched in self._over:
            watched.set_result(None)


async def _client(middleware: "Middleware", bodies: Iterator[bytes]) -> None:
    for body in bodies:
        exchange = _Exchange(body)
        length = (b"content-length", b"%d" % len(body))
        await middleware({**_SCOPE, "headers": [*_HEADERS, length]}, exchange.receive, exchange.send)
        exchange.end()


async def _nowhere(*_: Any) -> None:
    raise AssertionError("only the prediction route is asked")


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.bench.served.within", description=__doc__)
    parser.add_argument("package", type=Path)
    parser.add_argument("--without", type=Switch, choices=list(Switch))
    asked = parser.parse_args()
    if asked.without is not None:
        take_out(asked.without)
    print(json.dumps(uvloop.run(measured(asked.package))))


if __name__ == "__main__":
    main()
