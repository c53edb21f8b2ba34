"""Label Studio 1.x: an exchange with a real one (``recorded/label_studio.json``), and variations of it for what a real
one does not send."""

import copy
import json
from datetime import datetime
from pathlib import Path
from typing import Any

RECORDED: dict[str, Any] = json.loads((Path(__file__).parents[1] / "recorded/label_studio.json").read_text())
ANNOTATOR, SECOND_ANNOTATOR = RECORDED["annotators"]["ann"], RECORDED["annotators"]["eve"]
DELIVERIES: list[dict[str, Any]] = RECORDED["deliveries"]


def told_first(action: str) -> dict[str, Any]:
    """The first body of that kind."""
    bodies = (json.loads(one["body"]) for one in DELIVERIES)
    body: dict[str, Any] = next(body for body in bodies if body["action"] == action)
    return body


CREATED = told_first("ANNOTATION_CREATED")
COPIED = told_first("ANNOTATIONS_CREATED")
TASK: dict[str, Any] = CREATED["task"]
ANNOTATION: dict[str, Any] = CREATED["annotation"]
ANNOTATED_S = datetime.fromisoformat(ANNOTATION["updated_at"]).timestamp()


def annotation(*choices: str, **changes: object) -> dict[str, Any]:
    """An annotation that says so."""
    one = copy.deepcopy(ANNOTATION)
    one["result"][0]["value"]["choices"] = list(choices)
    return {**one, **changes}


def task(request: str = "a", **meta: object) -> dict[str, Any]:
    """A task that carries another request."""
    return {**TASK, "meta": {**TASK["meta"], "serin_request_id": request, **meta}}


def created(one: dict[str, Any] | None = None, of: dict[str, Any] | None = None) -> dict[str, Any]:
    """What is sent when somebody annotated."""
    return {**CREATED, "annotation": one or ANNOTATION, "task": of or TASK}


def updated(one: dict[str, Any], of: dict[str, Any] | None = None) -> dict[str, Any]:
    """What is sent when somebody changed an annotation."""
    return {**created(one, of), "action": "ANNOTATION_UPDATED"}


def created_together(*pairs: tuple[dict[str, Any], dict[str, Any]]) -> dict[str, Any]:
    """What is sent when several were annotated at once: tasks with one annotation each."""
    return {**COPIED, "task": [of for of, _ in pairs], "annotation": [one for _, one in pairs]}


def export(*pairs: tuple[dict[str, Any], dict[str, Any]]) -> list[dict[str, Any]]:
    """The JSON export of tasks with one annotation each."""
    (first, *_) = RECORDED["export"]
    return [{**first, "meta": of["meta"], "annotations": [one]} for of, one in pairs]
