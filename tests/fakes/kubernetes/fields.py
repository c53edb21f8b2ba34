"""Objects as sets of the fields that managers own: FieldsV1, as `metadata.managedFields` writes it."""

import json
from collections.abc import Iterable, Mapping
from typing import Any, Final

from tests.fakes.kubernetes.kinds import Object
from tests.fakes.kubernetes.shapes import Shape

Path = tuple[str, ...]  # elements as FieldsV1 has them: f:NAME, k:{KEYS}, v:VALUE
Leaves = dict[Path, Any]

ITEM: Final = object()  # the value of an item of a list with keys: that it is there
_UNOWNED: Final = {"apiVersion", "kind"}
_UNOWNED_METADATA: Final = {
    *("name", "namespace", "uid", "resourceVersion", "generation", "creationTimestamp", "generateName"),
    *("deletionTimestamp", "deletionGracePeriodSeconds", "managedFields", "selfLink"),
}
_KEY_DEFAULTS: Final = {"protocol": "TCP"}


def leaves(found: Object, shape: Shape) -> Leaves:
    """The fields of an object that can be owned, with their values."""
    owned = {name: value for name, value in found.items() if name not in _UNOWNED}
    metadata = {name: value for name, value in found.get("metadata", {}).items() if name not in _UNOWNED_METADATA}
    owned["metadata"] = metadata
    if not metadata:
        del owned["metadata"]
    into: Leaves = {}
    for name, value in owned.items():
        _collect(value, shape.child(name), (f"f:{name}",), into)
    return into


def _collect(value: Any, shape: Shape, path: Path, into: Leaves) -> None:
    if isinstance(value, Mapping) and value and not shape.is_atomic_map:
        for name, inner in value.items():
            if inner is not None or shape.child(name).is_nullable:
                _collect(inner, shape.child(name), (*path, f"f:{name}"), into)
    elif isinstance(value, list) and shape.keys:
        for item in value:
            at = (*path, key_of(item, shape.keys))
            into[at] = ITEM
            for name, inner in item.items():
                _collect(inner, shape.item().child(name), (*at, f"f:{name}"), into)
    elif isinstance(value, list) and shape.is_set:
        into.update({(*path, f"v:{json.dumps(item)}"): item for item in value})
    else:
        into[path] = value


def key_of(item: Mapping[str, Any], keys: Iterable[str]) -> str:
    """The path element of an item."""
    parts = {key: item.get(key, _KEY_DEFAULTS.get(key)) for key in keys}
    return "k:" + json.dumps({key: part for key, part in sorted(parts.items()) if part is not None})


def put(found: Object, path: Path, value: Any) -> None:
    """Give the field this value; what is on the way to it is made."""
    place: Any = found
    for element, following in zip(path, [*path[1:], None], strict=True):
        mark, _, rest = element.partition(":")
        if mark == "k":
            place = _item(place, json.loads(rest))
        elif mark == "v":
            if value not in place:
                place.append(value)
        elif following is None:
            place[rest] = value
        else:
            empty: Any = {} if following.startswith("f:") else []
            if not isinstance(place.get(rest), type(empty)):
                place[rest] = empty
            place = place[rest]


def take_away(found: Object, path: Path) -> None:
    """Remove the field, and maps and lists that are empty without it."""
    *above, last = path
    places: list[Any] = [found]
    for element in above:
        mark, _, rest = element.partition(":")
        place = _find(places[-1], json.loads(rest)) if mark == "k" else places[-1].get(rest)
        if place is None:
            return
        places.append(place)
    mark, _, rest = last.partition(":")
    if mark == "f":
        places[-1].pop(rest, None)
    elif mark == "v":
        places[-1].remove(json.loads(rest))
    elif (item := _find(places[-1], json.loads(rest))) is not None:
        places[-1].remove(item)
    for depth in range(len(above) - 1, 0, -1):  # never the outermost, as spec is
        mark, _, rest = above[depth].partition(":")
        if mark == "f" and places[depth + 1] in ({}, []):
            places[depth].pop(rest)


def _item(items: list[Any], keys: Mapping[str, Any]) -> Any:
    found = _find(items, keys)
    if found is None:
        found = dict(keys)
        items.append(found)
    return found


def _find(items: list[Any], keys: Mapping[str, Any]) -> Any:
    wanted = "k:" + json.dumps(dict(sorted(keys.items())))
    return next((item for item in items if key_of(item, keys) == wanted), None)


def encode(paths: Iterable[Path]) -> Object:
    """The paths as FieldsV1."""
    tree: Object = {}
    chosen = set(paths)
    for path in sorted(chosen):
        place = tree
        for depth, element in enumerate(path, 1):
            place = place.setdefault(element, {})
            if path[:depth] in chosen and depth < len(path):
                place.setdefault(".", {})
    return tree


def decode(tree: Mapping[str, Any], above: Path = ()) -> frozenset[Path]:
    """The paths of a FieldsV1."""
    found: set[Path] = set()
    for element, below in tree.items():
        if element == ".":
            found.add(above)
        elif not below:
            found.add((*above, element))
        else:
            found |= decode(below, (*above, element))
    return frozenset(found)


def shown(path: Path) -> str:
    """The path as messages show it: ``.spec.rules``."""
    said = ""
    for element in path:
        mark, _, rest = element.partition(":")
        if mark == "f":
            said += f".{rest}"
        elif mark == "k":
            said += "[" + ",".join(f"{key}={json.dumps(value)}" for key, value in json.loads(rest).items()) + "]"
        else:
            said += f"[={rest}]"
    return said
