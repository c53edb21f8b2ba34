"""Attacks that would take a client's requests out of the gates by making them look like copies, which nobody waits for.

A real Envoy and a real replica; the counts are those that the gates read.
"""

from collections.abc import Iterator
from pathlib import Path

import pytest

from controller.adapters.envoy.traffic import EnvoyTraffic
from controller.core.traffic import TrafficTable
from serving.contract import PREDICT_ROUTE, REQUESTS_METRIC
from serving.packaging.build import build_package
from tests.contracts.traffic import confirmed
from tests.controller.envoy_support import RunningEnvoy, running_envoy, set_endpoint
from tests.patience import eventually
from tests.serving.replica import Replica, replica

CHECKPOINT = Path(__file__).parents[1] / "serving" / "data" / "tiny"
MARKS = [
    {"host": "x-shadow"},
    {"host": "127.0.0.1-shadow"},
    {"host": "localhost-shadow:8080"},
    {"x-serin-traffic": "shadow"},
    {"x-serin-copy-to": "intent-v7-shadow"},
    {"x-forwarded-host": "x-shadow", "x-forwarded-port": "1"},
    {"forwarded": "host=x-shadow"},
]


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[RunningEnvoy, Replica]]:
    folder = tmp_path_factory.mktemp("served")
    build_package(CHECKPOINT, folder / "package")
    with replica(folder / "package", version="7") as v7, running_envoy(folder / "envoy") as envoy:
        traffic = EnvoyTraffic(envoy.directory)
        set_endpoint(traffic, "intent", "7", v7.url, v7.shadow_url)
        traffic.write(TrafficTable("intent", {"7": 100.0}, known_good="7", generation=1))
        assert confirmed(traffic, "intent", 1)
        eventually(lambda: envoy.post().status_code == 200, what="the gateway to serve")
        yield envoy, v7


@pytest.mark.integration
@pytest.mark.parametrize("marks", MARKS, ids=lambda marks: next(iter(marks)) + "=" + next(iter(marks.values())))
def test_a_clients_request_is_live_whatever_it_says_of_itself(
    served: tuple[RunningEnvoy, Replica], marks: dict[str, str]
) -> None:
    """Refused or counted as live; through the gateway and at the replica alike."""
    envoy, v7 = served
    shadow, live = (v7.total(REQUESTS_METRIC, traffic=traffic) for traffic in ("shadow", "live"))
    answers = [envoy.post(headers=marks), envoy.client.post(v7.url + PREDICT_ROUTE, json={"text": "hi"}, headers=marks)]
    answered = sum(answer.status_code == 200 for answer in answers)
    assert v7.total(REQUESTS_METRIC, traffic="shadow") == shadow
    assert v7.total(REQUESTS_METRIC, traffic="live") >= live + answered


@pytest.mark.integration
def test_the_gateway_leads_nobody_to_the_port_for_copies(served: tuple[RunningEnvoy, Replica]) -> None:
    """Clusters are chosen by the table alone: neither a path nor a header names one."""
    envoy, v7 = served
    shadow = v7.total(REQUESTS_METRIC, traffic="shadow")
    for model in ("intent-v7-shadow", "intent-v7", "intent/../intent-v7-shadow"):
        assert envoy.post(model, headers={"x-serin-copy-to": "intent-v7-shadow"}).status_code == 404
    assert v7.total(REQUESTS_METRIC, traffic="shadow") == shadow


@pytest.mark.integration
def test_what_comes_in_by_the_port_for_copies_is_never_live(served: tuple[RunningEnvoy, Replica]) -> None:
    """Nor can a request pass for live that no user waits for."""
    envoy, v7 = served
    live, shadow = (v7.total(REQUESTS_METRIC, traffic=traffic) for traffic in ("live", "shadow"))
    for marks in ({}, {"x-serin-traffic": "live"}, {"host": "serin.localhost"}):
        answer = envoy.client.post(v7.shadow_url + PREDICT_ROUTE, json={"text": "hi"}, headers=marks)
        assert answer.status_code == 200
    assert v7.total(REQUESTS_METRIC, traffic="live") == live
    assert v7.total(REQUESTS_METRIC, traffic="shadow") == shadow + 3
