"""The replica's HTTP surface as an OpenAPI document, made from what the code itself reads and answers.

FastAPI's own document would describe LitServe's handlers, which predictions never reach.
"""

import json
from typing import Any, Final

from pydantic import BaseModel, ConfigDict, Field
from pydantic.json_schema import models_json_schema

from serving.contract import (
    HEALTH_ROUTE,
    INFO_ROUTE,
    METRICS_ROUTE,
    MODEL_VERSION_HEADER,
    OPENAPI_ROUTE,
    PREDICT_ROUTE,
    REQUEST_ID_HEADER,
    TOKENIZE_ROUTE,
)
from serving.http.schema import PredictBody
from serving.inference.documents import ANSWERED
from serving.package.rules import Task, Windows
from serving.settings import AccessSettings, Limits

_REF: Final = "#/components/schemas/{model}"
_SCHEMES: Final = {"bearer": {"type": "http", "scheme": "bearer"}}
_REFUSALS: Final = {
    400: "the body is not JSON",
    401: "no token, or one that is not known here or has expired",
    403: "a web page of another origin sent it",
    405: "the route does not support the method",
    413: "the body is too long",
    421: "the request is meant for another host",
    422: "the body is JSON, but not a request that the model can answer",
    429: "the client is above its limits; Retry-After says when to try again",
    500: "the model failed",
    503: "too many requests are waiting, or the replica is not ready",
    504: "the model did not answer in time",
}


class _Document(BaseModel):
    model_config = ConfigDict(extra="forbid")


class Fault(_Document):
    """The fault. ``code`` is for programs, ``message`` for people; ``field`` names what is to blame."""

    code: str
    message: str
    field: str | None = None


class Refused(_Document):
    """Every answer but the successful ones, wherever it arises."""

    error: Fault


class TokensAnswered(_Document):
    """Token ids of each text, special tokens included, cut at the model's limit."""

    model: str
    model_version: str
    token_ids: list[list[int]]


class Info(_Document):
    """The version that this replica serves."""

    model: str
    model_version: str
    fingerprint: str = Field(description="SHA-256 of the package's manifest")
    labels: list[str]
    max_tokens: int = Field(ge=1)
    task: Task
    family: str | None = Field(description="the encoder's kind, as config.json names it; null if it is not recorded")
    variant: str
    variant_of: str | None
    windows: Windows | None = Field(description="how texts longer than max_tokens are read; null: they are cut")
    serving: dict[str, Any] = Field(description="how it is served, with the keys of a policy's serving block")
    library_versions: dict[str, str]
    capture_ratio: float | None = Field(
        description="share of requests that this process samples now; null: it sends none to a controller"
    )


def openapi_document(task: Task, limits: Limits, access: AccessSettings) -> bytes:
    """The document of a replica, as JSON. Says nothing about which model it serves, so anybody may read it."""
    one, many = ANSWERED[task]
    models = (one, many, TokensAnswered, Info, Refused)
    _, definitions = models_json_schema([(model, "serialization") for model in models], ref_template=_REF)
    schemas = {**definitions["$defs"], "Texts": _body(limits)}
    answered = {"oneOf": [_ref(one.__name__), _ref(many.__name__)]}
    body = {"required": True, "content": _json(_ref("Texts"))}
    posts = (400, 405, 413, 422, 429, 503)
    document = {
        "openapi": "3.1.0",
        "info": {"title": "Serin replica", "version": "1", "description": "One version of a text model."},
        "paths": {
            PREDICT_ROUTE: {"post": _operation(access, "What the model answers", answered, (*posts, 500, 504), body)},
            TOKENIZE_ROUTE: {"post": _operation(access, "Token ids", _ref(TokensAnswered.__name__), posts, body)},
            INFO_ROUTE: {"get": _operation(access, "What is served", _ref(Info.__name__), (405,))},
            HEALTH_ROUTE: {"get": _plain("Whether it is ready", {503: "not ready yet, or ending"}, ("text/plain",))},
            METRICS_ROUTE: {"get": _metrics(access)},
            OPENAPI_ROUTE: {"get": _open("This document", {"type": "object"})},
        },
        "components": {"schemas": schemas, **({"securitySchemes": _SCHEMES} if access.authenticated else {})},
    }
    return json.dumps(document).encode()


def _body(limits: Limits) -> dict[str, Any]:
    """``PredictBody`` with what is checked beyond types: exactly one field, and the limits."""
    described = PredictBody.model_json_schema()["properties"]
    text = {"type": "string", "minLength": 1, "maxLength": limits.text_chars_max, "pattern": r"\S"}
    texts = {"type": "array", "minItems": 1, "maxItems": limits.texts_max, "items": text}
    return {
        "oneOf": [
            {
                "type": "object",
                "properties": {name: {**schema, "description": described[name]["description"]}},
                "required": [name],
                "additionalProperties": False,
            }
            for name, schema in (("text", text), ("texts", texts))
        ]
    }


def _operation(
    access: AccessSettings, summary: str, answer: dict[str, Any], refusals: tuple[int, ...], body: Any = None
) -> dict[str, Any]:
    operation = _open(summary, answer)
    if access.authenticated:
        refusals = (*refusals, 401)
        operation["security"] = [{"bearer": []}]
    operation["responses"] |= {str(status): _refusal(status) for status in sorted(refusals)}
    if body is not None:
        operation["requestBody"] = body
    return operation


def _open(summary: str, answer: dict[str, Any]) -> dict[str, Any]:
    success = {"description": "answered", "headers": _headers(), "content": _json(answer)}
    return {"summary": summary, "responses": {"200": success} | _strangers()}


def _plain(summary: str, others: dict[int, str], content_types: tuple[str, ...]) -> dict[str, Any]:
    content = {content_type: {"schema": {"type": "string"}} for content_type in content_types}
    responses = {
        str(status): {"description": said, "headers": _headers(), "content": content}
        for status, said in ({200: "answered"} | others).items()
    }
    return {"summary": summary, "responses": responses | _strangers()}


def _strangers() -> dict[str, Any]:
    """Return what every route may answer, whatever it does."""
    return {str(status): _refusal(status) for status in (403, 405, 421)}


def _metrics(access: AccessSettings) -> dict[str, Any]:
    operation = _plain("Prometheus's or OpenMetrics' text format", {}, ("text/plain", "application/openmetrics-text"))
    if access.authenticated and not access.open_metrics:
        operation["security"] = [{"bearer": []}]
        operation["responses"]["401"] = _refusal(401)
    return operation


def _refusal(status: int) -> dict[str, Any]:
    headers = _headers()
    if status in (429, 503):
        headers["retry-after"] = {"description": "seconds", "schema": {"type": "integer", "minimum": 1}}
    if status == 401:
        headers["www-authenticate"] = {"schema": {"type": "string"}, "required": True}
    return {"description": _REFUSALS[status], "headers": headers, "content": _json(_ref(Refused.__name__))}


def _headers() -> dict[str, Any]:
    names = (REQUEST_ID_HEADER, MODEL_VERSION_HEADER)
    return {name: {"schema": {"type": "string"}, "required": True} for name in names}


def _ref(model: str) -> dict[str, Any]:
    return {"$ref": _REF.format(model=model)}


def _json(schema: dict[str, Any]) -> dict[str, Any]:
    return {"application/json": {"schema": schema}}
