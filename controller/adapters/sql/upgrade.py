"""Schema upgrades by Alembic, from the migrations shipped in this package: the only place that changes a schema."""

from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory

from controller.adapters.sql.database import Database, connect
from controller.adapters.sql.schema import SCHEMA_REVISION
from controller.adapters.sql.space import make_shrinkable
from controller.adapters.sql.store import too_new
from controller.errors import Source

_MIGRATIONS = Path(__file__).parent / "migrations"
_WAITS_MS = 600_000  # of SQLite; on PostgreSQL an upgrade waits for as long as another takes
_LOCK = 7_364_105  # a number of our own among PostgreSQL's advisory locks


@dataclass(frozen=True, slots=True)
class Upgraded:
    """The schema that was found (None: none) and the one that there is now."""

    before: str | None
    after: str


def upgrade_store(url: str) -> Upgraded:
    """Bring the database at an SQLAlchemy URL to the schema of this release; a new one is made.

    Raises:
        UsageError: the URL is none, or names a database that Serin does not know.
        TransientError: the database does not answer.
        PermanentError: it has a schema that this release does not know, so a newer one made it.
    """
    with closing(connect(url, busy_timeout_ms=_WAITS_MS)) as database:
        return upgrade(database)


def upgrade(database: Database) -> Upgraded:
    """As `upgrade_store`, in one transaction; of two at once the later one finds it done."""
    config = alembic_config()
    with database.write_durably(Source.STORE) as connection:
        if database.is_postgresql:
            connection.exec_driver_sql("SET LOCAL statement_timeout = 0")
            connection.exec_driver_sql("SET LOCAL lock_timeout = 0")
            connection.exec_driver_sql(f"SELECT pg_advisory_xact_lock({_LOCK})")
        found = MigrationContext.configure(connection).get_current_revision()
        known = {script.revision for script in ScriptDirectory.from_config(config).walk_revisions()}
        if found is not None and found not in known:
            raise too_new(found)
        config.attributes["connection"] = connection
        command.upgrade(config, "head")
    make_shrinkable(database)
    return Upgraded(found, SCHEMA_REVISION)


def alembic_config() -> Config:
    config = Config()
    config.set_main_option("script_location", str(_MIGRATIONS).replace("%", "%%"))
    return config
