"""The conversion of releases and events to the JSON that the journal stores, and back to equal values."""

import json
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import replace
from functools import cache
from typing import Any, Final, get_args

from pydantic import ConfigDict, TypeAdapter, ValidationError
from pydantic_core import to_json

from controller.core.events import Event, Looked, Started
from controller.core.release import GateState, Phase, Purpose, Release
from controller.errors import UnreadableError
from controller.journal.notes import Note
from controller.ports.journal import Entry, RecordedEntry, ReleaseRecord, Sighting
from gates.gate_set import GateSetState

_EVENTS: Final[Mapping[str, Any]] = {kind.__name__: kind for kind in get_args(Event)}
_NOTES: Final[Mapping[str, Any]] = {kind.__name__: kind for kind in get_args(Note)}
_SERVED: Final = frozenset({Phase.PROMOTED, Phase.PROBATION})

_WHILE_ACTIVE: Final = (
    "It waits, and nothing of it is moved, judged or ended: run the version that recorded it and let it end there "
    "(`serin abort {model}`). `serin rollback {model}` moves its users all the same"
)
_ONCE_OVER: Final = "It is over: the version that recorded it shows it"

Payload = dict[str, Any]


def _look_without_memory(payload: Payload) -> Payload:
    """Return a look of schema 1 in schema 2: looks used to hold the gates' memory, with their deadline, and the
    cursors."""
    panel = payload.pop("panel", None) or {}
    payload.pop("cursors", None)
    return {**payload, "deadline_s": panel.get("deadline_s")}


def _look_by_parts(payload: Payload) -> Payload:
    """Return a look of schema 2 in schema 3: looks used to count half of stable's replicas, which now are two parts."""
    look = dict(payload["look"])
    half, stable = look.pop("stable_half", None), look.get("stable")
    if half is not None and stable is not None:
        look["stable_parts"] = [_less(stable, half), half]
    return {**payload, "look": look}


def _less(every: Payload, some: Payload) -> Payload:
    """Return the counts ``every`` without ``some``. No count goes below 0: a scrape may have fallen between two
    counters."""
    counts = [max(a - b, 0) for a, b in zip(every["latency_counts"], some["latency_counts"], strict=True)]
    requests, errors = (max(every[name] - some[name], 0) for name in ("requests", "errors"))
    return {"requests": requests, "errors": min(errors, requests), "latency_counts": counts}


# The values that keep the old behaviour, for policy keys whose defaults changed it: a release keeps the behaviour that
# it began with. A key without an entry here has a default that changed nothing.
_BEFORE: Final[Payload] = {
    "warm_up_s": 0.0,
    "probation_mirror_pct": 0.0,
    "gates": {
        "incident_s": 0.0,
        "accuracy_slices": None,
        "labels": {"chosen_ratio_max": 1.0},
        "suite": {"class_guard_points": None},
    },
}
_KEYS_SINCE: Final = (
    "warm_up_s",
    "probation_mirror_pct",
    "incident_s",
    "accuracy_slices",
    "chosen_ratio_max",
    "class_guard_points",
    "truths_max",
)


def _as_it_was(policy: Payload, before: Payload = _BEFORE) -> Payload:
    """Return a recorded policy, with the values that keep the old behaviour for the keys that it lacks."""
    held = {
        name: _as_it_was(policy.get(name, {}), value) if isinstance(value, dict) else value
        for name, value in before.items()
        if name not in policy or isinstance(value, dict)
    }
    return {**policy, **held}


def _started_as_it_was(payload: Payload) -> Payload:
    policy = _as_it_was(payload["policy"])
    gates = policy["gates"]
    if slices := gates["accuracy_slices"]:  # the gate existed, but watched no class by its true labels
        policy = {**policy, "gates": {**gates, "accuracy_slices": {"truths_max": 0, **slices}}}
    return {**payload, "policy": policy}


# The readers of earlier schemas: by kind, the step from schema 1 to 2, from 2 to 3, and so on. An event whose fields
# change gets one more step here, and is written in the schema after the last step.
READERS: Final[Mapping[str, tuple[Callable[[Payload], Payload], ...]]] = {
    Looked.__name__: (_look_without_memory, _look_by_parts),
    Started.__name__: (_started_as_it_was, _started_as_it_was, _started_as_it_was),
}


@cache
def _adapter(kind: type) -> TypeAdapter[Any]:
    return TypeAdapter(kind)


@cache
def _writer(kind: type) -> TypeAdapter[Any]:
    """Return the adapter that writes values of the kind. The type is made optional because pydantic takes a config for
    an optional type, and not for a dataclass."""
    maybe: Any = kind | None
    return TypeAdapter(maybe, config=ConfigDict(ser_json_inf_nan="strings"))


def schema_of(kind: str) -> int:
    """Return the schema in which events of this kind are written."""
    return len(READERS.get(kind, ())) + 1


def entry_of(event: Event | Note, at_s: float) -> Entry:
    """Return the event as a journal entry: its kind, and its fields as JSON values."""
    kind = type(event).__name__
    return Entry(kind=kind, at_s=at_s, payload=_dump(event), schema=schema_of(kind))


def event_of(entry: Entry | RecordedEntry) -> Event:
    """Return the event of a release's entry.

    Raises:
        UnreadableError: this version of Serin does not know the kind or the schema, or the payload is damaged.
        ValueError: the payload was thinned out.
    """
    event: Event = _read(_EVENTS, entry)
    return event


