"""Releases: start, follow, stop, and read how they went."""

import time
from pathlib import Path
from typing import Annotated

import typer

from controller.cli.options import DEFAULT_HOME_OPTION, ByOption, HomeOption, ReasonOption, command, home_at
from controller.core.command import Ask
from controller.errors import UsageError

release_app = typer.Typer(help="Start and list releases.", no_args_is_help=True)
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

    Example: serin release start intent 7 --wait-s 7200
    """
    from controller.bootstrap.stores import open_home
    from controller.status import exit_code, is_settled

    store = open_home(home_at(home))
    asked = command(Ask.START, model, version=version, reason=reason, by=by)
    store.inbox.put(asked)
    typer.echo(f"{model}: release of version {version} asked for.")
    deadline_s = time.monotonic() + wait_s
    while time.monotonic() < deadline_s:
        found = [r for r in store.journal.releases(model=model) if r.version == version]
        if found and found[0].started_at_s >= asked.at_s and is_settled(found[0]):
            typer.echo(f"{found[0].release_id}: {found[0].phase}. {found[0].state['reason']}")
            raise typer.Exit(exit_code(found[0]))
        time.sleep(_WAIT_POLL_S)
    if wait_s > 0:
        typer.echo(f"not settled after {wait_s:g} s", err=True)
        raise typer.Exit(EXIT_TIMEOUT)


@release_app.command(name="list")
def list_releases(
    model: Annotated[str | None, typer.Option("--model", help="Only of this model.")] = None,
    home: HomeOption = DEFAULT_HOME_OPTION,
) -> None:
    """List releases, newest first."""
    from controller.bootstrap.stores import open_home

    for record in open_home(home_at(home)).journal.releases(model=model):
        typer.echo(f"{record.release_id}\t{record.phase}\t{record.state['reason']}")


def abort(
    model: ModelArgument, reason: ReasonOption, by: ByOption = "", home: HomeOption = DEFAULT_HOME_OPTION
) -> None:
    """Abort the release in progress; all traffic goes to the stable version. Does nothing where none is.

    Example: serin abort intent --reason "wrong checkpoint"
    """
    _ask(home, Ask.ABORT, model, reason, by)


def resume(
    model: ModelArgument, reason: ReasonOption, by: ByOption = "", home: HomeOption = DEFAULT_HOME_OPTION
) -> None:
    """Let a held release go on from shadow, with a new deadline."""
    _ask(home, Ask.RESUME, model, reason, by)


def status(
    model: Annotated[str | None, typer.Argument(help="Only of this model.")] = None,
    watch: Annotated[bool, typer.Option("--watch", help="Keep it up to date until Ctrl-C.")] = False,
    home: HomeOption = DEFAULT_HOME_OPTION,
) -> None:
    """Show each model's traffic, its release, what every gate says, and the freezes in force.

    Example: serin status --watch
    """
    from rich.console import Console

    from controller.bootstrap.stores import check_model, open_home, traffic_tables
    from controller.reconcile import ANY_MODEL
    from controller.status import Snapshot
    from controller.status import watch as watch_table

    place = home_at(home)
    store = open_home(place)

    def fetch() -> Snapshot:
        tables = traffic_tables(place)
        return Snapshot(
            store.journal.releases(model=model, limit=50),
            time.time(),
            {name: table for name, table in tables.items() if model in (None, name)},
            freezes=[
                freeze for freeze in store.freezes.in_force() if model is None or freeze.model in (model, ANY_MODEL)
            ],
        )

    if model is not None and not (first := fetch()).records and not first.traffic:
        check_model(place, model)  # one without a policy that was ever served is known too

    console = Console()
    if watch:
        watch_table(fetch, console)
    else:
        console.print(fetch().table)


def report(
    release: Annotated[str, typer.Argument(help="Id of the release, as `serin release list` shows it.")],
    out: Annotated[Path | None, typer.Option("--out", help="Folder for the files.")] = None,
    home: HomeOption = DEFAULT_HOME_OPTION,
) -> None:
    """Write the report of a release, as HTML and as JSON, from its journal.

    Example: serin report intent-v7-1
    """
    from controller.bootstrap.stores import open_home
    from controller.report import build_report, render_html, render_json

    place = home_at(home)
    journal = open_home(place).journal
    record = journal.release(release)
    if record is None:
        known = ", ".join(r.release_id for r in journal.releases(limit=5)) or "none yet"
        raise UsageError(f"there is no release {release!r}; the latest are: {known}")
    data = build_report(record, journal.entries(release))
    folder = out or place.reports
    folder.mkdir(parents=True, exist_ok=True)
    for suffix, text in ((".html", render_html(data)), (".json", render_json(data))):
        path = folder / f"{release}{suffix}"
        path.write_text(text, encoding="utf-8")
        typer.echo(str(path))


def _ask(home: Path, ask: Ask, model: str, reason: str, by: str) -> None:
    from controller.bootstrap.stores import check_model, opened

    place = home_at(home)
    with opened(place) as store:
        check_model(place, model)
        store.inbox.put(command(ask, model, reason=reason, by=by))
    typer.echo(f"{model}: {ask} asked for; the controller takes it up at its next round.")
