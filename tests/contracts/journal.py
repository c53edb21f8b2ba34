"""What every journal must do, with the inbox it takes commands out of. Run by a subclass with the two fixtures."""

import hashlib
import json
import math
from typing import Protocol

import pytest

from controller.core.commands import Ask, Command
from controller.errors import ConflictError, PermanentError
from controller.ports.journal import Entry, Feed, Journal, ReleaseRecord, Sighting
from controller.ports.people import Inbox


class EveryJournal(Journal, Feed, Protocol):
    """All that a journal is asked for, by whomever."""


def record(sequence: int, *, release_id: str = "r1", **changes: object) -> ReleaseRecord:
    values: dict[str, object] = {
        "release_id": release_id,
        "model": "intent",
        "version": "7",
        "phase": "shadow",
        "active": True,
        "sequence": sequence,
        "started_at_s": 100.0,
        "state": f'{{"phase":"shadow","step":{sequence}}}',
    }
    return ReleaseRecord(**{**values, **changes})  # type: ignore[arg-type]


def entry(number: int) -> Entry:
    return Entry("look", 100.0 + number, {"number": number, "value": 0.1 * number})


def command(command_id: str, ask: Ask = Ask.ABORT) -> Command:
    return Command(command_id, ask, "intent", None, "it smells", "ada", 99.5)


