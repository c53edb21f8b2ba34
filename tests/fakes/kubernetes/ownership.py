"""Who owns which fields: what an apply may change, what it leaves out, and what other writes take over."""

import copy
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

from tests.fakes.kubernetes.errors import ApiError, Cause
from tests.fakes.kubernetes.fields import ITEM, Path, decode, encode, leaves, put, shown, take_away
from tests.fakes.kubernetes.kinds import Object
from tests.fakes.kubernetes.shapes import Shape

_ABSENT: Final = object()


@dataclass(frozen=True, slots=True)
class Manager:
    """Who writes: its name, by apply or otherwise, at the object itself or at a subresource."""

    name: str
    operation: str  # Apply or Update
    subresource: str = ""


@dataclass(frozen=True, slots=True)
class Entry:
    """What a manager owns, since when."""

    manager: Manager
    api_version: str
    time: str
    paths: frozenset[Path]


def entries_of(found: Object) -> list[Entry]:
    """The entries of ``metadata.managedFields``."""
    return [
        Entry(
            Manager(one["manager"], one["operation"], one.get("subresource", "")),
            one["apiVersion"],
            one["time"],
            decode(one["fieldsV1"]),
        )
        for one in found.get("metadata", {}).get("managedFields", [])
    ]


def set_entries(found: Object, entries: Sequence[Entry]) -> None:
    """Write ``metadata.managedFields``; a manager that owns nothing is left out."""
    written = []
    for entry in entries:
        if not entry.paths:
            continue
        one: Object = {
            "manager": entry.manager.name,
            "operation": entry.manager.operation,
            "apiVersion": entry.api_version,
            "time": entry.time,
            "fieldsType": "FieldsV1",
            "fieldsV1": encode(entry.paths),
        }
        if entry.manager.subresource:
            one["subresource"] = entry.manager.subresource
        written.append(one)
    found["metadata"]["managedFields"] = written


def applied(live: Object, wanted: Object, shape: Shape, by: Manager, now: str, *, force: bool) -> Object:
    """The object after ``by`` applied ``wanted``.

    Raises:
        ApiError: 409 where another owns a field and it would change, unless forced.
    """
    wants = leaves(wanted, shape)
    has = leaves(live, shape)
    entries = entries_of(live)
    differing = {path for path, value in wants.items() if has.get(path, _ABSENT) != value}
    others = [entry for entry in entries if entry.manager != by]
    if not force:
        _refuse_conflicts(others, differing)
    result = copy.deepcopy(live)
    before = next((entry.paths for entry in entries if entry.manager == by), frozenset())
    others = [replace(entry, paths=entry.paths - differing) for entry in others]
    kept = wants.keys() | {path for entry in others for path in entry.paths}
    for path in sorted(before - kept, key=len):
        if has.get(path, _ABSENT) is not ITEM or not any(one[: len(path)] == path for one in kept):
            take_away(result, path)
    for path, value in sorted(wants.items(), key=lambda one: len(one[0])):
        put(result, path, copy.deepcopy(value))
    set_entries(result, [*others, Entry(by, wanted["apiVersion"], now, frozenset(wants))])
    return result


def _refuse_conflicts(others: Sequence[Entry], differing: set[Path]) -> None:
    causes = [
        Cause("FieldManagerConflict", f"conflict with {_named(entry)}", shown(path))
        for entry in others
        for path in sorted(entry.paths & differing)
    ]
    if causes:
        several = "conflict" if len(causes) == 1 else "conflicts"
        said = ", ".join(f"{cause.message}: {cause.field}" for cause in causes)
        raise ApiError(409, "Conflict", f"Apply failed with {len(causes)} {several}: {said}", causes)


def _named(entry: Entry) -> str:
    said = f'"{entry.manager.name}"'
    if entry.manager.subresource:
        said += f' with subresource "{entry.manager.subresource}"'
    if entry.manager.operation == "Update":
        said += f" using {entry.api_version} at {entry.time}"
    return said


def updated(before: Object, after: Object, shape: Shape, by: Manager, now: str) -> None:
    """Write into ``after`` who owns what, once ``by`` has written it otherwise than by apply: what it changed is its
    own now."""
    was, now_is = leaves(before, shape), leaves(after, shape)
    changed = {path for path, value in now_is.items() if was.get(path, _ABSENT) != value}
    gone = was.keys() - now_is.keys()
    if by.subresource == "scale" and not _is_owned(before, changed):
        changed = set()  # as the server does: a scale of what nobody owns leaves no owner
    entries = []
    mine: frozenset[Path] = frozenset()
    for entry in entries_of(before):
        left = entry.paths - gone
        if entry.manager == by:
            mine = left
        else:
            entries.append(replace(entry, paths=left - changed))
    if mine | changed:
        since = now if changed else next(one.time for one in entries_of(before) if one.manager == by)
        entries.append(Entry(by, after["apiVersion"], since, mine | changed))
    set_entries(after, entries)


def _is_owned(found: Object, paths: set[Path]) -> bool:
    return any(entry.paths & paths for entry in entries_of(found))


def same(one: Object, other: Object) -> bool:
    """Return whether both are the same, times of ownership aside."""
    return _timeless(one) == _timeless(other)


def _timeless(found: Object) -> Object:
    metadata: Mapping[str, Any] = found["metadata"]
    managed = sorted(
        ({key: value for key, value in one.items() if key != "time"} for one in metadata.get("managedFields", [])),
        key=str,
    )
    return {**found, "metadata": {**metadata, "managedFields": managed}}
