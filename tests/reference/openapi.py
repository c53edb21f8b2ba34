"""The controller's interface as an OpenAPI document: the routes of the application, the bodies that it parses, and what
`tests.reference.interface` tells of them, which tests hold against real answers."""

import json
import re
from http import HTTPStatus
from typing import Any, Final

from pydantic import TypeAdapter
from pydantic.json_schema import models_json_schema

from controller.api.bodies import LabelBody, LabelsBody
from controller.api.http import JSON_LINES_TYPE, JSON_TYPE, Endpoint
from controller.core.commands import Freeze
from tests.reference.blocks import ROOT
from tests.reference.interface import ENTRIES, ERRORS, ROUTES, Parameter, Told, known, roles_of

OUTPUT: Final = "output.schema.json"
_COMPONENT: Final = "#/components/schemas/{model}"
_TEXT: Final = {"type": "string"}
_COUNT: Final = {"type": "integer", "minimum": 0}
_NUMBER: Final = {"type": "number"}
_YES: Final = {"type": "boolean"}
KEYS: Final[dict[str, dict[str, Any]]] = {
    "acts": _YES,
    "action": _TEXT,
    "at_s": _NUMBER,
    "by": _TEXT,
    "capture_ratio": {"type": "number", "minimum": 0, "maximum": 1},
    "command": _TEXT,
    "consents": {"type": "array", "items": {"type": "object", "additionalProperties": _TEXT}},
    "entries": {"type": "array", "items": {"$ref": _COMPONENT.format(model="Entry")}},
    "freezes": {"type": "array", "items": {"$ref": _COMPONENT.format(model="Freeze")}},
    "installation": _TEXT,
    "label_sources": {"type": "array", "items": {"type": "object"}},
    "length": _COUNT,
    "new": _COUNT,
    "next": {"type": ["integer", "null"]},
    "outcome": {"type": ["string", "null"]},
    "reached": _COUNT,
    "reason": _TEXT,
    "received": _COUNT,
    "release_id": _TEXT,
    "sentence": _TEXT,
    "skipped": _COUNT,
    "status": _TEXT,
    "unmatched_request_ids": {"type": "array", "items": _TEXT},
    "waits": _YES,
}
"""What keys hold that no document of docs/output.schema.json has."""

ENTRY_KEYS: Final[dict[str, dict[str, Any]]] = {
    "position": _COUNT,
    "stream": _TEXT,
    "sequence": _COUNT,
    "kind": _TEXT,
    "at_s": _NUMBER,
    "schema": {"type": "integer"},
    "chain": {"type": "integer"},
    "head": _TEXT,
    "previous_hash": _TEXT,
    "hash": _TEXT,
    "payload": {"description": "as it is stored; with `payload=text` the bytes that the hash is of, as a string"},
    "summary": {"$ref": _COMPONENT.format(model="Entry")},
}


def text() -> str:
    """Return the document as JSON."""
    return json.dumps(document(), indent=1) + "\n"


def document() -> dict[str, Any]:
    """Return the document of every route that an installation may have."""
    paths: dict[str, dict[str, Any]] = {}
    for one in known():
        paths.setdefault(one.path, {})[one.method.lower()] = _operation(one, ROUTES[one.method, one.path])
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Serin controller",
            "version": "1",
            "description": "What commands, pipelines and label sources ask; see docs/http.md. Keys may be added.",
        },
        "servers": [{"url": "http://127.0.0.1:8081"}],
        "paths": paths,
        "components": {
            "schemas": _bodies() | {"Entry": _object(ENTRIES.split(", "), ENTRY_KEYS), "Error": _error()},
            "responses": {"Error": _refusals("Any refusal:", *ERRORS)} | _by_status(),
            "securitySchemes": {
                "bearer": {
                    "type": "http",
                    "scheme": "bearer",
                    "description": "A token of `serin token create`. On loopback reading needs none, until "
                    "`serin up --require-tokens`.",
                }
            },
        },
    }


def _operation(one: Endpoint, told: Told) -> dict[str, Any]:
    about = " ".join(part for part in (told.what, told.more) if part)
    plain = re.sub(r"\[([^\]]+)\]\([^)]+\)", r"\1", about)  # links are for who reads the page
    named = re.findall(r"{(\w+)}", one.path)
    operation: dict[str, Any] = {
        "operationId": re.sub(r"\W+", "_", f"{one.method.lower()}{one.path.removeprefix('/v1')}").strip("_"),
        "summary": re.split(r"(?<=\.)\s", plain)[0],
        "description": f"{plain}\n\nWho may call it: {roles_of(one.deed)}.",
        "security": [] if one.deed is None else [{"bearer": []}],
        "parameters": [
            *({"name": name, "in": "path", "required": True, "schema": _TEXT} for name in named),
            *map(_parameter, told.parameters),
        ],
        "responses": {str(told.status): _answer(told)} | _refused(one, told),
    }
    if one.content_types:
        content = {kind: {"schema": _sent(kind, told)} for kind in one.content_types}
        operation["requestBody"] = {"required": True, "content": content}
    return operation


