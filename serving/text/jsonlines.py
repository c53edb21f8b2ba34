"""JSON Lines as somebody else wrote them: suites, labels, evidence and rows to score are all read by this.

Lines end with LF, and CR LF is one too. What Unicode calls a line separator (U+2028, U+0085) is text. A byte order mark
is dropped. An object that has a key twice is refused, since readers differ in which of the two counts.
"""

import json
import math
import stat
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, Final

from serving.text.printable import shown

BOM: Final = b"\xef\xbb\xbf"
NUMBER_CHARS_MAX: Final = 400
"""Longer whole numbers are refused unread: reading one takes time that grows with the square of its length."""
DEPTH_MAX: Final = 50
"""Nothing that is read here nests so deep; a place in it stays one that can be told."""
_UTF_16: Final = (b"\xff\xfe", b"\xfe\xff")
_GZIP: Final = b"\x1f\x8b"


class Unreadable(Exception):  # noqa: N818 - told to people as an error of the part that reads
    """The reason that a value cannot be read; its place is put in front on the way out."""

    def __init__(self, reason: str, place: str = "") -> None:
        super().__init__(reason)
        self.reason = reason
        self.place = place

    def within(self, outer: str) -> "Unreadable":
        inner = self.place if not self.place or self.place.startswith("[") else f".{self.place}"
        return Unreadable(self.reason, f"{outer}{inner}")

    def __str__(self) -> str:
        return f"{self.place}: {self.reason}" if self.place else self.reason


@dataclass(frozen=True, slots=True)
class NoNumber:
    """Stands where a number cannot be, or a key was written twice, until somebody says so who knows the field."""

    reason: str


def read_bounded(path: Path, bytes_max: int) -> bytes:
    """The file whole. Symbolic links are followed; a pipe is read where it is open here (``/dev/stdin``, ``<(...)``).

    Raises:
        Unreadable: it cannot be read, is no file, is compressed, or is longer than ``bytes_max``.
    """
    try:
        mode = path.stat().st_mode
        if not (stat.S_ISREG(mode) or stat.S_ISDIR(mode) or (stat.S_ISFIFO(mode) and _is_open_here(path))):
            raise Unreadable("cannot be read: it is not a file, but a pipe or a device")
        with path.open("rb") as file:
            return whole(file, bytes_max)
    except IsADirectoryError as error:
        raise Unreadable("cannot be read: it is a folder, but a file is needed") from error
    except OSError as error:
        raise Unreadable(f"cannot be read: {error.strerror or error}") from error
    except ValueError as error:  # a NUL in the path
        raise Unreadable(f"cannot be read: {error}") from error


def _is_open_here(path: Path) -> bool:
    """Return whether opening it waits for nobody: a named pipe would, for as long as no one writes."""
    return path == Path("/dev/stdin") or path.is_relative_to("/dev/fd") or path.is_relative_to("/proc/self/fd")


def whole(file: BinaryIO, bytes_max: int) -> bytes:
    """All that an open file, or a stream, gives. Raises as `read_bounded`."""
    content = file.read(bytes_max + 1)
    if content.startswith(_GZIP):
        raise Unreadable("cannot be read: it is compressed with gzip; unpack it first")
    if len(content) > bytes_max:
        raise Unreadable(f"cannot be read: it is longer than {bytes_max:,} bytes")
    return content


def lines(content: bytes) -> Iterator[tuple[int, bytes]]:
    """Each line that is not blank, as `bare` gives it, with its number from 1."""
    for number, line in enumerate(content.split(b"\n"), start=1):
        if record := bare(line):
            yield number, record


def bare(line: bytes) -> bytes:
    """A line's bytes without its end, the blanks around it, and a byte order mark."""
    return line.removeprefix(BOM).strip()


def loads(line: bytes | str) -> Any:
    """The JSON value of a line.

    Raises:
        Unreadable: it is no JSON in UTF-8, has a key twice, a number that cannot be, or half of a surrogate pair;
            names the field.
    """
    return texts_checked(numbers_checked(loads_marked(line)))


