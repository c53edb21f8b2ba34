"""People and pipelines: looking, asking, freezing; who may; and what every error looks like."""

import hashlib
import json
from typing import Any

import pytest

from controller.core.commands import Ask, Freeze
from controller.errors import PermanentError, SerinError, TransientError
from controller.ports.journal import Entry, ReleaseRecord
from controller.ports.people import WAITING_MAX
from controller.roles import REPLICA, Role
from tests.controller.api_support import Client, World, error_of

WHY = {"reason": "wrong data", "by": "ada"}


@pytest.fixture
def world() -> World:
    found = World()
    for number, model in enumerate(("intent", "tone"), start=1):
        record = ReleaseRecord(f"r{number}", model, "7", "shadow", True, 1, float(number), '{"phase": "shadow"}')
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


def test_every_stream_is_followed_by_position(world: World, client: Client) -> None:
    """Releases, models and the installation in one order, from where a reader left off."""
    world.journal.note("installation", [Entry("Frozen", 3.0, {"model": "*"})])
    first = client.get("/v1/journal?limit=2").json()
    assert [(one["position"], one["stream"]) for one in first["entries"]] == [(1, "release:r1"), (2, "release:r2")]
    rest = client.get(f"/v1/journal?after={first['reached']}").json()
    assert [one["stream"] for one in rest["entries"]] == ["installation"]
    assert client.get(f"/v1/journal?after={rest['reached']}").json() == {"entries": [], "reached": 3}


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
        told = response.json()
        assert "What that would do is not known" in told.pop("foreseen")  # its release is a stand-in
        assert told == {"command": "build-4711", "new": new, "at_s": world.clock.at_s}
    assert len(world.inbox.waiting()) == 1


@pytest.mark.parametrize("path", ["/v1/models/intent/abort", "/v1/releases", "/v1/freezes"])
def test_nobody_asks_without_a_reason(world: World, client: Client, path: str) -> None:
    """ "No reason provided" is impossible: neither left out nor blank."""
    whole = WHY | ({} if "abort" in path else {"model": "intent"}) | ({"version": "8"} if "releases" in path else {})
    for body in ({key: value for key, value in whole.items() if key != "reason"}, {**whole, "reason": "  "}):
        response = client.post(path, body)
        assert (response.status_code, error_of(response)["field"]) == (422, "reason")
    assert world.inbox.waiting() == ()
    assert world.freezes.in_force() == ()


@pytest.mark.parametrize(
    ("said", "on_record"), [({}, "ci"), ({"by": "ci"}, "ci"), ({"by": "ada"}, "ci for ada")], ids=str
)
def test_who_is_on_record_is_whose_token_it_was(world: World, said: dict[str, str], on_record: str) -> None:
    """Nobody asks in another's name; for whom he says to ask is kept beside his own."""
    client = world.client("admin", name="ci")
    client.post("/v1/models/intent/abort", {"reason": "wrong data", **said})
    client.post("/v1/freezes", {"model": "*", "reason": "holidays", **said})
    client.request("DELETE", "/v1/freezes/*", params={"reason": "over", **said})
    assert [command.by for command in world.inbox.waiting()] == [on_record]
    assert [(freeze.by, lifted[1]) for freeze, lifted in world.freezes.lifted.items()] == [(on_record, on_record)]


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/v1/models/intnt/abort", {}),
        ("/v1/models/intnt/rollback", {}),
        ("/v1/models/intnt/resume", {}),
        ("/v1/releases", {"model": "intnt", "version": "8"}),
        ("/v1/freezes", {"model": "intnt"}),
    ],
)
def test_what_is_asked_of_a_model_that_is_not_there_is_refused_at_once(
    world: World, client: Client, path: str, body: dict[str, str]
) -> None:
    """A slip of the finger must not look like a freeze, or like an abort; and nothing is kept of it."""
    response = client.post(path, {**body, "reason": "incident 42"})
    assert (response.status_code, error_of(response)["field"]) == (404, "model")
    assert error_of(response)["message"] == "there is no policy for model 'intnt'; models here: intent, tone"
    assert (world.inbox.waiting(), world.freezes.in_force()) == ((), ())


def test_what_nobody_takes_up_is_bounded(world: World, client: Client) -> None:
    """A sender that repeats itself is told, and what stops a release has its place all the same."""
    start = {"model": "intent", "version": "8", "reason": "again"}
    answers = [client.post("/v1/releases", start).status_code for _ in range(WAITING_MAX + 1)]
    assert answers == [202] * WAITING_MAX + [409]
    assert client.post("/v1/models/intent/abort", {"reason": "enough"}).status_code == 202
    freezes = [client.post("/v1/freezes", {"model": "*", "reason": str(n)}).status_code for n in range(WAITING_MAX + 1)]
    assert freezes == [201] * WAITING_MAX + [409]


