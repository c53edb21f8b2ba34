"""Argilla 2.x: an exchange with a real one (``recorded/argilla.json``), and variations of it for what a real one does
not send."""

import base64
import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from standardwebhooks import Webhook

RECORDED: dict[str, Any] = json.loads((Path(__file__).parents[1] / "recorded/argilla.json").read_text())
SECRET = base64.b64decode(RECORDED["secret"])
ANNOTATOR, SECOND_ANNOTATOR = RECORDED["annotators"]["ann"], RECORDED["annotators"]["eve"]
DELIVERIES: list[dict[str, Any]] = RECORDED["deliveries"]
SENT_S = float(DELIVERIES[-1]["headers"]["webhook-timestamp"])


def told_first(action: str) -> dict[str, Any]:
    """What the first delivery of that kind tells."""
    bodies = (json.loads(one["body"]) for one in DELIVERIES)
    data: dict[str, Any] = next(body["data"] for body in bodies if body["type"] == action)
    return data


RESPONSE = told_first("response.created")
RECORD = RESPONSE["record"]
METADATA = RECORD["metadata"]


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
    values, users, states = (list(column) or None for column in columns)
    return {
        **RECORDED["flat"][0],
        "id": request,
        "serin_request_id": request,
        "label.responses": values,
        "label.responses.users": users,
        "label.responses.status": states,
    }
