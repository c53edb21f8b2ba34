"""A prediction request as the HTTP process holds it, and what leaves for the controller about it."""

import json
import re
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, NamedTuple

from starlette.types import Receive

from serving.contract import Traffic, text_digest
from serving.messages import Identity, Outcome
from serving.observe.capture import CapturedPrediction
from serving.refusals import ApiError
from serving.settings import CaptureSettings

if TYPE_CHECKING:
    from serving.observe.tracing import Trace

TAGS_MAX: Final = 8
_TAG: Final = re.compile(rb"([a-z][a-z0-9_.-]{0,31})=([A-Za-z0-9_./+-]{1,64})")

Headers = Sequence[tuple[bytes, bytes]]


class Caller(NamedTuple):
    """The request as its headers describe it."""

    request_id: str
    traffic: Traffic
    tags: bytes = b""  # as sent; read only where the request is sampled
    trace: "Trace | None" = None
    is_question: bool = False  # of the controller's own
    part: int | None = None  # of the users, where the gateway tells who asks


@dataclass(frozen=True, slots=True)
class Call:
    """A valid prediction request. ``many``: the texts came as a list, and so do the predictions."""

    caller: Caller
    texts: tuple[str, ...]
    many: bool


class Answer(NamedTuple):
    """The answer to a prediction request: the body, and what the access log says of it."""

    body: bytes
    texts: int
    tokens: int


async def read_body(headers: Headers, receive: Receive, bytes_max: int) -> bytes:
    """The body, read no further than its limit.

    Raises:
        ApiError: 413, as soon as the declared or the received length is over the limit; 400 if the client goes away.
    """
    refusal = ApiError(413, "body_too_large", f"a body may have at most {bytes_max} bytes")
    for name, value in headers:
        if name == b"content-length" and (not value.isdigit() or int(value) > bytes_max):
            raise refusal
    body = bytearray()
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":  # no fault of the version, so it must not count as one
            raise ApiError(400, "client_disconnected", "the client went away before its body had arrived")
        body += message.get("body", b"")
        if len(body) > bytes_max:
            raise refusal
        if not message.get("more_body", False):
            return bytes(body)


def tags_of(header: bytes) -> dict[str, str]:
    """The attributes that a client gives its request, ``lang=en, channel=app``: at most ``TAGS_MAX``.

    Attributes in another form are left out: a sampled prediction is not worth refusing a user's request for.
    """
    parts = (part.strip() for part in header.split(b",")[:TAGS_MAX])
    found = (_TAG.fullmatch(part) for part in parts)
    return {match[1].decode(): match[2].decode() for match in found if match}


def captured(
    call: Call, outcome: Outcome, identity: Identity, settings: CaptureSettings, chance: float
) -> Iterator[CapturedPrediction]:
    """Yield what leaves for the controller about a call that was sampled by ``chance``: one entry for each text, for
    lists ``<request id>/<index>`` (`serving.contract.request_of`)."""
    tags = tags_of(call.caller.tags)
    for index, (text, row) in enumerate(zip(call.texts, outcome.rows, strict=True)):
        prediction = json.loads(row[0])
        label, probabilities = prediction["label"], prediction["probabilities"]
        yield CapturedPrediction(
            request_id=f"{call.caller.request_id}/{index}" if call.many else call.caller.request_id,
            model=identity.model,
            model_version=identity.version,
            traffic=call.caller.traffic,
            at_s=time.time(),
            label=label,
            confidence=probabilities[label],
            probabilities=probabilities,
            inclusion_probability=chance,
            text_digest=text_digest(text, settings.digest_key),
            tokens=row[1],
            tags=tags,
            text=text if settings.with_text else None,
        )
