"""For pipelines: a gate in CI, and labels from a file."""

import time
from pathlib import Path
from typing import Annotated

import typer

from controller.cli.options import DEFAULT_HOME_OPTION, HomeOption, home_at
from controller.errors import UsageError


def register(app: typer.Typer) -> None:
    app.command()(labels)


def labels(
    file: Annotated[Path, typer.Argument(help="JSON Lines: request_id, label, and optionally at_s, source, directed.")],
    home: HomeOption = DEFAULT_HOME_OPTION,
) -> None:
    """Take in true labels from a file. The same label again changes nothing.

    Example: serin labels truth.jsonl
    """
    from controller.api.bodies import LabelBody, parse_lines
    from controller.api.errors import ApiError
    from controller.bootstrap.stores import opened

    try:
        found = [body.to_label(time.time()) for body in parse_lines(LabelBody, file.read_bytes())]
    except (OSError, ApiError) as error:
        raise UsageError(f"{file}: {error}") from error
    with opened(home_at(home)) as store:
        new = store.samples.add_labels(found)
    typer.echo(f"{file}: {len(found)} labels, {new} new.")
