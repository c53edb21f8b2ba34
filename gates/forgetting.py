"""Gate states without their highest evidence so far, which came from a part that turned out to be unlike the whole.

By convention the fields ``peak...`` of a state hold log evidence at its highest. All other evidence follows from the
counts that stay in the state.
"""

from dataclasses import fields, is_dataclass, replace
from typing import Any, TypeVar

StateT = TypeVar("StateT")


def forgotten(state: StateT) -> StateT:
    """Return the state with 0 in all its ``peak...`` fields, those of nested states too."""
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
