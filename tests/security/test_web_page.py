"""A web page that somebody opens on the machine that Serin runs on, in a real browser.

Forms that submit themselves, fetches of every kind, and a name of the attacker's that is bound to this machine.
"""

from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import pytest

from controller.adapters.envoy.traffic import EnvoyTraffic
from controller.api.access import Access
from controller.api.app import create_app
from controller.api.server import serve
from controller.core.traffic import TrafficTable
from serving.contract import INFO_ROUTE, METRICS_ROUTE, PREDICT_ROUTE, REQUESTS_METRIC
from serving.packaging.build import build_package
from tests.contracts.traffic import confirmed
from tests.controller.api_support import FakeTokens, World
from tests.controller.envoy_support import RunningEnvoy, running_envoy, set_endpoint
from tests.controller.prometheus_support import PrometheusServer
from tests.patience import eventually
from tests.security.browser import REBOUND, Form, attack, shown
from tests.serving.replica import Replica, replica

CHECKPOINT = Path(__file__).parents[1] / "serving" / "data" / "tiny"
TEXT = {"name": '{"text": "where is my order', "value": '"}', "enctype": "text/plain"}  # JSON with a "=" in its text
REASON = {"name": '{"reason": "wrong', "value": '"}', "enctype": "text/plain"}


@dataclass(frozen=True)
class Installation:
    """What of `serin up` a page could reach, MLflow apart: test_mlflow_server.py."""

    envoy: RunningEnvoy
    v7: Replica
    api: str
    told: World  # what the interface was told
    prometheus: str

    @property
    def pages(self) -> list[str]:
        """What there is to read."""
        return [
            *(self.envoy.admin_url + path for path in ("/stats/prometheus", "/ready", "/config_dump")),
            *(url + path for url in (self.v7.url, self.v7.shadow_url) for path in (METRICS_ROUTE, INFO_ROUTE)),
            *(self.api + path for path in ("/v1/releases", "/v1/freezes", "/v1/label-requests?model=intent")),
            f"{self.prometheus}/api/v1/query?query=up",
            f"{self.envoy.url}/models/intent/predict",
            self.v7.url + PREDICT_ROUTE,
        ]

    @property
    def forms(self) -> list[Form]:
        """What there is to change, or to be counted."""
        predict = (f"{self.envoy.url}/models/intent/predict", self.v7.url + PREDICT_ROUTE)
        return [
            *(Form(self.envoy.admin_url + path) for path in ("/quitquitquit", "/healthcheck/fail", "/reset_counters")),
            *(Form(url + "/quitquitquit") for url in (self.envoy.url, self.v7.url, self.api, self.prometheus)),
            *(Form(url, **TEXT) for url in predict),
            *(Form(f"{self.api}/v1/{path}", **REASON) for path in ("freezes", "models/intent/abort", "labels")),
            *(Form(self.prometheus + path) for path in ("/-/quit", "/api/v1/admin/tsdb/delete_series?match[]=up")),
        ]


@pytest.fixture(scope="module")
def up(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Installation]:
    folder = tmp_path_factory.mktemp("up")
    build_package(CHECKPOINT, folder / "package")
    told = World()
    with ExitStack() as stack:
        v7 = stack.enter_context(replica(folder / "package", version="7"))
        envoy = stack.enter_context(running_envoy(folder / "envoy"))
        traffic = EnvoyTraffic(envoy.directory)
        set_endpoint(traffic, "intent", "7", v7.url, v7.shadow_url)
        traffic.write(TrafficTable("intent", {"7": 100.0}, known_good="7", generation=1))
        assert confirmed(traffic, "intent", 1)
        eventually(lambda: envoy.post().status_code == 200, what="the gateway to serve")
        api = stack.enter_context(serve(create_app(told.ports(), Access(FakeTokens(), open_reading=True))))
        (folder / "prometheus").mkdir()
        prometheus = PrometheusServer(folder / "prometheus")
        stack.callback(prometheus.stop)
        prometheus.start()
        yield Installation(envoy, v7, api, told, prometheus.url)


@pytest.mark.integration
@pytest.mark.parametrize("host", [REBOUND, "127.0.0.1", "localhost"])
def test_a_page_ends_nothing_changes_nothing_and_reads_nothing(up: Installation, host: str) -> None:
    """Whether it comes from a stranger's name or from another port of this machine."""
    counted = up.v7.total(REQUESTS_METRIC)
    assert attack(host, up.forms, up.pages) == dict.fromkeys(up.pages)
    assert up.envoy.process.poll() is None
    assert up.v7.total(REQUESTS_METRIC) == counted, "and its forms are no requests of a user's"
    assert (up.told.inbox.waiting(), up.told.freezes.in_force(), up.told.wakes) == ((), (), 0)
    assert up.envoy.post().status_code == 200
    assert up.envoy.client.get(f"{up.prometheus}/-/ready").status_code == 200


@pytest.mark.integration
def test_a_name_that_is_bound_to_this_machine_reads_nothing(up: Installation) -> None:
    """DNS rebinding: the page is then of the same origin as what listens here. Prometheus alone cannot tell."""
    secrets = ("envoy_", "LIVE", "serin_", "fingerprint", "releases", "freezes", "requests", '"data"')
    for url in up.pages:
        if not url.startswith(up.prometheus):
            found = shown(url.replace("127.0.0.1", REBOUND))
            assert not any(secret in found for secret in secrets), (url, found)
    assert "serin_" in shown(up.v7.url + METRICS_ROUTE), "under its own name the browser does read it"
