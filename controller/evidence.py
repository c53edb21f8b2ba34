"""Recorded evidence as a file: JSON Lines, one look a line, read strictly and written so that nothing is lost.

A line holds the fields of `gates.evidence.Look` under their own names, as the journal stores them, and three more:
which version of the format it is, which release it belongs to, and the deadline that was fixed before the first look.
Every line says all of this, so a file can be cut, sorted by release, and put together with others.
"""

import dataclasses
import difflib
import json
import math
import sys
import types
import typing
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Final

from controller.codec import event_of
from controller.core.events import Looked
from controller.errors import UsageError
from controller.ports import RecordedEntry
from gates.codec import encode
from gates.evidence import Look

SCHEMA: Final = "serin.evidence/v2"
READABLE: Final = ("serin.evidence/v1", SCHEMA)
"""The first version knows fewer fields; all that came later may be left out."""
NOT_FINITE: Final = ("nan", "inf", "-inf")
"""JSON has no such numbers. A look that holds one is kept all the same, with its name in the number's place."""
WHOLE_MAX: Final = 2**53
"""Larger whole numbers are not the same number to every reader of JSON."""
STDIN: Final = Path("-")


@dataclass(frozen=True, slots=True)
class RecordedLook:
    """One line: a look, its release, and (unix time) the deadline that its release started with."""

    look: Look
    release: str = ""
    deadline_s: float | None = None


# --- writing ----------------------------------------------------------------------------------------------------------
def line_of(recorded: RecordedLook) -> str:
    """The line, without its newline. `parse_line` gives back an equal value."""
    outer = {"schema": SCHEMA, "release": recorded.release, "deadline_s": recorded.deadline_s}
    return compact_json(outer | encode(recorded.look))


def looks_of(entries: Iterable[RecordedEntry]) -> Iterator[RecordedLook]:
    """Every look that the journal of a release holds, in order.

    Raises:
        PermanentError: the journal holds an entry that this version cannot read.
    """
    release, deadline_s = "", None
    for recorded in entries:
        if recorded.entry.kind == "Started":
            release = str(recorded.entry.payload["id"])
        elif recorded.entry.kind == Looked.__name__:
            event = event_of(recorded.entry)
            if isinstance(event, Looked):
                deadline_s = event.panel.get("deadline_s")
                yield RecordedLook(event.look, release, deadline_s)


def compact_json(document: Any) -> str:
    """One line of JSON; numbers that are not finite as their names."""
    return json.dumps(_named(document), ensure_ascii=False, allow_nan=False, separators=(",", ":"))


def _named(document: Any) -> Any:
    if isinstance(document, dict):
        return {key: _named(value) for key, value in document.items()}
    if isinstance(document, list):
        return [_named(value) for value in document]
    if isinstance(document, float) and not math.isfinite(document):
        return str(document)
    return document


# --- reading ----------------------------------------------------------------------------------------------------------
class _Unreadable(Exception):  # noqa: N818 - told to people as a UsageError
    """Why a value cannot be read; its place is put in front on the way out."""

    def __init__(self, reason: str, place: str = "") -> None:
        super().__init__(reason)
        self.reason = reason
        self.place = place

    def within(self, outer: str) -> "_Unreadable":
        inner = self.place if not self.place or self.place.startswith("[") else f".{self.place}"
        return _Unreadable(self.reason, f"{outer}{inner}")

    def __str__(self) -> str:
        return f"{self.place}: {self.reason}" if self.place else self.reason


def read_evidence(path: Path) -> tuple[RecordedLook, ...]:
    """All looks of a file, or of standard input where the path is ``-``. Blank lines are left out.

    Raises:
        UsageError: the file cannot be read, or a line is not a look; names file, line and field.
    """
    try:
        content = sys.stdin.buffer.read() if path == STDIN else path.read_bytes()
    except OSError as error:
        raise UsageError(f"{path}: cannot be read: {error.strerror or error}") from error
    lines = enumerate(content.split(b"\n"), start=1)
    return tuple(parse_line(line, f"{path}, line {number}") for number, line in lines if line.strip())


