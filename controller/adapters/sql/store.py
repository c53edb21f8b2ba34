"""Opening the store: one database, brought to the schema of this release, and the ports that live in it."""

from dataclasses import dataclass

from sqlalchemy import inspect, text

from controller.adapters.sql.database import Database, connect
from controller.adapters.sql.deliveries import SqlDeliveries
from controller.adapters.sql.freezes import SqlFreezes
from controller.adapters.sql.inbox import SqlInbox
from controller.adapters.sql.journal import SqlJournal
from controller.adapters.sql.samples import SqlSamples
from controller.adapters.sql.schema import SCHEMA_REVISION
from controller.adapters.sql.texts import Texts


@dataclass(frozen=True, slots=True)
class Store:
    """What is kept in one database. Any thread may use it."""

    journal: SqlJournal
    inbox: SqlInbox
    freezes: SqlFreezes
    samples: SqlSamples
    deliveries: SqlDeliveries
    database: Database

    def close(self) -> None:
        self.database.close()


def open_store(url: str, texts: Texts | None = None) -> Store:
    """Open the database at an SQLAlchemy URL, making or upgrading its tables where needed.

    ``texts`` says how captured texts are kept; without it they are not.

    Raises:
        UsageError: the URL is none, or names a database that Serin does not know.
        TransientError: the database does not answer.
        PermanentError: its schema is newer than this release of Serin.
    """
    database = connect(url)
    if _revision(database) != SCHEMA_REVISION:
        # Alembic takes longer to import than an up-to-date store takes to open.
        from controller.adapters.sql.upgrade import upgrade

        upgrade(database)
    return Store(
        journal=SqlJournal(database),
        inbox=SqlInbox(database),
        freezes=SqlFreezes(database),
        samples=SqlSamples(database, texts),
        deliveries=SqlDeliveries(database),
        database=database,
    )


def _revision(database: Database) -> str | None:
    with database.read("store") as connection:
        if not inspect(connection).has_table("alembic_version"):
            return None
        return connection.execute(text("SELECT version_num FROM alembic_version")).scalar_one_or_none()
