"""Web pages and rebound names at the gateway and at a replica: what they ask is refused and counted nowhere.

Browsers are in test_web_page.py; here is what they, and others, could send.
"""

from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from controller.adapters.envoy.bootstrap import write_bootstrap
from controller.adapters.envoy.traffic import EnvoyTraffic
from controller.adapters.local.loopback import free_ports
from controller.core.traffic import TrafficTable
from controller.errors import UsageError
from serving.contract import (
    ACCESS_REFUSED_METRIC,
    HEALTH_ROUTE,
    INFO_ROUTE,
    METRICS_ROUTE,
    OPENAPI_ROUTE,
    PREDICT_ROUTE,
    REQUESTS_METRIC,
    TOKENIZE_ROUTE,
)
from serving.packaging.build import build_package
from tests.contracts.traffic import confirmed
from tests.controller.envoy_support import RunningEnvoy, running_envoy, set_endpoint
from tests.patience import eventually
from tests.serving.replica import Replica, replica

CHECKPOINT = Path(__file__).parents[1] / "serving" / "data" / "tiny"
NAMES = ["models.example", "models.internal:8443"]
FOREIGN_HOSTS = [
    "evil.test",
    "evil.test:8080",
    "127.0.0.1.evil.test",
    "localhost.evil.test:80",
    "evil-localhost",
    "models.example.evil.test",
    "models.internal",
    "models.internal:80",
    "0.0.0.0",  # noqa: S104 - browsers take it for this machine
    "192.0.2.1",
]
FOREIGN_ORIGINS = [
    "null",
    "http://evil.test",
    "https://127.0.0.1.evil.test",
    "http://localhost:1",
    "http://127.0.0.1:1",
    "file://",
    "http://models.internal",
    "https://models.example.evil.test",
    "chrome-extension://models.example",
    "http://serin.localhost",
    "http://serin.localhost:1",
]
Served = tuple[RunningEnvoy, Replica]


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    folder = tmp_path_factory.mktemp("served")
    build_package(CHECKPOINT, folder / "package")
    flags = [flag for name in NAMES for flag in ("--allowed-host", name)]
    with (
        replica(folder / "package", *flags, version="7") as v7,
        running_envoy(folder / "envoy", names=NAMES) as envoy,
    ):
        traffic = EnvoyTraffic(envoy.directory)
        set_endpoint(traffic, "intent", "7", v7.url, v7.shadow_url)
        traffic.write(TrafficTable("intent", {"7": 100.0}, known_good="7", generation=1))
        assert confirmed(traffic, "intent", 1)
        eventually(lambda: envoy.post().status_code == 200, what="the gateway to serve")
        yield envoy, v7


def refused_everywhere(served: Served, headers: dict[str, str], status: int) -> None:
    """At the gateway and at the replica; no request of the model's is counted for it."""
    envoy, v7 = served
    counted, refused = v7.total(REQUESTS_METRIC), v7.total(ACCESS_REFUSED_METRIC, reason="stranger")
    answer = envoy.post(headers=headers)
    assert (answer.status_code, answer.json()["error"]["code"]) == (403, "stranger")
    assert "gateway_hosts" in answer.json()["error"]["message"]
    for url in (v7.url, v7.shadow_url):
        answer = envoy.client.post(url + PREDICT_ROUTE, json={"text": "hi"}, headers=headers)
        assert answer.status_code == status
        assert "--allowed-host" in answer.json()["error"]["message"]
    assert v7.total(REQUESTS_METRIC) == counted
    assert v7.total(ACCESS_REFUSED_METRIC, reason="stranger") == refused + 2


@pytest.mark.integration
@pytest.mark.parametrize("host", FOREIGN_HOSTS)
def test_another_hosts_requests_are_refused(served: Served, host: str) -> None:
    """A page whose name was bound to this machine sends its own name as Host: it neither asks nor reads anything."""
    refused_everywhere(served, {"host": host}, 421)
    refused_everywhere(served, {"host": host, "origin": f"http://{host}"}, 421)


@pytest.mark.integration
@pytest.mark.parametrize("origin", FOREIGN_ORIGINS)
def test_another_origins_pages_are_refused(served: Served, origin: str) -> None:
    """A form of theirs is no user's request, although the browser sends it to the right host."""
    refused_everywhere(served, {"origin": origin}, 403)


