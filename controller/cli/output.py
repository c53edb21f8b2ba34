"""All that the commands print. Whatever others wrote in it: a line stays one, and commands no terminal or CI system.

Standard library only: the on-call rollback prints by it.
"""

import os
import sys
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final, TextIO

from controller.errors import UsageError, in_words
from serving.text.printable import COMMAND, one_line

_NO_BREAK: Final = "\N{NO-BREAK SPACE}"

if TYPE_CHECKING:
    from rich.console import Console


def say(text: str, *, err: bool = False) -> None:
    """Print one line. Goes on in silence where nobody reads it any more: the exit code still tells.

    Raises:
        UsageError: standard output takes no more, as on a full disk.
    """
    _write(one_line(text), sys.stderr if err else sys.stdout)


def say_folded(text: str, *, indent: int = 0) -> None:
    """Print one line; at a terminal that is too narrow for it several, of which those after the first are indented. A
    number stays beside its sign: ``50 %``."""
    line = one_line(text)
    if not sys.stdout.isatty():
        _write(line, sys.stdout)
        return
    import shutil
    import textwrap

    width = shutil.get_terminal_size().columns
    held = line.replace(" %", f"{_NO_BREAK}%")  # which is no place to break at
    parts = textwrap.wrap(held, max(width, 2 * indent), subsequent_indent=" " * indent, break_on_hyphens=False)
    for part in parts:
        _write(one_line(part), sys.stdout)  # in which every space is one again


def say_row(*cells: str) -> None:
    """Print a line of cells for other programs, with tabs between them and none within."""
    _write("\t".join(map(one_line, cells)), sys.stdout)


def say_lines(text: str, *, err: bool = False) -> None:
    """Print a text of several lines, which are ours; what stands in each is printable when it comes here."""
    for line in text.split("\n"):
        say(line, err=err)


def say_json(document: Mapping[str, Any]) -> None:
    """Print an object over several lines."""
    import json

    say_json_text(json.dumps(document, ensure_ascii=False, indent=2))


def say_json_text(text: str) -> None:
    """Print JSON: the same value, with escapes for what a terminal would obey or its encoding cannot hold."""
    if not (getattr(sys.stdout, "encoding", None) or "").lower().startswith("utf"):
        text = "".join(letter if letter.isascii() else _json_escape(letter) for letter in text)
    _write("\n".join(map(_json_line, text.split("\n"))), sys.stdout)


def say_defect(error: Exception) -> None:
    """Print the traceback of what nobody foresaw, and one line."""
    import traceback

    from serving.text.logs import below

    _write(below("".join(traceback.format_exception(error)).rstrip("\n")), sys.stderr)
    say(f"serin: a defect in Serin, not a verdict: {type(error).__name__}: {error}", err=True)


def console(*, err: bool = False) -> "Console":
    """Return where tables are drawn: no markup is read in what they hold."""
    from controller.cli.console import HarmlessConsole

    return HarmlessConsole(stderr=err)


def close_pipe(stream: TextIO) -> None:
    """Let a stream that nobody reads lead nowhere, so that the interpreter does not fail on it at its end."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, stream.fileno())
    os.close(nowhere)


def unwritable(error: OSError) -> UsageError:
    """Return what is told where standard output takes no more, as on a full disk."""
    return UsageError(f"standard output cannot be written: {in_words(error)}")


def _write(text: str, stream: TextIO) -> None:
    try:
        print(text, file=stream, flush=True)
    except OSError as error:
        close_pipe(stream)
        if stream is sys.stdout and not isinstance(error, BrokenPipeError):
            raise unwritable(error) from error


def _json_line(line: str) -> str:
    line = COMMAND.sub(r"#\\u0023", line)
    return line if line.isprintable() else "".join(c if c.isprintable() else _json_escape(c) for c in line)


def _json_escape(letter: str) -> str:
    import json

    return json.dumps(letter)[1:-1]
