"""Strict JSON: reads it into frozen dataclasses, writes it without loss, and gives its JSON Schema.

It supports ``int``, ``float``, ``str``, ``bool``, ``T | None``, ``tuple[T, ...]`` and nested frozen dataclasses. Fields
with a default may be missing; unknown fields are errors.
"""

import dataclasses
import difflib
import json
import math
import sys
import types
import typing
from collections.abc import Callable, Iterable
from functools import cache
from typing import Any, Final

from serving.text.jsonlines import NoNumber, Unreadable, is_text
from serving.text.printable import shown

NOT_FINITE: Final = ("nan", "inf", "-inf")
"""The names of numbers that JSON does not have; each is written as a string."""
WHOLE_MAX: Final = 2**53
"""The largest whole number that every reader of JSON reads alike."""
_FLOAT_MAX: Final = int(sys.float_info.max)


# --- writing ----------------------------------------------------------------------------------------------------------
def compact_json(document: Any) -> str:
    """Return the document as one line of JSON; numbers that are not finite are written as their names."""
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
def read(expected: Any, value: Any) -> Any:
    """Return the JSON value as a value of type ``expected``.

    Raises:
        Unreadable: it is no such value; names the field.
    """
    return _reader(expected)(value)


Reader = Callable[[Any], Any]


@cache
def _reader(hint: Any) -> Reader:
    """Return the reader for this type. It is made once for each type, so that lines with thousands of pairs are read
    quickly."""
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
    hints = hints_of(cls)
    readers = {name: _reader(hint) for name, hint in hints.items()}
    required = _required(cls)

    def read(value: Any) -> Any:
        if not isinstance(value, dict):
            raise Unreadable(f"expected an object, found {described(value)}")
        found = {}
        for key, item in value.items():
            if key not in readers:
                raise unknown_key(key, readers)
            try:
                found[key] = readers[key](item)
            except Unreadable as error:
                raise error.within(key) from error
        for key in required:
            if key not in found:
                raise Unreadable("is missing", key)
        try:
            return cls(**found)
        except ValueError as error:
            raise Unreadable(str(error)) from error

    return read


def _array_reader(item: Reader) -> Reader:
    def read(value: Any) -> Any:
        if not isinstance(value, list):
            raise Unreadable(f"expected an array, found {described(value)}")
        place = 0
        found = []
        try:
            for place, inner in enumerate(value):  # noqa: B007 - where it stopped
                found.append(item(inner))
        except Unreadable as error:
            raise error.within(f"[{place}]") from error
        return tuple(found)

    return read


def _read_float(value: Any) -> float:
    if type(value) is float:
        return value
    if (type(value) is int and abs(value) <= _FLOAT_MAX) or value in NOT_FINITE:
        return float(value)
    hint = f" (what is not finite is written as one of {quoted(NOT_FINITE)})" if isinstance(value, NoNumber) else ""
    raise Unreadable(f"expected a number, found {described(value)}{hint}")


def _read_int(value: Any) -> int:
    if type(value) is int and abs(value) <= WHOLE_MAX:
        return value
    raise Unreadable(f"expected a whole number, found {described(value)}")


def _read_bool(value: Any) -> bool:
    if type(value) is bool:
        return value
    raise Unreadable(f"expected true or false, found {described(value)}")


def _read_str(value: Any) -> str:
    if type(value) is not str:
        raise Unreadable(f"expected a string, found {described(value)}")
    if not is_text(value):
        raise Unreadable("is no text: half of a surrogate pair stands alone")
    return value


def unknown_key(key: str, known: Iterable[str]) -> Unreadable:
    names = sorted(known)
    near = difflib.get_close_matches(key, names, n=1, cutoff=0.5)
    hint = f"did you mean {near[0]!r}?" if near else f"known keys: {', '.join(names)}"
    return Unreadable(f"unknown key; {hint}", shown(key))


def described(value: Any) -> str:
    if value is None:
        return "null"
    if isinstance(value, NoNumber):
        return value.reason
    if isinstance(value, bool):
        return str(value).lower()
    if type(value) is int and abs(value) > WHOLE_MAX:
        return f"{shown(str(value))}, which is too large"
    names = {dict: "an object", list: "an array", float: f"{value}", int: f"{value}"}
    return names.get(type(value)) or f"the string {shown(value)!r}"


def quoted(names: Iterable[str]) -> str:
    return ", ".join(f'"{name}"' for name in names)


def hints_of(cls: type) -> dict[str, Any]:
    """Return the types of a dataclass's fields, by name."""
    return _hints(cls)


@cache
def _hints(cls: Any) -> dict[str, Any]:
    return typing.get_type_hints(cls)


def _required(cls: Any) -> tuple[str, ...]:
    return tuple(field.name for field in dataclasses.fields(cls) if field.default is dataclasses.MISSING)


# --- JSON Schema, for other programs ----------------------------------------------------------------------------------
def schema_of(expected: Any, definitions: dict[str, Any]) -> dict[str, Any]:
    """Return the JSON Schema (draft 2020-12) of the values that `read` accepts. Dataclasses are added to
    ``definitions``, by name."""
    definitions.setdefault(
        "Number",
        {
            "description": "A number; one that was not finite, by its name.",
            "anyOf": [{"type": "number"}, {"enum": list(NOT_FINITE)}],
        },
    )
    return _schema(expected, definitions)


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
    hints = hints_of(cls)
    return {
        "description": " ".join((cls.__doc__ or "").split("\n\n")[0].split()),
        "type": "object",
        "properties": {name: _schema(hint, definitions) for name, hint in hints.items()},
        "required": list(_required(cls)),
        "additionalProperties": False,
    }