@pytest.mark.integration
@pytest.mark.parametrize("site", ["cross-site", "same-site"])
def test_what_a_page_fetches_without_an_origin_is_refused(served: Served, site: str) -> None:
    """Images and links have none; browsers say all the same where the page stands to us."""
    envoy, v7 = served
    before = v7.total(REQUESTS_METRIC)
    for url in (f"{envoy.url}/models/intent/predict", v7.url + PREDICT_ROUTE, v7.url + INFO_ROUTE):
        assert envoy.client.get(url, headers={"sec-fetch-site": site}).status_code == 403
        assert envoy.client.get(url, headers={"sec-fetch-site": "none"}).status_code in (200, 405)  # typed in by hand
    assert v7.total(REQUESTS_METRIC) == before + 2


@pytest.mark.integration
@pytest.mark.parametrize("route", [INFO_ROUTE, METRICS_ROUTE, OPENAPI_ROUTE, TOKENIZE_ROUTE, "/nowhere"])
def test_nothing_of_a_replica_is_read_under_another_name(served: Served, route: str) -> None:
    """Counts tell what a service is asked, and the rest which model it runs."""
    _, v7 = served
    answer = httpx.get(v7.url + route, headers={"host": "evil.test"}, trust_env=False)
    assert answer.status_code == 421
    assert answer.json().keys() == {"error"}


@pytest.mark.integration
@pytest.mark.parametrize("name", ["127.0.0.1", "localhost", "LOCALHOST", "[::1]"])
def test_this_machines_own_names_are_answered(served: Served, name: str) -> None:
    """With the port as with any client, also from a page of the very same server."""
    envoy, v7 = served
    port = envoy.url.rpartition(":")[2]
    for host in (name, f"{name}:{port}", f"{name}:9999"):  # a tunnel's end has another port
        assert envoy.post(headers={"host": host}).status_code == 200
    assert envoy.post(headers={"origin": f"http://{name}:{port}"}).status_code == 200
    own = f"{name}:{v7.url.rpartition(':')[2]}"
    assert httpx.get(v7.url + INFO_ROUTE, headers={"host": own}, trust_env=False).status_code == 200


@pytest.mark.integration
@pytest.mark.parametrize("host", ["models.example", "models.example:443", "Models.Example", "models.internal:8443"])
def test_names_that_are_given_are_answered(served: Served, host: str) -> None:
    """As behind a proxy that passes the name on; pages of that name may ask, too."""
    envoy, v7 = served
    for headers in ({"host": host}, {"host": host, "origin": f"https://{host.lower()}"}):
        assert envoy.post(headers=headers).status_code == 200
        assert envoy.client.post(v7.url + PREDICT_ROUTE, json={"text": "hi"}, headers=headers).status_code == 200


@pytest.mark.integration
def test_a_probe_of_health_may_use_any_name(served: Served) -> None:
    """Whoever balances load asks by an address; there is nothing to learn."""
    _, v7 = served
    answer = httpx.get(v7.url + HEALTH_ROUTE, headers={"host": "10.0.0.7:1"}, trust_env=False)
    assert (answer.status_code, answer.text) == (200, "ok")


@pytest.mark.integration
def test_an_address_that_others_reach_takes_any_name_but_no_foreign_page(tmp_path: Path) -> None:
    """Its names are not known to it; a page's origin is then held against the name that the page asked for."""
    build_package(CHECKPOINT, tmp_path / "package")
    with replica(tmp_path / "package", "--host", "0.0.0.0", "--allow-unauthenticated") as it:  # noqa: S104
        for headers, status in (
            ({"host": "intent.models.svc"}, 200),
            ({"host": "intent.models.svc", "origin": "https://intent.models.svc"}, 200),
            ({"host": "intent.models.svc", "origin": "http://evil.test"}, 403),
            ({"host": "intent.models.svc", "origin": "null"}, 403),
        ):
            assert httpx.get(it.url + INFO_ROUTE, headers=headers, trust_env=False).status_code == status


@pytest.mark.parametrize("name", ["", "a b", "http://a", "a:b", "a/b", "*", "a.*"])
def test_what_is_no_host_is_refused_by_name(tmp_path: Path, name: str) -> None:
    """Nothing is guessed, and no pattern slips in."""
    with pytest.raises(UsageError, match=r"gateway_hosts: .* is neither a host nor a host with a port"):
        write_bootstrap(tmp_path, *free_ports(2), names=[name])
