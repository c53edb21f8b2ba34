"""Around every request: names that mean us, pages that do not belong here, and the log of who asked."""

import json
import logging

import pytest

from controller.api.access import Access
from controller.api.app import create_app
from controller.api.callers import REFUSED_A_SECOND_MAX
from tests.controller.api_support import URL, Client, FakeTokens, World, error_of

ABORT = {"reason": "wrong data"}


class Lines(logging.Handler):
    """What would be written."""

    def __init__(self) -> None:
        super().__init__()
        self.lines: list[dict[str, object]] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.lines.append(json.loads(record.getMessage()))


@pytest.mark.parametrize("path", ["/v1/releases", "/v1/label-requests?model=intent", "/v1/nothing"])
def test_a_rebound_name_reads_nothing(world: World, path: str) -> None:
    """Whatever token comes with it."""
    response = world.client().get(path, headers={"host": "rebound.example:8081"})
    assert (response.status_code, error_of(response)["code"]) == (421, "host")


@pytest.mark.parametrize("origin", ["http://evil.example", "null", "http://127.0.0.1:3000"])
def test_a_foreign_page_writes_nothing(world: World, origin: str) -> None:
    """Not even where it got hold of a token."""
    response = world.client().post("/v1/models/intent/abort", ABORT, headers={"origin": origin})
    assert (response.status_code, error_of(response)["code"]) == (403, "origin")
    assert world.inbox.waiting() == ()
    same = world.client().post("/v1/models/intent/abort", ABORT, headers={"origin": URL})
    assert same.status_code == 202


def test_health_is_told_under_any_name(world: World) -> None:
    """Probes ask by address; there is nothing to learn."""
    assert world.client().stranger().get("/health", headers={"host": "10.0.0.7:8081"}).status_code == 200


@pytest.fixture
def world() -> World:
    return World()


@pytest.fixture
def lines() -> Lines:
    return Lines()


@pytest.fixture
def client(world: World, lines: Lines) -> Client:
    tokens = FakeTokens()
    token = tokens.add("pager", "rollback")
    return Client(create_app(world.ports(), Access(tokens, open_reading=False), log=lines), token)


def test_who_asked_what_and_what_came_of_it_is_written_down(client: Client, lines: Lines) -> None:
    """By the token's name and the route; of no token, no text, and of no path that we do not have."""
    client.post("/v1/models/intent/rollback", ABORT)
    client.post("/v1/models/intent/resume", ABORT)
    client.stranger().post("/v1/models/intent/abort", ABORT, headers={"authorization": "Bearer guess"})
    client.get("/v1/secret-in-a-path?token=x")
    client.get("/v1/releases", headers={"host": "rebound.example"})
    client.get("/health")
    told = [(one["client"], one["method"], one["route"], one.get("model"), one["status"]) for one in lines.lines]
    assert told == [
        ("pager", "POST", "/v1/models/{model}/rollback", "intent", 202),
        ("pager", "POST", "/v1/models/{model}/resume", "intent", 403),
        (None, "POST", "/v1/models/{model}/abort", "intent", 401),
        (None, "GET", "", None, 404),
        (None, "GET", "", None, 421),
    ]
    text = json.dumps(lines.lines)
    assert not [word for word in ("guess", "serin_", "secret", "wrong data") if word in text]


def test_a_flood_of_guesses_drowns_nobody_elses_lines(client: Client, lines: Lines) -> None:
    """Of strangers a few lines a second are kept (the clock stands here); of those who are known, all."""
    for _ in range(200):
        client.stranger().get("/v1/releases")
    client.get("/v1/releases")
    assert len([one for one in lines.lines if one["status"] == 401]) == REFUSED_A_SECOND_MAX
    assert lines.lines[-1]["client"] == "pager"