def _parameter(one: Parameter) -> dict[str, Any]:
    number = one.default.isdecimal()
    schema: dict[str, Any] = {"type": "integer", "minimum": 0} if number else dict(_TEXT)
    if one.choices:
        schema["enum"] = list(one.choices)
    if one.default:
        schema["default"] = int(one.default) if number else one.default
    return {"name": one.name, "in": "query", "required": one.required, "schema": schema}


def _sent(content_type: str, told: Told) -> dict[str, Any]:
    if content_type == JSON_LINES_TYPE:
        return {"type": "string", "description": f"in each line one {LabelBody.__name__}"}
    return {"type": "object"} if told.body is None else _ref(told.body.__name__)


def _answer(told: Told) -> dict[str, Any]:
    as_json = _told(told) if told.keys else {"type": "object"}
    if told.list_by:
        imported = {"type": "array", "items": {"type": "object"}, "description": f"by another `{told.list_by}`"}
        as_json = {"anyOf": [as_json, imported]}
    kinds = {kind: {"schema": as_json if kind == JSON_TYPE else _TEXT} for kind in told.types}
    return {"description": HTTPStatus(told.status).phrase, "content": kinds}


def _told(told: Told) -> dict[str, Any]:
    """Return the schema of an answer: the document that it is like, where that has the very keys, else key by key."""
    keys = [key.rstrip("?") for key in told.keys]
    required = [key for key in told.keys if not key.endswith("?")]
    like = json.loads((ROOT / "docs" / OUTPUT).read_text(encoding="utf-8"))["$defs"][told.like] if told.like else {}
    place = f"{OUTPUT}#/$defs/{told.like}"
    properties = like.get("properties", {})
    answer = _object(
        told.keys, {key: {"$ref": f"{place}/properties/{key}"} if key in properties else KEYS[key] for key in keys}
    )
    if not told.like or set(like["required"]) - set(required) or set(keys) - set(properties):
        return answer
    return {"$ref": place, "required": required}


def _object(told: list[str], properties: dict[str, Any]) -> dict[str, Any]:
    required = [key for key in told if not key.endswith("?")]
    return {"type": "object", "required": required, "properties": properties}


def _bodies() -> dict[str, Any]:
    """Return the schemas of what is parsed, by the names of their classes."""
    bodies = dict.fromkeys([*(told.body for told in ROUTES.values() if told.body is not None), LabelBody])
    _, made = models_json_schema([(body, "validation") for body in bodies], ref_template=_COMPONENT)
    schemas: dict[str, Any] = made["$defs"]
    schemas[LabelsBody.__name__]["properties"]["labels"]["items"] = _ref(LabelBody.__name__)  # read one by one
    return schemas | {Freeze.__name__: TypeAdapter(Freeze).json_schema()}


def _refused(one: Endpoint, told: Told) -> dict[str, Any]:
    """Return the refusals that the route's kind makes possible, and that there may be others."""
    statuses: set[int] = set()
    if one.deed is not None:
        statuses |= {HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN}
    elif one.content_types:  # its signature stands in for a token
        statuses.add(HTTPStatus.UNAUTHORIZED)
    if one.content_types:
        statuses |= {HTTPStatus.BAD_REQUEST, HTTPStatus.REQUEST_ENTITY_TOO_LARGE, HTTPStatus.UNSUPPORTED_MEDIA_TYPE}
    if one.content_types or any(parameter.checked for parameter in told.parameters):
        statuses.add(HTTPStatus.UNPROCESSABLE_ENTITY)
    places = {str(int(status)): f"Status{int(status)}" for status in sorted(statuses)} | {"default": "Error"}
    return {status: {"$ref": f"#/components/responses/{name}"} for status, name in places.items()}


def _by_status() -> dict[str, Any]:
    statuses = dict.fromkeys(status for status, _ in ERRORS.values())
    codes = {status: [code for code, (of, _) in ERRORS.items() if of == status] for status in statuses}
    return {f"Status{status}": _refusals(f"Refused with {status}:", *codes[status]) for status in statuses}


def _refusals(title: str, *codes: str) -> dict[str, Any]:
    told = "\n".join(f"* `{code}` ({ERRORS[code][0]}): {ERRORS[code][1]}" for code in codes)
    schema = _ref("Error") | {"properties": {"error": {"properties": {"code": {"enum": list(codes)}}}}}
    return {"description": f"{title}\n\n{told}", "content": {JSON_TYPE: {"schema": schema}}}


def _error() -> dict[str, Any]:
    keys = {"code": {"enum": list(ERRORS)}, "message": _TEXT, "field": _TEXT}
    return _object(["error"], {"error": _object(["code", "message", "field?"], keys)})


def _ref(name: str) -> dict[str, Any]:
    return {"$ref": _COMPONENT.format(model=name)}
