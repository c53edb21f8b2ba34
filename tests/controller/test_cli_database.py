"""`serin db upgrade`: the one command that changes a schema, beside `serin up` for its home's own database."""

from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from controller.adapters.sql.schema import SCHEMA_REVISION
from controller.adapters.sql.upgrade import upgrade_store
from controller.bootstrap.stores import opened, prepare_own_database
from controller.cli.app import app
from controller.config.settings import Home, Settings
from controller.errors import PermanentError, UsageError
from tests.controller.test_sql_store import upgrade_to


@pytest.fixture
def home(tmp_path: Path) -> Home:
    place = Home(tmp_path / "home")
    place.save(Settings())
    return place


def serin(home: Home, *arguments: str) -> Result:
    return CliRunner().invoke(app, [*arguments, "--home", str(home.path)])


@pytest.mark.parametrize(
    ("command", "code"), [(["release", "list"], 0), (["status"], 4), (["freeze", "*", "--reason", "r"], 0)]
)
def test_without_its_tables_a_command_says_what_makes_them(home: Home, command: list[str], code: int) -> None:
    """And makes none itself. Nothing of the installation runs, which is what the status then says."""
    for _ in range(2):
        refused = serin(home, *command)
        assert isinstance(refused.exception, UsageError)
        assert str(refused.exception).endswith("run `serin db upgrade`")
    assert serin(home, "db", "upgrade").output == f"The database now has schema {SCHEMA_REVISION}. It was empty.\n"
    assert serin(home, *command).exit_code == code


def test_an_upgrade_says_what_there_was_and_does_nothing_twice(home: Home) -> None:
    """Somebody may run it to be sure."""
    upgrade_to(home.database_url(home.load()), "0002")
    assert serin(home, "db", "upgrade").output == f"The database now has schema {SCHEMA_REVISION}. It had 0002.\n"
    assert serin(home, "db", "upgrade").output == f"The database already has schema {SCHEMA_REVISION}.\n"


def test_up_makes_and_upgrades_the_homes_own_database(home: Home) -> None:
    """Nobody else uses it while nothing runs here."""
    upgrade_to(home.database_url(home.load()), "0002")
    assert prepare_own_database(home) == "0002"
    assert prepare_own_database(home) is None
    with opened(home):
        pass


def test_up_leaves_a_database_that_others_may_use_as_it_is(home: Home, tmp_path: Path) -> None:
    """Another home's controller may be at work in it, of the release before."""
    home.save(Settings(database_url=f"sqlite:///{tmp_path}/shared.db"))
    assert prepare_own_database(home) is None
    with pytest.raises(UsageError, match="run `serin db upgrade`"), opened(home):
        pass


def test_a_database_of_a_newer_release_is_left_alone(home: Home) -> None:
    """By `serin up` as by `serin db upgrade`."""
    url = home.database_url(home.load())
    upgrade_store(url)
    with opened(home) as store, store.database.write("test") as connection:
        connection.exec_driver_sql("UPDATE alembic_version SET version_num = '9999'")
    refused = serin(home, "db", "upgrade")
    assert isinstance(refused.exception, PermanentError)
    assert "schema 9999 is newer" in str(refused.exception)
    with pytest.raises(PermanentError, match="schema 9999 is newer"):
        prepare_own_database(home)
