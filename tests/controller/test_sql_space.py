"""The room that samples take: bounded, and given back."""

import contextlib
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest
import sqlalchemy as sa

from controller.adapters.sql import Store, open_store, schema
from controller.adapters.sql.space import database_bytes, sample_bytes
from controller.adapters.sql.upgrade import upgrade_store
from tests.contracts.samples import evidence, live, shadow, truth

REQUESTS = 4_000
PAGE_BYTES = 4_096


@pytest.fixture
def store(store_url: str) -> Iterator[Store]:
    opened = open_store(store_url)
    yield opened
    opened.close()


def fill(store: Store, requests: int = REQUESTS) -> None:
    """Pairs with tags, as many labels as a tenth of them, each request a second after the one before."""
    for first in range(0, requests, 500):
        numbers = range(first, first + 500)
        for traffic, times in ((live, 0.0), (shadow, 0.5)):
            answers = [traffic(_id(n), at_s=n + times, tags={"language": "de"}) for n in numbers]
            store.samples.add_predictions(answers)
        store.samples.add_labels([truth(_id(n), at_s=n + 0.9) for n in numbers if n % 10 == 0])


def _id(number: int) -> str:
    return f"{number * 7919 % 100_003:06}-5c1f0a2e9b77"


def taken(store: Store) -> int:
    """What the tables of samples take with their indexes, by the database's own count."""
    with store.database.engine.connect() as connection:
        if store.database.is_postgresql:
            tables = [table for table in schema.metadata.tables if table in SAMPLES]
            return sum(
                connection.execute(sa.select(sa.func.pg_total_relation_size(table))).scalar_one() for table in tables
            )
        connection.exec_driver_sql("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
    return Path(store.database.engine.url.database or "").stat().st_size


SAMPLES = {"predictions", "labels", "pairs", "labelled_pairs", "labelled_answers", "label_disputes"}


def estimated(store: Store) -> float:
    with store.database.read("test") as connection:
        return sample_bytes(connection)


def test_the_room_of_samples_is_known_without_reading_them(store: Store) -> None:
    """Within a third of what the database counts itself; nothing where there are none."""
    assert estimated(store) == 0
    empty = taken(store)
    fill(store)
    assert estimated(store) == pytest.approx(taken(store) - empty, rel=1 / 3)


def test_the_oldest_go_where_all_take_more_room_than_they_may(store: Store) -> None:
    """And only they: the newest nine tenths of what fits stay, and are evidence."""
    fill(store)
    found = estimated(store)
    assert store.samples.prune_to(found * 1.01) == 0
    assert store.samples.prune_to(found / 2) > 0
    assert 0.4 * found < estimated(store) <= found / 2
    assert store.samples.prune_to(found / 2) == 0
    assert REQUESTS * 0.4 < evidence(store.samples).pairs_agreed < REQUESTS * 0.5
    with store.database.read("test") as connection:
        oldest = connection.execute(sa.select(sa.func.min(schema.predictions.c.at_s))).scalar_one()
    assert oldest > REQUESTS * 0.5


def test_what_was_pruned_is_given_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In small pieces: intake waits for none of them long."""
    monkeypatch.setattr("controller.adapters.sql.space.GIVE_BACK_PAGES", 50)
    url = f"sqlite:///{tmp_path}/store.db"
    upgrade_store(url)
    with contextlib.closing(open_store(url)) as store:
        empty = taken(store)
        fill(store)
        full = taken(store)
        said: list[str] = []
        sa.event.listen(
            store.database.engine, "checkout", lambda connection, *_: connection.set_trace_callback(said.append)
        )
        store.samples.prune(REQUESTS / 2)
        assert taken(store) < 0.7 * full
        store.samples.prune(REQUESTS * 2)
        assert taken(store) < empty + 0.02 * full
    pieces = sum("incremental_vacuum(50)" in one for one in said)
    assert pieces == pytest.approx((full - empty) / PAGE_BYTES / 50, rel=0.1)


def test_who_opens_a_file_to_read_waits_for_no_writer(tmp_path: Path) -> None:
    """How a file gives its room back is said once, to a new one: said again, it asks for the right to write."""
    url = f"sqlite:///{tmp_path / 'store.db'}"
    upgrade_store(url)
    with contextlib.closing(sqlite3.connect(tmp_path / "store.db", isolation_level=None)) as writer:
        assert writer.execute("PRAGMA auto_vacuum").fetchone() == (2,)
        writer.execute("BEGIN IMMEDIATE")
        with contextlib.closing(open_store(url)) as reader:
            assert reader.freezes.in_force() == ()


def test_a_file_of_an_older_release_gives_room_back_after_the_upgrade(tmp_path: Path) -> None:
    """It was made without being asked to; the upgrade writes it anew, and what is in it stays."""
    file = tmp_path / "store.db"
    with contextlib.closing(sqlite3.connect(file)) as old:
        old.execute("CREATE TABLE kept (what TEXT)")
        old.execute("INSERT INTO kept VALUES ('this')")
        old.commit()
        assert old.execute("PRAGMA auto_vacuum").fetchone() == (0,)
    upgrade_store(f"sqlite:///{file}")
    with contextlib.closing(sqlite3.connect(file)) as now:
        assert now.execute("PRAGMA auto_vacuum").fetchone() == (2,)
        assert now.execute("SELECT what FROM kept").fetchone() == ("this",)


def test_the_whole_database_grows_with_what_it_holds(store: Store) -> None:
    """The controller's metrics tell it, so that growth is seen before the disk is full."""
    before = database_bytes(store.database)
    fill(store, requests=1_000)
    after = database_bytes(store.database)
    assert after - before > REQUESTS
    assert after >= taken(store)
