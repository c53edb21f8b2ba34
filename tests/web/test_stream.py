"""What changes reaches all who look on, drawn once, and a slow one misses only what is out of date."""

import asyncio
from collections.abc import AsyncIterator, Callable, Collection, Mapping
from dataclasses import dataclass, field

import pytest

from controller.errors import PermanentError, Source, TransientError
from controller.ports.journal import Entry
from controller.web import stream as streams
from controller.web.artist import is_topic
from controller.web.stream import (
    BEAT_S,
    CLIENTS_MAX,
    EVERY_S,
    NOT_DRAWN,
    SHARE_MAX,
    Stream,
    event,
    least_pause_s,
)
from tests.fakes.journal import FakeJournal
from tests.patience import PATIENCE_S
from tests.web.support import PageWorld, canary


@dataclass
class Artist:
    """Draws what it is told to, and counts."""

    shown: dict[str, str] = field(default_factory=lambda: {"now": "one", "course": "same"})
    drawn: list[str] = field(default_factory=list)
    refreshed: list[set[str]] = field(default_factory=list)
    away: str = ""
    prepared: bool = False
    broken: dict[str, Exception] = field(default_factory=dict)
    meanwhile: Callable[[], None] = lambda: None  # while it draws

    def prepare(self) -> None:
        self.prepared = True

    def draw(self, topic: str) -> Mapping[str, str]:
        if self.away:
            raise TransientError(Source.JOURNAL, self.away)
        self.drawn.append(topic)
        self.meanwhile()
        if topic in self.broken:
            raise self.broken[topic]
        return dict(self.shown)

    def refresh(self, topics: Collection[str]) -> None:
        self.refreshed.append(set(topics))

    def beat(self, trouble: str) -> str:
        return trouble or "alive"


class Watched:
    """A stream whose looks the test calls for."""

    def __init__(self) -> None:
        self.journal, self.artist, self.now_s = FakeJournal(), Artist(), 100.0
        self.stream = Stream(self.journal, self.artist)

    async def look(self, after_s: float = EVERY_S) -> None:
        self.now_s += after_s
        self.stream.look(self.now_s)
        await asyncio.sleep(0)  # the loop hands out what was told

    def write(self) -> None:
        self.journal.note("installation", [Entry("Frozen", 1.0, {})])


async def joined(watched: Watched, topic: str = "release/r1") -> AsyncIterator[bytes]:
    follows = watched.stream.follow(topic)
    assert await anext(follows) == b"retry: 2000\n\n"
    return follows


def test_all_who_look_on_get_what_was_drawn_once() -> None:
    async def run() -> None:
        watched = Watched()
        everybody = [await joined(watched) for _ in range(CLIENTS_MAX)]
        await watched.look()
        told = [await anext(one) for one in everybody]
        assert set(told) == {event("now", "one") + event("course", "same") + event("beat", "alive")}
        assert watched.artist.drawn == ["release/r1"]
        watched.write()
        watched.artist.shown["now"] = "two"
        await watched.look()
        assert {await anext(one) for one in everybody} == {event("now", "two")}  # what is the same is not sent again
        assert watched.artist.drawn == ["release/r1"] * 2

    asyncio.run(run())


def test_nothing_is_drawn_while_nothing_changes() -> None:
    """But for what stands in no journal, at each sign of life."""

    async def run() -> None:
        watched = Watched()
        one = await joined(watched)
        await watched.look()
        for _ in range(4):
            await watched.look()
        assert watched.artist.drawn == ["release/r1"]
        await watched.look(BEAT_S)
        assert watched.artist.drawn == ["release/r1"] * 2
        assert watched.artist.refreshed == [{"release/r1"}] * 2
        await one.aclose()
        watched.write()
        await watched.look()
        assert watched.artist.drawn == ["release/r1"] * 2  # nobody looks

    asyncio.run(run())


def test_one_who_is_slow_gets_the_newest() -> None:
    async def run() -> None:
        watched = Watched()
        slow = await joined(watched)
        for word in ("one", "two", "three"):
            watched.artist.shown["now"] = word
            watched.write()
            await watched.look()
        told = await anext(slow)
        assert event("now", "three") in told
        assert b"two" not in told

    asyncio.run(run())


def test_one_who_comes_later_gets_how_it_looks_at_once() -> None:
    async def run() -> None:
        watched = Watched()
        first = await joined(watched)
        await watched.look()
        late = await joined(watched)
        assert event("now", "one") in await anext(late)
        assert watched.artist.drawn == ["release/r1"]
        await first.aclose()

    asyncio.run(run())


def test_one_who_comes_after_all_have_left_gets_nothing_old() -> None:
    async def run() -> None:
        watched = Watched()
        first = await joined(watched)
        await watched.look()
        await anext(first)
        await first.aclose()
        watched.artist.shown["now"] = "two"
        later = await joined(watched)
        await watched.look(0.0)
        assert event("now", "two") in await anext(later)

    asyncio.run(run())


