"""The page with 500 releases: what the first view weighs and costs, and what 200 who look on cost while things change.

The real server, store and drawing in this process, on SQLite; those who look on are a process of their own, which ends
by itself. A look is written every two seconds to a release at a canary step, as often as the page looks at the journal:
more often changes nothing. Only processor time is told: clocks on the wall measure the machine's other work, too.
"""

import asyncio
import json
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Final

import httpx

from controller.adapters.clock import SystemClock
from controller.adapters.sql.store import Store
from controller.api.access import Access
from controller.api.app import ApiPorts, create_app
from controller.api.server import serve
from controller.journal.codec import release_of
from controller.ports.journal import Entry, ReleaseRecord
from controller.service import Service
from controller.web.artist import BoardArtist
from controller.web.board import Board
from controller.web.course import Courses
from controller.web.pulse import Pulses
from controller.web.routes import Web
from controller.web.sessions import Sessions
from controller.web.stream import Stream
from tests.bench._table import Bar, machine, report
from tests.controller import report_support
from tests.controller.api_support import FakeDeliveries, FakeTokens
from tests.fakes.samples import FakeSamples
from tests.fakes.site import FakeSite
from tests.stores import new_store
from tests.web.support import GatewayMetrics

RELEASES: Final = 500
UNDER_WAY: Final = 10
CLIENTS: Final = 200
WATCHED_S: Final = 60.0
LOOK_EVERY_S: Final = 2.0
VIEWS: Final = 20
PREPARED_S: Final = 2.0  # after the start of the thread that prepares the templates
RELEASE: Final = "m0-r1"


@dataclass
class Installation:
    """A store with releases, and the page on top of it."""

    store: Store
    site: FakeSite = field(default_factory=FakeSite)

    def __post_init__(self) -> None:
        clock = SystemClock()
        models = {f"m{number}" for number in range(60)}
        self.service = Service(self.store.journal, self.store.inbox, self.store.freezes, clock, models, self.site)
        self.board = Board(self.service, Pulses(GatewayMetrics(), clock), Courses(self.store.journal))  # type: ignore[arg-type]
        self.stream = Stream(self.store.journal, BoardArtist(self.board))
        self.access = Access(FakeTokens(), open_reading=True)
        self.web = Web(self.board, self.stream, Sessions(b"bench", clock), self.access)
        self.played = report_support.play(replace(report_support.PROMOTED, stop_after_s=200.0))
        for number in range(RELEASES - UNDER_WAY):
            record = ReleaseRecord(
                f"r{number}", f"m{number % 60}", "6", "promoted", False, 1, 1.0 + number, "{}", 2.0, "Good. " * 20
            )
            self.store.journal.append(record, [Entry("started", 1.0, {})])
        self.entries = [one.entry for one in self.played.entries]
        for number in range(UNDER_WAY):
            self.store.journal.append(self.record(f"m{number}", len(self.entries)), self.entries)

    def record(self, model: str, sequence: int) -> ReleaseRecord:
        return replace(self.played.record, release_id=f"{model}-r1", model=model, sequence=sequence)

    @contextmanager
    def served(self) -> Iterator[str]:
        samples = FakeSamples()
        ports = ApiPorts(
            samples=samples,
            standing=samples,
            journal=self.store.journal,
            service=self.service,
            deliveries=FakeDeliveries(),
            clock=SystemClock(),
            wake=lambda: None,
        )
        with serve(create_app(ports, self.access, beside=self.web.routes())) as url:
            self.stream.start()
            release_of(self.played.record)  # the control loop has read releases by then
            time.sleep(PREPARED_S)
            try:
                yield url
            finally:
                self.stream.close()

    def write_looks(self, for_s: float) -> None:
        """Write a look now and then, the last one of the journal again."""
        look = next(one for one in reversed(self.entries) if one.kind == "Looked")
        ends_s = time.monotonic() + for_s
        while time.monotonic() < ends_s:
            stood = self.store.journal.release(RELEASE)
            assert stood is not None
            self.store.journal.append(self.record("m0", stood.sequence + 1), [look])
            time.sleep(LOOK_EVERY_S)


