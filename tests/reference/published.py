"""Answers and bodies held against docs/openapi.json, as a reader of the file would."""

import json
from functools import cache
from typing import Any, Final

import httpx
from jsonschema import Draft202012Validator
from referencing import Registry, Resource
from referencing.jsonschema import DRAFT202012

from tests.reference.blocks import ROOT
from tests.reference.openapi import OUTPUT

HOME: Final = "file:///docs/"
NAME: Final = "openapi.json"


@cache
def document() -> dict[str, Any]:
    """Return what the file holds."""
    return _read(NAME)


@cache
def registry() -> Registry[Any]:
    """Return the file and the one that it refers to, by their places."""
    files = {name: Resource(contents=_read(name), specification=DRAFT202012) for name in (NAME, OUTPUT)}
    return Registry().with_resources((HOME + name, file) for name, file in files.items())


@cache
def validator(*place: str) -> Draft202012Validator:
    """Return what checks by the schema at this place of the file. Raises an error at its use where there is none."""
    pointer = "/".join(part.replace("~", "~0").replace("/", "~1") for part in place)
    return Draft202012Validator({"$ref": f"{HOME}{NAME}#/{pointer}"}, registry=registry())


def check(method: str, path: str, answer: httpx.Response) -> None:
    """Assert that the file has such an answer of the route: its status, its type and what it holds."""
    place = ["paths", path, method.lower(), "responses"]
    responses = document()["paths"][path][method.lower()]["responses"]
    status = str(answer.status_code)
    place.append(status if status in responses else "default")
    if "$ref" in responses[place[-1]]:
        assert answer.status_code >= 400, f"{method} {path} answers {status}, which the file has not"
        place = responses[place[-1]]["$ref"].removeprefix("#/").split("/")
    content_type = answer.headers["content-type"].partition(";")[0]
    response = document()
    for part in place:
        response = response[part]
    assert content_type in response["content"], f"{method} {path} {status}: {content_type}"
    told = answer.json() if content_type == "application/json" else answer.text
    validator(*place, "content", content_type, "schema").validate(told)


def _read(name: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((ROOT / "docs" / name).read_text(encoding="utf-8"))
    return found
