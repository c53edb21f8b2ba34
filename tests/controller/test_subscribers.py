"""Who follows the journal misses nothing, is told again what it could not take, and keeps its place over a restart."""

from collections.abc import Sequence
from pathlib import Path

import pytest

from controller.core.policy import ReleasePolicy
from controller.errors import PermanentError, SerinError, TransientError
from controller.journal.codec import note_of
from controller.journal.notes import PolicyGone, PolicyRead
from controller.loop.policy_log import PolicyLog
from controller.ports.journal import Entry, RecordedEntry
from controller.subscribers import feed
from controller.subscribers.feed import Follower
from controller.subscribers.registry_tags import RegistryTags
from tests.contracts.journal import record
from tests.fakes.clock import FakeClock
from tests.fakes.journal import FakeJournal
from tests.fakes.registry import FakeRegistry


class Notebook:
    """Takes entries of kind ``a``; raises what it is told to raise, once each."""

    name = "notebook"
    kinds: Sequence[str] = ("a",)

    def __init__(self) -> None:
        self.taken: list[object] = []
        self.raises: list[SerinError] = []

    def take(self, entry: RecordedEntry) -> None:
        if self.raises:
            raise self.raises.pop()
        self.taken.append(entry.entry.payload["n"])


@pytest.fixture
def journal() -> FakeJournal:
    return FakeJournal()


def write(journal: FakeJournal, *numbers: int, kind: str = "a") -> None:
    journal.note("installation", [Entry(kind, 1.0, {"n": number}) for number in numbers])


def test_a_subscriber_is_told_of_everything_once_and_in_order(
    journal: FakeJournal, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However many pages that are, and after a restart from where it was."""
    monkeypatch.setattr(feed, "PAGE_ENTRIES", 2)
    notebook = Notebook()
    write(journal, 1, 2, 3, 4)
    write(journal, 0, kind="b")
    write(journal, 5)
    Follower(journal, notebook).catch_up()
    assert notebook.taken == [1, 2, 3, 4, 5]
    follower = Follower(journal, notebook)
    write(journal, 6)
    follower.catch_up()
    follower.catch_up()
    assert notebook.taken == [1, 2, 3, 4, 5, 6]


def test_what_cannot_be_taken_now_is_told_again(journal: FakeJournal) -> None:
    """And nothing that stands behind it comes first."""
    notebook = Notebook()
    notebook.raises = [TransientError("registry", "away"), TransientError("registry", "away")]
    write(journal, 1, 2)
    follower = Follower(journal, notebook)
    follower.catch_up()
    assert (notebook.taken, journal.position_of("notebook")) == ([], 0)
    follower.catch_up()
    follower.catch_up()
    assert (notebook.taken, journal.position_of("notebook")) == ([1, 2], 2)


def test_what_can_never_be_taken_keeps_nothing_else(journal: FakeJournal, caplog: pytest.LogCaptureFixture) -> None:
    """It is logged and passed over."""
    notebook = Notebook()
    notebook.raises = [PermanentError("no such version")]
    write(journal, 1, 2)
    Follower(journal, notebook).catch_up()
    assert notebook.taken == [2]
    assert "passed over entry 1 of the journal: no such version" in caplog.text


def test_entries_of_no_concern_are_not_read_again_after_a_restart(
    journal: FakeJournal, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A quiet subscriber of a busy journal keeps its place, too, now and then."""
    monkeypatch.setattr(feed, "SKIPPED_MAX", 3)
    follower = Follower(journal, Notebook())
    write(journal, 0, 0, kind="b")
    follower.catch_up()
    assert journal.position_of("notebook") == 0
    write(journal, 0, kind="b")
    follower.catch_up()
    assert journal.position_of("notebook") == 3


def ended(journal: FakeJournal, phase: str, *, release_id: str = "r1") -> None:
    entries = [Entry("PhaseEntered", 1.0, {"phase": one, "reason": "why"}) for one in ("canary", phase)]
    journal.append(record(2, release_id=release_id, phase=phase, active=False, reason="x" * 600), entries)


def test_the_registry_is_told_how_a_release_ended(journal: FakeJournal, tmp_path: Path) -> None:
    """Once it has ended, with the reason cut to what a tag may hold; the alias goes with a promotion alone."""
    registry = FakeRegistry()
    for _ in range(7):
        registry.register(tmp_path, "intent", tags={})
    registry.aliases_of["intent"]["candidate"] = "7"
    tags = Follower(journal, RegistryTags(registry, journal))
    ended(journal, "rejected")
    tags.catch_up()
    assert registry.tags_of["intent", "7"] == {
        "serin.outcome": "rejected",
        "serin.release": "r1",
        "serin.reason": "x" * 500,
    }
    assert registry.aliases("intent") == {"candidate": "7"}
    ended(journal, "promoted", release_id="r2")
    tags.catch_up()
    assert registry.tags_of["intent", "7"]["serin.outcome"] == "promoted"
    assert registry.aliases("intent") == {}


def test_every_change_of_a_policy_is_on_record(journal: FakeJournal) -> None:
    """Once, also over a restart, and when there is none any more."""
    policies: dict[str, ReleasePolicy] = {"intent": ReleasePolicy(model="intent")}
    log = PolicyLog(lambda: dict(policies), journal, FakeClock())
    assert log() == policies
    log()
    PolicyLog(lambda: dict(policies), journal, FakeClock())()
    policies["intent"] = ReleasePolicy(model="intent", probation_s=60.0)
    log()
    changed = policies.pop("intent")
    log()
    log()
    found = [note_of(entry) for entry in journal.stream_page("model:intent", after=0, limit=10)]
    assert found == [PolicyRead(ReleasePolicy(model="intent")), PolicyRead(changed), PolicyGone("intent")]


def test_a_journal_that_cannot_be_written_keeps_nobody_from_following_a_policy(
    journal: FakeJournal, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is recorded later."""
    policies = {"intent": ReleasePolicy(model="intent")}
    log = PolicyLog(lambda: policies, journal, FakeClock())

    def away(*_: object, **__: object) -> None:
        raise TransientError("journal", "locked")

    with monkeypatch.context() as broken:
        broken.setattr(journal, "note", away)
        assert log() == policies
    log()
    assert len(journal.stream_page("model:intent", after=0, limit=10)) == 1
