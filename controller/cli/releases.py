"""Releases: start, follow, stop, and read how they went."""

import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal, NoReturn
from urllib.parse import quote

import typer

from controller.cli.asking import asker
from controller.cli.options import (
    DEFAULT_HOME_OPTION,
    ByOption,
    HomeOption,
    ReasonOption,
    home_at,
    writing_home,
)
from controller.cli.output import say, say_row
from controller.cli.status import status
from controller.config.settings import Home
from controller.core.commands import Command
from controller.naming import model_named

if TYPE_CHECKING:
    from controller.service import Service

release_app = typer.Typer(help="Start and list releases.", no_args_is_help=True)
_ANSWER_WITHIN_S = 2.0
_ANSWER_POLL_S = 0.05
_WAIT_POLL_S = 0.5
EXIT_TIMEOUT = 5

ModelArgument = Annotated[str, typer.Argument(help="The registered model's name.")]


def register(app: typer.Typer) -> None:
    app.add_typer(release_app, name="release")
    for function in (abort, resume, status, report):
        app.command()(function)


@release_app.command()
def start(
    model: ModelArgument,
    version: Annotated[str, typer.Argument(help="The version in the registry.")],
    reason: ReasonOption = "started by hand",
    by: ByOption = "",
    wait_s: Annotated[float, typer.Option("--wait-s", help="Wait so long for the end; 0 does not wait.")] = 0.0,
    home: HomeOption = DEFAULT_HOME_OPTION,
) -> None:
    """Start a release of a version. Setting the alias `candidate` in the registry does the same.

    Exit code 2 where the controller refuses it, and why.

    Example: serin release start intent 7 --wait-s 7200
    """
    from controller.bootstrap.stores import service_of

    place = writing_home(home)
    model_named(model)  # before anything is opened
    with service_of(place) as service:
        asked, _ = service.start(model, version, reason=reason, by=by or asker())
        say(f"{model}: release of version {version} asked for.")
        if not _taken_up(service, asked):
            say(f"{model}: {_why_it_waits(place)}")
        if wait_s > 0:
            _wait_for_the_end(service, asked, wait_s)


@release_app.command()
def again(
    model: ModelArgument,
    reason: ReasonOption = "other settings",
    by: ByOption = "",
    home: HomeOption = DEFAULT_HOME_OPTION,
) -> None:
    """Start a release of the version that serves with the policy's `serving:` block as it is now.

    The same files get the next number, and go through the gates as any candidate.

    Example: serin release again intent --reason "two replicas"
    """
    from controller.bootstrap.again import registered_again
    from controller.bootstrap.stores import service_of

    place = writing_home(home)
    model_named(model)  # before anything is opened
    with service_of(place) as service:
        service.check(model)  # before anything is registered
        champion, version = registered_again(place, model)
        say(f"{model}: version {version} has the files of version {champion}.")
        service.start(model, version, reason=reason, by=by or asker())
        say(f"{model}: release of version {version} asked for; the controller takes it up at its next round.")


def _taken_up(service: "Service", asked: Command) -> bool:
    """Return whether a release answers the command by now. Raises UsageError where the controller discards it."""
    deadline_s = time.monotonic() + _ANSWER_WITHIN_S
    while not service.is_taken_up(asked):
        if time.monotonic() > deadline_s:
            return False
        time.sleep(_ANSWER_POLL_S)
    return True


def _why_it_waits(place: Home) -> str:
    from controller.bootstrap.local import controller_answers

    if controller_answers(place.load()):
        return "the controller has not taken it up yet; `serin status` shows what it does."
    return "no controller runs here: it waits until `serin up` starts one."


def _wait_for_the_end(service: "Service", asked: Command, wait_s: float) -> NoReturn:
    from controller.status import exit_code, is_settled

    deadline_s = time.monotonic() + wait_s
    while time.monotonic() < deadline_s:
        service.is_taken_up(asked)
        if (found := service.release_of(asked)) is not None and is_settled(found):
            say(f"{found.release_id}: {found.phase}. {found.reason}")
            raise typer.Exit(exit_code(service.release(found.release_id)))
        time.sleep(_WAIT_POLL_S)
    say(f"not settled after {wait_s:g} s", err=True)
    raise typer.Exit(EXIT_TIMEOUT)


@release_app.command(name="list")
def list_releases(
    model: Annotated[str | None, typer.Option("--model", help="Only of this model.")] = None,
    home: HomeOption = DEFAULT_HOME_OPTION,
) -> None:
    """List releases, newest first."""
    from controller.bootstrap.stores import service_of

    with service_of(home_at(home)) as service:
        for record in service.releases(model):
            say_row(record.release_id, record.phase, record.reason)


def abort(
    model: ModelArgument,
    reason: ReasonOption,
    by: ByOption = "",
    id_: Annotated[str, typer.Option("--id", help="What is asked again by the same id is asked once.")] = "",
    home: HomeOption = DEFAULT_HOME_OPTION,
) -> None:
    """Abort the release in progress; all traffic goes to the stable version. Does nothing where none is.

    Example: serin abort intent --reason "wrong checkpoint"
    """
    _ask(home, "abort", model, reason, by, id_)


def resume(
    model: ModelArgument, reason: ReasonOption, by: ByOption = "", home: HomeOption = DEFAULT_HOME_OPTION
) -> None:
    """Let a held release go on from shadow, with a new deadline."""
    _ask(home, "resume", model, reason, by)


def report(
    release: Annotated[str, typer.Argument(help="Id of the release, as `serin release list` shows it.")],
    out: Annotated[Path | None, typer.Option("--out", help="Folder for the files.")] = None,
    home: HomeOption = DEFAULT_HOME_OPTION,
) -> None:
    """Write the report of a release, as HTML and as JSON, from its journal.

    Example: serin report intent-v7-1
    """
    from controller.bootstrap.stores import service_of
    from controller.journal.walk import walk
    from controller.report.build import build_report
    from controller.report.page import render_html, render_json

    place = writing_home(home) if out is None else home_at(home)
    with service_of(place) as service:
        record = service.release(release)
        data = build_report(record, walk(service.journal, record))
    folder = out or place.reports
    folder.mkdir(parents=True, exist_ok=True)
    for suffix, text in ((".html", render_html(data)), (".json", render_json(data))):
        path = folder / f"{quote(release, safe='')}{suffix}"  # one that began under another rule for names, too
        path.write_text(text, encoding="utf-8")
        say(str(path))


def _ask(home: Path, ask: Literal["abort", "resume"], model: str, reason: str, by: str, command_id: str = "") -> None:
    from controller.bootstrap.stores import service_of

    model_named(model)  # before anything is opened
    with service_of(writing_home(home)) as service:
        asked = service.abort if ask == "abort" else service.resume
        asked(model, reason=reason, by=by or asker(), command_id=command_id)
    say(f"{model}: {ask} asked for; the controller takes it up at its next round.")
