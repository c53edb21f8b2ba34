"""The journal of an earlier release of Serin goes on in this one: chains, order, what versions are known by."""

import hashlib
import json
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from alembic import command

from controller.adapters.sql import Store, open_store
from controller.adapters.sql import database as sql_database
from controller.adapters.sql.upgrade import alembic_config, upgrade_store
from controller.errors import PermanentError
from controller.journal.codec import note_of
from controller.journal.notes import CommandDiscarded, FreezeLifted, Frozen
from tests.contracts.freezes import INTENT
from tests.contracts.inbox import START
from tests.contracts.journal import entry, record
from tests.controller.test_sql_store import TAMPERING, assert_broken_at, execute
from tests.stores import new_store

STABLE = {"number": "6", "source_id": "m-6", "fingerprint": "f-6"}
CANDIDATE = {"number": "7", "source_id": "m-7", "fingerprint": "f-7"}
Old = tuple[str, float, dict[str, Any]]
ENTRIES: Sequence[Old] = (
    ("Started", 101.0, {"ü": [0.1 + 0.2, 1e-07, 5e-324, None], "a": "\u2028"}),
    ("Looked", 1e16, {"z": 1, "b": {"y": True, "x": 2.0}}),
    ("Looked", 1e-05, {}),
)


def old_row(release_id: str, **state: object) -> dict[str, Any]:
    """A release as the schema before kept it."""
    before = {"phase": "promoted", "purpose": "promote", "phase_since_s": 5.5, "reason": "all gates passed"}
    return {
        "release_id": release_id,
        "model": "intent",
        "version": "7",
        "phase": "promoted",
        "active": False,
        "sequence": 0,
        "started_at_s": 100.0,
        "state": json.dumps({**before, "stable": STABLE, "fallback": None, "candidate": CANDIDATE, **state}),
        "head_hash": "0" * 64,
    }


def write_old(url: str, releases: Sequence[tuple[dict[str, Any], Sequence[Old]]]) -> None:
    """A database of the schema before, with chains as they were made then."""
    database = sql_database.connect(url)
    config = alembic_config()
    with database.write_durably("store") as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, "0004")
        for row, entries in releases:
            recorded = list(_old_chain(row["release_id"], entries))
            last = recorded[-1]["hash"] if recorded else row["head_hash"]
            _insert(connection, "releases", {**row, "sequence": len(recorded), "head_hash": last})
            for one in recorded:
                _insert(connection, "entries", one)
    database.close()


def _old_chain(release_id: str, entries: Sequence[Old]) -> Iterator[dict[str, Any]]:
    previous = "0" * 64
    for sequence, (kind, at_s, payload) in enumerate(entries, start=1):
        place = {"release_id": release_id, "sequence": sequence, "kind": kind, "at_s": at_s}
        document = {**place, "payload": payload, "previous_hash": previous}
        digest = hashlib.sha256(_canonical(document).encode()).hexdigest()
        yield {**document, "payload": _canonical(payload), "hash": digest}
        previous = digest


def _canonical(document: object) -> str:
    return json.dumps(document, sort_keys=True, separators=(",", ":"), ensure_ascii=False)


def _insert(connection: sa.Connection, table: str, row: dict[str, Any]) -> None:
    places = ", ".join(f":{name}" for name in row)
    connection.execute(sa.text(f"INSERT INTO {table} ({', '.join(row)}) VALUES ({places})"), row)  # noqa: S608


