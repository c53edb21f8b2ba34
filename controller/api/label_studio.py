"""Label Studio: tasks to import there, and labels from its webhooks and its JSON export (formats of version 1).

A task carries in ``meta`` which request it is. Of an annotation the one choice is the label: that of the control called
``label``, where there are several. Each annotator is a source of its own, and whoever changes an annotation corrects.
What nobody said is no label: a task that was skipped, and a prediction that became an annotation by itself.
"""

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any, Final

from controller.api.annotating import Event, brought_back, carried_by, mapping, readable, seconds_of, sequence
from controller.api.labels import Item
from controller.ports.samples import LabelRequest
from serving.text.jsonlines import Unreadable

SOURCE: Final = "label-studio"
CONTROL: Final = "label"
UNIT: Final = "annotation"  # what places count, from 0
_CREATED: Final = frozenset({"ANNOTATION_CREATED", "ANNOTATIONS_CREATED"})
_UPDATED: Final = "ANNOTATION_UPDATED"


def tasks(requests: Sequence[LabelRequest]) -> list[dict[str, object]]:
    """Return the requests as Label Studio imports them; those whose text is not kept are left out."""
    return [{"data": {"text": one.text}, "meta": carried_by(one)} for one in requests if one.text is not None]


def event(document: Any) -> Event:
    """Return what a webhook's body tells.

    Raises:
        Unreadable: it is no such body, or has no payload; names the key.
    """
    body = mapping(document, "body")
    action = body.get("action")
    if not isinstance(action, str):
        raise Unreadable("missing: this is no webhook of Label Studio", "action")
    if action not in _CREATED and action != _UPDATED:
        return Event(action)
    if "annotation" not in body:
        raise Unreadable("missing: have the webhook send its payload (`send_payload`)", "annotation")
    many = isinstance(body["annotation"], list)
    annotations = body["annotation"] if many else [body["annotation"]]
    told_of = sequence(body.get("task"), "task") if many else [mapping(body.get("task"), "task")]
    by_id = {task.get("id"): task for task in told_of if isinstance(task, Mapping)}
    pairs = [(by_id.get(_task_of(one)) if many else told_of[0], one) for one in annotations]
    return Event(action, *_items(pairs, corrects=action == _UPDATED))


def exported(document: Any) -> tuple[tuple[Item, ...], int]:
    """Return the annotations of a JSON export (not JSON-MIN), and how many were skipped. What stands there is what the
    annotator says now, whatever was said before.

    Raises:
        Unreadable: it is no list of tasks with their annotations; names the place.
    """
    pairs = []
    for number, task in enumerate(sequence(document, "export")):
        place = f"[{number}].annotations"
        if "annotations" not in mapping(task, f"[{number}]"):
            raise Unreadable("missing: take the export JSON, not JSON-MIN", place)
        pairs += [(task, one) for one in sequence(task["annotations"], place)]
    return _items(pairs, corrects=True)


def _items(pairs: Sequence[tuple[Any, Any]], *, corrects: bool) -> tuple[tuple[Item, ...], int]:
    """Return what can be read of tasks with an annotation each, and how many were skipped."""
    return readable(
        [
            None if _said_by_nobody(annotation) else partial(_label, task, annotation, corrects=corrects)
            for task, annotation in pairs
        ]
    )


def _said_by_nobody(annotation: Any) -> bool:
    """Return whether the task was skipped, or the annotation is a copy of a prediction that nobody looked at: Label
    Studio's "Create Annotations From Predictions" names whoever asked for it as the annotator."""
    if not isinstance(annotation, Mapping):
        return False
    copied = annotation.get("parent_prediction") is not None and annotation.get("updated_by") is None
    return bool(annotation.get("was_cancelled")) or copied


def _label(task: Any, annotation: Any, *, corrects: bool) -> dict[str, object]:
    told = mapping(annotation, "annotation")
    label: dict[str, object] = brought_back(mapping(task, "task").get("meta"), "task.meta")
    label |= {"label": _choice(told.get("result")), "source": _source(told.get("completed_by")), "corrects": corrects}
    changed = told.get("updated_at")
    return label if changed is None else {**label, "at_s": seconds_of(changed, "annotation.updated_at")}


def _choice(result: Any) -> Any:
    place = "annotation.result"
    found = [one for one in sequence(result, place) if isinstance(one, Mapping) and one.get("type") == "choices"]
    if len(found) > 1:
        found = [one for one in found if one.get("from_name") == CONTROL]
    if len(found) != 1:
        raise Unreadable(f"must have one result of type choices, or one of the control {CONTROL}", place)
    choices = sequence(mapping(found[0].get("value"), f"{place}.value").get("choices"), f"{place}.value.choices")
    if len(choices) != 1:
        raise Unreadable(f"must be one class, and is {len(choices)}", f"{place}.value.choices")
    return choices[0]


def _source(annotator: Any) -> str:
    """Return the name of an annotator, who stands in an annotation by number or with a profile."""
    number = annotator.get("id") if isinstance(annotator, Mapping) else annotator
    return SOURCE if number is None else f"{SOURCE}/{number}"


def _task_of(annotation: Any) -> Any:
    return annotation.get("task") if isinstance(annotation, Mapping) else None
