"""Options that several commands share."""

import os
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from controller.cli import completion
from controller.cli.asking import given_reason
from controller.config.settings import Home
from controller.config.variables import DEFAULT_HOME, HOME_VARIABLE, PRIVATE_UMASK

HomeOption = Annotated[Path, typer.Option("--home", envvar=HOME_VARIABLE, help="Folder of the installation.")]
ReasonOption = Annotated[
    str, typer.Option("--reason", callback=given_reason, help="Why; kept in the journal and the report.")
]
ByOption = Annotated[str, typer.Option("--by", help="Who asks; by default you.", show_default=False)]
JsonFlag = Annotated[bool, typer.Option("--json", help="The same as --output json.")]


ModelArgument = Annotated[str, typer.Argument(help="The registered model's name.", autocompletion=completion.models)]
SomeModelArgument = Annotated[str | None, typer.Argument(help="Only of this model.", autocompletion=completion.models)]
ReleaseArgument = Annotated[
    str,
    typer.Argument(help="Id of the release, as `serin release list` shows it.", autocompletion=completion.releases),
]


class Output(StrEnum):
    """The way in which a command prints what it found."""

    TEXT = "text"
    JSON = "json"


OutputOption = Annotated[
    Output, typer.Option("--output", "-o", help="How it is printed; `serin help output` says what JSON holds.")
]
DEFAULT_HOME_OPTION = DEFAULT_HOME


def home_at(path: Path) -> Home:
    return Home(path.resolve())


def writing_home(path: Path) -> Home:
    """The home, for a command that writes to it: what this process makes from here on is its owner's alone."""
    os.umask(PRIVATE_UMASK)
    return home_at(path)
