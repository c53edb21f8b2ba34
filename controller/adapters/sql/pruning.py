"""Old rows deleted, in transactions so small that nobody waits long for the write lock."""

from typing import Any, Final

from sqlalchemy import ColumnElement, Table, and_, delete, select

from controller.adapters.sql import schema
from controller.adapters.sql.database import Database
from controller.errors import Source

_SOURCE: Final = Source.LABELS
PRUNE_ROWS: Final = 5_000  # deleted in one transaction, so that intake never waits long for the write lock


class UnmatchedLabels:
    """Labels without a sample of their request: they expire sooner, because somebody who makes up ids may send many."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def prune(self, before_s: float) -> int:
        columns = schema.labels.c
        return prune(
            self._database, schema.labels, columns.id, and_(~columns.matched, columns.received_at_s < before_s)
        )


def prune(database: Database, table: Table, oldest_first: ColumnElement[Any], old: ColumnElement[bool]) -> int:
    """Delete what is ``old``, and return the number of rows."""
    oldest = select(table.c.id).where(old).order_by(oldest_first).limit(PRUNE_ROWS)
    total = 0
    while True:
        with database.write(_SOURCE) as connection:
            deleted = connection.execute(delete(table).where(table.c.id.in_(oldest))).rowcount
        total += deleted
        if deleted < PRUNE_ROWS:
            return total
