"""The SQL store as a database: tampering, crashes, upgrades, outages, retention, plans that never read the past."""

import contextlib
import errno
import os
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest
import sqlalchemy as sa
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from hypothesis import given, settings
from hypothesis import strategies as st

from controller.adapters.sql import Store, open_store, schema
from controller.adapters.sql import database as sql_database
from controller.adapters.sql.store import revision as stored_revision
from controller.adapters.sql.upgrade import Upgraded, alembic_config, upgrade_store
from controller.errors import ConflictError, PermanentError, TransientError, UsageError
from controller.journal.codec import note_of
from controller.journal.notes import FreezeEnded, Frozen, stream_of
from controller.ports.journal import Entry
from controller.ports.samples import Label, Prediction, SampleCursor
from gates.evidence import LabelCounts
from tests.contracts.freezes import INTENT
from tests.contracts.inbox import START
from tests.contracts.journal import entry, record
from tests.contracts.samples import asked, evidence, live, shadow, truth
from tests.fakes.samples import FakeSamples
from tests.patience import PATIENCE_S
from tests.stores import new_store


@pytest.fixture
def url(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path}/store.db"


@pytest.fixture
def store(url: str) -> Iterator[Store]:
    opened = new_store(url)
    yield opened
    opened.close()


@pytest.fixture
def any_store(store_url: str) -> Iterator[Store]:
    """On each kind of database."""
    opened = open_store(store_url)
    yield opened
    opened.close()


def execute(store: Store, statement: str) -> None:
    """Do something to the database that no code of ours does."""
    with store.database.engine.begin() as connection:
        connection.exec_driver_sql(statement)


# --- the chain -------------------------------------------------------------------------------------------------------
ADDED = (
    "INSERT INTO entries SELECT 4, stream, 4, kind, at_s, event_schema, chain, hash, hash, head, payload, NULL "
    "FROM entries WHERE sequence = 3"
)
TAMPERING = [
    ('UPDATE entries SET payload = \'{"number":2,"value":0.3}\' WHERE sequence = 2', 2),
    ("UPDATE entries SET at_s = at_s + 1e-6 WHERE sequence = 1", 1),
    ("UPDATE entries SET kind = 'other' WHERE sequence = 3", 3),
    ("UPDATE entries SET hash = previous_hash WHERE sequence = 2", 2),
    ("DELETE FROM entries WHERE sequence = 1", 1),
    ("DELETE FROM entries WHERE sequence = 2", 2),
    ("DELETE FROM entries WHERE sequence = 3", 3),
    ("UPDATE streams SET head_hash = 'x'", 4),
    ("UPDATE entries SET sequence = CASE sequence WHEN 2 THEN 9 ELSE sequence END", 2),
    (ADDED, 4),
]
TAMPERING_NOW = [
    ("UPDATE entries SET position = 9 WHERE sequence = 3", 3),
    ("UPDATE entries SET event_schema = 2 WHERE sequence = 1", 1),
    ("UPDATE entries SET head = replace(head, '101', '102') WHERE sequence = 1", 1),
    ("UPDATE entries SET head = '[]', hash = '4f53cda18c2baa0c0354bb5f9a3ecbe5ed12ab4d8e11ba873c2f11161202b945'", 1),
    ("UPDATE entries SET chain = 1 WHERE sequence = 2", 2),
]


def assert_broken_at(store: Store, sequence: int) -> None:
    with pytest.raises(PermanentError, match=rf"r1: the chain is broken at sequence {sequence}\b"):
        store.journal.entries("r1")
    for limit in (1, 2, 3):  # and so it is by who reads in pages
        with pytest.raises(PermanentError, match=rf"r1: the chain is broken at sequence {sequence}\b"):
            [store.journal.page("r1", after=after, limit=limit) for after in range(0, 4, limit)]


@pytest.mark.parametrize(("tampering", "sequence"), [*TAMPERING, *TAMPERING_NOW])
def test_tampering_is_found_where_it_happened(store: Store, tampering: str, sequence: int) -> None:
    """Changed, removed, moved, added, cut short: the message names the first sequence number that does not fit."""
    store.journal.append(record(3), [entry(1), entry(2), entry(3)])
    execute(store, tampering)
    assert_broken_at(store, sequence)