def parse_line(line: bytes | str, name: str = "evidence") -> RecordedLook:
    """The look that a line stands for. Fields with a default may be left out; unknown ones may not be added.

    Raises:
        UsageError: anything else, whatever it is; begins with ``name`` and names the field.
    """
    try:
        text = line.decode("utf-8") if isinstance(line, bytes) else line
        document = json.loads(
            text, object_pairs_hook=_object, parse_constant=_constant, parse_float=_finite, parse_int=_whole
        )
        return _recorded(document)
    except _Unreadable as error:
        raise UsageError(f"{name}: {error}") from error
    except UnicodeDecodeError as error:
        raise UsageError(f"{name}: not UTF-8 at byte {error.start + 1}") from error
    except json.JSONDecodeError as error:
        raise UsageError(f"{name}: not JSON: {error.msg} at column {error.colno}") from error
    except RecursionError as error:
        raise UsageError(f"{name}: not a look: nested too deeply") from error


def _recorded(document: Any) -> RecordedLook:
    if not isinstance(document, dict):
        raise _Unreadable(f"expected an object, found {_kind(document)}")
    if document.get("schema") not in READABLE:
        raise _Unreadable(f"expected one of {_listed(READABLE)}", "schema")
    fields = {key: value for key, value in document.items() if key != "schema"}
    outer = {key: fields.pop(key) for key in ("release", "deadline_s") if key in fields}
    look = _reader(Look)(fields)
    hints = _hints(RecordedLook)
    for key, value in outer.items():
        try:
            outer[key] = _reader(hints[key])(value)
        except _Unreadable as error:
            raise error.within(key) from error
    return RecordedLook(look, **outer)


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        seen: set[str] = set()
        twice = next(key for key, _ in pairs if key in seen or seen.add(key))  # type: ignore[func-returns-value]
        raise _Unreadable("is written twice", twice)
    return found


@dataclass(frozen=True, slots=True)
class _NoNumber:
    """Stands where a number cannot be, until the reader of the field says so."""

    reason: str


def _constant(name: str) -> _NoNumber:
    return _NoNumber(f"{name}, which is no JSON (it is written as one of {_listed(NOT_FINITE)})")


def _finite(text: str) -> float | _NoNumber:
    value = float(text)
    return value if math.isfinite(value) else _too_large(text)


def _whole(text: str) -> int | _NoNumber:
    return int(text) if len(text) <= 17 and abs(int(text)) <= WHOLE_MAX else _too_large(text)


def _too_large(text: str) -> _NoNumber:
    return _NoNumber(f"{_shown(text)}, which is too large")


Reader = Callable[[Any], Any]


@cache
def _reader(hint: Any) -> Reader:
    """What reads a value of this type. Made once a type, so that a line with thousands of pairs reads quickly."""
    if dataclasses.is_dataclass(hint) and isinstance(hint, type):
        return _object_reader(hint)
    origin = typing.get_origin(hint)
    if origin is tuple:
        return _array_reader(_reader(typing.get_args(hint)[0]))
    if origin in (types.UnionType, typing.Union):
        inner = _reader(next(option for option in typing.get_args(hint) if option is not type(None)))
        return lambda value: None if value is None else inner(value)
    return {float: _read_float, int: _read_int, bool: _read_bool, str: _read_str}[hint]


def _object_reader(cls: type) -> Reader:
    hints = _hints(cls)
    readers = {name: _reader(hint) for name, hint in hints.items()}
    required = _required(cls)

    def read(value: Any) -> Any:
        if not isinstance(value, dict):
            raise _Unreadable(f"expected an object, found {_kind(value)}")
        found = {}
        for key, item in value.items():
            if key not in readers:
                raise _Unreadable(_unknown(key, readers), _shown(key))
            try:
                found[key] = readers[key](item)
            except _Unreadable as error:
                raise error.within(key) from error
        for key in required:
            if key not in found:
                raise _Unreadable("is missing", key)
        try:
            return cls(**found)
        except ValueError as error:
            raise _Unreadable(str(error)) from error

    return read


def _array_reader(item: Reader) -> Reader:
    def read(value: Any) -> Any:
        if not isinstance(value, list):
            raise _Unreadable(f"expected an array, found {_kind(value)}")
        place = 0
        found = []
        try:
            for place, inner in enumerate(value):  # noqa: B007 - where it stopped
                found.append(item(inner))
        except _Unreadable as error:
            raise error.within(f"[{place}]") from error
        return tuple(found)

    return read


