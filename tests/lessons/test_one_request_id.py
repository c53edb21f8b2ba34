"""One id a request, from the gateway on: both versions, the answer's header and its body carry the same.

The gateway used to keep any id, and each replica to replace what it could not use by one of its own: answers did not
pair up, and labels that came back under the id of the answer's header matched nothing.
"""

import json
import re
import socket
import uuid
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from http.client import HTTPResponse
from pathlib import Path

import pytest

from controller.adapters.envoy.traffic import EnvoyTraffic
from controller.core.traffic import Mirror, TrafficTable
from serving.contract import USABLE_REQUEST_ID
from serving.packaging.build import build_package
from tests.contracts.traffic import confirmed
from tests.controller.envoy_support import RunningEnvoy, running_envoy, set_endpoint
from tests.patience import PATIENCE_S, eventually
from tests.serving.replica import replica

CHECKPOINT = Path(__file__).parents[1] / "serving" / "data" / "tiny"
BODY = b'{"text": "where is my order"}'


@dataclass(frozen=True)
class Served:
    envoy: RunningEnvoy
    logs: dict[str, Path]  # by version

    def ask(self, *ids: bytes) -> tuple[int, list[str], str]:
        """Status, ids in the answer's header, id in its body, for a request with these id headers, byte by byte."""
        host, port = self.envoy.url.removeprefix("http://").split(":")
        head = b"".join(b"x-request-id: %b\r\n" % one for one in ids)
        with socket.create_connection((host, int(port)), timeout=PATIENCE_S) as connection:
            connection.sendall(
                b"POST /models/intent/predict HTTP/1.1\r\nhost: 127.0.0.1\r\nconnection: close\r\n"
                b"content-type: application/json\r\ncontent-length: %d\r\n%b\r\n%b" % (len(BODY), head, BODY)
            )
            answer = HTTPResponse(connection)
            answer.begin()
            text = answer.read()
        found = json.loads(text)["request_id"] if answer.status == 200 else ""
        return answer.status, answer.headers.get_all("x-request-id") or [], found

    def seen(self, version: str) -> set[tuple[str, str]]:
        """Kind of traffic and id of every request that the version's own log names."""
        lines = self.logs[version].read_text().splitlines()
        entries = [json.loads(line) for line in lines]
        return {(entry["traffic"], entry["request_id"]) for entry in entries if entry["route"] == "/predict"}


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """Version 6 serves, version 7 gets the copies."""
    folder = tmp_path_factory.mktemp("served")
    build_package(CHECKPOINT, folder / "package")
    logs = {version: folder / f"{version}.log" for version in "67"}
    with ExitStack() as stack:
        envoy = stack.enter_context(running_envoy(folder / "envoy"))
        traffic = EnvoyTraffic(envoy.directory)
        for version, log in logs.items():
            it = stack.enter_context(replica(folder / "package", "--access-log", str(log), version=version))
            set_endpoint(traffic, "intent", version, it.url, it.shadow_url)
        traffic.write(TrafficTable("intent", {"6": 100.0}, Mirror("7", 100.0), known_good="6", generation=1))
        assert confirmed(traffic, "intent", 1)
        eventually(lambda: envoy.post().status_code == 200, what="the gateway to serve")
        yield Served(envoy, logs)


def one_id(served: Served, *ids: bytes) -> str:
    """The id of a request that was sent with these; it must be the same wherever it is told."""
    status, header, body = served.ask(*ids)
    assert (status, header) == (200, [body])
    assert re.fullmatch(USABLE_REQUEST_ID, body)
    eventually(lambda: ("live", body) in served.seen("6"), what=f"version 6 to have served {body}")
    eventually(lambda: ("shadow", body) in served.seen("7"), what=f"version 7 to have seen a copy of {body}")
    return body


@pytest.mark.integration
@pytest.mark.parametrize(
    "given", ["order-4711", "x" * 128, "a,b", "!~", "{}%2F\\\"'", "0a1b2c3d-4e5f-9a6b-8c7d-9e8f0a1b2c3d"]
)
def test_a_usable_id_is_kept_as_it_came(served: Served, given: str) -> None:
    """To the last character: labels come back under it."""
    assert one_id(served, given.encode()) == given


@pytest.mark.integration
@pytest.mark.parametrize(
    "given", [b"", b"x" * 129, b"x" * 5_000, b"a b", b"a\tb", b"caf\xc3\xa9", b"\xff\xfe", b"a, b", "π".encode() * 64]
)
def test_any_other_is_replaced_once_for_all(served: Served, given: bytes) -> None:
    """By a new one each time, before the request is copied."""
    first, second = one_id(served, given), one_id(served, given)
    assert first != second
    assert uuid.UUID(first)


@pytest.mark.integration
def test_a_request_without_an_id_gets_one(served: Served) -> None:
    """The answer's header tells which."""
    assert uuid.UUID(one_id(served))


@pytest.mark.integration
@pytest.mark.parametrize("given", [(b"a", b"b"), (b"a", b"a"), (b"x" * 100, b"y" * 100), (b"", b"b"), (b"a", b"b c")])
def test_two_ids_are_one_everywhere(served: Served, given: tuple[bytes, ...]) -> None:
    """Whatever becomes of them, it is the same at both versions and in the answer."""
    one_id(served, *given)


@pytest.mark.integration
@pytest.mark.parametrize("given", [b"a\x00b", b"a\x01b", b"a\x7fb", b"a\rb"])
def test_control_bytes_never_get_past_the_gateway(served: Served, given: bytes) -> None:
    """Refused, or replaced like any other unusable id: no version sees them."""
    status, header, body = served.ask(given)
    assert status in (200, 400)
    if status == 200:
        assert header == [body]
        assert re.fullmatch(USABLE_REQUEST_ID, body)
