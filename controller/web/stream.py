"""The news of the page, told to all who look on: one thread follows the journal and draws for everybody.

Nobody's browser asks again, so that two hundred cost the processor little more than one. Fragments go out as events of
the server (SSE); one who is slow gets the newest of each and misses those in between.
"""

import asyncio
import logging
import math
import threading
import time
from collections import defaultdict
from collections.abc import AsyncIterator, Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Final, Protocol

from controller.errors import SerinError, TransientError
from controller.ports.journal import Feed

log = logging.getLogger(__name__)

EVERY_S: Final = 2.0  # between two looks at the journal, at the least
BEAT_S: Final = 10.0  # between two signs of life; what stands in no journal (replicas, rates) is drawn anew as often
SHARE_MAX: Final = 0.03  # of a core that looking and drawing may take
CLIENTS_MAX: Final = 200
LASTS_S: Final = 300.0  # then a browser connects again, and whoever lost his role is out
BEAT: Final = "beat"
NOT_DRAWN: Final = "This cannot be shown because of a fault in Serin. The controller's log says more."

Fragments = Mapping[str, str]
"""By event, the HTML that takes the place of what stood there."""


class Artist(Protocol):
    """The one who knows what a topic looks like. Drawing and refreshing raise SerinError where that cannot be read;
    whatever a drawing raises concerns its own topic alone."""

    def prepare(self) -> None:
        """Do what need be done once only, before anybody waits for it."""

    def draw(self, topic: str) -> Fragments: ...

    def refresh(self, topics: Collection[str]) -> None:
        """Read what stands in no journal, for those who look at these topics."""

    def beat(self, trouble: str) -> str:
        """The sign of life: as of when, or what keeps it from being told."""


@dataclass(eq=False, slots=True)
class _Client:
    """One browser: what it has still to be told, by event."""

    topic: str
    loop: asyncio.AbstractEventLoop
    woken: asyncio.Event
    pending: dict[str, bytes] = field(default_factory=dict)  # touched in its loop alone

    def put(self, told: Mapping[str, bytes]) -> None:
        self.pending |= told
        self.woken.set()

    def take(self) -> bytes:
        found = b"".join(self.pending.values())
        self.pending.clear()
        self.woken.clear()
        return found


@dataclass(eq=False, slots=True)
class _Shown:
    """The drawing that those who look at a topic were told last: it goes with the last of them, so that nobody is
    shown what was drawn for others. ``fault``: why the last drawing failed."""

    fragments: dict[str, bytes] = field(default_factory=dict)  # by event; empty until it is drawn
    beat: bytes = b""
    fault: Exception | None = None

    def is_due(self, *, changed: bool, beats: bool) -> bool:
        """Return whether it is to be drawn. What stays broken is not tried at every look: that takes from all."""
        if self.fault is not None:
            return beats or isinstance(self.fault, TransientError)
        return changed or beats or not self.fragments