def _read_float(value: Any) -> float:
    if type(value) is float:
        return value
    if type(value) is int or value in NOT_FINITE:
        return float(value)
    raise _Unreadable(f"expected a number, found {_kind(value)}")


def _read_int(value: Any) -> int:
    if type(value) is int:
        return value
    raise _Unreadable(f"expected a whole number, found {_kind(value)}")


def _read_bool(value: Any) -> bool:
    if type(value) is bool:
        return value
    raise _Unreadable(f"expected true or false, found {_kind(value)}")


def _read_str(value: Any) -> str:
    if type(value) is not str:
        raise _Unreadable(f"expected a string, found {_kind(value)}")
    if any("\ud800" <= letter <= "\udfff" for letter in value):
        raise _Unreadable("is no text: half of a surrogate pair stands alone")
    return value


def _unknown(key: str, known: Iterable[str]) -> str:
    names = sorted(known)
    near = difflib.get_close_matches(key, names, n=1, cutoff=0.5)
    return "unknown key; " + (f"did you mean {near[0]!r}?" if near else f"known keys: {', '.join(names)}")


def _kind(value: Any) -> str:
    if value is None:
        return "null"
    if isinstance(value, _NoNumber):
        return value.reason
    if isinstance(value, bool):
        return str(value).lower()
    names = {dict: "an object", list: "an array", float: f"{value}", int: f"{value}"}
    return names.get(type(value)) or f"the string {_shown(value)!r}"


def _shown(text: str) -> str:
    """At most so much of what somebody else wrote, and only what a terminal can show."""
    short = text if len(text) <= 40 else f"{text[:39]}…"
    return short.encode("ascii", "backslashreplace").decode() if not short.isprintable() else short


def _listed(names: Iterable[str]) -> str:
    return ", ".join(f'"{name}"' for name in names)


@cache
def _hints(cls: type) -> dict[str, Any]:
    return typing.get_type_hints(cls)


def _required(cls: Any) -> tuple[str, ...]:
    return tuple(field.name for field in dataclasses.fields(cls) if field.default is dataclasses.MISSING)


# --- the format, for other programs -----------------------------------------------------------------------------------
def json_schema() -> dict[str, Any]:
    """The JSON Schema (draft 2020-12) of one line."""
    definitions: dict[str, Any] = {
        "Number": {
            "description": "A number; one that was not finite, by its name.",
            "anyOf": [{"type": "number"}, {"enum": list(NOT_FINITE)}],
        }
    }
    look = _object_schema(Look, definitions)
    hints = _hints(RecordedLook)
    outer = {key: _schema(hints[key], definitions) for key in ("release", "deadline_s")}
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": f"One look of recorded evidence, {SCHEMA}",
        **look,
        "properties": {"schema": {"enum": list(READABLE)}, **outer, **look["properties"]},
        "required": ["schema", *look["required"]],
        "$defs": definitions,
    }


_PLAIN: Final[dict[Any, dict[str, Any]]] = {
    float: {"$ref": "#/$defs/Number"},
    int: {"type": "integer", "minimum": -WHOLE_MAX, "maximum": WHOLE_MAX},
    bool: {"type": "boolean"},
    str: {"type": "string"},
}


def _schema(hint: Any, definitions: dict[str, Any]) -> dict[str, Any]:
    if dataclasses.is_dataclass(hint) and isinstance(hint, type):
        if hint.__name__ not in definitions:
            definitions[hint.__name__] = _object_schema(hint, definitions)
        return {"$ref": f"#/$defs/{hint.__name__}"}
    origin = typing.get_origin(hint)
    if origin is tuple:
        return {"type": "array", "items": _schema(typing.get_args(hint)[0], definitions)}
    if origin in (types.UnionType, typing.Union):
        inner = next(option for option in typing.get_args(hint) if option is not type(None))
        return {"anyOf": [_schema(inner, definitions), {"type": "null"}]}
    return _PLAIN[hint]


def _object_schema(cls: type, definitions: dict[str, Any]) -> dict[str, Any]:
    hints = _hints(cls)
    return {
        "description": (cls.__doc__ or "").split("\n\n")[0].replace("\n", " ").strip(),
        "type": "object",
        "properties": {name: _schema(hint, definitions) for name, hint in hints.items()},
        "required": list(_required(cls)),
        "additionalProperties": False,
    }
