"""What every journal must do, with the inbox it takes commands out of. Run by a subclass with the two fixtures."""

import hashlib
import json
import math

import pytest

from controller.core.commands import Ask, Command
from controller.errors import ConflictError, PermanentError
from controller.ports.journal import Entry, Journal, RecordedEntry, ReleaseRecord
from controller.ports.people import Inbox


def record(sequence: int, *, release_id: str = "r1", **changes: object) -> ReleaseRecord:
    values: dict[str, object] = {
        "release_id": release_id,
        "model": "intent",
        "version": "7",
        "phase": "shadow",
        "active": True,
        "sequence": sequence,
        "started_at_s": 100.0,
        "state": {"phase": "shadow", "step": sequence},
    }
    return ReleaseRecord(**{**values, **changes})  # type: ignore[arg-type]


def entry(number: int) -> Entry:
    return Entry("look", 100.0 + number, {"number": number, "value": 0.1 * number})


def command(command_id: str, ask: Ask = Ask.ABORT) -> Command:
    return Command(command_id, ask, "intent", None, "it smells", "ada", 99.5)


class JournalContract:
    def test_entries_come_back_in_order_and_the_state_with_them(self, journal: Journal) -> None:
        """What was appended is read again, in order, beside the latest state."""
        journal.append(record(2), [entry(1), entry(2)])
        journal.append(record(3, phase="canary"), [entry(3)])
        assert [one.entry for one in journal.entries("r1")] == [entry(1), entry(2), entry(3)]
        assert [one.sequence for one in journal.entries("r1")] == [1, 2, 3]
        assert journal.release("r1") == record(3, phase="canary")

    def test_each_hash_covers_the_entry_and_the_hash_before(self, journal: Journal) -> None:
        """A third party can check the chain with SHA-256 and canonical JSON alone."""
        journal.append(record(2), [entry(1), Entry("verdict", 7.25, {"z": [1, 2.5], "a": {"ü": None}})])
        previous = "0" * 64
        for found in journal.entries("r1"):
            document = {
                "release_id": "r1",
                "sequence": found.sequence,
                "kind": found.entry.kind,
                "at_s": found.entry.at_s,
                "payload": found.entry.payload,
                "previous_hash": previous,
            }
            text = json.dumps(document, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
            digest = hashlib.sha256(text.encode()).hexdigest()
            assert found == RecordedEntry(found.sequence, found.entry, previous, digest)
            previous = digest

    def test_numbers_come_back_to_the_last_bit(self, journal: Journal) -> None:
        """Replaying recorded evidence gives the same verdicts only if every float is the same float."""
        values = [0.1 + 0.2, 1e-308, 5e-324, 1.7976931348623157e308, -0.0, 2**53 + 1, 1 / 3]
        at_s = 1795432308.6237711
        journal.append(
            record(1, started_at_s=at_s, state={"values": values}), [Entry("look", at_s, {"values": values})]
        )
        (found,) = journal.entries("r1")
        assert [repr(value) for value in found.entry.payload["values"]] == [repr(value) for value in values]  # type: ignore[attr-defined]
        assert found.entry.at_s == at_s
        stored = journal.release("r1")
        assert stored is not None
        assert (stored.started_at_s, stored.state) == (at_s, {"values": values})

    @pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf, {1, 2}, object()])
    def test_what_is_no_json_is_refused_and_leaves_nothing(self, journal: Journal, value: object) -> None:
        """NaN never gets into the record, neither in an entry nor in the state."""
        with pytest.raises(PermanentError):
            journal.append(record(1), [Entry("look", 1.0, {"value": value})])
        with pytest.raises(PermanentError):
            journal.append(record(1, state={"value": value}), [entry(1)])
        assert journal.release("r1") is None
        assert list(journal.entries("r1")) == []

    def test_a_second_writer_is_told_and_changes_nothing(self, journal: Journal) -> None:
        """Two controllers cannot both continue a release: the later one is refused, whatever it wanted to write."""
        journal.append(record(1), [entry(1)])
        for stale in (record(1), record(3)):
            with pytest.raises(ConflictError):
                journal.append(stale, [entry(9)])
        assert journal.release("r1") == record(1)
        assert [one.entry for one in journal.entries("r1")] == [entry(1)]

    def test_an_unknown_release_starts_at_zero(self, journal: Journal) -> None:
        """A release's first append creates it, and only as its beginning."""
        with pytest.raises(ConflictError):
            journal.append(record(5), [entry(5)])
        journal.append(record(0), [])
        assert journal.release("r1") == record(0)
        assert journal.release("nobody") is None
        assert list(journal.entries("nobody")) == []

    def test_releases_are_told_apart(self, journal: Journal) -> None:
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

    def test_lists_go_on_where_they_ended(self, journal: Journal) -> None:
        """Page by page every release comes once, also where several began in one moment."""
        for number in range(7):
            journal.append(record(1, release_id=f"r{number}", started_at_s=float(number // 2)), [entry(1)])
        seen: list[str] = []
        while page := journal.releases(limit=3, before=seen[-1] if seen else None):
            seen += [one.release_id for one in page]
        assert seen == [f"r{number}" for number in reversed(range(7))]
        assert list(journal.releases(before="nobody")) == []

    def test_entries_come_in_pages(self, journal: Journal) -> None:
        """Every entry once and in order; after the last there is nothing."""
        journal.append(record(7), [entry(number) for number in range(1, 8)])
        pages = [journal.page("r1", after=after, limit=3) for after in (0, 3, 6, 7, 99)]
        assert [[one.sequence for one in page] for page in pages] == [[1, 2, 3], [4, 5, 6], [7], [], []]
        assert [one for page in pages for one in page] == list(journal.entries("r1"))
        assert list(journal.page("nobody", after=0, limit=3)) == []

    def test_the_commands_that_entries_answer_leave_the_inbox_with_them(self, journal: Journal, inbox: Inbox) -> None:
        """A command is answered exactly when its answer is on record."""
        inbox.put(command("c1"))
        inbox.put(command("c2"))
        journal.append(record(1), [entry(1)], taken_up=["c1"])
        assert [one.id for one in inbox.waiting()] == ["c2"]

    def test_a_refused_append_leaves_its_commands_waiting(self, journal: Journal, inbox: Inbox) -> None:
        """A command is never lost to a write that did not happen."""
        inbox.put(command("c1"))
        journal.append(record(1), [entry(1)])
        with pytest.raises(ConflictError):
            journal.append(record(1), [entry(1)], taken_up=["c1"])
        assert [one.id for one in inbox.waiting()] == ["c1"]

    def test_a_command_is_answered_once(self, journal: Journal, inbox: Inbox) -> None:
        """Two releases cannot both answer a command, and nobody answers one that never came."""
        inbox.put(command("c1"))
        journal.append(record(1), [entry(1)], taken_up=["c1"])
        for command_id in ("c1", "never put in"):
            with pytest.raises(ConflictError, match=command_id):
                journal.append(record(1, release_id="r2"), [entry(1)], taken_up=[command_id])
        assert journal.release("r2") is None
