"""Options that several commands share."""

import os
from pathlib import Path
from typing import Annotated

import typer

from controller.cli.asking import given_reason
from controller.config.settings import Home
from controller.config.variables import DEFAULT_HOME, HOME_VARIABLE, PRIVATE_UMASK

HomeOption = Annotated[Path, typer.Option("--home", envvar=HOME_VARIABLE, help="Folder of the installation.")]
ReasonOption = Annotated[
    str, typer.Option("--reason", callback=given_reason, help="Why; kept in the journal and the report.")
]
ByOption = Annotated[str, typer.Option("--by", help="Who asks; you, unless told otherwise.", show_default=False)]
JsonFlag = Annotated[bool, typer.Option("--json", help="Print JSON instead of text.")]
DEFAULT_HOME_OPTION = DEFAULT_HOME


def home_at(path: Path) -> Home:
    return Home(path.resolve())


def writing_home(path: Path) -> Home:
    """The home, for a command that writes to it: what this process makes from here on is its owner's alone."""
    os.umask(PRIVATE_UMASK)
    return home_at(path)