# --- crashes ---------------------------------------------------------------------------------------------------------
def test_a_failing_transaction_leaves_neither_entry_nor_state_nor_answer(store: Store) -> None:
    """All of an append or nothing of it, also when the very last statement fails."""
    store.inbox.put(START)
    store.journal.append(record(1), [entry(1)])
    execute(
        store,
        "CREATE TRIGGER full BEFORE UPDATE ON commands BEGIN SELECT RAISE(ABORT, 'the disk is full'); END",
    )
    with pytest.raises(PermanentError, match="the disk is full"):
        store.journal.append(record(2, phase="canary"), [entry(2)], taken_up=["c1"])
    assert store.journal.release("r1") == record(1)
    assert [one.entry for one in store.journal.entries("r1")] == [entry(1)]
    assert list(store.inbox.waiting()) == [START]


def test_writers_of_one_process_take_turns(store: Store) -> None:
    """None finds the database locked by another, nor sleeps while it is free: SQLite itself does not wait here."""
    sa.event.listen(store.database.engine, "connect", lambda one, _: one.execute("PRAGMA busy_timeout=0"))
    store.database.engine.dispose()

    def write(stream: int) -> None:
        for number in range(20):
            store.journal.note(f"model:{stream}", [entry(number)])

    with ThreadPoolExecutor(4) as writers:
        list(writers.map(write, range(4)))
    assert store.journal.feed(after=0, limit=1).reached == 1
    assert [len(store.journal.stream_page(f"model:{n}", after=0, limit=99)) for n in range(4)] == [20] * 4


KILLED_BEFORE_COMMIT = """
import os, sys
from sqlalchemy import event
from controller.adapters.sql import open_store
from controller.ports.journal import Entry, ReleaseRecord

store = open_store(sys.argv[1])
event.listen(store.database.engine, "commit", lambda connection: os._exit(9))
after = ReleaseRecord("r1", "intent", "7", "canary", True, 2, 1.0, "{}")
store.journal.append(after, [Entry("x", 1.0, {})], taken_up=["c1"])
"""


def test_a_controller_killed_before_the_commit_has_decided_nothing(any_store: Store, store_url: str) -> None:
    """The process dies with everything written and nothing committed: the next one finds the state before."""
    any_store.inbox.put(START)
    any_store.journal.append(record(1), [entry(1)])
    killed = subprocess.run([sys.executable, "-c", KILLED_BEFORE_COMMIT, store_url], check=False, timeout=PATIENCE_S)
    assert killed.returncode == 9
    assert any_store.journal.release("r1") == record(1)
    assert list(any_store.inbox.waiting()) == [START]
    any_store.journal.append(record(2), [entry(2)], taken_up=["c1"])
    assert len(any_store.journal.entries("r1")) == 2


def test_a_command_that_a_later_version_asks_for_keeps_no_other_from_being_taken_up(any_store: Store) -> None:
    any_store.inbox.put(replace(START, id="later"))
    execute(any_store, "UPDATE commands SET ask = 'teleport'")
    any_store.inbox.put(START)
    assert list(any_store.inbox.waiting()) == [START]


