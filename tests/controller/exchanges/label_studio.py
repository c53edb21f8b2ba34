"""Label Studio 1.x: `webhook_reference` and `export` of its guide; that a payload holds the task, from its
``webhooks/models.py``."""

import copy
from typing import Any

PROJECT = {
    "id": 2,
    "title": "Intents",
    "label_config": '<View><Text name="text" value="$text"/><Choices name="label" toName="text"/></View>',
    "maximum_annotations": 1,
    "organization": 1,
}
TASK = {
    "id": 19,
    "data": {"text": "where is my money"},
    "meta": {
        "serin_request_id": "a",
        "serin_inclusion_probability": 0.25,
        "serin_chosen": "chance",
        "serin_model": "intent",
    },
    "created_at": "2026-11-23T11:02:10.591839Z",
    "updated_at": "2026-11-23T11:10:48.590873Z",
    "is_labeled": True,
    "overlap": 1,
    "project": 2,
    "file_upload": 46,
}
ANNOTATION = {
    "id": 17,
    "result": [
        {
            "value": {"choices": ["invoice"]},
            "id": "WArqkkifYE",
            "from_name": "label",
            "to_name": "text",
            "type": "choices",
            "origin": "manual",
        }
    ],
    "was_cancelled": False,
    "ground_truth": False,
    "created_at": "2026-11-23T11:10:48.536303Z",
    "updated_at": "2026-11-23T11:10:48.536370Z",
    "lead_time": 7.13,
    "prediction": {},
    "result_count": 0,
    "task": 19,
    "completed_by": 4,
}


def annotation(*choices: str, **changes: object) -> dict[str, Any]:
    """An annotation that says so."""
    one = copy.deepcopy(ANNOTATION)
    one["result"][0]["value"]["choices"] = list(choices)  # type: ignore[index]
    return {**one, **changes}


def task(request: str = "a", **meta: object) -> dict[str, Any]:
    """A task that carries another request."""
    return {**TASK, "meta": {**TASK["meta"], "serin_request_id": request, **meta}}  # type: ignore[dict-item]


def created(one: dict[str, Any] | None = None, of: dict[str, Any] | None = None) -> dict[str, Any]:
    """What is sent when somebody annotated."""
    return {"action": "ANNOTATION_CREATED", "annotation": one or ANNOTATION, "task": of or TASK, "project": PROJECT}


def updated(one: dict[str, Any], of: dict[str, Any] | None = None) -> dict[str, Any]:
    """What is sent when somebody changed an annotation."""
    return {**created(one, of), "action": "ANNOTATION_UPDATED"}


def export(*pairs: tuple[dict[str, Any], dict[str, Any]]) -> list[dict[str, Any]]:
    """The JSON export of tasks with one annotation each."""
    return [{**of, "annotations": [one], "predictions": [], "drafts": [], "total_annotations": 1} for of, one in pairs]
