"""The installation that a command asks: the home on this machine, or one elsewhere by the address of its interface."""

import inspect
import math
import os
import shlex
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from controller.cli.options import DEFAULT_HOME_OPTION, HomeOption, home_at, writing_home
from controller.config.variables import CA_FILE_VARIABLE, SERVER_VARIABLE, TOKEN_FILE_VARIABLE

if TYPE_CHECKING:
    from controller.service import Installation

_ServerOption = Annotated[
    str | None,
    typer.Option("--server", envvar=SERVER_VARIABLE, help="Address of a controller elsewhere, instead of a home."),
]
_TokenOption = Annotated[
    Path | None, typer.Option("--token-file", envvar=TOKEN_FILE_VARIABLE, help="File with the token for it.")
]
_CaOption = Annotated[
    Path | None,
    typer.Option("--ca-file", envvar=CA_FILE_VARIABLE, help="The CA of its certificate, if not a known one."),
]
_OPTIONS: Final[tuple[tuple[str, Any, Any], ...]] = (
    ("home", HomeOption, DEFAULT_HOME_OPTION),
    ("server", _ServerOption, None),
    ("token_file", _TokenOption, None),
    ("ca_file", _CaOption, None),
)


@dataclass(frozen=True, slots=True)
class Place:
    """Where the installation is. ``server`` None: in the home. ``flags``: what names it to another command."""

    home: Path
    server: str | None
    token_file: Path | None
    ca_file: Path | None
    flags: str = ""

    @contextmanager
    def opened(self, *, writing: bool = False, answers_within_s: float = math.inf) -> Iterator["Installation"]:
        """The installation, to be asked within the block. ``writing``: what is made here is its owner's alone.
        ``answers_within_s``: for how long one elsewhere is waited for at each question, if it is less than usual."""
        if self.server is not None:
            from controller.bootstrap.installations import elsewhere

            yield elsewhere(
                self.server, token_file=self.token_file, ca_file=self.ca_file, answers_within_s=answers_within_s
            )
            return
        from controller.bootstrap.installations import service_of

        with service_of(writing_home(self.home) if writing else home_at(self.home)) as service:
            yield service

    def why_it_waits(self) -> str:
        """Return why no controller takes up now what was asked for, and when one will; empty where one does: one
        elsewhere has answered already."""
        if self.server is not None:
            return ""
        from controller.bootstrap.parts import why_a_word_waits

        return why_a_word_waits(home_at(self.home))


def at_a_place(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command with the parameter ``place`` the options that name one. What stands on the command line goes
    before the environment: with ``--home`` a SERIN_SERVER counts for nothing."""
    signature = inspect.signature(command, eval_str=True)

    @wraps(command)
    def asked(context: typer.Context, **given: Any) -> None:
        named = {name: given.pop(name) for name, _, _ in _OPTIONS}
        command(**given, place=_place(context, **named))

    others = [one for name, one in signature.parameters.items() if name != "place"]
    own = [
        inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, annotation=kind, default=default)
        for name, kind, default in _OPTIONS
    ]
    keywords = [
        inspect.Parameter("context", inspect.Parameter.KEYWORD_ONLY, annotation=typer.Context),
        *(one.replace(kind=inspect.Parameter.KEYWORD_ONLY) for one in others),
    ]
    asked.__signature__ = signature.replace(parameters=[*keywords, *own])  # type: ignore[attr-defined]
    asked.__annotations__ = {one.name: one.annotation for one in (*keywords, *own)}
    return asked


def _place(
    context: typer.Context, home: Path, server: str | None, token_file: Path | None, ca_file: Path | None
) -> Place:
    sources = {name: context.get_parameter_source(name) for name, _, _ in _OPTIONS}
    by_flag = {name for name, source in sources.items() if source is not None and source.name == "COMMANDLINE"}
    if "home" in by_flag and "server" not in by_flag:
        server = None
    given = {"home": home, "server": server, "token_file": token_file, "ca_file": ca_file}
    shown = [name for name in given if name in by_flag and (name == "home") == (server is None)]
    flags = "".join(f" --{name.replace('_', '-')} {shlex.quote(os.fspath(given[name] or ''))}" for name in shown)
    return Place(home, server or None, token_file, ca_file, flags)