class JournalContract:
    def test_entries_come_back_in_order_and_the_state_with_them(self, journal: EveryJournal) -> None:
        """What was appended is read again, in order, beside the latest state."""
        journal.append(record(2), [entry(1), entry(2)])
        journal.append(record(3, phase="canary"), [entry(3)])
        assert [one.entry for one in journal.entries("r1")] == [entry(1), entry(2), entry(3)]
        assert [one.sequence for one in journal.entries("r1")] == [1, 2, 3]
        assert journal.release("r1") == record(3, phase="canary")

    def test_each_hash_covers_the_entry_and_the_hash_before(self, journal: EveryJournal) -> None:
        """A stranger checks the chain with SHA-256 over the stored bytes and a reader of JSON, and nothing else."""
        journal.append(record(2), [entry(1), Entry("verdict", 7.25, {"z": [1, 2.5], "a": {"ü": None}}, schema=3)])
        previous = "0" * 64
        for found in journal.entries("r1"):
            assert hashlib.sha256(found.head.encode()).hexdigest() == found.hash
            assert found.text is not None
            assert json.loads(found.head) == {
                "stream": "release:r1",
                "position": found.position,
                "sequence": found.sequence,
                "kind": found.kind,
                "at_s": found.at_s,
                "schema": found.schema,
                "payload_sha256": hashlib.sha256(found.text.encode()).hexdigest(),
                "previous_hash": previous,
            }
            assert found.previous_hash == previous
            previous = found.hash
        assert found.text == '{"a":{"ü":null},"z":[1,2.5]}'
        assert found.entry == Entry("verdict", 7.25, {"z": [1, 2.5], "a": {"ü": None}}, schema=3)

    def test_the_latest_entries_of_some_kinds_are_found_in_order(self, journal: EveryJournal) -> None:
        """Without what lies between them, nor what came before a time."""
        written = [Entry(kind, float(at), {}) for at, kind in enumerate(("a", "look", "b", "a", "look", "b"))]
        journal.note("model:intent", written)
        journal.note("model:tone", [Entry("a", 9.0, {})])

        def found(since_s: float, limit: int) -> list[tuple[str, float]]:
            kinds = journal.of_kinds("model:intent", ["a", "b"], since_s=since_s, limit=limit)
            return [(one.kind, one.at_s) for one in kinds]

        assert found(0.0, 9) == [("a", 0.0), ("b", 2.0), ("a", 3.0), ("b", 5.0)]
        assert found(2.0, 9) == [("b", 2.0), ("a", 3.0), ("b", 5.0)]
        assert found(0.0, 2) == [("a", 3.0), ("b", 5.0)]

    def test_it_tells_when_it_was_written_last(self, journal: EveryJournal) -> None:
        """By whomever, in whatever stream."""
        assert journal.written_at_s() is None
        journal.append(record(2), [entry(1), entry(3)])
        journal.note("model:intent", [entry(2)])
        assert journal.written_at_s() == 102.0

    def test_streams_share_one_order(self, journal: EveryJournal) -> None:
        """Positions count over all streams, sequences within each; each stream has a chain of its own."""
        journal.append(record(1), [entry(1)])
        journal.note("model:intent", [entry(2), entry(3)])
        journal.append(record(1, release_id="r2"), [entry(4)])
        journal.note("model:intent", [entry(5)])
        found = journal.feed(after=0, limit=10).entries
        assert [(one.position, one.stream, one.sequence) for one in found] == [
            (1, "release:r1", 1),
            (2, "model:intent", 1),
            (3, "model:intent", 2),
            (4, "release:r2", 1),
            (5, "model:intent", 3),
        ]
        of_model = journal.stream_page("model:intent", after=0, limit=10)
        assert [one.entry for one in of_model] == [entry(2), entry(3), entry(5)]
        assert of_model[0].previous_hash == "0" * 64
        assert list(journal.stream_page("model:tone", after=0, limit=10)) == []

    def test_the_last_of_a_kind_is_found(self, journal: EveryJournal) -> None:
        """What stands behind it in its stream is of other kinds."""
        journal.note("model:intent", [Entry("a", 1.0, {"n": 1}), Entry("a", 2.0, {"n": 2}), Entry("b", 3.0, {})])
        journal.note("model:tone", [Entry("a", 4.0, {})])
        found = journal.last("model:intent", ["a", "c"])
        assert found is not None
        assert found.entry == Entry("a", 2.0, {"n": 2})
        assert journal.last("model:intent", ["c"]) is None

    def test_a_follower_reads_on_from_its_position(self, journal: EveryJournal) -> None:
        """Page by page, of the kinds that it asked for, and told how far that was: what it skips is not read again."""
        journal.note("installation", [Entry("a", 1.0, {}), Entry("b", 1.0, {}), Entry("a", 1.0, {})])
        first = journal.feed(after=0, limit=1, kinds=["a"])
        assert ([one.position for one in first.entries], first.reached) == ([1], 1)
        rest = journal.feed(after=first.reached, limit=2, kinds=["a"])
        assert ([one.position for one in rest.entries], rest.reached) == ([3], 3)
        assert list(journal.feed(after=3, limit=2).entries) == []
        journal.note("installation", [Entry("b", 1.0, {})])
        assert journal.feed(after=3, limit=2, kinds=["a"]).reached == 4

    def test_a_position_is_kept_and_never_goes_back(self, journal: EveryJournal) -> None:
        """Of each subscriber its own; one that never began stands before the first entry."""
        assert journal.position_of("tags") == 0
        journal.advance("tags", 7)
        journal.advance("tags", 5)
        assert (journal.position_of("tags"), journal.position_of("page")) == (7, 0)

    def test_an_old_leader_writes_nothing(self, journal: EveryJournal) -> None:
        """Who wakes up with an older token is refused, in whatever stream; who has none is no leader and is not."""
        journal.append(record(1), [entry(1)], fence=3)
        with pytest.raises(ConflictError, match="later leader"):
            journal.append(record(2), [entry(2)], fence=2)
        with pytest.raises(ConflictError, match="later leader"):
            journal.note("model:intent", [entry(2)], fence=2)
        journal.note("model:intent", [entry(2)])
        journal.append(record(2), [entry(2)], fence=3)
        journal.append(record(3), [entry(3)], fence=4)
        assert [one.entry for one in journal.entries("r1")] == [entry(1), entry(2), entry(3)]

    def test_of_each_model_the_release_that_began_last(self, journal: EveryJournal) -> None:
        """Whatever their clocks said, and however many came before."""
        journal.append(record(1, release_id="old", started_at_s=9.0, active=False), [entry(1)])
        journal.append(record(1, release_id="new", started_at_s=3.0, reason="since then"), [entry(1)])
        journal.append(record(1, release_id="other", model="tone"), [entry(1)])
        assert [one.release_id for one in journal.current()] == ["new", "other"]
        (only,) = journal.current(model="intent")
        assert (only.release_id, only.reason, only.active) == ("new", "since then", True)
        assert list(journal.current(model="nobody")) == []

    def test_lists_need_no_states(self, journal: EveryJournal) -> None:
        """What they show, in the order of the releases themselves."""
        for number in range(3):
            journal.append(
                record(1, release_id=f"r{number}", started_at_s=float(number), phase=f"p{number}"), [entry(1)]
            )
        assert [one.release_id for one in journal.summaries()] == ["r2", "r1", "r0"]
        assert [one.release_id for one in journal.summaries(limit=1, before="r2")] == ["r1"]
        assert journal.summary("r1") == journal.summaries()[1]
        assert journal.summary("nobody") is None
        newest = journal.newest("intent", ["p0", "p1"])
        assert newest is not None
        assert newest.release_id == "r1"
        assert journal.newest("intent", ["p9"]) is None
        assert journal.newest("intent", ["p0", "p1"], version="7") == newest
        assert journal.newest("intent", ["p0", "p1"], version="8") is None
        assert (journal.count("intent", "7"), journal.count("intent", "8"), journal.count("tone", "7")) == (3, 0, 0)

    def test_versions_are_known_by_what_was_seen_first(self, journal: EveryJournal) -> None:
        """A number may be given again: the one that served last goes by it, with the fingerprint of its first sight."""

        def sighted(release_id: str, *sightings: Sighting) -> None:
            journal.append(record(1, release_id=release_id, sightings=sightings), [entry(1)])

        sighted("r1", Sighting("6", "m-a", "f-a", served=True, released=False), Sighting("7", "m-b", "", False, True))
        assert journal.known("intent", "6") == ("m-a", "f-a")
        assert journal.known("intent", "7") is None
        assert journal.released("intent", "7", "m-b")
        assert not journal.released("intent", "6", "m-a")
        journal.append(record(2, sightings=(Sighting("7", "m-b", "f-b", False, True),)), [entry(2)])
        assert journal.known("intent", "7") == ("m-b", "f-b")
        sighted("r2", Sighting("7", "m-b", "f-other", served=True, released=False))
        sighted("r3", Sighting("7", "m-c", "f-c", served=False, released=True))
        assert journal.known("intent", "7") == ("m-b", "f-b")
        assert [journal.fingerprint("intent", "7", source) for source in ("m-b", "m-c", "m-d")] == ["f-b", "f-c", ""]
        assert journal.known("tone", "7") is None
        assert not journal.released("tone", "7", "m-b")

    def test_numbers_come_back_to_the_last_bit(self, journal: EveryJournal) -> None:
        """Replaying recorded evidence gives the same verdicts only if every float is the same float."""
        values = [0.1 + 0.2, 1e-308, 5e-324, 1.7976931348623157e308, -0.0, 2**53 + 1, 1 / 3]
        at_s = 1795432308.6237711
        journal.append(
            record(1, started_at_s=at_s, state=json.dumps(values)), [Entry("look", at_s, {"values": values})]
        )
        (found,) = journal.entries("r1")
        assert [repr(value) for value in found.entry.payload["values"]] == [repr(value) for value in values]  # type: ignore[attr-defined]
        assert found.entry.at_s == at_s
        stored = journal.release("r1")
        assert stored is not None
        assert (stored.started_at_s, stored.state) == (at_s, json.dumps(values))

    @pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf, {1, 2}, object()])
    def test_what_is_no_json_is_refused_and_leaves_nothing(self, journal: EveryJournal, value: object) -> None:
        """NaN never gets into the record."""
        with pytest.raises(PermanentError):
            journal.append(record(1), [Entry("look", 1.0, {"value": value})])
        assert journal.release("r1") is None
        assert list(journal.entries("r1")) == []

    def test_a_second_writer_is_told_and_changes_nothing(self, journal: EveryJournal) -> None:
        """Two controllers cannot both continue a release: the later one is refused, whatever it wanted to write."""
        journal.append(record(1), [entry(1)])
        for stale in (record(1), record(3)):
            with pytest.raises(ConflictError):
                journal.append(stale, [entry(9)])
        assert journal.release("r1") == record(1)
        assert [one.entry for one in journal.entries("r1")] == [entry(1)]

    def test_an_unknown_release_starts_at_zero(self, journal: EveryJournal) -> None:
        """A release's first append creates it, and only as its beginning."""
        with pytest.raises(ConflictError):
            journal.append(record(5), [entry(5)])
        journal.append(record(0), [])
        assert journal.release("r1") == record(0)
        assert journal.release("nobody") is None
        assert list(journal.entries("nobody")) == []

    def test_releases_are_told_apart(self, journal: EveryJournal) -> None:
        """Lists are newest first, by model, by activity, and no longer than asked for."""
        journal.append(record(1, release_id="old", started_at_s=1.0, active=False), [entry(1)])
        journal.append(record(1, release_id="new", started_at_s=3.0), [entry(1)])
        journal.append(record(1, release_id="other", started_at_s=2.0, model="tone"), [entry(1)])

        def ids(**wanted: object) -> list[str]:
            return [one.release_id for one in journal.releases(**wanted)]  # type: ignore[arg-type]

        assert ids() == ["new", "other", "old"]
        assert ids(model="intent") == ["new", "old"]
        assert ids(active=True) == ["new", "other"]
        assert ids(active=False) == ["old"]
        assert ids(limit=1) == ["new"]

    def test_lists_go_on_where_they_ended(self, journal: EveryJournal) -> None:
        """Page by page every release comes once, also where several began in one moment."""
        for number in range(7):
            journal.append(record(1, release_id=f"r{number}", started_at_s=float(number // 2)), [entry(1)])
        seen: list[str] = []
        while page := journal.releases(limit=3, before=seen[-1] if seen else None):
            seen += [one.release_id for one in page]
        assert seen == [f"r{number}" for number in reversed(range(7))]
        assert list(journal.releases(before="nobody")) == []

    def test_entries_come_in_pages(self, journal: EveryJournal) -> None:
        """Every entry once and in order; after the last there is nothing."""
        journal.append(record(7), [entry(number) for number in range(1, 8)])
        pages = [journal.page("r1", after=after, limit=3) for after in (0, 3, 6, 7, 99)]
        assert [[one.sequence for one in page] for page in pages] == [[1, 2, 3], [4, 5, 6], [7], [], []]
        assert [one for page in pages for one in page] == list(journal.entries("r1"))
        assert list(journal.page("nobody", after=0, limit=3)) == []

    def test_the_commands_that_entries_answer_leave_the_inbox_with_them(
        self, journal: EveryJournal, inbox: Inbox
    ) -> None:
        """A command is answered exactly when its answer is on record."""
        inbox.put(command("c1"))
        inbox.put(command("c2"))
        journal.append(record(1), [entry(1)], taken_up=["c1"])
        assert [one.id for one in inbox.waiting()] == ["c2"]

    def test_a_refused_append_leaves_its_commands_waiting(self, journal: EveryJournal, inbox: Inbox) -> None:
        """A command is never lost to a write that did not happen."""
        inbox.put(command("c1"))
        journal.append(record(1), [entry(1)])
        with pytest.raises(ConflictError):
            journal.append(record(1), [entry(1)], taken_up=["c1"])
        assert [one.id for one in inbox.waiting()] == ["c1"]

    def test_a_command_is_answered_once(self, journal: EveryJournal, inbox: Inbox) -> None:
        """Two releases cannot both answer a command, and nobody answers one that never came."""
        inbox.put(command("c1"))
        journal.append(record(1), [entry(1)], taken_up=["c1"])
        for command_id in ("c1", "never put in"):
            with pytest.raises(ConflictError, match=command_id):
                journal.append(record(1, release_id="r2"), [entry(1)], taken_up=[command_id])
        assert journal.release("r2") is None
