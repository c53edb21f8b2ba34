"""Releases: start, follow, stop, and read how they went."""

import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal, NoReturn
from urllib.parse import quote

import typer

from controller.cli.asking import asker
from controller.cli.options import ByOption, JsonFlag, ReasonOption, home_at
from controller.cli.output import say, say_json, say_row
from controller.cli.place import Place, at_a_place
from controller.cli.status import status
from controller.core.commands import Command
from controller.naming import model_named

if TYPE_CHECKING:
    from controller.service import Installation

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
@at_a_place
def start(
    model: ModelArgument,
    version: Annotated[str, typer.Argument(help="The version in the registry.")],
    place: Place,
    reason: ReasonOption = "started by hand",
    by: ByOption = "",
    wait_s: Annotated[float, typer.Option("--wait-s", help="Wait so long for the end; 0 does not wait.")] = 0.0,
) -> None:
    """Start a release of a version. Setting the alias `candidate` in the registry does the same.

    Exit code 2 where the controller refuses it, and why.

    Example: serin release start intent 7 --wait-s 7200
    """
    model_named(model)  # before anything is opened
    with place.opened(writing=True) as installation:
        asked, _ = installation.start(model, version, reason=reason, by=by or asker())
        say(f"{model}: release of version {version} asked for.")
        if not _taken_up(installation, asked):
            say(f"{model}: {_why_it_waits(place)}")
        if wait_s > 0:
            _wait_for_the_end(installation, asked, wait_s)


@release_app.command()
@at_a_place
def again(
    model: ModelArgument,
    place: Place,
    reason: ReasonOption = "other settings",
    by: ByOption = "",
) -> None:
    """Start a release of the version that serves with the policy's `serving:` block as it is now.

    The same files get the next number, and go through the gates as any candidate.

    Example: serin release again intent --reason "two replicas"
    """
    model_named(model)  # before anything is opened
    with place.opened(writing=True) as installation:
        asked, champion = installation.again(model, reason=reason, by=by or asker())
    say(f"{model}: version {asked.version} has the files of version {champion}.")
    say(f"{model}: release of version {asked.version} asked for; the controller takes it up at its next round.")


def _taken_up(installation: "Installation", asked: Command) -> bool:
    """Return whether a release answers the command by now. Raises UsageError where the controller discards it."""
    deadline_s = time.monotonic() + _ANSWER_WITHIN_S
    while not installation.is_taken_up(asked):
        if time.monotonic() > deadline_s:
            return False
        time.sleep(_ANSWER_POLL_S)
    return True


def _why_it_waits(place: Place) -> str:
    if place.has_controller():
        return "the controller has not taken it up yet; `serin status` shows what it does."
    return "no controller runs here: it waits until `serin up` starts one."


def _wait_for_the_end(installation: "Installation", asked: Command, wait_s: float) -> NoReturn:
    from controller.service import release_started_by
    from controller.status import exit_code, is_settled

    deadline_s = time.monotonic() + wait_s
    while time.monotonic() < deadline_s:
        installation.is_taken_up(asked)
        if (found := release_started_by(installation, asked)) is not None and is_settled(found):
            say(f"{found.release_id}: {found.phase}. {found.reason}")
            raise typer.Exit(exit_code(installation.release(found.release_id)))
        time.sleep(_WAIT_POLL_S)
    say(f"not settled after {wait_s:g} s", err=True)
    raise typer.Exit(EXIT_TIMEOUT)


@release_app.command(name="list")
@at_a_place
def list_releases(
    place: Place,
    model: Annotated[str | None, typer.Option("--model", help="Only of this model.")] = None,
    as_json: JsonFlag = False,
) -> None:
    """List releases, newest first."""
    from controller.overview import release_document

    with place.opened() as installation:
        found = installation.releases(model)
    if as_json:
        say_json({"releases": [release_document(record) for record in found]})
        return
    for record in found:
        say_row(record.release_id, record.phase, record.reason)


@at_a_place
def abort(
    model: ModelArgument,
    reason: ReasonOption,
    place: Place,
    by: ByOption = "",
    id_: Annotated[str, typer.Option("--id", help="What is asked again by the same id is asked once.")] = "",
) -> None:
    """Abort the release in progress; all traffic goes to the stable version. Does nothing where none is.

    Example: serin abort intent --reason "wrong checkpoint"
    """
    _ask(place, "abort", model, reason, by, id_)


@at_a_place
def resume(model: ModelArgument, reason: ReasonOption, place: Place, by: ByOption = "") -> None:
    """Let a held release go on from shadow, with a new deadline."""
    _ask(place, "resume", model, reason, by)


@at_a_place
def report(
    release: Annotated[str, typer.Argument(help="Id of the release, as `serin release list` shows it.")],
    place: Place,
    out: Annotated[Path | None, typer.Option("--out", help="Folder for the files.")] = None,
) -> None:
    """Write the report of a release, as HTML and as JSON, from its journal.

    Example: serin report intent-v7-1
    """
    with place.opened(writing=out is None) as installation:
        made = installation.report(release)
    folder = out or (Path() if place.server is not None else home_at(place.home).reports)
    folder.mkdir(parents=True, exist_ok=True)
    for suffix, text in ((".html", made.html), (".json", made.json)):
        path = folder / f"{quote(release, safe='')}{suffix}"  # one that began under another rule for names, too
        path.write_text(text, encoding="utf-8")
        say(str(path))


def _ask(place: Place, ask: Literal["abort", "resume"], model: str, reason: str, by: str, command_id: str = "") -> None:
    model_named(model)  # before anything is opened
    with place.opened(writing=True) as installation:
        asked = installation.abort if ask == "abort" else installation.resume
        asked(model, reason=reason, by=by or asker(), command_id=command_id)
    say(f"{model}: {ask} asked for; the controller takes it up at its next round.")
