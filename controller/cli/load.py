"""`serin load`: bounded, steady traffic to one's own gateway, and what became of it."""

import asyncio
import itertools
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from controller.cli.gateway import gateway_named, predict_url, shown_to
from controller.cli.options import DEFAULT_HOME_OPTION, HomeOption, ModelArgument, Output, OutputOption, home_at
from controller.cli.output import console, say, say_json
from controller.core.counted import counted
from controller.errors import UsageError
from controller.exit_codes import EXIT_ERROR, EXIT_INTERRUPTED

if TYPE_CHECKING:
    from suites.load import Load, Tally

SCHEMA: Final = "serin.load/v1"
_TOLD_EVERY_S: Final = 0.5
_REASONS_TOLD: Final = 5


def register(app: typer.Typer) -> None:
    app.command()(load)


@dataclass(frozen=True, slots=True)
class _Text:
    text: str


def load(
    model: ModelArgument,
    texts: Annotated[
        Path, typer.Option("--texts", help="File of texts, one per line, or .jsonl with a `text` each; sent in order.")
    ],
    rate_per_s: Annotated[float, typer.Option("--rate-per-s", help="Requests a second, evenly; 200 at most.")] = 10.0,
    for_s: Annotated[float, typer.Option("--for-s", help="For how many seconds; 3600 at most.")] = 60.0,
    gateway: Annotated[
        str | None, typer.Option("--gateway", help="Address of the gateway, if it is not the home's.")
    ] = None,
    bearer_file: Annotated[
        Path | None, typer.Option("--bearer-file", help="File with the token that clients show to the gateway.")
    ] = None,
    output: OutputOption = Output.TEXT,
    home: HomeOption = DEFAULT_HOME_OPTION,
) -> None:
    """Send steady traffic to a model at your own gateway for a time, and report the results.

    Everything treats its requests as users' requests: gates count them. It ends by itself, or at Ctrl-C once pending
    answers are in. Times are those that the client saw.

    Exit code: 0 everything was answered, 4 something was not, 130 interrupted.

    Example: serin load intent --texts texts.txt --rate-per-s 20 --for-s 300
    """
    from controller.offline.texts_file import read_texts
    from suites.load import Load, Plan

    place = home_at(home).load().gateway if gateway is None else gateway_named(gateway)
    url = predict_url(place, model)
    headers = shown_to(bearer_file, url)
    try:
        plan = Plan(url, rate_per_s, for_s, lambda _: headers)
    except ValueError as error:
        name, _, rest = str(error).partition(" ")
        raise UsageError(f"--{name.replace('_', '-')} {rest}") from error
    running = Load(plan, itertools.cycle(map(_Text, read_texts(texts))))
    interrupted = asyncio.run(_until_over(running, for_s))
    tally = running.tally
    if output is Output.JSON:
        say_json({"schema": SCHEMA, "model": model, "url": url, "interrupted": interrupted, **document_of(tally)})
    else:
        _tell(tally)
    if interrupted:
        raise typer.Exit(EXIT_INTERRUPTED)
    if tally.failures or tally.skipped or not tally.took_ms:
        raise typer.Exit(EXIT_ERROR)


def document_of(tally: "Tally") -> dict[str, Any]:
    """Return the counts as they are printed for programs; times are null where nothing was answered."""
    return {
        "sent": tally.sent,
        "answered": len(tally.took_ms),
        "by_version": dict(sorted(tally.by_version.items())),
        "failed": tally.failures.total(),
        "failures": dict(tally.failures.most_common()),
        "skipped": tally.skipped,
        "p50_ms": tally.quantile_ms(0.50),
        "p95_ms": tally.quantile_ms(0.95),
    }


async def _until_over(running: "Load[_Text]", for_s: float) -> bool:
    """Run the load with a line of progress. Return whether a signal ended it before its time."""
    stopping = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stopping.set)
    with _progress(for_s, running.tally) as told:
        telling = asyncio.create_task(_again_and_again(told))
        await running.run(stopping)
        telling.cancel()
        with suppress(asyncio.CancelledError):
            await telling
    return stopping.is_set()


async def _again_and_again(told: Callable[[], None]) -> None:
    while True:
        told()
        await asyncio.sleep(_TOLD_EVERY_S)


@contextmanager
def _progress(for_s: float, tally: "Tally") -> Iterator[Callable[[], None]]:
    """A line on standard error, where that is a terminal; what is yielded brings it up to date."""
    from rich.progress import BarColumn, Progress, TextColumn

    columns = (TextColumn("{task.completed:.0f}/{task.total:.0f} s"), BarColumn(), TextColumn("{task.description}"))
    began_s = time.monotonic()
    with Progress(*columns, console=console(err=True), transient=True) as bar:
        task = bar.add_task("", total=for_s)
        yield lambda: bar.update(
            task,
            completed=time.monotonic() - began_s,
            description=f"{tally.sent:,} sent, {tally.failures.total():,} failed",
        )


def _tell(tally: "Tally") -> None:
    say(f"{tally.sent:,} sent, {len(tally.took_ms):,} answered, {tally.failures.total():,} failed")
    for version, answers in sorted(tally.by_version.items()):
        say(f"version {version}: {counted(answers, 'answer')}")
    for why, times in tally.failures.most_common(_REASONS_TOLD):
        say(f"{counted(times, 'time')}: {why}")
    if (more := len(tally.failures) - _REASONS_TOLD) > 0:
        say(f"and {counted(more, 'more kind')} of failure")
    if tally.skipped:
        say(f"{tally.skipped:,} not sent: too many were in progress")
    middle_ms, most_ms = tally.quantile_ms(0.50), tally.quantile_ms(0.95)
    if middle_ms is not None and most_ms is not None:
        say(f"P50 {middle_ms:.1f} ms, P95 {most_ms:.1f} ms")
