"""`serin db`: the installation's database."""

import typer

from controller.cli.options import DEFAULT_HOME_OPTION, HomeOption, writing_home
from controller.cli.output import say

database_app = typer.Typer(help="The database of an installation.", no_args_is_help=True)


def register(app: typer.Typer) -> None:
    app.add_typer(database_app, name="db")


@database_app.callback()
def _group() -> None:
    """The database of an installation."""


@database_app.command()
def upgrade(home: HomeOption = DEFAULT_HOME_OPTION) -> None:
    """Make the tables of this release, or bring those of an older one to its schema; twice does no harm.

    End every controller of the database first, and keep a copy of it: there is no way back to an older schema.

    Example: serin db upgrade
    """
    from controller.bootstrap.stores import upgrade_schema

    before, after = upgrade_schema(writing_home(home))
    if before == after:
        say(f"The database has schema {after} already.")
    else:
        say(f"The database has schema {after} now." + (f" It had {before}." if before else " It was empty."))
