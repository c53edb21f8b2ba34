"""A file of texts to send: one text in each line, or JSON Lines with a `text` field, like suites and data sets."""

from collections.abc import Iterator
from pathlib import Path
from typing import Final

from controller.errors import UsageError
from serving.text.jsonlines import Unreadable, lines, loads, read_bounded

BYTES_MAX: Final = 2**26
JSON_LINES: Final = frozenset({".jsonl", ".ndjson"})


def read_texts(path: Path) -> tuple[str, ...]:
    """Return the texts of the file in order; blank lines are skipped.

    Raises:
        UsageError: the file cannot be read, has no text, or has a line that is no text; names the line.
    """
    try:
        found = tuple(_texts(path))
    except Unreadable as error:
        raise UsageError(f"--texts {path}: {error}") from error
    if not found:
        raise UsageError(f'--texts {path}: has no text: write one a line, or in a .jsonl file {{"text": "..."}} a line')
    return found


def _texts(path: Path) -> Iterator[str]:
    is_json = path.suffix.lower() in JSON_LINES
    for number, line in lines(read_bounded(path, BYTES_MAX)):
        try:
            yield _of_object(line) if is_json else line.decode("utf-8")
        except UnicodeDecodeError as error:
            raise Unreadable(f"not UTF-8 at byte {error.start + 1}", f"line {number}") from error
        except Unreadable as error:
            raise error.within(f"line {number}") from error


def _of_object(line: bytes) -> str:
    found = loads(line)
    text = found.get("text") if isinstance(found, dict) else None
    if not isinstance(text, str) or not text.strip():
        raise Unreadable("has no `text`")
    return text