def main() -> int:
    about = machine()
    with tempfile.TemporaryDirectory() as folder:
        installation = Installation(new_store(f"sqlite:///{Path(folder) / 'page.db'}"))
        with installation.served() as url, httpx.Client(base_url=url, trust_env=False, timeout=60) as client:
            rows = [*_first_view(client), *_looked_on(installation, url)]
    return report("page", [*rows, *about])


def _first_view(client: httpx.Client) -> Iterator[Bar]:
    client.get("/health")  # the client's own beginning is in this process, too
    began_s = time.process_time()
    page = client.get("/web/")
    first_ms = 1_000 * (time.process_time() - began_s)
    addresses = re.findall(r'(?:src|href)="(/web/assets/(?!LIC)[^"]+)"', page.text)
    whole = len(page.content) + sum(len(client.get(address).content) for address in addresses)
    yield Bar(f"first view with {RELEASES} releases, {UNDER_WAY} of them under way", whole / 1_000, "kB", at_most=300)
    yield Bar("processor time of the very first view", first_ms, "ms", at_most=200)
    yield Bar("of it the page itself", len(page.content) / 1_000, "kB")
    for path, what, most in (("/web/", "the services", 200.0), (f"/web/releases/{RELEASE}", "a release", None)):
        client.get(path)
        began_s = time.process_time()
        for _ in range(VIEWS):
            client.get(path)
        cost_ms = 1_000 * (time.process_time() - began_s) / VIEWS
        yield Bar(f"processor time of a view of {what}, the client's included", cost_ms, "ms", at_most=most)


def _looked_on(installation: Installation, url: str) -> Iterator[Bar]:
    alone_s = _cost_s(installation)
    for topic in ("overview/1", f"release/{RELEASE}"):
        command = [sys.executable, "-m", "tests.bench.page", url, topic, str(CLIENTS), str(WATCHED_S + 10)]
        clients = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        assert clients.stdout is not None
        assert clients.stdout.readline().strip() == "all look on"
        cost_s = _cost_s(installation)
        told = json.loads(clients.communicate(timeout=120)[0])
        share = 100 * (cost_s - alone_s) / WATCHED_S
        yield Bar(f"{CLIENTS} who look on at {topic}", share, "% of a core", at_most=5)
        yield Bar(
            "    bytes to each of them in a second, the fewest",
            told["bytes_min"] / told["for_s"],
            "bytes/s",
            at_least=1,
        )
        yield Bar("    those who were let go of before the end", told["ended"], "", at_most=0)
    yield Bar("    the same looks written while nobody looks on", 100 * alone_s / WATCHED_S, "% of a core")


def _cost_s(installation: Installation) -> float:
    began_s = time.process_time()
    installation.write_looks(WATCHED_S)
    return time.process_time() - began_s


# --- those who look on ------------------------------------------------------------------------------------------------
async def _look_on(url: str, topic: str, clients: int, for_s: float) -> None:
    where = httpx.URL(url)
    ends_s = time.monotonic() + for_s
    opened = [await asyncio.open_connection(where.host, where.port) for _ in range(clients)]
    for _, writer in opened:
        writer.write(f"GET /web/events?topic={topic} HTTP/1.1\r\nHost: {where.netloc.decode()}\r\n\r\n".encode())
    for reader, _ in opened:
        assert b"200" in await reader.readline()
    print("all look on", flush=True)
    found = await asyncio.gather(*(_read(reader, ends_s) for reader, _ in opened))
    sizes = [size for size, _ in found]
    print(json.dumps({"bytes_min": min(sizes), "ended": sum(ended for _, ended in found), "for_s": for_s}))
    for _, writer in opened:
        writer.close()


async def _read(reader: asyncio.StreamReader, ends_s: float) -> tuple[int, bool]:
    """How many bytes came until then, and whether the stream ended before."""
    size = 0
    while (left_s := ends_s - time.monotonic()) > 0:
        try:
            async with asyncio.timeout(left_s):
                part = await reader.read(2**16)
        except TimeoutError:
            break
        if not part:
            return size, True
        size += len(part)
    return size, False


if __name__ == "__main__":
    if len(sys.argv) > 1:
        asyncio.run(_look_on(sys.argv[1], sys.argv[2], int(sys.argv[3]), float(sys.argv[4])))
        sys.exit()
    sys.exit(main())
