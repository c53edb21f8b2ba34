"""The references of the commands and of the interface are what the code has and what the interface really answers; each
example in them, and each call of `serin` in any page, is one that the parsers take."""

import re
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from standardwebhooks.webhooks import Webhook

from controller.api.http import JSON_LINES_TYPE
from controller.cli import asking
from controller.config import variables
from controller.core.commands import Ask, Command, Freeze
from controller.core.release import Phase
from controller.journal.codec import entry_of, record_of
from controller.roles import MAY, REPLICA, Role
from tests.controller import releases
from tests.controller.api_support import Client, World
from tests.controller.exchanges import argilla
from tests.controller.test_telemetry import Told
from tests.reference import commands, interface, published
from tests.reference.__main__ import FILES, PAGES
from tests.reference.blocks import ROOT, rewritten

DOCS = ROOT / "docs"
MARKDOWN = [ROOT / "README.md", ROOT / "SECURITY.md", *(ROOT / "docs").glob("*.md"), *(ROOT / "deploy").rglob("*.md")]
COMMANDS = list(commands.commands())
ENDPOINTS = interface.known()
SECRET = b"whsec_c2VjcmV0IG9mIHRoZSB0ZXN0cw=="


@pytest.mark.parametrize("page", PAGES)
def test_the_pages_are_those_of_the_code(page: str) -> None:
    text = (ROOT / page).read_text(encoding="utf-8")
    assert rewritten(text, PAGES[page]) == text, "run: make docs"


@pytest.mark.parametrize("name", FILES)
def test_the_files_are_those_of_the_code(name: str) -> None:
    assert (ROOT / name).read_text(encoding="utf-8") == FILES[name](), "run: make docs"


# --- commands ---------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: command.name)
def test_every_command_has_an_example_that_its_parser_takes(command: commands.Command) -> None:
    assert command.examples
    assert [commands.parsed(line) for line in command.examples] == [command.name] * len(command.examples)
    assert not [option.names for option in command.options if not option.help]


@pytest.mark.parametrize("page", MARKDOWN, ids=lambda path: str(path.relative_to(ROOT)))
def test_every_call_in_the_pages_is_one_that_a_parser_takes(page: Path) -> None:
    for line in commands.lines_of(page.read_text(encoding="utf-8")):
        assert commands.parsed(line)


@pytest.mark.parametrize("page", MARKDOWN, ids=lambda path: str(path.relative_to(ROOT)))
def test_every_command_and_option_that_a_sentence_names_is_there(page: Path) -> None:
    unknown = {span: commands.unknown_in(span) for span in commands.spans_of(page.read_text(encoding="utf-8"))}
    assert not {span: found for span, found in unknown.items() if found}


def test_a_call_that_no_parser_takes_is_seen() -> None:
    """So that the tests above can fail: an option that there is not, a command, a value, and one that is missing."""
    for line in ("serin status --wacth", "serin stauts", "serin wait intent --timeout-s soon", "serin freeze intent"):
        with pytest.raises(Exception, match=r".+"):
            commands.parsed(line)
    with pytest.raises(SystemExit):
        commands.parsed("serin rollback --why none")
    assert [commands.unknown_in(span) for span in ("serin release resume", "serin wait M --for", "serin token")] == [
        ["serin release resume"],
        ["--for"],
        [],
    ]
    page = "```sh\nserin status \\\n    --watch\n$ serin why intent\n```\n\n    serin history\n"
    assert list(commands.lines_of(page)) == ["serin status --watch", "serin why intent", "serin history"]


def test_every_variable_that_a_command_reads_is_told() -> None:
    page = (DOCS / "cli.md").read_text(encoding="utf-8")
    named = {value for name, value in vars(variables).items() if name.endswith("_VARIABLE")}
    assert named == {option.variable for one in COMMANDS for option in one.options} - {""}
    (by,) = re.findall(r'"(SERIN_\w+)"', Path(asking.__file__).read_text(encoding="utf-8"))
    assert not [name for name in (*named, by) if f"`{name}`" not in page]


# --- the interface ----------------------------------------------------------------------------------------------------
@pytest.fixture
def world() -> World:
    """With a release in shadow, and a command that waits."""
    told = Told()
    found, told.world.telemetry = told.world, told.telemetry
    found.capture_ratios["intent"] = 0.5
    found.freezes.freeze(Freeze("other", "holidays", "ana", 1.0))
    found.site.champions["intent"] = ("6", "8")
    found.journal.append(record_of(releases.release_in(Phase.SHADOW), 1), [entry_of(releases.started(), 1.0)])
    found.inbox.put(Command("c1", Ask.ABORT, "intent", None, "wrong data", "ada", 2.0))
    return found


def test_every_route_is_told_of_and_no_other() -> None:
    assert {(one.method, one.path) for one in ENDPOINTS} == interface.ROUTES.keys()


def asked(client: Client, method: str, path: str, **changes: Any) -> Any:
    """The answer to the example of the route, or to another body or query: one that docs/openapi.json has."""
    told = interface.ROUTES[method, path]
    sent: dict[str, Any] = {"json": dict(told.sent)} if method == "POST" else {}
    answer = client.request(method, changes.pop("example", told.example or path), **(sent | changes))
    published.check(method, path, answer)
    return answer


