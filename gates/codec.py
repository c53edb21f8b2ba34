"""Frozen dataclasses to JSON values and back, to the same floating-point numbers.

Only for what gate states are made of: ``int``, ``float``, ``str``, ``bool``, ``T | None``, ``tuple[T, ...]`` and nested
frozen dataclasses. Python writes the shortest text that reads back as the same float, so a restart changes nothing.
A field that has a default may be missing: a release under way goes on under a newer Serin that remembers more.
"""

import dataclasses
import types
import typing
from functools import cache
from typing import Any

_NOT_FINITE = ("NaN", "Infinity", "-Infinity", "nan", "inf", "-inf")  # JSON has none: their names stand for them


def encode(value: object) -> Any:
    """Return ``value`` as JSON values: dataclasses and dicts as objects, tuples as arrays."""
    if isinstance(value, dict):
        return {name: encode(item) for name, item in value.items()}
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {field.name: encode(getattr(value, field.name)) for field in dataclasses.fields(value)}
    if isinstance(value, tuple):
        return [encode(item) for item in value]
    return value


def decode(expected: Any, document: Any) -> Any:
    """Return the value of type ``expected`` that ``document`` stands for.

    Raises:
        ValueError: the document does not fit the type.
    """
    if dataclasses.is_dataclass(expected) and isinstance(expected, type):
        hints = _hints(expected)
        if not isinstance(document, dict) or not _required(expected) <= set(document) <= set(hints):
            raise ValueError(f"{expected.__name__}: expected the fields {sorted(hints)}")
        return expected(**{name: decode(hints[name], document[name]) for name in document})
    origin = typing.get_origin(expected)
    if origin is tuple:
        if not isinstance(document, list):
            raise ValueError(f"expected an array, found {type(document).__name__}")
        return tuple(decode(typing.get_args(expected)[0], item) for item in document)
    if origin in (types.UnionType, typing.Union):
        inner = next(option for option in typing.get_args(expected) if option is not type(None))
        return None if document is None else decode(inner, document)
    if expected is float and isinstance(document, int) and not isinstance(document, bool):
        return float(document)
    if expected is float and document in _NOT_FINITE:
        return float(document)
    if type(document) is not expected:
        raise ValueError(f"expected {expected.__name__}, found {type(document).__name__}")
    return document


@cache
def _required(cls: Any) -> frozenset[str]:
    missing = dataclasses.MISSING
    return frozenset(
        field.name for field in dataclasses.fields(cls) if field.default is missing and field.default_factory is missing
    )


@cache
def _hints(cls: type) -> dict[str, Any]:
    return typing.get_type_hints(cls)
