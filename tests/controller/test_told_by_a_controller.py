"""A controller that runs tells what happens, whatever its receivers do, and whatever kills it."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families

from controller.adapters.local.loopback import free_port
from controller.bootstrap.installations import service_of
from controller.bootstrap.stores import open_home, prepare_own_database
from controller.config.settings import Home, Settings
from serving import contract as names
from tests.controller.test_notify import SECRET, Receiver, secret
from tests.patience import PATIENCE_S, eventually

pytestmark = pytest.mark.integration


@contextmanager
def controller(home: Home) -> Iterator["subprocess.Popen[bytes]"]:
    """One of the home, which answers. Neither its registry nor its Prometheus does."""
    api = home.load().api
    with (home.path / "controller.log").open("ab") as log:
        process = subprocess.Popen([sys.executable, "-m", "controller", "--home", str(home.path)], stderr=log)
    try:
        eventually(lambda: _answers(f"{api}{names.HEALTH_ROUTE}"), what="the controller answers")
        yield process
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGTERM)
        process.wait(PATIENCE_S)


def _answers(url: str) -> bool:
    try:
        return httpx.get(url, trust_env=False).status_code == 200
    except httpx.HTTPError:
        return False


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with Receiver().up() as up:
        yield up


@pytest.fixture
def home(tmp_path: Path, receiver: Receiver) -> Home:
    home = Home(tmp_path / "home")
    away = f"http://127.0.0.1:{free_port()}"
    pager = {
        "name": "pager",
        "kind": "webhook",
        "url": receiver.url,
        "secret_file": secret(tmp_path, SECRET),
        "severities": ["page", "ticket", "info"],
    }
    home.save(Settings(api_port=free_port(), registry_url=away, prometheus_url=away, notify=(pager,)))
    home.policies.mkdir()
    (home.policies / "intent.yaml").write_text(
        "apiVersion: serin/v1\nkind: ReleasePolicy\nmodel: intent\nowner: search\n"
    )
    prepare_own_database(home)
    return home


def metrics(home: Home) -> dict[str, float]:
    """The controller's metrics of the target."""
    page = httpx.get(f"{home.load().api}{names.METRICS_ROUTE}", trust_env=False).text
    found = (sample for family in text_string_to_metric_families(page) for sample in family.samples)
    return {one.name: one.value for one in found if one.labels.get(names.TARGET_LABEL) == "pager"}


def events(receiver: Receiver) -> list[dict[str, Any]]:
    return [json.loads(body) for _, _, body in receiver.got]


def test_a_receiver_that_fails_first_is_told_in_the_end_also_by_the_next_controller(
    home: Home, receiver: Receiver
) -> None:
    receiver.statuses = [500] * 1_000
    with controller(home) as first:
        with closing(open_home(home)) as store:
            eventually(lambda: store.journal.position_of("outbox"), what="the outbox has begun")
        with service_of(home) as service:
            service.freeze("intent", reason="incident 4711", by="ada")
        eventually(lambda: len(receiver.got) >= 2, what="it was tried twice")
        told = metrics(home)
        assert told[names.NOTICES_WAITING_METRIC] == 1
        assert told[names.NOTICES_FAILED_METRIC] >= 2
        os.kill(first.pid, signal.SIGKILL)
    receiver.statuses = []
    with controller(home):
        eventually(lambda: metrics(home).get(names.NOTICES_DELIVERED_METRIC) == 1, what="it was told")
        assert metrics(home)[names.NOTICES_WAITING_METRIC] == 0
    found = events(receiver)
    assert {event["id"] for event in found} == {found[0]["id"]}
    assert (found[-1]["type"], found[-1]["data"]["owner"]) == ("serin.freeze.began", "search")
    assert found[-1]["data"]["reason"] == "incident 4711"
