"""`serin db`: the installation's database."""

from pathlib import Path
from typing import Annotated, Final

import typer

from controller.cli.asking import asker
from controller.cli.options import (
    DEFAULT_HOME_OPTION,
    ByOption,
    HomeOption,
    Output,
    OutputOption,
    ReasonOption,
    writing_home,
)
from controller.cli.output import say, say_json

UPGRADED_SCHEMA: Final = "serin.upgraded/v1"
FORGOTTEN_SCHEMA: Final = "serin.forgotten/v1"

database_app = typer.Typer(help="The database of an installation.", no_args_is_help=True)


def register(app: typer.Typer) -> None:
    app.add_typer(database_app, name="db")


@database_app.callback()
def _group() -> None:
    """The database of an installation."""


@database_app.command()
def upgrade(
    url_file: Annotated[
        Path | None,
        typer.Option("--url-file", help="File with the database's address, instead of a home: for a job in a cluster."),
    ] = None,
    output: OutputOption = Output.TEXT,
    home: HomeOption = DEFAULT_HOME_OPTION,
) -> None:
    """Make this release's tables, or upgrade those of an older one to its schema; running it twice does no harm.

    First stop every controller of the database, and make a copy of it: there is no way back to an older schema.

    Example: serin db upgrade --url-file /etc/serin/database/url
    """
    from controller.bootstrap.stores import upgrade_database, upgrade_schema
    from controller.config.secret_files import read_line

    if url_file is None:
        before, after = upgrade_schema(writing_home(home))
    else:
        before, after = upgrade_database(read_line("--url-file", url_file))
    if output is Output.JSON:
        say_json({"schema": UPGRADED_SCHEMA, "before": before, "after": after})
    elif before == after:
        say(f"The database already has schema {after}.")
    else:
        say(f"The database now has schema {after}." + (f" It had {before}." if before else " It was empty."))


@database_app.command()
def forget_digest_key(
    reason: ReasonOption,
    by: ByOption = "",
    output: OutputOption = Output.TEXT,
    home: HomeOption = DEFAULT_HOME_OPTION,
) -> None:
    """Let the next controller that starts digest texts with a different key.

    The same text has different digests with the two keys: answers from before and after no longer match.

    Example: serin db forget-digest-key --reason "the key was in a log"
    """
    from controller.bootstrap.installations import service_of
    from controller.bootstrap.stores import DIGEST_KEY, opened
    from controller.journal.notes import DigestKeyForgotten

    place = writing_home(home)
    with service_of(place) as service, opened(place) as store:
        service.note(DigestKeyForgotten(reason, by or asker()))
        known = store.keys.forget(DIGEST_KEY)
    if output is Output.JSON:
        say_json({"schema": FORGOTTEN_SCHEMA, "forgotten": known})
        return
    say("The next controller that starts sets the key." if known else "No digest key is on record.")
