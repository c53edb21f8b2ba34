"""`serin drill`: a failure that is injected into one's own installation, and a page of what came of it."""

import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final, Protocol
from urllib.parse import urlsplit

import typer

from controller.cli import completion
from controller.cli.asking import asker, given_reason
from controller.cli.gateway import gateway_named, predict_url, shown_to
from controller.cli.options import ByOption, Output, OutputOption, writing_home
from controller.cli.output import say, say_json
from controller.cli.place import Place, at_a_place
from controller.core.drills import FOR_S_MAX, Mode
from controller.errors import UsageError
from controller.exit_codes import EXIT_ERROR, EXIT_FAIL, EXIT_INCONCLUSIVE, EXIT_INTERRUPTED, EXIT_PASS
from controller.naming import model_named

if TYPE_CHECKING:
    from controller.bootstrap.drilling import Asked
    from controller.core.drills import Drill, Drilled, Noted

LIST_SCHEMA: Final = "serin.drills/v1"


def register(app: typer.Typer) -> None:
    app.command()(drill)


@at_a_place
def drill(
    mode: Annotated[Mode | None, typer.Argument(help="The failure mode; without it all are listed.")] = None,
    model: Annotated[
        str | None,
        typer.Argument(help="Whose replicas; needless where there is one model.", autocompletion=completion.models),
    ] = None,
    for_s: Annotated[
        float, typer.Option("--for-s", min=1, max=FOR_S_MAX, help="F1, F7, F8: inject it for so many seconds.")
    ] = 60.0,
    before_s: Annotated[
        float, typer.Option("--before-s", min=1, max=60, help="Watch for so many seconds before.")
    ] = 10.0,
    rate_per_s: Annotated[
        float, typer.Option("--rate-per-s", help="Requests a second of the drill's own; 200 at most.")
    ] = 10.0,
    texts: Annotated[
        Path | None, typer.Option("--texts", help="File of texts to send, as `serin load` has it; else the suite's.")
    ] = None,
    freeze: Annotated[
        bool, typer.Option("--freeze", help="Freeze the model for as long as the drill takes; with --reason.")
    ] = False,
    reason: Annotated[str, typer.Option("--reason", help="Why, for the freeze; kept in the journal.")] = "",
    by: ByOption = "",
    users_may_fail: Annotated[
        bool, typer.Option("--users-may-fail", help="F3, F5, F8: also where they may be refused meanwhile.")
    ] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would be done, and do nothing.")] = False,
    out: Annotated[Path | None, typer.Option("--out", help="The page; drill-MODE-MODEL.html where not given.")] = None,
    gateway: Annotated[
        str | None, typer.Option("--gateway", help="With --server: the address that clients send requests to.")
    ] = None,
    bearer_file: Annotated[
        Path | None, typer.Option("--bearer-file", help="With --server: file with the token that clients show there.")
    ] = None,
    prometheus: Annotated[
        str | None, typer.Option("--prometheus", help="With --server: where metrics are read, as http://HOST:PORT.")
    ] = None,
    output: OutputOption = Output.TEXT,
    *,
    place: Place,
) -> None:
    """Inject a failure into your own installation; a page says what was injected, when it was seen, what was done.

    For an installation of `serin up` on this machine, of which everything answers, no release of the model is under
    way, and the model is frozen. F2 and F6 rehearse a worse version, which no user gets. It ends by itself; Ctrl-C
    undoes what is injected, and so does its guard, a process of its own, should the drill be killed. Its requests are
    users' requests to everybody. F8 and F9 are played from afar, too, with --server, --gateway and --texts.

    Exit code: 0 seen, answered as promised and over, 1 a promise was broken, 2 it may not be played here, 3 not seen,
    4 not all as before, 130 interrupted.

    Example: serin drill F5 intent --freeze --reason "monthly drill" --users-may-fail
    """
    from controller.bootstrap.drilling import Asked
    from controller.core.drills import DRILLS, sentence
    from controller.drilling import OVER_WITHIN_S, Times
    from controller.files import replace_file
    from controller.report.drill_page import as_document, render_html

    if mode is None:
        _list(output)
        return
    wanted, named = DRILLS[mode], {"--gateway": gateway, "--bearer-file": bearer_file, "--prometheus": prometheus}
    if place.server is None and (given := [name for name, value in named.items() if value is not None]):
        raise UsageError(f"{given[0]}: is for a drill from afar: name the controller with --server")
    why = _freeze_reason(mode, reason) if freeze else None
    sent = _texts(texts)
    asked = Asked(
        drill=wanted,
        model=_model(place, model),
        times=Times(
            before_s=before_s,
            for_s=for_s if wanted.lasts else 0.0,
            over_within_s=FOR_S_MAX if wanted.rehearses else OVER_WITHIN_S,
        ),
        rate_per_s=rate_per_s,
        texts=sent,
        freeze=why,
        by=by or asker(),
        users_may_fail=users_may_fail,
    )
    ground = _ground(place, asked, gateway, bearer_file, prometheus)
    if dry_run:
        _tell_of_dry_run(asked, ground.foreseen(asked), output)
        return
    page = out or Path(f"drill-{mode}-{asked.model}.html")
    with _ended_by_signals() as wait:
        found = ground.play(asked, wait=wait, tell=_teller(output))
    replace_file(page, render_html(found))
    code = _exit_code(found)
    if output is Output.JSON:
        say_json({**as_document(found), "exit_code": code, "page": str(page)})
    else:
        _tell(found)
        say(sentence(found))
        say(f"The page: {page}")
    raise typer.Exit(code)