def test_the_thread_looks_by_itself_while_anybody_looks_on() -> None:
    """The first to come wakes it, and what changes then comes by itself."""

    async def run() -> None:
        watched = Watched()
        watched.stream.start()
        async with asyncio.timeout(PATIENCE_S):
            one = await joined(watched)
            assert event("now", "one") in await anext(one)
            assert watched.artist.prepared
            watched.artist.shown["now"] = "two"
            watched.write()
            while event("now", "two") not in await anext(one):
                pass
        watched.stream.close()

    asyncio.run(run())


def test_a_journal_that_does_not_answer_is_told() -> None:
    async def run() -> None:
        watched = Watched()
        one = await joined(watched)
        await watched.look()
        await anext(one)
        watched.artist.away = "the database is away"
        watched.write()
        await watched.look()
        assert await anext(one) == event("beat", "the database is away")
        watched.artist.away, watched.artist.shown["now"] = "", "two"
        await watched.look()
        assert await anext(one) == event("now", "two")  # though the journal has not moved since
        await watched.look(BEAT_S)
        assert event("beat", "alive") in await anext(one)

    asyncio.run(run())


@pytest.mark.parametrize(
    ("fault", "told"),
    [(PermanentError("the chain is broken"), "the chain is broken"), (ValueError("digits"), NOT_DRAWN)],
)
def test_a_topic_that_cannot_be_drawn_is_told_to_those_who_look_at_it_alone(fault: Exception, told: str) -> None:
    """Others see theirs, and it is not tried at every look: that takes the time that all have."""

    async def run() -> None:
        watched = Watched()
        watched.artist.broken["release/r1"] = fault
        ill, well = await joined(watched), await joined(watched, "release/r2")
        last = await joined(watched, "overview/1")
        await watched.look()
        assert await anext(ill) == event("beat", told)
        whole = event("now", "one") + event("course", "same") + event("beat", "alive")
        assert (await anext(well), await anext(last)) == (whole, whole)
        await watched.look()
        assert sorted(watched.artist.drawn) == ["overview/1", "release/r1", "release/r2"]
        late = await joined(watched)
        assert await anext(late) == event("beat", told)
        watched.artist.broken.clear()
        await watched.look(BEAT_S)
        assert whole in await anext(late)

    asyncio.run(run())


def test_what_is_drawn_while_the_last_leaves_is_shown_to_nobody() -> None:
    """Whoever comes hours later has a newer page already; and wakes the thread."""

    async def run() -> None:
        watched = Watched()
        first = await joined(watched)
        (client,) = watched.stream._clients
        watched.artist.meanwhile = lambda: watched.stream._left(client)
        await watched.look()
        watched.artist.meanwhile, watched.artist.shown["now"] = lambda: None, "two"
        later = await joined(watched)
        await watched.look(0.0)
        told = await anext(later)
        assert event("now", "two") in told
        watched.stream._nudge.clear()
        await joined(watched)
        assert watched.stream._nudge.is_set()  # also where something is shown already
        await first.aclose()

    asyncio.run(run())


def test_a_topic_of_many_digits_is_none() -> None:
    """More than Python reads as a number."""
    assert [is_topic(f"overview/{page}") for page in ("1", "10000", "0", "10001", "1" + "0" * 6_000)] == [
        True,
        True,
        False,
        False,
        False,
    ]
    assert not is_topic("overview/000001" + "0" * 5_000)


def test_more_than_there_may_be_are_turned_away() -> None:
    async def run() -> None:
        watched = Watched()
        everybody = [await joined(watched) for _ in range(CLIENTS_MAX)]
        assert watched.stream.is_full
        assert [told async for told in watched.stream.follow("release/r1")] == []
        await everybody[0].aclose()
        assert not watched.stream.is_full

    asyncio.run(run())


def test_streams_end_with_the_server_and_after_a_while(monkeypatch: pytest.MonkeyPatch) -> None:
    async def run() -> None:
        watched = Watched()
        one = await joined(watched)
        watched.stream.close()
        assert [told async for told in one] == []
        monkeypatch.setattr(streams, "LASTS_S", 0.0)
        watched = Watched()
        short = await joined(watched)
        assert [told async for told in short] == []
        assert not watched.stream.is_full

    asyncio.run(run())


def test_looking_takes_no_more_than_its_share() -> None:
    cost_s = 0.3
    assert cost_s / (cost_s + least_pause_s(cost_s)) <= SHARE_MAX


def test_an_event_is_whole_however_it_is_written() -> None:
    """An empty line would end it, and what follows be another."""
    assert event("now", "<p>\n\n</p>\r\nevent: x\n") == b"event: now\ndata: <p>\ndata: </p>\ndata: event: x\n\n"


def test_what_is_pushed_is_what_the_page_shows() -> None:
    """The same templates; of a release that is not there, nothing."""
    world = PageWorld()
    world.add(canary())
    world.routed(v6=95.0, v7=5.0)
    for topic, path in (("overview/1", "/web/"), ("release/intent-v7-1", "/web/releases/intent-v7-1")):
        page = world.browser().get(path).text
        for name, fragment in world.artist.draw(topic).items():
            assert f'sse-swap="{name}"' in page
            assert fragment.strip() in page
    assert world.artist.draw("release/none") == {}
