"""`serin label-requests`: the requests to label, for a person, a program or a tool in which people annotate."""

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Final

import typer

from controller.cli.following import since_s_of
from controller.cli.options import ModelArgument, Output, OutputOption, home_at
from controller.cli.output import console, say, say_json, say_json_text, say_row
from controller.cli.place import Place, at_a_place
from controller.errors import UsageError
from controller.naming import model_named

if TYPE_CHECKING:
    from controller.label_queue import LabelQueue
    from controller.ports.samples import LabelRequest

SCHEMA: Final = "serin.label-requests/v1"
LIMIT_MAX: Final = 1_000
_EXIT_NONE: Final = 3  # as inconclusive


class Tool(StrEnum):
    """The tools whose import format can be printed."""

    LABEL_STUDIO = "label-studio"
    ARGILLA = "argilla"


def register(app: typer.Typer) -> None:
    app.command(name="label-requests")(label_requests)


@at_a_place
def label_requests(
    model: ModelArgument,
    place: Place,
    limit: Annotated[int, typer.Option("--limit", min=1, max=LIMIT_MAX, help="At most this many.")] = 50,
    since: Annotated[
        str | None,
        typer.Option(
            "--since", help="Without a release: from answers since then, such as 2026-11-26T21:00, 12h or 7d."
        ),
    ] = None,
    form: Annotated[
        Tool | None, typer.Option("--format", help="Print what this tool imports, and nothing else.")
    ] = None,
    output: OutputOption = Output.TEXT,
) -> None:
    """Print the requests whose labels would tell most, in the order in which to label them, from the top.

    They come from the release that reads samples; without one, from the version that serves, if texts are kept (`serin
    up --capture-text`). Only JSON shows what the versions answered: people who see an answer tend to agree with it.
    Label them with `serin labels`, or in a tool. In a pipe the cells of each line are separated by tabs.

    Exit code: 0 there are some, 3 there are none.

    Example: serin label-requests intent --limit 200 --since 1d --format label-studio > tasks.json
    """
    from controller.label_queue import as_document

    if form is not None and output is Output.JSON:
        raise UsageError(f"--format {form} is JSON by itself: leave --output out")
    since_s = 0.0 if since is None else since_s_of(since, datetime.now(UTC))
    with _queue(place, model_named(model)) as queue:
        found = queue.label_requests(model, since_s=since_s, limit=limit)
    if form is not None:
        from controller.api.samples import IMPORTED

        say_json_text(json.dumps(IMPORTED[form](found), ensure_ascii=False))
    elif output is Output.JSON:
        say_json({"schema": SCHEMA, "model": model, "label_requests": list(map(as_document, found))})
    else:
        _tell(model, found)
    if not found:
        raise typer.Exit(_EXIT_NONE)


@contextmanager
def _queue(place: Place, model: str) -> Iterator["LabelQueue"]:
    from controller.bootstrap.label_queue import label_queue_elsewhere, label_queue_of

    if place.server is not None:
        yield label_queue_elsewhere(place.server, token_file=place.token_file, ca_file=place.ca_file)
        return
    with label_queue_of(home_at(place.home), model) as queue:
        yield queue


def _tell(model: str, found: Sequence["LabelRequest"]) -> None:
    if not found:
        say(f"{model}: no request to label. Without a release texts have to be kept: serin up --capture-text")
    elif console().is_terminal:
        _draw(found)
    else:
        for one in found:
            say_row(one.request_id, _chosen(one), f"{one.inclusion_probability:g}", one.text or "")


def _draw(found: Sequence["LabelRequest"]) -> None:
    from rich.table import Table

    from serving.text.printable import printable

    table = Table.grid(padding=(0, 2))
    for heading in ("REQUEST", "CHOSEN BY"):
        table.add_column(heading, no_wrap=True, style="dim")
    table.add_column("TEXT")
    for one in found:
        table.add_row(one.request_id, f"{_chosen(one)} {one.inclusion_probability:.3g}", printable(one.text or "-"))
    console().print(table)


def _chosen(one: "LabelRequest") -> str:
    from controller.api.annotating import Chosen

    return (Chosen.DISAGREEMENT if one.directed else Chosen.CHANCE).value
