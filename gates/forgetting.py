"""States without the highest evidence so far, where what it was of turned out to be a part that is not like the whole.

By convention a state's fields ``peak...`` hold log evidence at its highest, and everything else can be told again from
what is kept.
"""

from dataclasses import fields, is_dataclass, replace
from typing import Any, TypeVar

StateT = TypeVar("StateT")


def forgotten(state: StateT) -> StateT:
    """The state, with nothing in its ``peak...`` fields, wherever they are."""
    changes: dict[str, Any] = {}
    for one in fields(state):  # type: ignore[arg-type]  # of a dataclass, as all states are
        value = getattr(state, one.name)
        if one.name.startswith("peak") and isinstance(value, float):
            changes[one.name] = 0.0
        elif is_dataclass(value):
            changes[one.name] = forgotten(value)
        elif isinstance(value, tuple) and value and all(map(is_dataclass, value)):
            changes[one.name] = tuple(map(forgotten, value))
    return replace(state, **changes)  # type: ignore[type-var]
