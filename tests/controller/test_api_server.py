"""The server: a real socket, many clients at once, a clean end; and the whole interface on the SQL store."""

import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest

from controller.api.access import Access
from controller.api.app import ApiPorts, create_app
from controller.api.server import serve
from controller.ports.samples import SampleCursor
from controller.roles import REPLICA, Role
from controller.service import Service
from tests.controller.api_support import FakeTokens, StoppedClock, World
from tests.fakes.site import FakeSite
from tests.stores import new_store


def test_it_answers_from_the_first_moment_and_is_gone_afterwards() -> None:
    """No waiting for it to be up, and after the block neither thread nor socket is left."""
    with serve(World().client()._app) as url:
        assert httpx.get(f"{url}/health").json() == {"status": "ok", "installation": ""}
    assert "api" not in {thread.name for thread in threading.enumerate()}
    with pytest.raises(httpx.ConnectError):
        httpx.get(f"{url}/health")


def test_a_taken_port_is_an_error_at_once() -> None:
    """In the caller's thread, where somebody sees it."""
    with (
        serve(World().client()._app) as url,
        pytest.raises(OSError, match="in use"),
        serve(World().client()._app, port=httpx.URL(url).port or 0),
    ):
        pass


def test_many_replicas_at_once_lose_nothing(tmp_path: Path) -> None:
    """Batches and labels from many connections all become evidence, each once, on the real store."""
    store = new_store(f"sqlite:///{tmp_path}/store.db")
    ports = ApiPorts(
        samples=store.samples,
        standing=store.standing,
        journal=store.journal,
        service=Service(store.journal, store.inbox, store.freezes, StoppedClock(), {"intent"}, FakeSite()),
        deliveries=store.deliveries,
        clock=StoppedClock(),
        wake=lambda: None,
    )
    requests, rounds = 40, 6

    def batch(traffic: str, version: str, number: int) -> dict[str, object]:
        return {
            "schema": "serin.predictions/v1",
            "predictions": [
                {
                    "request_id": f"{number}-{i}",
                    "model": "intent",
                    "model_version": version,
                    "traffic": traffic,
                    "at_s": 5.0,
                    "label": "a",
                    "confidence": 1.0,
                    "probabilities": {"a": 1.0},
                    "inclusion_probability": 1.0,
                    "text_digest": f"{number}-{i}",
                    "tokens": 3,
                }
                for i in range(requests)
            ],
        }

    def labels(number: int) -> dict[str, object]:
        return {"labels": [{"request_id": f"{number}-{i}", "label": "b"} for i in range(requests)]}

    sends = [
        send
        for number in range(rounds)
        for send in (
            ("/v1/predictions", batch("live", "6", number), "6"),
            ("/v1/labels", labels(number), ""),
            ("/v1/predictions", batch("shadow", "7", number), "7"),
        )
    ]
    tokens = FakeTokens()
    shown = {
        version: {"authorization": f"Bearer {tokens.add(REPLICA, REPLICA, model='intent', version=version)}"}
        for version in ("6", "7")
    } | {"": {"authorization": f"Bearer {tokens.add('helpdesk', Role.LABELS)}"}}
    app = create_app(ports, Access(tokens, open_reading=True))
    with serve(app) as url, httpx.Client(base_url=url) as client, ThreadPoolExecutor(6) as pool:
        answers = list(pool.map(lambda send: client.post(send[0], json=send[1], headers=shown[send[2]]), sends))
    assert [answer.status_code for answer in answers] == [200] * len(sends)
    taken = {"/v1/predictions": "new", "/v1/labels": "taken"}
    assert [answer.json()[taken[route]] for answer, (route, *_) in zip(answers, sends, strict=True)] == (
        [requests] * len(sends)
    )
    found = store.samples.since("intent", "6", "7", SampleCursor())
    assert (found.pairs_agreed, len(found.pairs)) == (requests * rounds, requests * rounds)
    assert (found.stable_labels.labelled, found.stable_labels.wrong) == (requests * rounds, requests * rounds)
    store.close()
