"""A real replica is fuzzed against the OpenAPI document that it publishes: it never fails, and answers as it says.

Derandomised: the same examples in each run.
"""

import functools
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from schemathesis import GenerationMode
from schemathesis.specs.openapi import checks as openapi_checks

from serving.access.tokens import changing, new_token, utc_now
from serving.contract import OPENAPI_ROUTE, PREDICT_ROUTE, REQUESTS_METRIC, ROUTES, TOKENIZE_ROUTE
from serving.package.rules import Task
from tests.serving.replica import Replica, replica

pytestmark = pytest.mark.integration

CHECKS = (
    schemathesis.checks.not_a_server_error,
    openapi_checks.status_code_conformance,
    openapi_checks.content_type_conformance,
    openapi_checks.response_headers_conformance,
    openapi_checks.response_schema_conformance,
    openapi_checks.negative_data_rejection,
    openapi_checks.positive_data_acceptance,
)
QUIETLY = functools.partial(
    settings,
    derandomize=True,
    deadline=None,
    database=None,
    phases=[Phase.explicit, Phase.generate],
    suppress_health_check=list(HealthCheck),
)


@pytest.fixture(scope="module")
def running(built_package: Path) -> Iterator[Replica]:
    with replica(built_package, "--max-text-chars", "300", "--max-texts", "4") as it:
        yield it


@pytest.fixture(scope="module")
def client(running: Replica) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=running.url, trust_env=False, timeout=20) as it:
        yield it


def schema_of(url: str) -> Any:
    return schemathesis.openapi.from_url(url + OPENAPI_ROUTE)


def test_the_document_names_every_route_of_the_contract(running: Replica) -> None:
    document = httpx.get(running.url + OPENAPI_ROUTE, trust_env=False).json()
    assert set(document["paths"]) == ROUTES
    assert "securitySchemes" not in document["components"]


FUZZED = [(route, GenerationMode.POSITIVE) for route in sorted(ROUTES - {OPENAPI_ROUTE})] + [
    (route, GenerationMode.NEGATIVE) for route in (PREDICT_ROUTE, TOKENIZE_ROUTE)
]


@pytest.mark.parametrize(("route", "mode"), FUZZED)
def test_whatever_is_sent_the_answer_is_one_that_the_document_has(
    running: Replica, route: str, mode: GenerationMode
) -> None:
    operations = (found.ok() for found in schema_of(running.url).get_all_operations())
    operation = next(one for one in operations if one.path == route)

    @given(case=operation.as_strategy(generation_mode=mode))
    @QUIETLY(max_examples=80 if route in (PREDICT_ROUTE, TOKENIZE_ROUTE) else 5)
    def fuzz(case: Any) -> None:
        case.call_and_validate(checks=CHECKS)

    fuzz()


@given(
    method=st.sampled_from(["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE"]),
    route=st.sampled_from(sorted(ROUTES)),
)
@QUIETLY(max_examples=60)
def test_other_methods_are_refused_and_said_which_there_are(client: httpx.Client, method: str, route: str) -> None:
    answer = client.request(method, route, content=b"{}")
    assert answer.status_code < 500
    if answer.status_code == 405:
        assert answer.headers["allow"]


headers = st.dictionaries(
    st.from_regex(r"[a-z][a-z0-9-]{0,20}", fullmatch=True).filter(
        lambda name: (
            name not in ("host", "content-length", "transfer-encoding", "connection", "expect", "upgrade", "te")
        )
    )
    | st.sampled_from(["x-request-id", "traceparent", "x-forwarded-for", "authorization", "accept"]),
    st.text(st.characters(min_codepoint=33, max_codepoint=126), max_size=60),
    max_size=6,
)


@given(
    body=st.binary(max_size=200) | st.text(max_size=100).map(lambda it: json.dumps({"text": it}).encode()), sent=headers
)
@QUIETLY(max_examples=150)
def test_any_bytes_with_any_headers_get_an_answer(client: httpx.Client, body: bytes, sent: dict[str, str]) -> None:
    answer = client.post(PREDICT_ROUTE, content=body, headers=sent)
    assert answer.status_code in (200, 400, 422)
    assert answer.headers["x-request-id"]


def test_after_all_of_that_nothing_had_failed(running: Replica) -> None:
    codes = {
        dict(labels)["code"]: count for (name, labels), count in running.samples().items() if name == REQUESTS_METRIC
    }
    assert not [code for code, count in codes.items() if code.startswith("5") and count]
    assert running.is_healthy()
    assert "Traceback" not in running.log.read_text()


def test_with_tokens_the_document_says_so_and_a_stranger_gets_nothing(built_package: Path, tmp_path: Path) -> None:
    tokens = tmp_path / "tokens.json"
    entry, token = new_token("fuzz", utc_now())
    with changing(tokens) as entries:
        entries.append(entry)
    with replica(built_package, "--token-file", str(tokens)) as it:
        schema = schema_of(it.url)
        for found in schema.get_all_operations():
            operation = found.ok()
            guarded = "security" in operation.definition.raw
            for bearer, expected in ((None, 401), ("x", 401), (token, None)):
                headers = {} if bearer is None else {"authorization": f"Bearer {bearer}"}
                body = {"text": "refund"} if operation.method == "post" else None
                url = it.url + operation.path
                answer = httpx.request(operation.method, url, json=body, headers=headers, trust_env=False)
                assert answer.status_code == (expected if guarded and expected else 200)
                operation.validate_response(schemathesis.Response.from_any(answer))


@pytest.mark.parametrize("task", Task)
def test_each_task_has_a_valid_document(task: Task) -> None:
    from serving.http.openapi import openapi_document
    from serving.settings import AccessSettings, Limits

    document = json.loads(openapi_document(task, Limits(), AccessSettings(token_file=Path("x"))))
    schema = schemathesis.openapi.from_dict(document)
    assert len(list(schema.get_all_operations())) == len(ROUTES)
