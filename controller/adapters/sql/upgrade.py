"""Schema upgrades by Alembic, from the migrations shipped in this package."""

from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory

from controller.adapters.sql.database import Database
from controller.errors import PermanentError

_MIGRATIONS = Path(__file__).parent / "migrations"


def upgrade(database: Database) -> None:
    """Bring the database to the newest schema, in one transaction.

    Raises:
        PermanentError: it has a schema that this release does not know, so a newer one made it.
    """
    config = alembic_config()
    with database.write_durably("store") as connection:
        found = MigrationContext.configure(connection).get_current_revision()
        known = {script.revision for script in ScriptDirectory.from_config(config).walk_revisions()}
        if found is not None and found not in known:
            raise PermanentError(
                f"store: its schema {found} is newer than this release of Serin knows; upgrade Serin, "
                "or point it at another database"
            )
        config.attributes["connection"] = connection
        command.upgrade(config, "head")


def alembic_config() -> Config:
    config = Config()
    config.set_main_option("script_location", str(_MIGRATIONS).replace("%", "%%"))
    return config