def test_decisions_are_on_the_disk_when_they_return(store: Store, url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Journal, inbox and freezes survive a power cut; samples may lose their last moments for speed."""
    log = Path(url.removeprefix("sqlite:///") + "-wal")
    synced: list[int] = []  # how much of the log was there, each time
    sync = os.fdatasync

    def counted(file: int) -> None:
        assert os.path.samestat(os.fstat(file), log.stat())
        synced.append(log.stat().st_size)
        sync(file)

    monkeypatch.setattr(os, "fdatasync", counted)
    for number, decided in enumerate(
        (
            lambda: store.journal.append(record(1), [entry(1)]),
            lambda: store.inbox.put(START),
            lambda: store.freezes.freeze(INTENT),
        ),
        1,
    ):
        decided()
        assert (len(synced), synced[-1]) == (number, log.stat().st_size), "nothing of it was written after the sync"
    store.samples.add_predictions([live("a")])
    assert len(synced) == 3


def test_a_disk_that_takes_nothing_is_an_outage(store: Store, url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever decided must read again what stands, for nobody knows."""

    def broken(_: int) -> None:
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(os, "fdatasync", broken)
    with pytest.raises(TransientError, match=r"not known to be on the disk: .*Input/output error"):
        store.journal.append(record(1), [entry(1)])
    monkeypatch.undo()  # the disk tells of an error once only
    with contextlib.closing(sqlite3.connect(url.removeprefix("sqlite:///"), isolation_level=None)) as other:
        other.execute("BEGIN")
        other.execute("SELECT count(*) FROM entries").fetchone()
        monkeypatch.setattr(sql_database, "BUSY_TIMEOUT_MS", 20)
        with pytest.raises(TransientError, match="not known to be on the disk"):
            store.journal.release("r1")
    with pytest.raises(ConflictError):
        store.journal.append(record(1), [entry(1)])
    store.journal.append(record(2), [entry(2)])


def test_a_database_behind_a_link_is_on_the_disk_all_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """SQLite has its log beside the file itself."""
    real = tmp_path / "real"
    real.mkdir()
    (tmp_path / "store.db").symlink_to(real / "store.db")
    with contextlib.closing(new_store(f"sqlite:///{tmp_path}/store.db")) as linked:
        synced: list[int] = []
        monkeypatch.setattr(os, "fdatasync", lambda file: synced.append(os.fstat(file).st_ino))
        linked.journal.append(record(1), [entry(1)])
        assert synced == [(real / "store.db-wal").stat().st_ino]


# --- several users ---------------------------------------------------------------------------------------------------
def test_a_locked_database_is_an_outage(store: Store, url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Not an answer about anything: asked again later, it works."""
    monkeypatch.setattr(sql_database, "BUSY_TIMEOUT_MS", 20)
    hasty = open_store(url)
    with contextlib.closing(sqlite3.connect(url.removeprefix("sqlite:///"), isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(TransientError, match="locked") as refused:
            hasty.journal.append(record(1), [entry(1)])
        assert refused.value.source == "journal"
        assert hasty.journal.release("r1") is None  # readers are not kept out
        other.execute("ROLLBACK")
    hasty.journal.append(record(1), [entry(1)])
    hasty.close()


def test_two_writers_of_one_release_never_both_win(any_store: Store) -> None:
    """Whatever the interleaving, each sequence number is written once and the chain holds."""
    wins: list[int] = []

    def write() -> None:
        for sequence in range(1, 21):
            with contextlib.suppress(Exception):
                any_store.journal.append(record(sequence), [entry(sequence)])
                wins.append(sequence)

    threads = [threading.Thread(target=write) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(wins) == list(range(1, len(wins) + 1))
    assert len(any_store.journal.entries("r1")) == len(wins)


# --- schema ----------------------------------------------------------------------------------------------------------
def test_an_open_store_is_found_again(store_url: str) -> None:
    """Opening twice changes nothing, and needs no Alembic."""
    first = open_store(store_url)
    first.journal.append(record(1), [entry(1)])
    first.close()
    code = (
        "import sys; from controller.adapters.sql import open_store; store = open_store(sys.argv[1]); "
        "assert store.journal.release('r1') is not None; assert 'alembic' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code, store_url], check=True, timeout=PATIENCE_S)


def test_the_migrations_make_the_schema(any_store: Store) -> None:
    """Tables are described twice, for today's code and step by step: both say the same."""
    with any_store.database.engine.connect() as connection:
        assert compare_metadata(MigrationContext.configure(connection), schema.metadata) == []
    assert ScriptDirectory.from_config(alembic_config()).get_current_head() == schema.SCHEMA_REVISION


def test_labels_from_before_their_probability_was_kept_are_equally_likely(empty_url: str) -> None:
    """An upgrade changes no evidence: a label counts as one, an answer as often as it was sampled."""
    database = sql_database.connect(empty_url)
    config = alembic_config()
    with database.write_durably("store") as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, "0002")
        connection.execute(
            sa.text(
                "INSERT INTO predictions (id, request_id, model, version, traffic, at_s, label, confidence, "
                "probabilities, inclusion_probability, text_digest) "
                "VALUES (7, 'a', 'intent', '6', 'live', 1, 'x', 1, '{\"x\"\\:1}', 0.5, 'd')"
            )
        )
        connection.execute(
            sa.text(
                "INSERT INTO labelled_answers (prediction_id, model, version, correct, directed, at_s) "
                "VALUES (7, 'intent', '6', true, false, 1), (8, 'intent', '6', true, false, 1)"
            )
        )
        connection.execute(
            sa.text(
                "INSERT INTO labels (request_id, source, label, at_s, directed, is_truth) "
                "VALUES ('a', 'people', 'x', 1, false, true)"
            )
        )
    database.close()
    store = new_store(empty_url)
    with store.database.engine.connect() as connection:
        kept = [
            connection.execute(sa.select(table.c.inclusion_probability).order_by(table.c.id)).scalars().all()
            for table in (schema.labels, schema.labelled_answers)
        ]
    store.close()
    assert kept == [[1.0], [0.5, 1.0]]


def test_labels_from_before_they_were_read_by_name_are_evidence_still(empty_url: str) -> None:
    """An upgrade while a release is under way: what its sources said, of whom, and when, is told of old rows too."""
    database = sql_database.connect(empty_url)
    config = alembic_config()
    with database.write_durably("store") as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, "0003")
        answered = "(id, request_id, model, version, traffic, at_s, label, confidence, probabilities, "
        answered += "inclusion_probability, text_digest) "
        answered += "VALUES (7, 'a', 'intent', '6', 'live', 1, 'x', 1, '{\"x\"\\:1}', 1, 'd')"
        said = "(request_id, source, label, at_s, directed, is_truth) "
        said += "VALUES ('a', 'people', 'y', 5, false, true), ('b', 'people', 'x', 6, false, true)"
        formed = "(prediction_id, model, version, correct, directed, at_s, inclusion_probability) "
        formed += "VALUES (7, 'intent', '6', false, false, 5, 1)"
        for table, row in (("predictions", answered), ("labels", said), ("labelled_answers", formed)):
            connection.execute(sa.text(f"INSERT INTO {table} {row}"))
    database.close()
    store = new_store(empty_url)
    found = evidence(store.samples)
    assert found.stable_labels == LabelCounts(labelled=1, wrong=1)
    (source,) = found.label_sources
    assert (source.source, source.labelled, source.settled, source.unmatched) == ("people", 1, 2, 1)
    assert store.samples.unmatched_labels.prune(6.5) == 1
    store.close()


