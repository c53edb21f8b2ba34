"""JSON patch (RFC 6902) and JSON merge patch (RFC 7386)."""

import copy
from collections.abc import Mapping, Sequence
from typing import Any

from tests.fakes.kubernetes.errors import ApiError, bad_request


def merged(found: Any, patch: Any) -> Any:
    """The value with a merge patch: null takes a field away, lists are replaced."""
    if not isinstance(patch, Mapping):
        return copy.deepcopy(patch)
    result = dict(found) if isinstance(found, Mapping) else {}
    for name, value in patch.items():
        if value is None:
            result.pop(name, None)
        else:
            result[name] = merged(result.get(name), value)
    return result


def patched(found: Any, operations: Sequence[Mapping[str, Any]]) -> Any:
    """The value with a JSON patch. Raises ApiError 422 where it cannot be applied."""
    if not isinstance(operations, Sequence) or isinstance(operations, str):
        raise bad_request("a JSON patch is a list of operations")
    root = {"": copy.deepcopy(found)}
    for one in operations:
        operation, parts = one["op"], one["path"].split("/")[1:]
        value = one.get("value")
        if operation in ("move", "copy"):
            value = copy.deepcopy(_read(root[""], one["from"].split("/")[1:]))
            if operation == "move":
                _write(root, one["from"].split("/")[1:], "remove", None)
            operation = "add"
        if operation == "test":
            if _read(root[""], parts) != value:
                raise _refused()
        else:
            _write(root, parts, operation, copy.deepcopy(value))
    return root[""]


def _refused() -> ApiError:
    """The server does not say which operation it was."""
    return ApiError(422, "Invalid", "the server rejected our request due to an error in our request")


def _name(part: str) -> str:
    return part.replace("~1", "/").replace("~0", "~")


def _read(found: Any, parts: Sequence[str]) -> Any:
    for part in parts:
        try:
            found = found[int(part)] if isinstance(found, list) else found[_name(part)]
        except (KeyError, IndexError, ValueError, TypeError):
            raise _refused() from None
    return found


def _write(root: Any, parts: Sequence[str], operation: str, value: Any) -> None:
    *above, last = ["", *parts]
    place = _read(root, above)
    try:
        if isinstance(place, list):
            _write_item(place, last, operation, value)
        elif operation == "remove":
            del place[_name(last)]
        else:
            if operation == "replace":
                place[_name(last)]
            place[_name(last)] = value
    except (KeyError, IndexError, ValueError, TypeError):
        raise _refused() from None


def _write_item(items: list[Any], at: str, operation: str, value: Any) -> None:
    if operation == "add":
        items.insert(len(items) if at == "-" else int(at), value)
    elif operation == "remove":
        del items[int(at)]
    else:
        items[int(at)] = value
