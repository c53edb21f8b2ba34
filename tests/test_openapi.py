"""docs/openapi.json is a document of OpenAPI 3.1 and has the routes of the real application and no others. That answers
are as it says is a part of each test in test_reference.py."""

import re
from collections.abc import Iterator
from typing import Any

import pytest
from jsonschema import Draft202012Validator, ValidationError
from referencing.exceptions import Unresolvable
from schemathesis.specs.openapi.definitions import OPENAPI_31
from starlette.routing import Route

from controller.api.access import Access
from controller.api.app import create_app
from controller.api.telemetry import Telemetry
from tests.controller.api_support import FakeTokens, World
from tests.reference import interface, openapi, published

DOCUMENT = published.document()
OPERATIONS = [
    (method, path, operation) for path, item in DOCUMENT["paths"].items() for method, operation in item.items()
]
WITH_BODY = [key for key, told in interface.ROUTES.items() if told.body is not None]


def parts(value: Any) -> Iterator[dict[str, Any]]:
    """Every object in the value, itself too."""
    if isinstance(value, dict):
        yield value
    for inner in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
        yield from parts(inner)


def test_it_is_valid_by_the_official_schema() -> None:
    """Which Schemathesis brings; of schemas it says only that they are objects or booleans."""
    Draft202012Validator(OPENAPI_31).validate(DOCUMENT)
    with pytest.raises(ValidationError):
        Draft202012Validator(OPENAPI_31).validate(DOCUMENT | {"path": {}})


def test_each_schema_in_it_is_one() -> None:
    schemas = [one["schema"] for one in parts(DOCUMENT["paths"]) if "schema" in one]
    schemas += [one["schema"] for one in parts(DOCUMENT["components"]["responses"]) if "schema" in one]
    for schema in (*schemas, *DOCUMENT["components"]["schemas"].values()):
        Draft202012Validator.check_schema(schema)


def test_every_reference_leads_somewhere_and_each_component_is_used() -> None:
    resolver = published.registry().resolver(published.HOME + published.NAME)
    references = {one["$ref"] for one in parts(DOCUMENT) if isinstance(one.get("$ref"), str)}
    for reference in references:
        resolver.lookup(reference)
    with pytest.raises(Unresolvable):
        resolver.lookup(f"{openapi.OUTPUT}#/$defs/nothing")
    assert not {
        name for name in DOCUMENT["components"]["schemas"] if f"#/components/schemas/{name}" not in references
    } - {"LabelBody"}


def test_it_has_the_routes_of_the_application_and_no_others() -> None:
    ports = World(telemetry=Telemetry(lambda: ())).ports()
    app = create_app(ports, Access(FakeTokens(), open_reading=False), webhook_secret=bytes, argilla_secret=bytes)
    served = {
        (method, route.path)
        for route in app.routes
        if isinstance(route, Route)
        for method in (route.methods or set()) - {"HEAD"}
    }
    assert {(method.upper(), path) for method, path, _ in OPERATIONS} == served


def test_operations_have_names_of_their_own_and_the_parameters_of_their_paths() -> None:
    names = [operation["operationId"] for _, _, operation in OPERATIONS]
    assert len(set(names)) == len(names)
    for _, path, operation in OPERATIONS:
        named = {one["name"] for one in operation["parameters"] if one["in"] == "path"}
        assert named == set(re.findall(r"{(\w+)}", path))


@pytest.mark.parametrize(("method", "path"), WITH_BODY)
def test_a_body_is_valid_where_the_application_takes_it(method: str, path: str) -> None:
    """What is sent in test_reference.py and taken is valid; a field too many or too few is refused here as there."""
    sent = dict(interface.ROUTES[method, path].sent)
    body = published.validator("paths", path, method.lower(), "requestBody", "content", "application/json", "schema")
    body.validate(sent)
    wrong = [sent | {"odd": 1}, *({key: sent[key] for key in sent if key != name} for name in sent)]
    assert not [one for one in wrong if body.is_valid(one)]


def test_no_key_is_told_of_that_no_answer_has() -> None:
    """A type that is left over when a key goes."""
    keys = {key.rstrip("?") for told in interface.ROUTES.values() for key in told.keys}
    assert not openapi.KEYS.keys() - keys
    assert openapi.ENTRY_KEYS.keys() == {key.rstrip("?") for key in interface.ENTRIES.split(", ")}
