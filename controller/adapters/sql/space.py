"""The space that samples take, and what is given back of it."""

import logging
import sqlite3
from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import Connection, Table, Text, func, select, text

from controller.adapters.sql.database import Database
from controller.adapters.sql.schema import (
    label_disputes,
    labelled_answers,
    labelled_pairs,
    labels,
    pairs,
    predictions,
)
from controller.errors import Source

log = logging.getLogger(__name__)

GIVE_BACK_PAGES: Final = 1_000  # in one transaction: some 4 MB, so that intake never waits long for the write lock
SAMPLED_ROWS: Final = 500  # the newest rows, which tell how long rows are
_TABLES: Final = (predictions, labels, pairs, labelled_pairs, labelled_answers, label_disputes)


@dataclass(frozen=True, slots=True)
class _Cost:
    """Bytes besides texts: of a row, of an index entry, of a number."""

    row: int
    entry: int
    number: int


_SQLITE: Final = _Cost(row=12, entry=8, number=4)
_POSTGRESQL: Final = _Cost(row=30, entry=16, number=8)
_INDEX_FILL: Final = 0.7  # of a tree whose keys come in any order


def sample_bytes(connection: Connection) -> float:
    """Return what samples and labels take with their indexes, by the number of rows and the length of the newest ones:
    within a third, on either database, and without reading through them. Room of deleted rows is not counted."""
    return sum(_bytes(connection, table) for table in _TABLES)


def database_bytes(database: Database) -> int:
    """Return the size of the whole database, including free space within it.

    Raises:
        TransientError: it does not answer.
    """
    size = "SELECT pg_database_size(current_database())"
    if not database.is_postgresql:
        size = "SELECT page_count * page_size FROM pragma_page_count, pragma_page_size"
    with database.read(Source.STORE) as connection:
        return int(connection.execute(text(size)).scalar_one())


def time_of_share(connection: Connection, share: float) -> float | None:
    """The time of the sample that as large a share of all came before; None where there is none."""
    first, last = _span(connection, predictions)
    columns = predictions.c
    query = select(columns.at_s).where(columns.id >= first + int(share * (last - first))).order_by(columns.id).limit(1)
    return connection.execute(query).scalar_one_or_none()


def give_back(database: Database) -> None:
    """Shorten the file by the pages that are empty, a few at a time.

    On SQLite. PostgreSQL keeps what it has, and fills the room of deleted rows with later ones once autovacuum has
    passed. Nothing where the file was made before Serin asked for it (`serin db upgrade` makes it anew), or while
    somebody else keeps it locked: later, then.
    """
    if database.is_postgresql:
        return
    raw = database.engine.raw_connection()
    try:
        cursor = raw.cursor()
        free, before = _free_pages(cursor), None
        while free and free != before:
            # As a script: it goes on for as long as it is stepped, and a statement without columns is stepped once.
            cursor.executescript(f"PRAGMA synchronous=NORMAL; PRAGMA incremental_vacuum({GIVE_BACK_PAGES})")
            free, before = _free_pages(cursor), free
    except sqlite3.Error as error:
        log.warning("the space of deleted samples could not be freed now: %s", error)
    finally:
        raw.close()


def _free_pages(cursor: Any) -> int:
    return int(cursor.execute("PRAGMA freelist_count").fetchone()[0])


def make_shrinkable(database: Database) -> None:
    """Have a SQLite file of an older release give room back from here on, by writing it anew; where that cannot be, as
    on a full disk, it stays as it is."""
    if database.is_postgresql:
        return
    raw = database.engine.raw_connection()
    try:
        cursor = raw.cursor()
        if cursor.execute("PRAGMA auto_vacuum").fetchone()[0] == 0:
            cursor.execute("PRAGMA auto_vacuum=INCREMENTAL")
            cursor.execute("VACUUM")
    except sqlite3.Error as error:
        log.warning("the database was not rewritten, and frees no space until it is: %s", error)
    finally:
        raw.close()


def _bytes(connection: Connection, table: Table) -> float:
    first, last = _span(connection, table)
    if not last:
        return 0.0
    newest = select(table).order_by(table.c.id.desc()).limit(SAMPLED_ROWS).subquery()
    cost = _POSTGRESQL if connection.dialect.name == "postgresql" else _SQLITE
    texts = [column.name for column in table.c if isinstance(column.type, Text)]
    means = [func.coalesce(func.avg(func.length(newest.c[name])), 0.0) for name in texts]
    found = dict(zip(texts, connection.execute(select(*means)).one(), strict=True))
    length = {column.name: float(found.get(column.name, cost.number)) for column in table.c}
    keys = [list(index.columns) for index in table.indexes]
    keys += [list(constraint.columns) for constraint in table.constraints if hasattr(constraint, "columns")]
    entries = sum(cost.entry + sum(length[column.name] for column in key) for key in keys if key)
    return (last - first + 1) * (cost.row + sum(length.values()) + entries / _INDEX_FILL)


def _span(connection: Connection, table: Table) -> tuple[int, int]:
    """First and last id; (0, 0) where there is no row."""
    ids = (select(func.coalesce(of(table.c.id), 0)).scalar_subquery() for of in (func.min, func.max))
    first, last = connection.execute(select(*ids)).one()
    return first, last