def test_a_newer_schema_is_refused(store_url: str) -> None:
    """An old release never writes into what a newer one made."""
    store = open_store(store_url)
    execute(store, "UPDATE alembic_version SET version_num = '9999'")
    store.close()
    with pytest.raises(PermanentError, match="schema 9999 is newer than this release"):
        open_store(store_url)


def test_upgrading_at_once_makes_the_schema_once(empty_url: str) -> None:
    """Two homes that are upgraded in one moment may share their database."""
    with ThreadPoolExecutor(3) as pool:
        found = list(pool.map(upgrade_store, [empty_url] * 3))
    assert sorted(one.before or "" for one in found) == ["", schema.SCHEMA_REVISION, schema.SCHEMA_REVISION]
    open_store(empty_url).close()


def test_no_store_is_opened_whose_schema_is_older(empty_url: str) -> None:
    """Only `serin db upgrade` changes it: whoever opens it says so in one line, and changes nothing."""
    for has, revision in (("holds no tables yet", None), ("has schema 0003", "0003")):
        if revision is not None:
            upgrade_to(empty_url, revision)
        with pytest.raises(UsageError, match=rf"{has}.*: run `serin db upgrade`$"):
            open_store(empty_url)
        with contextlib.closing(sql_database.connect(empty_url)) as database:
            assert stored_revision(database) == revision
    assert upgrade_store(empty_url) == Upgraded("0003", schema.SCHEMA_REVISION)
    open_store(empty_url).close()


def upgrade_to(url: str, revision: str) -> None:
    """As a release before left it."""
    config = alembic_config()
    with contextlib.closing(sql_database.connect(url)) as database, database.write_durably("store") as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, revision)