def test_releases_and_entries_come_in_pages(world: World, client: Client) -> None:
    """Each page says where the next begins, until there is none; a reader can check the whole chain by himself."""
    first = client.get("/v1/releases?limit=1").json()
    second = client.get(f"/v1/releases?limit=1&before={first['next']}").json()
    assert [page["releases"][0]["release_id"] for page in (first, second)] == ["r2", "r1"]
    assert client.get(f"/v1/releases?before={second['next']}").json() == {"releases": [], "next": None}

    record = ReleaseRecord("r9", "intent", "9", "shadow", True, 1_000, 9.0, "{}")
    world.journal.append(record, [Entry("looked", float(number), {"look": number}) for number in range(1_000)])
    whole, after = [], 0
    while after is not None:
        page = client.get(f"/v1/releases/r9/entries?payload=text&after={after}").json()
        assert len(page["entries"]) <= 100
        whole, after = [*whole, *page["entries"]], page["next"]
    assert len(whole) == page["length"] == 1_000
    _check_chain("release:r9", whole)
    streamed = client.get("/v1/releases/r9/entries?after=10", headers={"accept": "application/x-ndjson"})
    as_json = [{**one, "payload": json.loads(one["payload"])} for one in whole]
    assert [json.loads(line) for line in streamed.text.splitlines()] == as_json[10:]
    assert streamed.headers["content-type"] == "application/x-ndjson"
    refused = [
        client.get(f"/v1/releases/r9/entries?{query}") for query in ("limit=501", "limit=0", "after=-1", "after=x")
    ]
    refused += [client.get("/v1/releases/r9/entries?payload=bytes"), client.get("/v1/journal?after=x")]
    assert [error_of(one)["field"] for one in refused] == ["limit", "limit", "after", "after", "payload", "after"]


def _check_chain(stream: str, entries: list[dict[str, Any]]) -> None:
    """As a reader does who trusts nobody: every hash from the bytes that it covers, from the first entry on."""
    previous = "0" * 64
    for number, entry in enumerate(entries, start=1):
        head = json.loads(entry["head"])
        assert (head["stream"], head["sequence"], head["previous_hash"]) == (stream, number, previous)
        assert hashlib.sha256(entry["payload"].encode()).hexdigest() == head["payload_sha256"]
        previous = hashlib.sha256(entry["head"].encode()).hexdigest()
        assert entry["hash"] == previous


def test_freezes_are_made_listed_and_lifted(world: World, client: Client) -> None:
    """One model or all; who lifted it and why is kept."""
    assert client.post("/v1/freezes", {"model": "*", "reason": "holidays", "by": "ada"}).status_code == 201
    assert world.freezes.in_force() == (Freeze("*", "holidays", "ada", world.clock.at_s),)
    assert [one["reason"] for one in client.get("/v1/freezes").json()["freezes"]] == ["holidays"]
    lift = {"params": {"reason": "back at work", "by": "bob"}}
    assert client.request("DELETE", "/v1/freezes/*", **lift).json() == {"model": "*", "lifted": True}
    assert client.request("DELETE", "/v1/freezes/*", **lift).json() == {"model": "*", "lifted": False}
    assert list(world.freezes.lifted.values()) == [("back at work", "ada for bob", world.clock.at_s)]
    assert error_of(client.request("DELETE", "/v1/freezes/*?by=bob"))["field"] == "reason"


def test_a_freeze_ends_after_the_time_that_it_is_asked_for(world: World, client: Client) -> None:
    """By the clock here, whatever the caller's says; and not in the past, or after a life."""
    asked = {"model": "intent", "reason": "the night"}
    made = client.post("/v1/freezes", {**asked, "for_s": 60}).json()
    assert made["ends_at_s"] == world.clock.at_s + 60
    assert client.get("/v1/freezes").json()["freezes"][0]["ends_at_s"] == made["ends_at_s"]
    for wrong in (0, -1, 1e12, "soon"):
        assert error_of(client.post("/v1/freezes", {**asked, "for_s": wrong}))["field"] == "for_s"


