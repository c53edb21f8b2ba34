"""A real replica and its guard: who is let in, how often, and what is on record about those who are not (F9)."""

import json
import re
import signal
import socket
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest

from serving.access.tokens import changing, new_token, utc_now
from serving.contract import (
    ACCESS_REFUSED_METRIC,
    BATCH_SIZE_METRIC,
    HEALTH_ROUTE,
    INFO_ROUTE,
    METRICS_ROUTE,
    OPENAPI_ROUTE,
    PREDICT_ROUTE,
    REQUESTS_METRIC,
    TOKENIZE_ROUTE,
)
from tests.patience import PATIENCE_S
from tests.serving.replica import REPOSITORY, Replica, replica, until

pytestmark = pytest.mark.integration

TEXT = "my secret text is unmistakable"


@dataclass(frozen=True)
class Guarded:
    """A replica that asks for tokens, and two of them."""

    replica: Replica
    token_file: Path
    log_file: Path
    alice: str
    monitor: str

    def lines(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.log_file.read_text().splitlines()]

    def ask(self, route: str = PREDICT_ROUTE, token: str | None = None, **more: Any) -> httpx.Response:
        headers = {**more.pop("headers", {}), **({} if token is None else {"authorization": f"Bearer {token}"})}
        method = "GET" if route in (HEALTH_ROUTE, INFO_ROUTE, METRICS_ROUTE, OPENAPI_ROUTE) else "POST"
        body = None if method == "GET" else {"text": TEXT}
        with httpx.Client(base_url=self.replica.url, trust_env=False, timeout=20) as client:
            return client.request(method, route, json=body, headers=headers, **more)


def token_of(path: Path, name: str, *, unlimited: bool = False) -> str:
    entry, token = new_token(name, utc_now(), unlimited=unlimited)
    with changing(path) as entries:
        entries.append(entry)
    return token


@pytest.fixture(scope="module")
def guarded(built_package: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Guarded]:
    folder = tmp_path_factory.mktemp("guarded")
    tokens, log = folder / "tokens.json", folder / "access.log"
    alice, monitor = token_of(tokens, "alice"), token_of(tokens, "monitor", unlimited=True)
    flags = ["--token-file", tokens, "--access-log", log, "--client-rate", "5", "--client-burst", "30"]
    flags += ["--open-metrics", "--host", "0.0.0.0"]  # noqa: S104  (which tokens permit)
    with replica(built_package, *map(str, flags), version="7") as it:
        yield Guarded(it, tokens, log, alice, monitor)


def test_unauthorised_access_is_refused_counted_and_on_record(guarded: Guarded) -> None:
    """F9: the metric and the access log show it, and nothing of it reaches the model."""
    before = guarded.replica.samples()
    attempts = {
        "no_token": [None] * 3,
        "unknown_token": ["guess", "serin_000000000000_" + "A" * 43],
    }
    for tokens in attempts.values():
        for token in tokens:
            answer = guarded.ask(PREDICT_ROUTE, token, headers={"x-request-id": "intruder"})
            assert answer.status_code == 401
            assert answer.headers["www-authenticate"].startswith('Bearer realm="serin"')
            assert answer.json()["error"]["code"] == "unauthorized"
    after = guarded.replica.samples()

    def grown(name: str, **labels: str) -> float:
        return sum(
            value - before.get((found, carried), 0.0)
            for (found, carried), value in after.items()
            if found == name and carried >= frozenset(labels.items())
        )

    assert grown(REQUESTS_METRIC, code="401") == 5
    assert {reason: grown(ACCESS_REFUSED_METRIC, reason=reason) for reason in attempts} == {
        "no_token": 3, "unknown_token": 2
    }  # fmt: skip
    assert grown(f"{BATCH_SIZE_METRIC}_count") == 0
    until(lambda: sum(line["request_id"] == "intruder" for line in guarded.lines()) == 5, "the attempts are on record")
    on_record = [line for line in guarded.lines() if line["request_id"] == "intruder"]
    assert {(line["client"], line["address"], line["status"]) for line in on_record} == {(None, "127.0.0.1", 401)}
    assert Counter(line["refused"] for line in on_record) == {"no_token": 3, "unknown_token": 2}


def test_who_shows_a_token_is_answered_and_named_in_the_log(guarded: Guarded) -> None:
    answer = guarded.ask(token=guarded.alice, headers={"x-request-id": "named"})
    assert answer.status_code == 200
    until(lambda: any(line["request_id"] == "named" for line in guarded.lines()), "the request is on record")
    (line,) = (line for line in guarded.lines() if line["request_id"] == "named")
    assert (line["client"], line["route"], line["status"], line["texts"]) == ("alice", PREDICT_ROUTE, 200, 1)
    assert line["tokens"] > 3
    assert line["ms"] > 0
    assert (line["model"], line["model_version"], line["traffic"]) == ("intent", "7", "live")


@pytest.mark.parametrize(
    ("route", "status"),
    [(HEALTH_ROUTE, 200), (METRICS_ROUTE, 200), (OPENAPI_ROUTE, 200), (INFO_ROUTE, 401), (TOKENIZE_ROUTE, 401),
     ("/predict/", 401), ("//predict", 401), ("/docs", 401), ("/litserve", 401), ("/nowhere", 401)],
)  # fmt: skip
def test_what_is_open_is_a_short_list(guarded: Guarded, route: str, status: int) -> None:
    assert guarded.ask(route).status_code == status


