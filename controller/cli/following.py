"""The course of releases: waiting for one, why it stands as it does, and what happened across all of them."""

import math
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Final, NoReturn

import typer

from controller.cli.asking import given_seconds
from controller.cli.options import ModelArgument, Output, OutputOption, ReleaseArgument, SomeModelArgument
from controller.cli.output import console, say, say_folded, say_json, say_row
from controller.cli.place import Place, at_a_place
from controller.errors import TransientError, UsageError
from controller.exit_codes import EXIT_TIMEOUT
from controller.naming import model_named, version_named

if TYPE_CHECKING:
    from collections.abc import Sequence

    from controller.core.release import Phase
    from controller.ports.journal import ReleaseRecord, ReleaseSummary
    from controller.report.chronicle import Happening
    from controller.service import Installation

_WAIT_POLL_S: Final = 1.0
WAITED_SCHEMA: Final = "serin.waited/v1"


def register(app: typer.Typer) -> None:
    for function in (wait, why, history):
        app.command()(function)


@at_a_place
def wait(
    model: ModelArgument,
    place: Place,
    version: Annotated[
        str | None, typer.Option("--version", help="The release of this version only, even if it has not begun.")
    ] = None,
    timeout_s: Annotated[
        float, typer.Option("--timeout-s", callback=given_seconds, help="Give up after so many seconds; 0: never.")
    ] = 0.0,
    output: OutputOption = Output.TEXT,
) -> None:
    """Wait until the model's release is decided or needs a person; the exit code says how it stands.

    Prints a line at each change of phase. Without --version it waits for the latest release, of any version: name the
    version if the alias `candidate` starts its release, which may begin after this command.

    Exit code: 0 promoted, 1 rolled back or rejected, 3 held, aborted or superseded, 4 could not be judged, 5 not
    settled in time.

    Example: serin wait intent --version 7 --timeout-s 7200
    """
    model_named(model)  # before anything is opened
    if version is not None:
        version_named(version)
    tell = _teller(output)
    with place.opened(answers_within_s=timeout_s or math.inf) as installation:
        found = waited(installation, model, timeout_s or math.inf, version=version, tell=tell, sleep=time.sleep)
        end_by(installation, found, model, output, timeout_s)


def waited(
    installation: "Installation",
    model: str,
    timeout_s: float,
    *,
    tell: Callable[[str], None],
    sleep: Callable[[float], None],
    version: str | None = None,
    now_s: Callable[[], float] = time.monotonic,
) -> "ReleaseSummary | None":
    """The model's release once it is settled, that which began last when this was asked, of the version where one is
    named; None where it is not in time."""
    release_id = ""

    def is_meant(one: "ReleaseSummary") -> bool:
        return release_id in ("", one.release_id) and version in (None, one.version)

    def find() -> "ReleaseSummary | None":
        nonlocal release_id
        found = next(filter(is_meant, installation.releases(model)), None)
        release_id = found.release_id if found is not None else release_id
        return found

    of = "" if version is None else f" of version {version}"
    return until_settled(find, model, of, timeout_s, tell=tell, sleep=sleep, now_s=now_s)


def until_settled(
    find: Callable[[], "ReleaseSummary | None"],
    model: str,
    of: str,
    timeout_s: float,
    *,
    tell: Callable[[str], None],
    sleep: Callable[[float], None],
    now_s: Callable[[], float] = time.monotonic,
) -> "ReleaseSummary | None":
    """The release that ``find`` finds, once it is settled; None where it is not in time, however long the answers took.
    Each phase is told once. What does not answer for a moment is told once, too, and asked again."""
    from controller.report.words import phase_title
    from controller.status import is_settled

    told, give_up_at_s = "", now_s() + timeout_s
    while True:
        try:
            found = find()
        except TransientError as error:
            found, line = None, f"{model}: {error.source} does not answer: {error}"
        else:
            line = f"{model}: no release{of} yet"
            if found is not None:
                line = f"{model}: version {found.version} {phase_title(_phase(found.phase))}: {found.reason}"
        if line != told:
            tell(line)
            told = line
        if found is not None and is_settled(found):
            return found
        if now_s() >= give_up_at_s:
            return None
        sleep(_WAIT_POLL_S)


def _phase(name: str) -> "Phase":
    from controller.core.release import Phase

    return Phase(name)


def _teller(output: Output) -> Callable[[str], None]:
    """Lines for a person, with the time; those beside JSON go to standard error."""

    def tell(line: str) -> None:
        told = f"{datetime.now(UTC):%H:%M:%S} UTC  "
        if output is Output.JSON:
            say(f"{told}{line}", err=True)
        else:
            say_folded(f"{told}{line}", indent=len(told))

    return tell