class Stream:
    """Follows the journal while anybody looks on. `start` and `close` it once."""

    def __init__(self, journal: Feed, artist: Artist) -> None:
        self._journal = journal
        self._artist = artist
        self._clients: set[_Client] = set()
        self._topics: dict[str, _Shown] = {}  # those that somebody looks at
        self._lock = threading.Lock()
        self._nudge = threading.Event()
        self._ended = threading.Event()
        self._reached = -1
        self._beat_at_s = -math.inf
        self._thread = threading.Thread(target=self._run, name="page", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def close(self) -> None:
        """End every stream, and the thread."""
        self._ended.set()
        self._nudge.set()
        with self._lock:
            clients = list(self._clients)
        _tell(clients, {})
        if self._thread.is_alive():
            self._thread.join(5.0)

    @property
    def is_full(self) -> bool:
        """Return whether as many look on already as may."""
        return len(self._clients) >= CLIENTS_MAX

    async def follow(self, topic: str) -> AsyncIterator[bytes]:
        """Yield events of the topic, for ``LASTS_S`` at the longest: first how it looks now."""
        loop = asyncio.get_running_loop()
        client = _Client(topic, loop, asyncio.Event())
        ends_s = loop.time() + LASTS_S
        if not self._joined(client):
            return
        try:
            yield b"retry: 2000\n\n"
            while not self._ended.is_set():
                try:
                    async with asyncio.timeout_at(ends_s):
                        await client.woken.wait()
                except TimeoutError:
                    return
                if told := client.take():
                    yield told
        finally:
            self._left(client)

    def _joined(self, client: _Client) -> bool:
        with self._lock:
            if self.is_full or self._ended.is_set():
                return False
            self._clients.add(client)
            shown = self._topics.setdefault(client.topic, _Shown())
            client.put({**shown.fragments, **({BEAT: shown.beat} if shown.beat else {})})
        self._nudge.set()
        return True

    def _left(self, client: _Client) -> None:
        with self._lock:
            self._clients.discard(client)
            if all(other.topic != client.topic for other in self._clients):
                self._topics.pop(client.topic, None)  # whoever comes next is drawn for anew

    # --- the thread --------------------------------------------------------------------------------------------------
    def _run(self) -> None:
        self._artist.prepare()
        while not self._ended.is_set():
            if not self._clients:
                self._nudge.wait()
            self._nudge.clear()
            began_s = time.thread_time()
            try:
                self.look(time.monotonic())
            except Exception:  # whatever it is, it must not leave every browser with an old picture for ever
                log.exception("the page could not be drawn")
            least_s = least_pause_s(time.thread_time() - began_s)
            self._ended.wait(least_s)
            self._nudge.wait(max(EVERY_S - least_s, 0.0))  # whoever comes meanwhile need not wait for the next look

    def look(self, now_s: float) -> None:
        """Look at the journal and tell what changed. ``now_s``: by any clock that only grows."""
        with self._lock:
            topics = dict(self._topics)
        beats, before = now_s - self._beat_at_s >= BEAT_S, self._reached
        fault = _tried(self._read_on)
        if fault is None:
            if beats:
                fault = _tried(lambda: self._artist.refresh(topics))
            for topic, shown in topics.items():
                if shown.is_due(changed=self._reached != before, beats=beats):
                    self._draw(topic, shown)
        if beats:
            self._beat_at_s = now_s
        for topic, shown in topics.items():
            trouble = _sentence(fault or shown.fault)
            if beats or trouble or not shown.beat:
                self._put(topic, shown, event(BEAT, self._artist.beat(trouble)))

    def _read_on(self) -> None:
        self._reached = self._journal.feed(after=max(self._reached, 0), limit=1, kinds=()).reached

    def _draw(self, topic: str, shown: _Shown) -> None:
        """Draw the topic and tell what is new; where that fails, note the fault."""
        found: dict[str, bytes] = {}

        def drawing() -> None:
            found.update({name: event(name, html) for name, html in self._artist.draw(topic).items()})

        shown.fault = _tried(drawing)
        if shown.fault is not None:
            return
        with self._lock:
            before, shown.fragments = shown.fragments, found
            clients = [client for client in self._clients if client.topic == topic]
        if new := {name: told for name, told in found.items() if before.get(name) != told}:
            _tell(clients, new)

    def _put(self, topic: str, shown: _Shown, beat: bytes) -> None:
        with self._lock:
            shown.beat = beat
            clients = [client for client in self._clients if client.topic == topic]
        _tell(clients, {BEAT: beat})


def _tried(do: Callable[[], object]) -> Exception | None:
    """Do it; return what kept it from being done."""
    try:
        do()
    except SerinError as error:
        return error
    except Exception as error:  # whatever it is, it must not keep others from what they look at
        log.exception("the page could not be drawn")
        return error
    return None


def _sentence(fault: Exception | None) -> str:
    if fault is None:
        return ""
    return str(fault) if isinstance(fault, SerinError) else NOT_DRAWN


def _tell(clients: Iterable[_Client], told: Mapping[str, bytes]) -> None:
    """Tell them, each in its own loop, which is woken once for all."""
    by_loop: dict[asyncio.AbstractEventLoop, list[_Client]] = defaultdict(list)
    for client in clients:
        by_loop[client.loop].append(client)
    for loop, mine in by_loop.items():

        def put(mine: list[_Client] = mine) -> None:
            for client in mine:
                client.put(told)

        try:
            loop.call_soon_threadsafe(put)
        except RuntimeError:  # its server has ended
            log.debug("%d who looked on are gone", len(mine))


def least_pause_s(cost_s: float) -> float:
    """The pause after a look that cost so much processor time, so that looking takes no more than its share of a
    core."""
    return cost_s / SHARE_MAX


def event(name: str, data: str) -> bytes:
    """One event as it goes over the wire; an empty line would end it."""
    lines = "".join(f"data: {line}\n" for line in data.splitlines() if line.strip())
    return f"event: {name}\n{lines}\n".encode()
