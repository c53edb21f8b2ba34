"""People and pipelines: looking, asking, freezing; who may; and what every error looks like."""

import pytest

from controller.core.command import Ask, Freeze
from controller.errors import PermanentError, SerinError, TransientError
from controller.ports import Entry, ReleaseRecord
from tests.controller.api_support import Client, World, error_of

WHY = {"reason": "wrong data", "by": "ada"}


@pytest.fixture
def world() -> World:
    found = World()
    for number, model in enumerate(("intent", "tone"), start=1):
        record = ReleaseRecord(f"r{number}", model, "7", "shadow", True, 1, float(number), {"phase": "shadow"})
        found.journal.append(record, [Entry("started", float(number), {"by": "ada"})])
    return found


@pytest.fixture
def client(world: World) -> Client:
    return world.client()


def test_releases_are_listed_and_shown(client: Client) -> None:
    """Lists are short, one release has its state, and its entries carry their hashes."""
    listed = client.get("/v1/releases").json()["releases"]
    assert [one["release_id"] for one in listed] == ["r2", "r1"]
    assert "state" not in listed[0]
    assert [one["model"] for one in client.get("/v1/releases?model=intent").json()["releases"]] == ["intent"]
    assert len(client.get("/v1/releases?limit=1").json()["releases"]) == 1
    assert client.get("/v1/releases/r1").json() == {**listed[1], "state": {"phase": "shadow"}}
    (entry,) = client.get("/v1/releases/r1/entries").json()["entries"]
    assert (entry["sequence"], entry["kind"], entry["payload"]) == (1, "started", {"by": "ada"})
    assert len(entry["hash"]) == 64


@pytest.mark.parametrize("path", ["/v1/releases/none", "/v1/releases/none/entries", "/v1/nothing", "/"])
def test_what_is_not_there_is_not_found(client: Client, path: str) -> None:
    """Unknown releases and unknown routes are told in the same form."""
    response = client.get(path)
    assert response.status_code == 404
    error_of(response)


def test_a_method_that_a_route_does_not_have_is_refused(client: Client) -> None:
    """The answer has the form of every other error."""
    response = client.request("PUT", "/v1/freezes")
    assert response.status_code == 405
    error_of(response)


def test_a_release_is_asked_for(world: World, client: Client) -> None:
    """The command waits in the inbox with who and why, and the loop is woken to take it up."""
    response = client.post("/v1/releases", {"model": "intent", "version": "8", **WHY})
    assert response.status_code == 202
    (command,) = world.inbox.waiting()
    assert (command.id, command.ask, command.model, command.version) == (
        response.json()["command"],
        Ask.START,
        "intent",
        "8",
    )
    assert (command.reason, command.by, command.at_s) == ("wrong data", "ada", world.clock.at_s)
    assert world.wakes == 1


@pytest.mark.parametrize("ask", [Ask.ABORT, Ask.ROLLBACK, Ask.RESUME])
def test_a_person_can_stop_roll_back_and_resume(world: World, client: Client, ask: Ask) -> None:
    """There is a manual "fail it now", whatever the phase."""
    assert client.post(f"/v1/models/intent/{ask}", WHY).status_code == 202
    (command,) = world.inbox.waiting()
    assert (command.ask, command.model, command.version) == (ask, "intent", None)


def test_a_repeated_request_is_one_command(world: World, client: Client) -> None:
    """A pipeline that tries again with the same id asks once."""
    for new in (True, False):
        response = client.post("/v1/models/intent/abort", {**WHY, "id": "build-4711"})
        assert response.json() == {"command": "build-4711", "new": new}
    assert len(world.inbox.waiting()) == 1


@pytest.mark.parametrize("missing", ["reason", "by"])
@pytest.mark.parametrize("path", ["/v1/models/intent/abort", "/v1/releases", "/v1/freezes"])
def test_nobody_asks_without_a_name_and_a_reason(world: World, client: Client, path: str, missing: str) -> None:
    """ "No reason provided" is impossible: neither left out nor blank."""
    whole = WHY | ({} if "abort" in path else {"model": "intent"}) | ({"version": "8"} if "releases" in path else {})
    for body in ({key: value for key, value in whole.items() if key != missing}, {**whole, missing: "  "}):
        response = client.post(path, body)
        assert (response.status_code, error_of(response)["field"]) == (422, missing)
    assert world.inbox.waiting() == ()
    assert world.freezes.in_force() == ()


