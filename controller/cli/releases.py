"""Releases: start, follow, stop, and read how they went."""

import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NoReturn
from urllib.parse import quote

import typer

from controller.cli.asking import asker, given_seconds
from controller.cli.following import end_by, until_settled
from controller.cli.options import (
    ByOption,
    JsonFlag,
    ModelArgument,
    Output,
    OutputOption,
    ReasonOption,
    ReleaseArgument,
    home_at,
)
from controller.cli.output import console, say, say_json, say_row
from controller.cli.place import Place, at_a_place
from controller.cli.status import status
from controller.cli.steering import ASKED_SCHEMA
from controller.core.commands import Ask, Command
from controller.core.foresight import Consent, Foreseen
from controller.errors import UsageError
from controller.naming import model_named

if TYPE_CHECKING:
    from collections.abc import Sequence

    from controller.ports.journal import ReleaseSummary
    from controller.service import Installation

SupersedeFlag = Annotated[bool, typer.Option("--supersede", help="Even if another release ends because of it.")]
DuringFreezeFlag = Annotated[
    bool, typer.Option("--during-freeze", help="Even if it has to wait until a freeze is lifted.")
]
release_app = typer.Typer(help="Start and list releases.", no_args_is_help=True)
_ANSWER_WITHIN_S = 2.0
_ANSWER_POLL_S = 0.05
LIST_SCHEMA = "serin.releases/v1"
REPORT_SCHEMA = "serin.reported/v1"


def register(app: typer.Typer) -> None:
    app.add_typer(release_app, name="release")
    for function in (status, report):
        app.command()(function)


@release_app.command()
@at_a_place
def start(
    model: ModelArgument,
    version: Annotated[str, typer.Argument(help="The version in the registry.")],
    place: Place,
    reason: ReasonOption = "started by hand",
    by: ByOption = "",
    wait_s: Annotated[
        float,
        typer.Option("--wait-s", callback=given_seconds, help="Wait this many seconds for the end; 0 does not wait."),
    ] = 0.0,
    supersede: SupersedeFlag = False,
    repeat: Annotated[bool, typer.Option("--repeat", help="Even if a person took this version back.")] = False,
    during_freeze: DuringFreezeFlag = False,
    because_stable_is_down: Annotated[
        bool,
        typer.Option("--because-stable-is-down", help="Replace a version that cannot run, without a comparison."),
    ] = False,
    output: OutputOption = Output.TEXT,
) -> None:
    """Start a release of a version. Setting the alias `candidate` in the registry does the same, without asking back.

    Exit code 2, and the reason, if the controller refuses it or if it needs one of the flags.

    Example: serin release start intent 7 --wait-s 7200
    """
    model_named(model)  # before anything is opened
    agreed = {Consent.SUPERSEDE: supersede, Consent.REPEAT: repeat, Consent.DURING_FREEZE: during_freeze}
    with place.opened(writing=True) as installation:
        ask = Ask.REPLACE if because_stable_is_down else Ask.START
        foreseen = _foreseen(installation, ask, model, version, agreed)
        tell = _teller(output)
        begin = installation.replace if because_stable_is_down else installation.start
        asked, _ = begin(model, version, reason=reason, by=by or asker())
        taken_up = _taken_up(installation, asked)  # what was refused is not said to begin
        tell(f"{model}: {foreseen.sentence}")
        tell(f"{model}: release of version {version} asked for.")
        if not taken_up:
            in_vain = "" if foreseen.acts else " It comes to nothing unless things have changed by then."
            tell(f"{model}: {_why_it_waits(place)}{in_vain}")
        if wait_s > 0:
            _wait_for_the_end(installation, asked, wait_s, output)
    if output is Output.JSON:
        say_json(_asked(asked, foreseen.sentence, taken_up=taken_up))


@release_app.command()
@at_a_place
def again(
    model: ModelArgument,
    place: Place,
    reason: ReasonOption = "other settings",
    by: ByOption = "",
    supersede: SupersedeFlag = False,
    during_freeze: DuringFreezeFlag = False,
    output: OutputOption = Output.TEXT,
) -> None:
    """Start a release of the version that serves, with the policy's current `serving:` block.

    The same files get the next number, and go through the gates like any candidate.

    Example: serin release again intent --reason "two replicas"
    """
    model_named(model)  # before anything is opened
    agreed = {Consent.SUPERSEDE: supersede, Consent.DURING_FREEZE: during_freeze}
    with place.opened(writing=True) as installation:
        _foreseen(installation, Ask.START, model, None, agreed)
        asked, champion = installation.again(model, reason=reason, by=by or asker())
    if output is Output.JSON:
        say_json({**_asked(asked, "", taken_up=False), "champion": champion})
        return
    say(f"{model}: version {asked.version} has the files of version {champion}.")
    takes = place.why_it_waits() or "the controller takes it up at its next round."
    say(f"{model}: release of version {asked.version} asked for; {takes}")


