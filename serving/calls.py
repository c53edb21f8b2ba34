"""A prediction request as the HTTP process holds it, and the answer it gets."""

import json
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response

from serving.capture import CapturedPrediction, text_digest
from serving.contract import Traffic
from serving.link import Outcome, Row
from serving.schema import ApiError, parse_texts
from serving.settings import CaptureSettings, Limits


@dataclass(frozen=True, slots=True)
class Caller:
    """What the headers of a request say about it."""

    request_id: str
    traffic: Traffic


@dataclass(frozen=True, slots=True)
class Call:
    """A valid prediction request. ``many``: the texts came as a list, and so do the predictions."""

    caller: Caller
    texts: tuple[str, ...]
    many: bool


@dataclass(frozen=True, slots=True)
class Identity:
    """Who answers: model, version, and the names of the classes in output order."""

    model: str
    version: str
    labels: tuple[str, ...]


async def read_body(request: Request, bytes_max: int) -> bytes:
    """The body, read no further than its limit.

    Raises:
        ApiError: 413, as soon as the declared or the received length is over the limit; 400 if the client goes away.
    """
    refusal = ApiError(413, "body_too_large", f"a body may have at most {bytes_max} bytes")
    declared = request.headers.get("content-length", "0")
    if not declared.isdecimal() or int(declared) > bytes_max:
        raise refusal
    body = bytearray()
    try:
        async for chunk in request.stream():
            body += chunk
            if len(body) > bytes_max:
                raise refusal
    except ClientDisconnect:  # no fault of the version, so it must not count as one
        raise ApiError(400, "client_disconnected", "the client went away before its body had arrived") from None
    return bytes(body)


async def read_call(request: Request, limits: Limits) -> Call:
    """The request's texts, checked before any of them can reach the model.

    Raises:
        ApiError: what is wrong with them.
    """
    texts, many = parse_texts(await read_body(request, limits.body_bytes_max), limits)
    return Call(request.state.caller, texts, many)


def answer(call: Call, outcome: Outcome, identity: Identity) -> Response:
    """The response to a call whose texts were all classified."""
    predictions = [_prediction(row, identity.labels) for row in outcome.rows]
    body: dict[str, Any] = {"predictions": predictions} if call.many else predictions[0]
    body["model"] = identity.model
    body["model_version"] = identity.version
    body["request_id"] = call.caller.request_id
    return Response(json.dumps(body, ensure_ascii=False).encode(), media_type="application/json")


def captured(
    call: Call, outcome: Outcome, identity: Identity, settings: CaptureSettings
) -> Iterator[CapturedPrediction]:
    """What leaves for the controller about a call: one entry for each text, ``<request id>/<index>`` for lists."""
    for index, (text, row) in enumerate(zip(call.texts, outcome.rows, strict=True)):
        probabilities = dict(zip(identity.labels, row.probabilities, strict=True))
        label = max(probabilities, key=probabilities.__getitem__)
        yield CapturedPrediction(
            request_id=f"{call.caller.request_id}/{index}" if call.many else call.caller.request_id,
            model=identity.model,
            model_version=identity.version,
            traffic=call.caller.traffic,
            at_s=time.time(),
            label=label,
            confidence=probabilities[label],
            probabilities=probabilities,
            inclusion_probability=settings.ratio,
            text_digest=text_digest(text, settings.digest_key),
            tokens=row.tokens,
            text=text if settings.with_text else None,
        )


def _prediction(row: Row, labels: Sequence[str]) -> dict[str, Any]:
    probabilities = dict(zip(labels, row.probabilities, strict=True))
    label = max(probabilities, key=probabilities.__getitem__)
    return {"label": label, "probabilities": probabilities, "truncated": row.truncated}
