"""Argilla 2.x: records to import there, and labels from its webhooks and its export.

A record carries in ``metadata`` which request it is, and is called by it. Of a response the value of one question is
the label: of the question called ``label``, where there are several. Only what was submitted is a label. Each annotator
is a source of its own, by the id that webhooks and exports have alike; whoever changes a response corrects.
"""

from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from itertools import zip_longest
from typing import Any, Final

from controller.api.annotating import Event, brought_back, carried_by, mapping, readable, seconds_of, sequence
from controller.api.labels import Item
from controller.ports.samples import LabelRequest
from serving.text.jsonlines import Unreadable

SOURCE: Final = "argilla"
QUESTION: Final = "label"
UNIT: Final = "response"  # what places count, from 0
_CREATED: Final = "response.created"
_UPDATED: Final = "response.updated"
_SUBMITTED: Final = "submitted"  # else it is a draft, or was discarded
_RESPONSES: Final = ".responses"  # after a question's name, in a record whose keys are flat


def records(requests: Sequence[LabelRequest]) -> list[dict[str, object]]:
    """Return the requests as ``dataset.records.from_json`` reads them; those whose text is not kept are left out."""
    return [
        {
            "id": one.request_id,
            "fields": {"text": one.text},
            "metadata": carried_by(one),
            "suggestions": {},
            "responses": {},
            "vectors": {},
        }
        for one in requests
        if one.text is not None
    ]


def event(document: Any) -> Event:
    """Return what a webhook's body tells.

    Raises:
        Unreadable: it is no such body; names the key.
    """
    body = mapping(document, "body")
    action = body.get("type")
    if not isinstance(action, str):
        raise Unreadable("missing: this is no webhook of Argilla", "type")
    if action not in (_CREATED, _UPDATED):
        return Event(action)
    response = mapping(body.get("data"), "data")
    if response.get("status") != _SUBMITTED:
        return Event(action, (), 1)
    return Event(action, ((0, partial(_of_response, response, corrects=action == _UPDATED)),))


def exported(document: Any) -> tuple[tuple[Item, ...], int]:
    """Return the responses of an export, and how many of them were not submitted: a list of records, as
    ``to_list(flatten=True)`` or ``to_json`` give it. What stands there is what the annotators say now.

    Raises:
        Unreadable: it is no list of records with their responses; names the place.
    """
    readings = []
    for number, record in enumerate(sequence(document, "export")):
        found = mapping(record, f"[{number}]")
        nested = isinstance(found.get("responses"), Mapping)
        responses = _nested(found, number) if nested else _flat(found, number)
        carried, place = (found.get("metadata"), "record.metadata") if nested else (found, "record")
        readings += [
            None if status not in (None, _SUBMITTED) else partial(_of_record, carried, place, value, user)
            for value, user, status in responses
        ]
    return readable(readings)


def _nested(record: Mapping[str, Any], number: int) -> Iterator[tuple[Any, Any, Any]]:
    """Yield value, annotator and status of each response to the question, of a record as ``to_json`` writes it."""
    by_question = record["responses"]
    place = f"[{number}].responses"
    if not by_question:
        return
    for one in sequence(by_question.get(_question(by_question, place)), place):
        response = mapping(one, place)
        yield response.get("value"), response.get("user_id"), response.get("status")


def _flat(record: Mapping[str, Any], number: int) -> Iterator[tuple[Any, Any, Any]]:
    """As `_nested`, of a record whose keys are flat. One that nobody answered has the keys all the same, or null."""
    names = [key.removesuffix(_RESPONSES) for key in record if key.endswith(_RESPONSES)]
    place = f"[{number}].{QUESTION}{_RESPONSES}"
    if not names:
        raise Unreadable(
            "missing: nobody answered, or the export is not of dataset.records(with_responses=True)", place
        )
    key = _question(names, place) + _RESPONSES
    values, users, states = (record.get(key + after) or [] for after in ("", ".users", ".status"))
    yield from zip_longest(sequence(values, place), sequence(users, place), sequence(states, place))


def _of_response(response: Mapping[str, Any], *, corrects: bool) -> dict[str, object]:
    """The label of a response as a webhook tells of it."""
    place = "data.values"
    values = mapping(response.get("values"), place)
    answer = mapping(values.get(_question(values, place)), place)
    carried = mapping(response.get("record"), "data.record").get("metadata")
    user = mapping(response.get("user"), "data.user").get("id")
    label = _label(carried, "data.record.metadata", answer.get("value"), user, corrects=corrects)
    changed = response.get("updated_at")
    return label if changed is None else {**label, "at_s": seconds_of(changed, "data.updated_at")}


def _of_record(carried: Any, place: str, value: Any, user: Any) -> dict[str, object]:
    return _label(carried, place, value, user, corrects=True)


def _label(carried: Any, place: str, value: Any, user: Any, *, corrects: bool) -> dict[str, object]:
    if isinstance(value, list):
        if len(value) != 1:
            raise Unreadable(f"must be one class, and is {len(value)}", QUESTION)
        value = value[0]
    source = SOURCE if user is None else f"{SOURCE}/{user}"
    return {**brought_back(carried, place), "label": value, "source": source, "corrects": corrects}


def _question(names: Sequence[str] | Mapping[str, Any], place: str) -> str:
    """Return the question whose value is the label. Raises Unreadable where it cannot be told."""
    found = list(names)
    if QUESTION in found:
        return QUESTION
    if len(found) != 1:
        raise Unreadable(f"must have one question, or one that is called {QUESTION}", place)
    return found[0]