@pytest.mark.parametrize(
    ("method", "path"),
    [key for key in interface.ROUTES if key[1] not in ("/v1/webhooks/mlflow", "/v1/webhooks/argilla")],
)
def test_each_route_answers_as_it_is_told(world: World, method: str, path: str) -> None:
    """Whoever may gets the keys that are promised and no others; nobody else is let in."""
    told = interface.ROUTES[method, path]
    (endpoint,) = [one for one in ENDPOINTS if (one.method, one.path) == (method, path)]
    may = set(Role) | {REPLICA} if endpoint.deed is None else set(MAY[endpoint.deed])
    if endpoint.deed is not None:
        assert asked(world.client(open_reading=False).stranger(), method, path).status_code == 401
    for role in (*Role, REPLICA):
        client = world.replica("intent", "7") if role == REPLICA else world.client(role, open_reading=False)
        answer = asked(client, method, path)
        if role not in may:
            assert (role, answer.status_code) == (role, 403)
            continue
        assert (role, answer.status_code) == (role, told.status), answer.text
        if told.keys:
            assert_keys(answer.json(), told.keys)


def assert_keys(document: Mapping[str, Any], told: list[str]) -> None:
    assert document.keys() - {key.rstrip("?") for key in told} == set()
    assert {key for key in told if not key.endswith("?")} - document.keys() == set()


def test_a_delivery_of_mlflow_is_answered_as_it_is_told(world: World) -> None:
    at = datetime.fromtimestamp(world.clock.now_s(), UTC)
    headers = {
        "x-mlflow-delivery-id": "d1",
        "x-mlflow-timestamp": str(int(at.timestamp())),
        "x-mlflow-signature": Webhook(SECRET).sign("d1", at.replace(microsecond=0), "{}"),
        "content-type": "application/json",
    }
    answer = world.client(webhook_secret=SECRET).request("POST", "/v1/webhooks/mlflow", content=b"{}", headers=headers)
    assert answer.status_code == 200, answer.text
    assert_keys(answer.json(), interface.ROUTES["POST", "/v1/webhooks/mlflow"].keys)
    published.check("POST", "/v1/webhooks/mlflow", answer)


def test_a_delivery_of_argilla_is_answered_as_it_is_told(world: World) -> None:
    told = interface.ROUTES["POST", "/v1/webhooks/argilla"]
    request = argilla.signed(told.sent, "msg_1", world.clock.now_s())
    answer = world.client(argilla_secret=argilla.SECRET).request("POST", "/v1/webhooks/argilla", **request)
    assert answer.status_code == 200, answer.text
    assert_keys(answer.json(), told.keys)
    published.check("POST", "/v1/webhooks/argilla", answer)


CHOICES = [
    (path, one.name, value)
    for (_, path), told in interface.ROUTES.items()
    for one in told.parameters
    for value in one.choices
]


@pytest.mark.parametrize(("path", "name", "value"), CHOICES)
def test_each_choice_of_a_query_is_taken(world: World, path: str, name: str, value: str) -> None:
    bare, _, query = (interface.ROUTES["GET", path].example or path).partition("?")
    kept = [one for one in query.split("&") if not one.startswith(f"{name}=")]
    answer = asked(world.client(), "GET", path, example=f"{bare}?{'&'.join(filter(None, [*kept, f'{name}={value}']))}")
    assert answer.status_code == 200, answer.text


def test_entries_come_as_lines_too(world: World) -> None:
    lines = {"accept": JSON_LINES_TYPE}
    answer = asked(world.client(), "GET", "/v1/releases/{release_id}/entries", headers=lines)
    assert (answer.status_code, answer.headers["content-type"].partition(";")[0]) == (200, JSON_LINES_TYPE)


CHECKED = [(*key, one.name) for key, told in interface.ROUTES.items() for one in told.parameters if one.checked]


@pytest.mark.parametrize(("method", "path", "name"), CHECKED)
def test_a_query_that_is_told_as_checked_is(world: World, method: str, path: str, name: str) -> None:
    told = interface.ROUTES[method, path]
    bare = (told.example or path).partition("?")[0]
    needed = {one.name for one in told.parameters if one.required} - {name}
    query = "&".join(
        [*(f"{one}=intent" for one in needed), f"{name}={'%20' if name in ('model', 'reason') else 'odd'}"]
    )
    answer = asked(world.client(), method, path, example=f"{bare}?{query}")
    assert (answer.status_code, answer.json()["error"]["field"]) == (422, name), answer.text


WITH_BODY = [key for key, told in interface.ROUTES.items() if told.body is not None]


@pytest.mark.parametrize(("method", "path"), WITH_BODY)
def test_a_body_has_the_fields_that_are_told(world: World, method: str, path: str) -> None:
    """What is required is missed, by its name; what is not told of is refused."""
    told = interface.ROUTES[method, path]
    assert told.body is not None
    client = world.replica("intent", "7") if path == "/v1/predictions" else world.client()
    required = {one.alias or name for name, one in told.body.model_fields.items() if one.is_required()}
    for name in required:
        without = {key: value for key, value in told.sent.items() if key != name}
        answer = asked(client, method, path, json=without)
        assert (answer.status_code, answer.json()["error"].get("field")) == (422, name), answer.text
    beside = asked(client, method, path, json={**told.sent, "odd": 1})
    assert (beside.status_code, beside.json()["error"]["field"]) == (422, "odd")


def test_every_code_of_an_error_is_told_and_no_other() -> None:
    """Of those that Starlette names, and of those that the code does."""
    text = "\n".join(path.read_text() for path in (ROOT / "controller/api").glob("*.py"))
    named = set(re.findall(r'(?:ApiError|error_response)\(\s*(?:HTTPStatus\.\w+|status),\s*"(\w+)"', text))
    named |= {"no_policy", "not_found"}  # by what is not there
    by_status = {"method_not_allowed", "request_timeout", "request_entity_too_large", "misdirected_request"}
    assert named | by_status == interface.ERRORS.keys()
