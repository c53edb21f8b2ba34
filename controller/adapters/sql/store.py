"""Opening the store: one database with the schema of this release, and the ports that live in it."""

from collections.abc import Callable
from dataclasses import dataclass

from sqlalchemy import inspect, text

from controller.adapters.sql.champions import SqlChampions
from controller.adapters.sql.database import CONNECTIONS_MAX, Database, connect
from controller.adapters.sql.deliveries import SqlDeliveries
from controller.adapters.sql.fences import SqlFences
from controller.adapters.sql.freezes import SqlFreezes
from controller.adapters.sql.inbox import SqlInbox
from controller.adapters.sql.journal import SqlJournal
from controller.adapters.sql.keys import SqlKeys
from controller.adapters.sql.leadership import SqlLeadership
from controller.adapters.sql.notices import SqlNotices
from controller.adapters.sql.recordings import Digest, SqlRecordings
from controller.adapters.sql.samples import SqlSamples
from controller.adapters.sql.schema import SCHEMA_REVISION
from controller.adapters.sql.standing import SqlStandingRequests
from controller.adapters.sql.texts import Texts
from controller.adapters.sql.thinning import SqlThinning
from controller.errors import PermanentError, SerinError, Source, UsageError
from controller.ports.recordings import KnownTexts


@dataclass(frozen=True, slots=True)
class Store:
    """The store in one database. Any thread may use it."""

    journal: SqlJournal
    inbox: SqlInbox
    freezes: SqlFreezes
    samples: SqlSamples
    recordings: SqlRecordings
    deliveries: SqlDeliveries
    leadership: SqlLeadership
    fences: SqlFences
    looks: SqlThinning
    keys: SqlKeys
    notices: SqlNotices
    champions: SqlChampions
    standing: SqlStandingRequests
    database: Database

    def ask(self) -> None:
        """Raises TransientError where the database does not answer."""
        with self.database.read(Source.STORE) as connection:
            connection.execute(text("SELECT 1"))

    def close(self) -> None:
        self.database.close()


def open_store(
    url: str,
    texts: Texts | None = None,
    *,
    connections_max: int = CONNECTIONS_MAX,
    current: Callable[[], str] | None = None,
    digest: Digest | None = None,
    known_texts: KnownTexts | None = None,
) -> Store:
    """Open the database at an SQLAlchemy URL. Its schema is never changed here (`upgrade.upgrade_store` does).

    ``texts`` says how captured texts are kept; without it they are not. ``digest`` and ``known_texts``: as
    `SqlRecordings` has them.
    For the rest see `database.connect`.

    Raises:
        UsageError: the URL is none, names a database that Serin does not know, or has the schema of an older release.
        TransientError: the database does not answer.
        PermanentError: its schema is newer than this release of Serin.
    """
    database = connect(url, connections_max=connections_max, current=current)
    try:
        check_schema(database)
    except SerinError:
        database.close()
        raise
    return Store(
        journal=SqlJournal(database),
        inbox=SqlInbox(database),
        freezes=SqlFreezes(database),
        samples=SqlSamples(database, texts),
        recordings=SqlRecordings(database, texts, digest, known_texts),
        deliveries=SqlDeliveries(database),
        leadership=SqlLeadership(database),
        fences=SqlFences(database),
        looks=SqlThinning(database),
        keys=SqlKeys(database),
        notices=SqlNotices(database),
        champions=SqlChampions(database),
        standing=SqlStandingRequests(database, texts),
        database=database,
    )


def check_schema(database: Database) -> None:
    """Raise where the database does not have the schema of this release: UsageError where it is older or has none, and
    `serin db upgrade` helps; PermanentError where it is newer."""
    found = revision(database)
    if found == SCHEMA_REVISION:
        return
    if found is not None and found > SCHEMA_REVISION:  # revisions are numbered
        raise too_new(found)
    has = f"has schema {found}, and this release of Serin needs {SCHEMA_REVISION}" if found else "holds no tables yet"
    raise UsageError(f"store: the database {has}: run `serin db upgrade`")


def too_new(found: str) -> PermanentError:
    return PermanentError(
        f"store: its schema {found} is newer than this release of Serin knows; upgrade Serin, "
        "or point it at another database"
    )


def revision(database: Database) -> str | None:
    """The schema that the database has; None: none of ours."""
    with database.read(Source.STORE) as connection:
        if not inspect(connection).has_table("alembic_version"):
            return None
        return connection.execute(text("SELECT version_num FROM alembic_version")).scalar_one_or_none()