def test_neither_texts_nor_tokens_nor_what_clients_write_freely_are_in_any_log(guarded: Guarded) -> None:
    guarded.ask(token=guarded.alice)
    guarded.ask(TOKENIZE_ROUTE, guarded.alice)
    guarded.ask(f"/predict?text={TEXT}", guarded.alice)
    guarded.ask(f"/{TEXT}", guarded.alice, headers={"x-request-id": "odd-path", "user-agent": TEXT})
    with httpx.Client(base_url=guarded.replica.url, trust_env=False) as client:
        for body in (f'{{"{TEXT}": 1}}', f'{{"text": 5, "{TEXT}', TEXT, f'{{"texts": "{TEXT}"}}'):
            answer = client.post(PREDICT_ROUTE, content=body, headers={"authorization": f"Bearer {guarded.alice}"})
            assert answer.status_code in (400, 422)
            assert TEXT not in answer.text
    until(lambda: any(line["request_id"] == "odd-path" for line in guarded.lines()), "the request is on record")
    written = guarded.log_file.read_text() + guarded.replica.log.read_text()
    assert TEXT not in written
    assert TEXT.replace(" ", "%20") not in written
    assert guarded.alice not in written
    assert {line["route"] for line in guarded.lines()} >= {"other"}


def test_a_client_over_its_rate_is_told_when_to_come_again_and_others_are_not_touched(guarded: Guarded) -> None:
    busy = token_of(guarded.token_file, "busy")
    until(lambda: guarded.ask(token=busy).status_code == 200, "the new token is known, without a restart")
    before = guarded.replica.total(ACCESS_REFUSED_METRIC, reason="rate")
    url, headers = guarded.replica.url + PREDICT_ROUTE, {"authorization": f"Bearer {busy}"}
    with httpx.Client(headers=headers, trust_env=False, timeout=20) as client, ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda _: client.post(url, json={"text": TEXT}), range(120)))
    refused = [answer for answer in answers if answer.status_code == 429]
    assert {answer.status_code for answer in answers} == {200, 429}
    assert all(int(answer.headers["retry-after"]) >= 1 for answer in refused)
    assert guarded.replica.total(ACCESS_REFUSED_METRIC, reason="rate") - before == len(refused)
    assert guarded.ask(token=guarded.alice).status_code == 200
    with ThreadPoolExecutor(8) as pool:
        unlimited = pool.map(lambda _: guarded.ask(token=guarded.monitor).status_code, range(40))
    assert set(unlimited) == {200}


def test_a_revoked_token_is_refused_without_a_restart(guarded: Guarded) -> None:
    token = token_of(guarded.token_file, "leaver")
    until(lambda: guarded.ask(INFO_ROUTE, token).status_code == 200, "the token is known")
    with changing(guarded.token_file) as entries:
        entries[:] = [entry for entry in entries if entry.name != "leaver"]
    until(lambda: guarded.ask(INFO_ROUTE, token).status_code == 401, "it is known no more")


def test_a_websocket_is_not_a_way_around_the_door(guarded: Guarded) -> None:
    address = httpx.URL(guarded.replica.url)
    with socket.create_connection((address.host, address.port or 80), timeout=PATIENCE_S) as connection:
        connection.sendall(
            b"GET /predict HTTP/1.1\r\nhost: serin.localhost\r\nupgrade: websocket\r\nconnection: upgrade\r\n"
            b"sec-websocket-version: 13\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
        )
        status = connection.recv(64).split(b" ")[1]
    assert status in (b"401", b"403", b"404", b"405", b"426")


def test_lines_under_way_are_written_before_a_replica_ends(built_package: Path, tmp_path: Path) -> None:
    log = tmp_path / "access.log"
    with replica(built_package, "--access-log", str(log)) as it:
        for _ in range(5):
            httpx.post(it.url + PREDICT_ROUTE, json={"text": TEXT}, trust_env=False, timeout=20)
        it.process.send_signal(signal.SIGTERM)
        it.process.wait(PATIENCE_S)
    lines = [json.loads(line) for line in log.read_text().splitlines()]
    assert sum(line["route"] == PREDICT_ROUTE for line in lines) == 5
    assert {line["client"] for line in lines} == {"127.0.0.1"}, "who need not say who he is goes by his address"


@pytest.mark.parametrize(
    ("flags", "says"),
    [
        (["--token-file", "nowhere.json"], "python -m serving.access new"),
        (["--jwt-keys", "nowhere.json", "--jwt-issuer", "i", "--jwt-audience", "a"], "nowhere.json"),
        (["--jwt-keys", "keys.json"], "--jwt-issuer"),
        (["--client-burst", "3"], "--client-rate"),
        (["--client-rate", "0"], "--client-rate"),
        (["--client-concurrency", "0"], "--client-concurrency"),
        (["--trusted-proxy", "gateway"], "gateway"),
        (["--access-log", "/nowhere/log"], "--access-log /nowhere/log"),
    ],
)
def test_what_a_replica_cannot_follow_is_found_before_it_listens(
    built_package: Path, flags: list[str], says: str
) -> None:
    ended = subprocess.run(
        [sys.executable, "-m", "serving", "--artifact", built_package, "--model", "m", "--version", "1", "--port", "0",
         *flags],
        cwd=REPOSITORY, capture_output=True, text=True, timeout=PATIENCE_S, check=False,
    )  # fmt: skip
    assert ended.returncode == 2
    last = ended.stderr.strip().splitlines()[-1]
    assert says in last
    assert not re.search("Traceback", ended.stderr)
