"""Argilla 2.x: `webhooks_internals` of its guide; how deliveries are signed, from ``webhooks/v1/commons.py`` of its
server; exports, from ``records/_io/_generic.py`` and ``records/_resource.py`` of its client."""

import json
from datetime import UTC, datetime
from typing import Any

from standardwebhooks import Webhook

SECRET = b"argilla signs with sixty-four bytes, and shows them in base64..."
ANNOTATOR = "df114042-958d-42c6-9f03-ab49bd451c6c"
METADATA = {
    "serin_request_id": "a",
    "serin_inclusion_probability": 0.25,
    "serin_chosen": "chance",
    "serin_model": "intent",
}
DATASET = {
    "id": "ae2961f0-18a4-49d5-ba0c-40fa863fc8f2",
    "name": "intents",
    "guidelines": None,
    "allow_extra_metadata": True,
    "status": "ready",
    "distribution": {"strategy": "overlap", "min_submitted": 1},
    "questions": [{"name": "label", "settings": {"type": "label_selection"}}],
}
RECORD = {
    "id": "88654411-4eec-4d17-ad73-e5baf59d0efb",
    "status": "pending",
    "fields": {"text": "where is my money"},
    "metadata": METADATA,
    "external_id": "a",
    "dataset": DATASET,
    "inserted_at": "2026-11-23T11:02:10.591839",
    "updated_at": "2026-11-23T11:02:10.591839",
}
RESPONSE = {
    "id": "7164a58e-3611-4b0a-98cc-9184bc92dc5a",
    "values": {"label": {"value": "invoice"}},
    "status": "submitted",
    "record": RECORD,
    "user": {
        "id": ANNOTATOR,
        "first_name": "",
        "last_name": None,
        "username": "ann",
        "role": "annotator",
        "inserted_at": "2026-09-05T11:39:20.376463",
        "updated_at": "2026-09-05T11:39:20.376463",
    },
    "inserted_at": "2026-11-23T11:10:48.536303",
    "updated_at": "2026-11-23T11:10:48.536370",
}


def response(label: object = "invoice", **changes: object) -> dict[str, Any]:
    """A response that says so."""
    return {**RESPONSE, "values": {"label": {"value": label}}, **changes}


def record(request: str = "a", **metadata: object) -> dict[str, Any]:
    """A record that carries another request."""
    return {**RECORD, "external_id": request, "metadata": {**METADATA, "serin_request_id": request, **metadata}}


def told(action: str, data: dict[str, Any]) -> dict[str, Any]:
    """What is sent when that happened."""
    return {"type": action, "version": 1, "timestamp": "2026-11-23T11:10:48.603212Z", "data": data}


def created(one: dict[str, Any] | None = None) -> dict[str, Any]:
    return told("response.created", one or RESPONSE)


def updated(one: dict[str, Any]) -> dict[str, Any]:
    return told("response.updated", one)


def signed(body: object, delivery: str, at_s: float, secret: bytes = SECRET) -> dict[str, Any]:
    """The body as it is sent, and its headers, as arguments of a request."""
    content = json.dumps(body)
    return {
        "content": content.encode(),
        "headers": {
            "webhook-id": delivery,
            "webhook-timestamp": str(int(at_s)),
            "webhook-signature": Webhook(secret).sign(delivery, datetime.fromtimestamp(int(at_s), UTC), content),
            "content-type": "application/json",
        },
    }


def flat(request: str = "a", *responses: tuple[object, str, str]) -> dict[str, Any]:
    """A record of ``to_list(flatten=True)``, with the value, the annotator and the status of each response."""
    columns = zip(*responses, strict=True) if responses else ((), (), ())
    values, users, states = (list(column) for column in columns)
    return {
        "id": request,
        "status": "completed",
        "_server_id": "88654411-4eec-4d17-ad73-e5baf59d0efb",
        "text": "where is my money",
        **METADATA,
        "serin_request_id": request,
        "label.responses": values or None,
        "label.responses.users": users or None,
        "label.responses.status": states or None,
    }


def nested(request: str = "a", *responses: tuple[object, str]) -> dict[str, Any]:
    """A record of ``to_json``, which does not say what was submitted."""
    return {
        "id": request,
        "fields": {"text": "where is my money"},
        "metadata": {**METADATA, "serin_request_id": request},
        "suggestions": {},
        "responses": {"label": [{"value": value, "user_id": user} for value, user in responses]} if responses else {},
        "vectors": {},
        "_server_id": "88654411-4eec-4d17-ad73-e5baf59d0efb",
    }