def _freeze_reason(mode: Mode, reason: str) -> str:
    return f"drill {mode}: {given_reason(reason)}"


def _texts(file: Path | None) -> tuple[str, ...] | None:
    from controller.offline.texts_file import read_texts

    return None if file is None else read_texts(file)


class _Ground(Protocol):
    """Where a drill is played."""

    def foreseen(self, asked: "Asked") -> Sequence[str]: ...

    def play(self, asked: "Asked", *, wait: Callable[[float], bool], tell: "Callable[[Noted], None]") -> "Drilled": ...


def _ground(
    place: Place, asked: "Asked", gateway: str | None, bearer_file: Path | None, prometheus: str | None
) -> _Ground:
    """Return the installation of a home, or one elsewhere by its addresses."""
    if place.server is None:
        from controller.bootstrap.drilling import AtHome

        return AtHome(writing_home(place.home))
    from controller.bootstrap.drilling_afar import Afar, check_from_afar

    check_from_afar(asked.drill)
    if gateway is None:
        raise UsageError("--gateway: name the address that clients send requests to: no controller tells it from afar")
    url = predict_url(gateway_named(gateway), asked.model)
    shown = shown_to(bearer_file, url)
    return Afar(place.server, place.token_file, place.ca_file, url, shown, _prometheus(prometheus))


def _prometheus(given: str | None) -> str | None:
    """Return the address of a Prometheus, as it was named."""
    if given is not None and not (given.startswith("http://") and urlsplit(given).hostname):
        raise UsageError(f"--prometheus {given!r}: write http://HOST:PORT, as `kubectl port-forward` makes one")
    return None if given is None else given.rstrip("/")


def _model(place: Place, given: str | None) -> str:
    if given is not None:
        return model_named(given)
    if place.server is not None:
        with place.opened() as installation:
            known = sorted(installation.overview().traffic)
    else:
        home = writing_home(place.home)
        home.load()  # an installation is here
        known = [path.stem for path in home.policy_files]
    if len(known) != 1:
        raise UsageError(f"name the model: there are {', '.join(known) or 'none yet'}")
    return known[0]


@contextmanager
def _ended_by_signals() -> Iterator[Callable[[float], bool]]:
    """Yield how to wait: it returns whether a signal came since the last time. Each signal is heard once."""
    asked = threading.Event()
    before = {
        number: signal.signal(number, lambda *_: asked.set())
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
    }

    def wait(length_s: float) -> bool:
        heard = asked.wait(length_s)
        asked.clear()
        return heard

    try:
        yield wait
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _teller(output: Output) -> "Callable[[Noted], None]":
    """A line a thing while it runs; beside JSON on standard error."""
    from datetime import UTC, datetime

    def tell(one: "Noted") -> None:
        say(f"{datetime.fromtimestamp(one.at_s, UTC):%H:%M:%S} UTC  {one.by:8}{one.what}", err=output is Output.JSON)

    return tell


def _exit_code(found: "Drilled") -> int:
    from gates.outcome import Outcome

    codes = {Outcome.PASS: EXIT_PASS, Outcome.FAIL: EXIT_FAIL, Outcome.ERROR: EXIT_ERROR}
    code = codes.get(found.outcome, EXIT_INCONCLUSIVE)
    return EXIT_INTERRUPTED if found.stopped and code == EXIT_INCONCLUSIVE else code


def _as_document(one: "Drill") -> dict[str, Any]:
    return {
        "mode": one.mode,
        "title": one.title,
        "runbook": one.runbook,
        "injects": one.injects,
        "promise": one.promise,
        "alerts": list(one.alerts),
    }


def _list(output: Output) -> None:
    from controller.core.drills import DRILLS

    if output is Output.JSON:
        say_json({"schema": LIST_SCHEMA, "drills": [{**_as_document(one), "targets": None} for one in DRILLS.values()]})
        return
    for one in DRILLS.values():
        say(f"{one.mode}  {one.title}: {one.injects}")


def _tell_of_dry_run(asked: "Asked", targets: "Any", output: Output) -> None:
    one = asked.drill
    if output is Output.JSON:
        say_json({"schema": LIST_SCHEMA, "drills": [{**_as_document(one), "targets": list(targets)}]})
        return
    say(f"{one.mode}, {one.title}: {one.injects}.")
    say(f"To: {', '.join(targets)}" + (f"; for {asked.times.for_s:g} s" if one.lasts else ""))
    freeze = f"for as long as it takes: {asked.freeze}" if asked.freeze else "before, or by --freeze --reason ..."
    say(f"Meanwhile {asked.rate_per_s:g} requests a second of its own; {asked.model} is frozen {freeze}")
    say(f"Promised: {one.promise}")


def _tell(found: "Drilled") -> None:
    say("")
    for check in found.checks:
        say(f"{check.outcome.upper():13}{check.promise}: {check.found}")
    for name, counted in (("before", found.before), ("meanwhile", found.during), ("after", found.after)):
        p95 = "" if counted.p95_ms is None else f", P95 {counted.p95_ms:.0f} ms"
        say(f"{name:13}{counted.sent:,} sent, {counted.failed:,} failed{p95}")
