"""Records the exchange in ``argilla.json`` again: with a real Argilla, its client, its worker and Redis, on loopback.

Run it with the Python of an environment of its own that has ``argilla``, ``argilla-server`` and ``click<8.2``;
`redis-server` has to be on the path. The records are those that stand in the file, which a test holds against what
Serin writes. Argilla's search engine is the one thing that is stood in for: nothing that is recorded comes from it.
"""

import json
import os
import secrets
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from importlib.metadata import version
from pathlib import Path
from typing import Any

import httpx
from loopback import awaited, free_port, received, running

EXCHANGE = Path(__file__).with_name("argilla.json")
EVENTS = ["dataset.published", "record.completed", "response.created", "response.updated", "response.deleted"]
CLASSES = ["invoice", "refund"]
ROUTE = "/v1/webhooks/argilla"
HEADERS = ("webhook-id", "webhook-timestamp", "webhook-signature", "content-type")
ITSELF = [sys.executable, "-m", "argilla_server"]


def main() -> None:
    records = json.loads(EXCHANGE.read_text())["records"]
    with (
        tempfile.TemporaryDirectory() as home,
        received(ROUTE, HEADERS) as (deliveries, hook),
        argilla(Path(home)) as server,
    ):
        exchange = annotated(Path(home), records, server, hook, deliveries)
    packages = {name: version(name) for name in ("argilla", "argilla-server", "standardwebhooks")}
    EXCHANGE.write_text(json.dumps({"packages": packages, **exchange}, indent=1) + "\n")


def annotated(
    home: Path, records: list[dict[str, Any]], server: tuple[str, str], hook: str, deliveries: list[dict[str, Any]]
) -> dict[str, Any]:
    """What was exchanged while two people answered the records: one delivery at a time, so that they keep the order."""
    import argilla as rg

    url, key = server
    client = rg.Argilla(api_url=url, api_key=key)
    rg.Workspace(name="serin", client=client).create()
    people = {name: person(client, url, name) for name in ("ann", "eve")}
    webhook = rg.Webhook(url=hook, events=EVENTS, _client=client).create()
    settings = rg.Settings(
        fields=[rg.TextField(name="text")],
        questions=[rg.LabelQuestion(name="label", labels=CLASSES)],
        allow_extra_metadata=True,
    )
    dataset = rg.Dataset(name="intents", workspace="serin", settings=settings, client=client).create()
    file = home / "records.json"
    file.write_text(json.dumps(records))
    dataset.records.from_json(file)
    unanswered = flat(dataset)
    ids = {record.id: str(record._server_id) for record in dataset.records}
    told = 1  # the data set was published

    def answer(name: str, method: str, path: str, body: object = None) -> str:
        nonlocal told
        made = asked(f"{url}/api/v1/{path}", people[name][1], method, body)
        told += 1
        awaited(lambda: sum(event(one) != "record.completed" for one in deliveries) >= told)
        return made["id"]

    first = answer("ann", "POST", f"records/{ids['a']}/responses", said("invoice"))
    answer("ann", "PUT", f"responses/{first}", said("refund"))
    draft = answer("ann", "POST", f"records/{ids['b']}/responses", said("invoice", "draft"))
    answer("ann", "PUT", f"responses/{draft}", said("invoice"))
    answer("eve", "POST", f"records/{ids['b']}/responses", said("refund"))
    answer("ann", "POST", f"records/{ids['c']}/responses", said(None, "discarded"))
    answer("eve", "POST", f"records/{ids['c']}/responses", said("refund", "draft"))
    gone = answer("ann", "POST", f"records/{ids['d']}/responses", said("invoice"))
    answer("ann", "DELETE", f"responses/{gone}")
    export = dataset.records(with_responses=True).to_json(home / "export.json")
    return {
        "secret": webhook.secret,
        "annotators": {name: number for name, (number, _) in people.items()},
        "records": records,
        "deliveries": deliveries,
        "unanswered": unanswered,
        "flat": flat(dataset),
        "nested": json.loads(export.read_text()),
    }


def flat(dataset: Any) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = dataset.records(with_responses=True).to_list(flatten=True)
    return found


def event(delivery: dict[str, Any]) -> str:
    return str(json.loads(delivery["body"])["type"])


def said(value: str | None, status: str = "submitted") -> dict[str, Any]:
    return {"status": status, "values": {} if value is None else {"label": {"value": value}}}


def person(client: Any, url: str, name: str) -> tuple[str, dict[str, str]]:
    """The id of a new annotator, and what shows that it is he who asks."""
    import argilla as rg

    password = secrets.token_hex(8)
    user = rg.User(username=name, password=password, role="annotator", client=client).create()
    user.add_to_workspace(client.workspaces("serin"))
    login = httpx.post(f"{url}/api/v1/token", data={"username": name, "password": password}).raise_for_status()
    return str(user.id), {"Authorization": f"Bearer {login.json()['access_token']}"}


@contextmanager
def argilla(home: Path) -> Iterator[tuple[str, str]]:
    """The address of a running Argilla, and the key of its owner."""
    port, redis_port, key = free_port(), free_port(), secrets.token_hex(16)
    environment = {
        **os.environ,
        "HF_HUB_OFFLINE": "1",
        "ARGILLA_HOME_PATH": str(home),
        "ARGILLA_SEARCH_ENGINE": "none",
        "ARGILLA_REDIS_URL": f"redis://127.0.0.1:{redis_port}/0",
    }
    owner = ["--first-name", "o", "--username", "owner", "--role", "owner", "--password", key, "--api-key", key]
    redis = ["redis-server", "--bind", "127.0.0.1", "--port", str(redis_port), "--save", "", "--dir", str(home)]
    commands = [redis, [sys.executable, __file__, "serve", str(port)], [*ITSELF, "worker"]]
    for setup in (["migrate"], ["users", "create", *owner]):
        subprocess.run([*ITSELF, "database", *setup], env=environment, check=True, stdout=subprocess.DEVNULL)
    with ExitStack() as stack:
        for command in commands:
            stack.enter_context(running(command, environment))
        url = f"http://127.0.0.1:{port}"
        awaited(lambda: asked(f"{url}/api/v1/me", {"X-Argilla-Api-Key": key}))
        yield url, key


def serve(port: int) -> None:
    """Argilla's server, with a search engine that finds nothing."""
    import uvicorn
    from argilla_server import app
    from argilla_server.search_engine import SearchEngine

    async def nothing(*_: object, **__: object) -> dict[str, Any]:
        return {"total": 0}

    async def new_instance(cls: type) -> Any:
        return cls()

    methods = dict.fromkeys(SearchEngine.__abstractmethods__, nothing)
    engine = type("NoEngine", (SearchEngine,), {**methods, "new_instance": classmethod(new_instance)})
    SearchEngine.register("none")(engine)
    uvicorn.run(app, host="127.0.0.1", port=port, log_level="warning")


def asked(url: str, allowed: dict[str, str], method: str = "GET", body: object = None) -> Any:
    return httpx.request(method, url, headers=allowed, json=body).raise_for_status().json()


if __name__ == "__main__":
    serve(int(sys.argv[2])) if sys.argv[1:2] == ["serve"] else main()