@pytest.fixture(scope="module")
def of_then(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One release of an earlier Serin, with its three entries, in a database that this one has taken over."""
    path = tmp_path_factory.mktemp("then") / "store.db"
    write_old(f"sqlite:///{path}", [(old_row("r1"), ENTRIES)])
    upgrade_store(f"sqlite:///{path}")
    return path


@pytest.fixture
def store(of_then: Path, tmp_path: Path) -> Iterator[Store]:
    shutil.copy(of_then, tmp_path / "store.db")
    opened = open_store(f"sqlite:///{tmp_path}/store.db")
    yield opened
    opened.close()


@pytest.fixture
def new(tmp_path: Path) -> Iterator[Store]:
    opened = new_store(f"sqlite:///{tmp_path}/new.db")
    yield opened
    opened.close()


@contextmanager
def upgraded(path: Path, *releases: tuple[dict[str, Any], Sequence[Old]]) -> Iterator[Store]:
    url = f"sqlite:///{path}/old.db"
    write_old(url, releases)
    opened = new_store(url)
    yield opened
    opened.close()


def test_an_old_chain_holds_and_goes_on(store: Store) -> None:
    """Every value is what it was, the hashes are those that were told, and the next entry follows the last of them."""
    found = store.journal.entries("r1")
    assert [(one.kind, one.at_s, one.entry.payload) for one in found] == list(ENTRIES)
    assert [one.hash for one in found] == [one["hash"] for one in _old_chain("r1", ENTRIES)]
    store.journal.append(record(4), [entry(4)])
    (new,) = store.journal.page("r1", after=3, limit=9)
    assert (new.chain, new.previous_hash, new.position) == (2, found[-1].hash, 4)
    assert len(store.journal.entries("r1")) == 4


@pytest.mark.parametrize(
    ("tampering", "sequence"),
    [*TAMPERING, ("UPDATE entries SET chain = 2 WHERE sequence = 2", 2)],
)
def test_tampering_with_an_old_chain_is_found(store: Store, tampering: str, sequence: int) -> None:
    """As with a new one."""
    execute(store, tampering)
    assert_broken_at(store, sequence)


def test_old_entries_get_their_places_by_time(tmp_path: Path) -> None:
    """Over all releases, and within a release in its own order, also where the clock was set back."""
    first: Sequence[Old] = (("a", 1.0, {}), ("b", 9.0, {}), ("c", 2.0, {}))
    second: Sequence[Old] = (("d", 3.0, {}), ("e", 10.0, {}))
    with upgraded(tmp_path, (old_row("r1"), first), (old_row("r2"), second)) as store:
        page = store.journal.feed(after=0, limit=9)
        assert "".join(one.kind for one in page.entries) == "adbce"
        assert [one.position for one in page.entries] == [1, 2, 3, 4, 5]
        assert store.journal.position_of("registry tags") == 5  # what ended was told by the controller of then


def test_old_releases_are_found_by_what_they_were(tmp_path: Path) -> None:
    """Lists, the newest of a model, and what its versions are known by come out of the states of then."""
    again = {"number": "7", "source_id": "m-again", "fingerprint": "f-again"}
    unknown = {"number": "8", "source_id": "m-8", "fingerprint": ""}
    slow = {**old_row("r2", candidate=again, phase="rejected", reason="it was slow"), "started_at_s": 200.0}
    restored = {**old_row("r3", candidate=unknown, stable=None, purpose="restore"), "model": "tone"}
    with upgraded(tmp_path, (old_row("r1"), ENTRIES), (slow, ENTRIES), (restored, ())) as store:
        journal = store.journal
        current = [(one.release_id, one.reason) for one in journal.current()]
        assert current == [("r2", "it was slow"), ("r3", "all gates passed")]
        assert journal.summaries()[0].phase_since_s == 5.5
        assert (journal.known("intent", "6"), journal.known("intent", "7")) == (("m-6", "f-6"), ("m-7", "f-7"))
        assert journal.known("tone", "8") is None
        assert [journal.released("intent", "7", source) for source in ("m-7", "m-again", "m-6")] == [True, True, False]
        assert not journal.released("tone", "8", "m-8")
        assert journal.fingerprint("intent", "7", "m-again") == "f-again"


def test_what_people_do_is_on_record_with_what_it_changes(new: Store) -> None:
    """Freezes and discarded commands, in the stream of the model or of the installation, in the same transaction."""
    everything = replace(INTENT, model="*")
    new.freezes.freeze(INTENT)
    new.freezes.freeze(INTENT)
    new.freezes.freeze(everything)
    new.freezes.lift("intent", reason="understood", by="ada", at_s=40.0)
    assert not new.freezes.lift("intent", reason="again", by="ada", at_s=41.0)
    new.inbox.put(START)
    new.inbox.discard(START.id, "no such version")
    new.inbox.discard(START.id, "said twice")
    of_model = new.journal.stream_page("model:intent", after=0, limit=10)
    assert [note_of(entry) for entry in of_model] == [
        Frozen("intent", INTENT.reason, INTENT.by),
        FreezeLifted("intent", "understood", "ada", freezes=1),
        CommandDiscarded(
            START.id, "start", "intent", "7", START.reason, START.by, START.at_s, outcome="no such version"
        ),
    ]
    (of_all,) = new.journal.stream_page("installation", after=0, limit=10)
    assert (note_of(of_all), of_all.at_s) == (Frozen("*", INTENT.reason, INTENT.by), INTENT.at_s)


def test_a_change_that_cannot_be_recorded_does_not_happen(new: Store) -> None:
    """Neither without the other."""
    execute(new, "CREATE TRIGGER full BEFORE INSERT ON entries BEGIN SELECT RAISE(ABORT, 'the disk is full'); END")
    new.inbox.put(START)
    with pytest.raises(PermanentError, match="disk is full"):
        new.freezes.freeze(INTENT)
    with pytest.raises(PermanentError, match="disk is full"):
        new.inbox.discard(START.id, "no such version")
    assert (list(new.freezes.in_force()), list(new.inbox.waiting())) == ([], [START])