def test_freezes_are_made_listed_and_lifted(world: World, client: Client) -> None:
    """One model or all; who lifted it and why is kept."""
    assert client.post("/v1/freezes", {"model": "*", "reason": "holidays", "by": "ada"}).status_code == 201
    assert world.freezes.in_force() == (Freeze("*", "holidays", "ada", world.clock.at_s),)
    assert [one["reason"] for one in client.get("/v1/freezes").json()["freezes"]] == ["holidays"]
    lift = {"params": {"reason": "back at work", "by": "bob"}}
    assert client.request("DELETE", "/v1/freezes/*", **lift).json() == {"model": "*", "lifted": True}
    assert client.request("DELETE", "/v1/freezes/*", **lift).json() == {"model": "*", "lifted": False}
    assert list(world.freezes.lifted.values()) == [("back at work", "bob", world.clock.at_s)]
    assert error_of(client.request("DELETE", "/v1/freezes/*?by=bob"))["field"] == "reason"


SHIBBOLETH = "s3cret"
WRITES = [
    ("POST", "/v1/predictions"),
    ("POST", "/v1/labels"),
    ("GET", "/v1/label-requests?model=intent"),
    ("POST", "/v1/releases"),
    ("POST", "/v1/models/intent/abort"),
    ("POST", "/v1/models/intent/rollback"),
    ("POST", "/v1/models/intent/resume"),
    ("POST", "/v1/freezes"),
    ("DELETE", "/v1/freezes/intent?reason=x&by=y"),
]


@pytest.mark.parametrize(("method", "path"), WRITES)
def test_writing_needs_the_token(world: World, method: str, path: str) -> None:
    """Every route that writes, or hands out texts, asks for it before it reads anything."""
    client = world.client(token=SHIBBOLETH)
    for sent in (
        {},
        {"authorization": "Bearer wrong"},
        {"authorization": SHIBBOLETH},
        {"authorization": f"Basic {SHIBBOLETH}"},
    ):
        response = client.request(method, path, headers=sent)
        assert (response.status_code, error_of(response)["code"]) == (401, "unauthorized")
    response = client.request(method, path, headers={"authorization": f"Bearer {SHIBBOLETH}"})
    assert response.status_code != 401


def test_every_writing_route_is_in_the_list_above(client: Client) -> None:
    """A route added later cannot forget its guard."""
    writing = {
        (method, route.path)
        for route in client._app.routes
        for method in route.methods - {"GET", "HEAD"}  # type: ignore[attr-defined]
    }
    listed = {
        (method, path.partition("?")[0].replace("intent", "{model}")) for method, path in WRITES if method != "GET"
    }
    assert writing == listed


def test_reading_needs_no_token(world: World) -> None:
    """Health, releases and freezes can be looked at."""
    client = world.client(token=SHIBBOLETH)
    for path in ("/health", "/v1/releases", "/v1/releases/r1", "/v1/releases/r1/entries", "/v1/freezes"):
        assert client.get(path).status_code == 200


@pytest.mark.parametrize(
    ("raised", "status", "code"),
    [
        (TransientError("journal", "the database is locked"), 503, "unavailable"),
        (PermanentError("the chain is broken\nat sequence 3"), 500, "failed"),
        (SerinError("something else"), 500, "failed"),
        (RuntimeError("a secret detail"), 500, "internal"),
    ],
)
def test_what_fails_behind_the_interface_is_told_in_one_line(
    world: World, raised: Exception, status: int, code: str
) -> None:
    """An outage can be told from a mistake, and what nobody expected gives nothing away."""

    class BrokenFreezes:
        def in_force(self) -> None:
            raise raised

    world.freezes = BrokenFreezes()  # type: ignore[assignment]
    response = world.client().get("/v1/freezes")
    assert (response.status_code, error_of(response)["code"]) == (status, code)
    assert "secret" not in response.text
    assert ("retry-after" in response.headers) == (status == 503)