def note_of(entry: Entry | RecordedEntry) -> Note:
    """Return the note of an entry of another stream. Raises as `event_of`."""
    note: Note = _read(_NOTES, entry)
    return note


def _read(kinds: Mapping[str, Any], entry: Entry | RecordedEntry) -> Any:
    if entry.kind not in kinds:
        raise UnreadableError(f"the journal holds an event of kind {entry.kind!r}, which this version does not know")
    written = schema_of(entry.kind)
    if not 1 <= entry.schema <= written:
        raise UnreadableError(
            f"the journal holds an event {entry.kind} of schema {entry.schema}; this version reads up to {written}"
        )
    if isinstance(entry, RecordedEntry):
        if entry.schema == written and entry.text is not None:
            return _load(kinds[entry.kind], entry.text)
        entry = entry.entry
    payload: Any = entry.payload
    try:
        for reader in READERS.get(entry.kind, ())[entry.schema - 1 :]:
            payload = reader(dict(payload))
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise UnreadableError(
            f"the journal holds a {entry.kind} that cannot be read ({type(error).__name__}: {error})"
        ) from error
    return _load(kinds[entry.kind], payload)


def record_of(release: Release, sequence: int) -> ReleaseRecord:
    """Return the release as the journal stores it with its entries."""
    return ReleaseRecord(
        release_id=release.id,
        model=release.model,
        version=release.candidate.number,
        phase=release.phase,
        active=release.active,
        sequence=sequence,
        started_at_s=release.started_at_s,
        state=_snapshot(release),
        phase_since_s=release.phase_since_s,
        reason=release.reason,
        sightings=tuple(_sightings(release)),
    )


def _snapshot(release: Release) -> str:
    """Return the release as JSON text. The gates' memory has no type in the schema, so its JSON is inserted as text."""
    text = _writer(Release).dump_json(release, exclude={"gate_state"})
    if (remembered := release.gate_state) is not None:
        held = remembered.document
        document = _remembered(held) if isinstance(held, GateSetState) else to_json(held, inf_nan_mode="strings")
        text = text[:-1] + b',"gate_state":{"schema":%d,"document":%b}}' % (remembered.schema, document)
    return text.decode()


def _remembered(state: GateSetState) -> bytes:
    """Return `gates.gate_set.document_of` as JSON. Each gate's state is written by its own type, which takes half the
    time."""
    text = _writer(GateSetState).dump_json(state, exclude={"gates"})
    gates = [
        b'%b:{"kind":%b,"state":%b}' % (to_json(name), to_json(type(one).__name__), _json_of(one))
        for name, one in state.gates
    ]
    return text[:-1] + b',"gates":{' + b",".join(gates) + b"}}"


def release_of(record: ReleaseRecord) -> Release:
    """Return the release as it was recorded.

    Raises:
        UnreadableError: this version of Serin cannot read it; names the release and the way out.
    """
    try:
        release: Release = _load(Release, _state_of(record))
    except UnreadableError as error:
        raise UnreadableError(
            f"release {record.release_id} of {record.model} was recorded by another version of Serin, and {error}. "
            + (_WHILE_ACTIVE.format(model=record.model) if record.active else _ONCE_OVER)
        ) from error
    if release.gate_state is None and '"panel"' in record.state:  # the gates' memory used to have no schema
        panel = json.loads(record.state).get("panel")
        return replace(release, gate_state=GateState(1, panel)) if isinstance(panel, Mapping) else release
    return release


def _state_of(record: ReleaseRecord) -> str:
    """Return the recorded state, with the policy as in `_as_it_was`. Old states are known by missing keys, because a
    state has no schema number."""
    if all(f'"{key}"' in record.state for key in _KEYS_SINCE):
        return record.state
    with suppress(ValueError, TypeError, KeyError, AttributeError):  # a damaged state is reported by `release_of`
        state = json.loads(record.state)
        return json.dumps(_started_as_it_was(state))
    return record.state


def _sightings(release: Release) -> list[Sighting]:
    """Return the versions of the release that have a source id; a number alone identifies no version."""
    found: list[Sighting] = []
    for version in (release.stable, release.fallback, release.candidate):
        if version is None or not version.source_id:
            continue
        candidate = version is release.candidate
        served = not candidate or release.phase in _SERVED
        released = candidate and release.purpose is Purpose.PROMOTE
        found.append(Sighting(version.number, version.source_id, version.fingerprint, served, released))
    return found


def _dump(value: Any) -> Any:
    """Return the value as JSON values. JSON has no NaN and no infinity, so these are written as strings."""
    return json.loads(_json_of(value))


def _json_of(value: Any) -> bytes:
    """Return the value as JSON, written by its own type."""
    kind: type = type(value)
    return _writer(kind).dump_json(value)


def _load(kind: Any, document: Any) -> Any:
    """Return the value of this kind from JSON text or from JSON values.

    Raises:
        UnreadableError: the document is no value of this kind.
    """
    try:
        if isinstance(document, str):
            return _adapter(kind).validate_json(document)
        return _adapter(kind).validate_python(document)
    except ValidationError as error:
        first, *more = error.errors(include_url=False, include_context=False, include_input=False)
        where = ".".join(map(str, first["loc"])) or "the whole"
        others = f", and {len(more)} more" if more else ""
        raise UnreadableError(
            f"the journal holds a {kind.__name__} that cannot be read ({where}: {first['msg']}{others})"
        ) from error