def _foreseen(
    installation: "Installation", ask: Ask, model: str, version: str | None, agreed: Mapping[Consent, bool]
) -> Foreseen:
    """Return what the start will do. Raises UsageError where that needs a flag which was not given."""
    foreseen = installation.foresee(ask, model, version)
    missing = [f"{why}. Add --{one} if you mean it" for one, why in foreseen.consents if not agreed.get(one, False)]
    if missing:
        raise UsageError(f"{model}: nothing was started: {'; '.join(missing)}")
    return foreseen


def _teller(output: Output) -> Callable[[str], None]:
    """Lines for a person; those beside JSON go to standard error."""
    return lambda line: say(line, err=output is Output.JSON)


def _asked(asked: Command, sentence: str, *, taken_up: bool) -> dict[str, Any]:
    told = {"schema": ASKED_SCHEMA, "ask": asked.ask, "model": asked.model, "version": asked.version}
    return {**told, "command": asked.id, "foreseen": sentence, "taken_up": taken_up}


def _taken_up(installation: "Installation", asked: Command) -> bool:
    """Return whether a release answers the command by now. Raises UsageError where the controller discards it."""
    deadline_s = time.monotonic() + _ANSWER_WITHIN_S
    while not installation.is_taken_up(asked):
        if time.monotonic() > deadline_s:
            return False
        time.sleep(_ANSWER_POLL_S)
    return True


def _why_it_waits(place: Place) -> str:
    return place.why_it_waits() or "the controller has not taken it up yet; `serin status` shows what it does."


def _wait_for_the_end(installation: "Installation", asked: Command, wait_s: float, output: Output) -> NoReturn:
    from controller.service import release_started_by

    def find() -> "ReleaseSummary | None":
        installation.is_taken_up(asked)
        return release_started_by(installation, asked)

    tell, of = _teller(output), f" of version {asked.version}"
    found = until_settled(find, asked.model, of, wait_s, tell=tell, sleep=time.sleep)
    end_by(installation, found, asked.model, output, wait_s)


@release_app.command(name="list")
@at_a_place
def list_releases(
    place: Place,
    model: Annotated[str | None, typer.Option("--model", help="Only of this model.")] = None,
    limit: Annotated[int, typer.Option("--limit", min=1, max=1000, help="At most this many.")] = 100,
    before: Annotated[
        str | None, typer.Option("--before", help="A release's id: only those that began earlier.")
    ] = None,
    as_json: JsonFlag = False,
    output: OutputOption = Output.TEXT,
) -> None:
    """List releases, newest first: state, reason, when each began and when its state last changed.

    In a pipe the cells of each line are separated by tabs. Times are UTC.

    Example: serin release list --model intent --limit 20
    """
    from controller.overview import release_document

    with place.opened() as installation:
        found = installation.releases(model, limit=limit, before=before)
    following = found[-1].release_id if len(found) == limit else None
    if as_json or output is Output.JSON:
        rows = [release_document(record) for record in found]
        say_json({"schema": LIST_SCHEMA, "releases": rows, "next": following})
    elif console().is_terminal:
        _draw(found, following)
    else:
        for record in found:
            times = (_time(record.started_at_s), _time(record.phase_since_s))
            say_row(record.release_id, record.phase, record.reason, *times)


def _draw(found: "Sequence[ReleaseSummary]", following: str | None) -> None:
    from rich.table import Table

    from controller.report.words import shortened
    from serving.text.printable import printable

    screen = console()
    table = Table.grid(padding=(0, 2))
    for _ in range(3):
        table.add_column(no_wrap=True)
    table.add_column()
    for one in found:
        began = f"{_time(one.started_at_s)[:16]}"
        table.add_row(began, printable(one.release_id), one.phase, printable(shortened(one.reason, screen.width)))
    screen.print(table)
    if following is not None:
        say(f"The next page: serin release list --before {following}")


def _time(at_s: float) -> str:
    return f"{datetime.fromtimestamp(at_s, UTC):%Y-%m-%d %H:%M:%S}"


@at_a_place
def report(
    release: ReleaseArgument,
    place: Place,
    out: Annotated[Path | None, typer.Option("--out", help="Folder for the files.")] = None,
    output: OutputOption = Output.TEXT,
) -> None:
    """Write the report of a release, as HTML and as JSON, from its journal.

    Example: serin report intent-v7-1
    """
    with place.opened(writing=out is None) as installation:
        made = installation.report(release)
    folder = out or (Path() if place.server is not None else home_at(place.home).reports)
    folder.mkdir(parents=True, exist_ok=True)
    files: list[str] = []
    for suffix, text in ((".html", made.html), (".json", made.json)):
        path = folder / f"{quote(release, safe='')}{suffix}"  # one that began under another rule for names, too
        path.write_text(text, encoding="utf-8")
        files.append(str(path))
        if output is Output.TEXT:
            say(str(path))
    if output is Output.JSON:
        say_json({"schema": REPORT_SCHEMA, "release_id": release, "files": files})
