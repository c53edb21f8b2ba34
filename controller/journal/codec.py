"""Releases and events as JSON values, and back to the same values: what the journal stores."""

import math
from collections.abc import Mapping
from functools import cache
from typing import Any, get_args

from pydantic import TypeAdapter, ValidationError

from controller.core.events import Event, Looked
from controller.core.release import Release
from controller.errors import PermanentError
from controller.ports.journal import Entry, Json, ReleaseRecord

_KINDS: dict[str, Any] = {kind.__name__: kind for kind in get_args(Event)}


@cache
def _adapter(kind: type) -> TypeAdapter[Any]:
    return TypeAdapter(kind)


def entry_of(event: Event, at_s: float) -> Entry:
    """The event as a journal entry: its kind, and its fields as JSON values."""
    return Entry(kind=type(event).__name__, at_s=at_s, payload=_dump(event))


def event_of(entry: Entry) -> Event:
    """The event that the entry stands for. Raises PermanentError where this version of Serin cannot read it."""
    if entry.kind not in _KINDS:
        raise PermanentError(f"the journal holds an event of kind {entry.kind!r}, which this version does not know")
    event: Event = _load(_KINDS[entry.kind], _of_today(entry))
    return event


def _of_today(entry: Entry) -> Json:
    """The payload as this version writes it. A look used to hold the gates' memory, and so their deadline."""
    panel = entry.payload.get("panel")
    if entry.kind == Looked.__name__ and isinstance(panel, Mapping):
        return {**entry.payload, "deadline_s": panel.get("deadline_s")}
    return entry.payload


def record_of(release: Release, sequence: int) -> ReleaseRecord:
    """The release as the journal stores it beside its entries."""
    return ReleaseRecord(
        release_id=release.id,
        model=release.model,
        version=release.candidate.number,
        phase=release.phase,
        active=release.active,
        sequence=sequence,
        started_at_s=release.started_at_s,
        state=_dump(release),
    )


def release_of(record: ReleaseRecord) -> Release:
    """The release as it was recorded. Raises PermanentError where this version of Serin cannot read it."""
    release: Release = _load(Release, _state_of_today(record.state))
    return release


def _state_of_today(state: Json) -> Json:
    """The snapshot as this version writes it. What the gates remember used to have no schema."""
    panel = state.get("panel")
    return {**state, "gate_state": {"schema": 1, "document": panel}} if isinstance(panel, Mapping) else state


def _dump(value: Any) -> Any:
    kind: type = type(value)
    return _strict(_adapter(kind).dump_python(value, mode="json"))


def _strict(document: Any) -> Any:
    """JSON has no NaN and no infinity; evidence that holds one is recorded all the same, as its name."""
    if isinstance(document, dict):
        return {key: _strict(value) for key, value in document.items()}
    if isinstance(document, list):
        return [_strict(value) for value in document]
    if isinstance(document, float) and not math.isfinite(document):
        return str(document)
    return document


def _load(kind: Any, document: Any) -> Any:
    try:
        return _adapter(kind).validate_python(document)
    except ValidationError as error:
        raise PermanentError(f"the journal holds a {kind.__name__} that cannot be read: {error}") from error