def end_by(
    installation: "Installation", found: "ReleaseSummary | None", model: str, output: Output, timeout_s: float
) -> NoReturn:
    """Say how the model's release ended that was waited for, and exit by it; of None that it did not in time."""
    from controller.status import exit_code

    code = EXIT_TIMEOUT if found is None else exit_code(installation.release(found.release_id))
    if output is Output.JSON:
        release = None if found is None else asdict(found)
        say_json({"schema": WAITED_SCHEMA, "settled": found is not None, "exit_code": code, "release": release})
    elif found is None:
        say(f"not settled after {timeout_s:g} s. What it waits for: serin why {model}", err=True)
    else:
        say(f"{found.release_id}: {found.phase}. What decided it: serin why {found.release_id}")
    raise typer.Exit(code)


@at_a_place
def why(
    release: ReleaseArgument,
    place: Place,
    output: OutputOption = Output.TEXT,
) -> None:
    """Say why a release is where it is: what decided it, or what it waits for, and how it got there. For a model: its
    latest release.

    Exit code: that of `serin wait`.

    Example: serin why intent-v7-1
    """
    from controller.cli.why import as_document, drawn, looked_into
    from controller.status import exit_code

    with place.opened() as installation:
        record = _release_of(installation, release)
        found = looked_into(record, installation.entries(record.release_id), time.time())
    if output is Output.JSON:
        say_json(as_document(found))
    else:
        console().print(drawn(found))
    raise typer.Exit(exit_code(record))


def _release_of(installation: "Installation", given: str) -> "ReleaseRecord":
    """The release, or the latest of the model that is called so, whatever its name looks like."""
    try:
        return installation.release(given)
    except UsageError as no_release:
        try:
            found = installation.releases(given, limit=1)
        except UsageError:
            raise no_release from None
    if not found:
        raise UsageError(f"{given} has no release yet: `serin release start {given} VERSION` starts one")
    return installation.release(found[0].release_id)


@at_a_place
def history(
    place: Place,
    model: SomeModelArgument = None,
    since: Annotated[
        str, typer.Option("--since", help="A time such as 2026-11-26 or 2026-11-26T21:00, or a span such as 12h or 7d.")
    ] = "7d",
    output: OutputOption = Output.TEXT,
) -> None:
    """Show what happened, across releases: which version served when, who decided, freezes set and lifted.

    Times are UTC. In a pipe the cells of each line are separated by tabs.

    Example: serin history intent --since 30d
    """
    from controller.overview import HISTORY_SCHEMA

    since_s = since_s_of(since, now := datetime.now(UTC))
    if since_s > now.timestamp():
        raise UsageError(f"--since {since}: is still to come; it is {now:%Y-%m-%d %H:%M} UTC now")
    with place.opened() as installation:
        found = installation.history(model, since_s=since_s)
    if output is Output.JSON:
        say_json({"schema": HISTORY_SCHEMA, "since_s": since_s, "happenings": [asdict(one) for one in found]})
        return
    if not found:
        say("Nothing happened since then.")
    elif console().is_terminal:
        _draw(found)
    else:
        for one in found:
            say_row(_time(one.at_s), one.model, one.version, one.what, one.by, one.why, one.release_id)


def _draw(found: "Sequence[Happening]") -> None:
    from rich.table import Table
    from rich.text import Text

    from serving.text.printable import printable

    table = Table.grid(padding=(0, 2))
    table.add_column(no_wrap=True, style="dim")
    table.add_column(no_wrap=True)
    table.add_column()
    for one in found:
        version = f" v{one.version}" if one.version else ""
        said = Text(printable(one.what) + (f" by {printable(one.by)}" if one.by else ""))
        said.append(f": {printable(one.why)}" if one.why else "", "dim")
        table.add_row(_time(one.at_s), printable(one.model + version), said)
    console().print(table)


def _time(at_s: float) -> str:
    return f"{datetime.fromtimestamp(at_s, UTC):%Y-%m-%d %H:%M:%S}"


def since_s_of(given: str, now: datetime) -> float:
    """The time that is named, in unix seconds. Raises UsageError where none is."""
    from serving.access.age import parse_age

    with suppress(ValueError):
        if (ago := parse_age(given)) is not None:
            return (now - ago).timestamp()
    try:
        at = datetime.fromisoformat(given)
    except ValueError:
        raise UsageError(f"--since {given}: not a time; write 2026-11-26T21:00, 12h or 7d") from None
    return (at if at.tzinfo else at.replace(tzinfo=UTC)).timestamp()
