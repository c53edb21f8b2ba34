"""`serin help TOPIC`, and `serin --version`: what a person asks the tool about itself."""

import shutil
import textwrap
from collections.abc import Iterator, Sequence
from typing import Annotated, Final

import typer

from controller.cli.output import say, say_lines
from controller.cli.topic_texts import TOPICS, Part, Rows
from controller.errors import UsageError

_COLUMNS_MAX: Final = 100  # a line that is longer is not read
_NAMES_SHARE: Final = 3  # a column of names takes a third of the line at most
_INDENT: Final = 2


def register(app: typer.Typer) -> None:
    app.command(name="help")(help_)
    app.callback()(about)


def help_(topic: Annotated[str | None, typer.Argument(help=f"One of {', '.join(TOPICS)}.")] = None) -> None:
    """Explain a topic: a night on call, phases, gates, exit codes, JSON output, files, roles, Argo's terms.

    For a command: serin COMMAND --help, or -h.

    Example: serin help exit-codes
    """
    columns = shutil.get_terminal_size((_COLUMNS_MAX, 0)).columns
    if topic is None:
        contents: Rows = {f"serin help {name}": what for name, (what, _) in TOPICS.items()}
        say_lines(drawn(["Topics:", contents, "Of a command: serin COMMAND --help"], columns))
        return
    if topic not in TOPICS:
        raise UsageError(f"topic {topic!r}: unknown; topics are {', '.join(TOPICS)}. For a command: --help")
    say_lines(drawn(TOPICS[topic][1](), columns))


def drawn(parts: Sequence[Part], columns: int) -> str:
    """The parts as lines of so many columns at most."""
    width = min(columns, _COLUMNS_MAX)
    return "\n\n".join(
        "\n".join(_wrapped(part, width) if isinstance(part, str) else _rows(part, width)) for part in parts
    )


def _wrapped(text: str, width: int, indent: int = 0) -> list[str]:
    before = " " * indent
    return textwrap.wrap(
        " ".join(text.split()),
        width,
        initial_indent=before,
        subsequent_indent=before,
        break_long_words=False,
        break_on_hyphens=False,
    )


def _rows(rows: Rows, width: int) -> Iterator[str]:
    """Names beside what they mean, or above it where they are longer; above it all, where most are."""
    short = [len(name) for name in rows if len(name) + _INDENT <= width // _NAMES_SHARE]
    beside = 2 * len(short) > len(rows)
    column = _INDENT + max(short) + _INDENT if beside else 3 * _INDENT
    for name, text in rows.items():
        head, lines = f"{' ' * _INDENT}{name}", _wrapped(text, width, column)
        if beside and len(head) + _INDENT <= column:
            yield head.ljust(column) + lines[0].lstrip()
            yield from lines[1:]
        else:
            yield from _wrapped(name, width, _INDENT)
            yield from lines


def _version(value: bool) -> None:  # noqa: FBT001 - typer's callback
    if value:
        from controller.skew import own_release

        say(f"serin {own_release()}")
        raise typer.Exit


def about(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the release of Serin.")
    ] = False,
) -> None:
    """Release gate and canary controller for text classifiers: promotes or rolls back by itself, and says why."""