READS = ["/v1/releases", "/v1/releases/r1", "/v1/releases/r1/entries", "/v1/journal", "/v1/freezes"]
ROUTES = {
    **{("GET", path): {"view", "propose", "rollback", "admin"} for path in READS},
    **{
        ("GET", path): {"view", "propose", "rollback", "admin"}
        for path in ("/v1/status", "/v1/history", "/v1/releases/r1/report")
    },
    ("GET", "/v1/models/intent/foreseen?ask=abort"): {"view", "propose", "rollback", "admin"},
    ("GET", "/v1/commands/c1"): {"view", "propose", "rollback", "admin"},
    ("POST", "/v1/models/intent/again"): {"propose", "admin"},
    ("POST", "/v1/models/intent/replace"): {"admin"},
    ("POST", "/v1/predictions"): {"replica"},
    ("POST", "/v1/labels"): {"labels", "admin"},
    ("POST", "/v1/webhooks/label-studio"): {"labels", "admin"},
    ("GET", "/v1/label-requests?model=intent"): {"labels", "admin"},
    ("POST", "/v1/releases"): {"propose", "admin"},
    ("POST", "/v1/models/intent/abort"): {"rollback", "admin"},
    ("POST", "/v1/models/intent/rollback"): {"rollback", "admin"},
    ("POST", "/v1/models/intent/resume"): {"admin"},
    ("POST", "/v1/models/intent/pause"): {"rollback", "admin"},
    ("POST", "/v1/models/intent/promote"): {"admin"},
    ("POST", "/v1/freezes"): {"rollback", "admin"},
    ("DELETE", "/v1/freezes/intent?reason=x&by=y"): {"admin"},
}


@pytest.mark.parametrize(("method", "path"), [*ROUTES])
def test_each_route_is_for_its_roles_alone(world: World, method: str, path: str) -> None:
    """Everybody else gets an answer that names a role that may and how to come by it, before anything is read."""
    allowed = set()
    for role in (*Role, REPLICA):
        response = world.client(role, open_reading=False).request(method, path)
        if response.status_code == 403:
            assert error_of(response)["code"] == "forbidden"
            assert "serin token create --role" in response.text or "only a running replica" in response.text
        else:
            allowed.add(str(role))
    assert allowed == ROUTES[method, path]


def may_be_open(method: str, path: str) -> bool:
    return method == "GET" and "label-requests" not in path


@pytest.mark.parametrize("open_reading", [True, False])
@pytest.mark.parametrize(("method", "path"), [*ROUTES])
def test_what_writes_or_shows_texts_needs_a_token(world: World, method: str, path: str, open_reading: bool) -> None:
    """Without one, with one of nobody's, or one shown in another way: 401 with the way in, whatever else is open."""
    client = world.client(open_reading=open_reading)
    strangers = [{}, {"authorization": "Bearer wrong"}, {"authorization": "Basic YTpi"}, {"authorization": "Bearer ü"}]
    for number, sent in enumerate(strangers):
        response = client.stranger().request(method, path, headers={k: v.encode("utf-8") for k, v in sent.items()})
        if number == 0 and open_reading and may_be_open(method, path):
            assert response.status_code == 200 or path not in READS
            continue
        assert (response.status_code, error_of(response)["code"]) == (401, "unauthorized")
        assert response.headers["www-authenticate"].startswith("Bearer")


def test_every_route_is_in_the_list_above(client: Client) -> None:
    """A route added later cannot forget who may."""
    routes = {
        (method, route.path)
        for route in client._app.routes
        for method in route.methods - {"HEAD"}  # type: ignore[attr-defined]
    }
    listed = {
        (
            method,
            path.partition("?")[0]
            .replace("intent", "{model}")
            .replace("r1", "{release_id}")
            .replace("c1", "{command_id}"),
        )
        for method, path in ROUTES
    }
    assert routes - listed == {("GET", "/health"), ("GET", "/ready")}


def test_a_token_for_one_model_stops_no_other(world: World) -> None:
    """A team's pipeline starts its own releases, and freezes nobody else's."""
    client = world.client("propose", "rollback", model="intent")
    assert client.post("/v1/releases", {"model": "intent", "version": "8", "reason": "new"}).status_code == 202
    refused = [
        client.post("/v1/releases", {"model": "tone", "version": "8", "reason": "new"}),
        client.post("/v1/models/tone/rollback", {"reason": "new"}),
        client.post("/v1/freezes", {"model": "*", "reason": "new"}),
    ]
    assert [error_of(response)["message"] for response in refused] == ["the token of ada is for model intent only"] * 3
    assert len(world.inbox.waiting()) == 1
    assert world.freezes.in_force() == ()


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