@pytest.mark.parametrize(
    "url", ["", "nonsense", "sqlite://", "sqlite:///:memory:", "mysql://localhost/x", "oracle://x"]
)
def test_what_is_no_store_is_refused(url: str) -> None:
    """With the way out in the message."""
    with pytest.raises(UsageError, match="store"):
        open_store(url)


def test_a_file_that_is_no_database_is_told(tmp_path: Path) -> None:
    """Asking again would not help."""
    (tmp_path / "store.db").write_text("this is a letter, not a database\n" * 200)
    with pytest.raises(PermanentError, match="not a database"):
        open_store(f"sqlite:///{tmp_path}/store.db")


# --- samples ---------------------------------------------------------------------------------------------------------
def use_everything(store: Store) -> None:
    store.inbox.put(START)
    store.inbox.waiting()
    store.journal.append(record(1), [entry(1)], taken_up=["c1"])
    store.inbox.discard("c1", "why")
    store.journal.releases(model="intent", active=True)
    store.journal.entries("r1")
    store.freezes.freeze(INTENT)
    store.freezes.in_force()
    store.freezes.lift("intent", reason="r", by="b", at_s=1.0)
    store.deliveries.is_new("d", at_s=1.0, forget_before_s=0.0)
    use_samples(store)
    store.samples.prune(0.0)


def use_samples(store: Store) -> None:
    store.samples.add_predictions([live("a"), shadow("a"), live("b")])
    store.samples.add_predictions([shadow("b", "invoice")])
    store.samples.add_labels([truth("a")])
    evidence(store.samples)
    asked(store.samples)


def test_no_statement_reads_the_past(store: Store) -> None:
    """Every table is entered by an index or by its newest ids, so a batch costs the same on the first day and after a
    year. Only the lock, a table of one row, and what label requests are chosen from are read whole."""
    many = range(2_000)
    store.samples.add_predictions([p for i in many for p in (live(f"p{i}"), shadow(f"p{i}"))])
    store.samples.add_labels([truth(f"p{i}") for i in many if i % 10 == 0])
    statements: list[tuple[str, object]] = []

    def note(_c: object, _cursor: object, statement: str, parameters: list[object], _ctx: object, many: bool) -> None:
        if statement.startswith(("SELECT", "INSERT", "UPDATE")):
            statements.append((statement, parameters[0] if many else parameters))

    sa.event.listen(store.database.engine, "before_cursor_execute", note)
    use_samples(store)
    sa.event.remove(store.database.engine, "before_cursor_execute", note)
    assert len(statements) > 15
    scans = set()
    with store.database.engine.connect() as connection:
        for statement, parameters in statements:
            plan = connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {statement}", parameters)  # type: ignore[arg-type]
            scans |= {row.detail for row in plan if row.detail.startswith("SCAN")}
    assert scans <= {"SCAN intake", "SCAN CONSTANT ROW", "SCAN newest"}


def test_a_look_seeks_tags_among_the_newest_samples_only(store: Store) -> None:
    """A quiet model's answers lie far behind those of busy ones: it is not for them that all samples are read."""
    store.samples.add_predictions([live(f"r{n}", tags={"lang": "en"}) for n in range(200)])

    def unseen() -> int:
        return len(store.samples.since("intent", "6", "7", SampleCursor(), slices=["region:eu"]).unseen_slices)

    assert unseen() == 1
    execute(store, "UPDATE sqlite_sequence SET seq = 50199 WHERE name = 'predictions'")
    store.samples.add_predictions([live("busy", model="tone")])
    assert unseen() == 0  # all of them lie further behind than is looked


def test_a_look_holds_the_write_lock_for_no_more_than_its_cursors_move_by(store: Store) -> None:
    """What sources said lately, and which tags requests carry, is read before: intake does not wait for it."""
    statements: list[str] = []

    def note(_c: object, _cursor: object, statement: str, *_rest: object) -> None:
        statements.append(statement)

    sa.event.listen(store.database.engine, "before_cursor_execute", note)
    store.samples.since("intent", "6", "7", SampleCursor(), slices=["region:eu"])
    sa.event.remove(store.database.engine, "before_cursor_execute", note)
    locked = statements.index("BEGIN IMMEDIATE")
    tags = "SELECT predictions.label, predictions.tokens"
    for read in ("label_disputes.source", "labels.matched", "labelled_answers.source AS", tags):
        assert [place < locked for place, one in enumerate(statements) if read in one] == [True], read