def loads_marked(line: bytes | str, *, twice_marked: bool = False) -> Any:
    """As `loads`, but with a `NoNumber` where a number cannot be, and with halves of surrogate pairs.

    ``twice_marked``: a key that occurs twice has one, too, where it would refuse the whole. For readers that know
    what each field must be, and can say it better.
    """
    pairs_hook = _object_marked if twice_marked else _object
    try:
        text = line.decode("utf-8") if isinstance(line, bytes) else line
        return json.loads(
            text, object_pairs_hook=pairs_hook, parse_constant=_constant, parse_float=_finite, parse_int=_whole
        )
    except UnicodeDecodeError as error:
        if isinstance(line, bytes) and line.startswith(_UTF_16):
            raise Unreadable("not UTF-8 at byte 1: it looks like UTF-16; save the file as UTF-8") from error
        raise Unreadable(f"not UTF-8 at byte {error.start + 1}") from error
    except json.JSONDecodeError as error:
        if "\r" in text.strip():
            raise Unreadable("not JSON: its lines end with CR alone; end them with LF, or with CR and LF") from error
        raise Unreadable(f"not JSON: {error.msg} at column {error.colno}") from error
    except RecursionError as error:
        raise Unreadable("nested too deeply") from error


def numbers_checked(value: Any) -> Any:
    """The value. Raises Unreadable where a `NoNumber` stands in it, with the field."""
    for path, inner in _parts(value):
        if isinstance(inner, NoNumber):
            raise Unreadable(inner.reason, _place(path))
    return value


def texts_checked(value: Any) -> Any:
    """The value. Raises Unreadable where a text or a key in it is none, with the field."""
    for path, inner in _parts(value):
        if isinstance(inner, str) and not is_text(inner):
            raise Unreadable("is not a text: half of a surrogate pair stands alone", _place(path))
        if isinstance(inner, dict) and not all(map(is_text, inner)):
            raise Unreadable("a key in it is not a text: half of a surrogate pair stands alone", _place(path))
    return value


def is_text(text: str) -> bool:
    """Return whether UTF-8 can carry it: JSON can write half of a surrogate pair, and nothing else takes it."""
    return text.isascii() or not any("\ud800" <= letter <= "\udfff" for letter in text)


def _parts(value: Any) -> Iterator[tuple[list[str | int], Any]]:
    """The value and all that is in it, in the document's order, each with the keys that lead to it.

    One list of keys for all, good until the next is asked for: a place of its own for each value would take many times
    what the document takes.

    Raises:
        Unreadable: it is nested deeper than `DEPTH_MAX`.
    """
    path: list[str | int] = []
    yield path, value
    levels = [_items(value)]
    while levels:
        for key, inner in levels[-1]:
            path[len(levels) - 1 :] = [key]
            yield path, inner
            if isinstance(inner, dict | list):
                if len(levels) == DEPTH_MAX:
                    raise Unreadable("nested too deeply")
                levels.append(_items(inner))
                break
        else:
            levels.pop()


def _items(value: Any) -> Iterator[tuple[str | int, Any]]:
    if isinstance(value, dict):
        return iter(value.items())
    return enumerate(value) if isinstance(value, list) else iter(())


def _place(path: Iterable[str | int]) -> str:
    """As people write it: ``labels[3].at_s``."""
    return "".join(f"[{key}]" if isinstance(key, int) else f".{shown(key)}" for key in path).removeprefix(".")


_TWICE: Final = "occurs twice"


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise Unreadable(_TWICE, shown(_twice(pairs)))
    return found


def _object_marked(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        found[_twice(pairs)] = NoNumber(_TWICE)
    return found


def _twice(pairs: list[tuple[str, Any]]) -> str:
    seen: set[str] = set()
    return next(key for key, _ in pairs if key in seen or seen.add(key))  # type: ignore[func-returns-value]


def _constant(name: str) -> NoNumber:
    return NoNumber(f"{name}, which is not JSON")


def _finite(text: str) -> float | NoNumber:
    value = float(text)
    return value if math.isfinite(value) else _too_large(text)


def _whole(text: str) -> int | NoNumber:
    return int(text) if len(text) <= NUMBER_CHARS_MAX else _too_large(text)


def _too_large(text: str) -> NoNumber:
    return NoNumber(f"{shown(text)}, which is too large")