def test_pruning_deletes_the_old_and_keeps_cursors_good(any_store: Store) -> None:
    """A release that is under way misses nothing that comes after, even where nothing at all was left."""
    any_store.samples.add_predictions([live("old", at_s=10.0), shadow("old", at_s=11.0)])
    any_store.samples.add_labels([truth("old", at_s=12.0)])
    cursor = evidence(any_store.samples).cursor
    assert any_store.samples.prune(10.0) == 0
    assert any_store.samples.prune(1_000.0) == 6
    assert evidence(any_store.samples, cursor).cursor == cursor
    any_store.samples.add_predictions([live("new"), shadow("new")])
    any_store.samples.add_labels([truth("new"), truth("old")])
    found = evidence(any_store.samples, cursor)
    assert (found.pairs_agreed, len(found.pairs), found.stable_labels.labelled) == (1, 1, 1)


def test_pruning_takes_the_old_only(any_store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """In small transactions, however much there is."""
    monkeypatch.setattr("controller.adapters.sql.pruning.PRUNE_ROWS", 3)
    for number in range(10):
        values = {"at_s": float(number + 1), "text_digest": f"0{number}"}  # asked for by chance
        any_store.samples.add_predictions([live(f"{number}", **values), shadow(f"{number}", **values)])
    assert any_store.samples.prune(8.0) == 3 * 7
    assert evidence(any_store.samples).pairs_agreed == 3
    assert {one.request_id for one in asked(any_store.samples)} == {"7", "8", "9"}


def test_the_length_of_a_text_is_kept(store: Store) -> None:
    """In tokens, where the replica says it."""
    store.samples.add_predictions([live("a", tokens=17), live("b")])
    with store.database.engine.connect() as connection:
        assert connection.execute(sa.select(schema.predictions.c.tokens)).scalars().all() == [17, None]


EVENTS: list[Prediction | Label] = [
    *(live(request, label) for request, label in zip("abcd", ("x", "y", "x", "y"), strict=True)),
    *(shadow(request, "x", inclusion_probability=0.5) for request in "abce"),
    shadow("a", "y", version="8"),
    live("b", "x", version="7"),
    # What the candidate served, copied to stable: a text that comes twice, and one that was seen the other way round.
    *(live(request, "x", version="7", text_digest="g") for request in "gh"),
    *(shadow(request, "y", version="6", text_digest="g") for request in "gh"),
    live("i", "x", version="7", text_digest="digest of c", inclusion_probability=0.5),
    shadow("i", "x", version="6", text_digest="digest of c"),
    *(truth(request, "x", directed=request == "b", inclusion_probability=0.25) for request in "ab"),
    *(truth(request, "x") for request in "defgh"),
]


@pytest.fixture(scope="module")
def empty_database(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    path = tmp_path_factory.mktemp("empty") / "store.db"
    store = new_store(f"sqlite:///{path}")
    execute(store, "PRAGMA wal_checkpoint(TRUNCATE)")
    store.close()
    return path.read_bytes()


@settings(max_examples=25, deadline=None)
@given(data=st.data())
def test_the_order_of_arrival_changes_no_evidence(
    data: st.DataObject, empty_database: bytes, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """Batched, repeated and shuffled in any way, the same facts give the same evidence, in SQL as in memory; what is
    read in pieces along the way is the whole, each thing once; and a release may begin anywhere on the way."""
    path = tmp_path_factory.mktemp("order") / "store.db"
    path.write_bytes(empty_database)
    store, memory, expected = open_store(f"sqlite:///{path}"), FakeSamples(), FakeSamples()
    add(expected, EVENTS)
    cursor, agreed, disagreed, labelled, pairs = SampleCursor(), 0, 0, 0, []
    repeats = data.draw(st.lists(st.sampled_from(EVENTS), max_size=4))
    rest = data.draw(st.permutations(EVENTS + repeats))
    starts = []
    while rest:
        starts.append((store.samples.latest(), memory.latest()))
        size = data.draw(st.integers(1, len(rest)))
        add(store.samples, rest[:size])
        add(memory, rest[:size])
        rest = rest[size:]
        step = evidence(store.samples, cursor)
        cursor, agreed, disagreed = step.cursor, agreed + step.pairs_agreed, disagreed + step.pairs_disagreed
        labelled += step.stable_labels.labelled
        pairs += step.pairs
    for versions in (("6", "7"), ("7", "6"), ("6", "8"), ("7", "8")):
        found = [one.since("intent", *versions, SampleCursor()) for one in (store.samples, memory, expected)]
        facts = [(one.pairs_agreed, one.pairs_disagreed, sorted(map(repr, one.pairs))) for one in found]
        assert facts[0] == facts[1] == facts[2]
        assert found[0].stable_labels == found[2].stable_labels
        assert found[0].candidate_labels == found[2].candidate_labels
    for start in starts:
        in_sql, in_memory = evidence(store.samples, start[0]), evidence(memory, start[1])
        assert (in_sql.pairs_agreed, in_sql.pairs_disagreed) == (in_memory.pairs_agreed, in_memory.pairs_disagreed)
        assert sorted(map(repr, in_sql.pairs)) == sorted(map(repr, in_memory.pairs))
        assert in_sql.candidate_labels == in_memory.candidate_labels
    whole = evidence(store.samples)
    assert (agreed, disagreed, labelled) == (whole.pairs_agreed, whole.pairs_disagreed, whole.stable_labels.labelled)
    assert sorted(map(repr, pairs)) == sorted(map(repr, whole.pairs))
    store.close()


def add(samples: FakeSamples, events: list[Prediction | Label]) -> None:
    samples.add_predictions([one for one in events if isinstance(one, Prediction)])
    samples.add_labels([one for one in events if isinstance(one, Label)])


# --- the rest --------------------------------------------------------------------------------------------------------
def test_the_history_of_freezes_is_kept(store: Store) -> None:
    """Who froze it and why, and who lifted it and why."""
    store.freezes.freeze(INTENT)
    store.freezes.lift("intent", reason="budget is back", by="bob", at_s=30.0)
    with store.database.engine.connect() as connection:
        (row,) = connection.execute(sa.select(schema.freezes)).all()
    assert (row.model, row.reason, row.by, row.at_s) == ("intent", INTENT.reason, INTENT.by, INTENT.at_s)
    assert (row.lifted_reason, row.lifted_by, row.lifted_at_s) == ("budget is back", "bob", 30.0)


def test_the_journal_tells_that_a_freeze_ended_by_itself(store: Store) -> None:
    """From which nobody's hand is read; when it was to end stands there from the beginning."""
    brief = replace(INTENT, ends_at_s=70.0)
    store.freezes.freeze(brief)
    store.freezes.end(brief, at_s=71.0)
    kinds = [Frozen.__name__, FreezeEnded.__name__]
    notes = [note_of(one) for one in store.journal.of_kinds(stream_of("intent"), kinds, since_s=0.0, limit=9)]
    assert notes == [
        Frozen("intent", INTENT.reason, INTENT.by, ends_at_s=70.0),
        FreezeEnded("intent", INTENT.reason, INTENT.by),
    ]


def test_what_became_of_a_command_is_kept(store: Store) -> None:
    """Answered by a release, or discarded with a reason."""
    store.inbox.put(START)
    store.journal.append(record(1), [Entry("asked", 1.0, {})], taken_up=["c1"])
    store.inbox.discard("c1", "too late: it was taken up")
    with store.database.engine.connect() as connection:
        (row,) = connection.execute(sa.select(schema.commands)).all()
    assert (row.waiting, row.release_id, row.outcome) == (False, "r1", None)


def test_a_delivery_is_new_once_and_then_forgotten(store: Store) -> None:
    """The memory of deliveries does not grow for ever."""
    assert store.deliveries.is_new("d1", at_s=100.0, forget_before_s=0.0)
    assert not store.deliveries.is_new("d1", at_s=200.0, forget_before_s=100.0)
    assert store.deliveries.is_new("d1", at_s=700.0, forget_before_s=101.0)
