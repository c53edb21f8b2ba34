"""What users got, end to end: a real Envoy answers, a real Prometheus scrapes it, and the adapter counts."""

import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest

from controller.adapters.envoy.bootstrap import envoy_command
from controller.adapters.envoy.encoding import RouteOptions
from controller.adapters.envoy.traffic import EnvoyTraffic
from controller.adapters.prometheus.metrics import PrometheusMetrics
from controller.core.traffic import Mirror, TrafficTable
from controller.ports.metrics import CounterCursor, GatewayCounts
from serving.contract import GATEWAY_STATS_ROUTE, gateway_edges_ms
from tests.contracts.traffic import is_served
from tests.controller.envoy_support import RunningEnvoy, Upstream, running_envoy, set_endpoint, upstream
from tests.controller.prometheus_support import SCRAPE_INTERVAL_S, PrometheusServer
from tests.patience import PATIENCE_S, eventually

pytestmark = pytest.mark.integration
TIMEOUT_S = 5.0
WINDOW_S = 600.0  # of the service's errors: longer than the test, however slow the machine


@dataclass
class Users:
    """Users of versions 6 and 7 behind a gateway, and what Prometheus knows of it."""

    envoy: RunningEnvoy
    server: PrometheusServer
    metrics: PrometheusMetrics
    traffic: EnvoyTraffic
    generation: int = 0

    def route(self, weights_pct: dict[str, float], mirror: Mirror | None = None) -> None:
        self.generation += 1
        self.traffic.write(TrafficTable("intent", weights_pct, mirror, "6", self.generation))
        eventually(lambda: is_served(self.traffic, "intent", self.generation), what="the route")

    def counted(self, cursor: CounterCursor | None) -> GatewayCounts:
        """Once two scrapes began after now: histograms may be one behind."""
        for _ in range(2):
            now_s = time.time()
            eventually(lambda: self.server.gateway_success_s() > now_s, what="a scrape of the gateway")  # noqa: B023
        return self.metrics.gateway("intent", ("6", "7"), cursor, at_s=time.time())


@pytest.fixture
def users(tmp_path: Path) -> Iterator[Users]:
    with ExitStack() as running:
        envoy = running.enter_context(running_envoy(tmp_path / "envoy"))
        server = PrometheusServer(tmp_path / "prometheus", int(envoy.admin_url.rpartition(":")[2]))
        running.callback(server.stop)
        server.start()
        metrics = PrometheusMetrics(server.url, scrape_interval_s=SCRAPE_INTERVAL_S)
        options = RouteOptions(timeout_s=TIMEOUT_S)
        yield Users(envoy, server, metrics, EnvoyTraffic(tmp_path / "envoy", options))


@pytest.fixture
def versions() -> Iterator[tuple[Upstream, Upstream]]:
    with upstream("6") as six, upstream("7") as seven:
        yield six, seven


def test_each_request_of_a_user_counts_once_whoever_answered_it(users: Users) -> None:
    """Answers of the version, a time-out and refused connections (retried twice): one count each, by class."""
    with upstream("6") as six:
        set_endpoint(users.traffic, "intent", "6", six.url, six.url)
        set_endpoint(users.traffic, "intent", "7", six.url, six.url)
        users.route({"6": 100.0})
        start = users.counted(None).cursor
        for status, number in ((200, 9), (422, 3), (503, 4)):
            six.status = status
            assert [users.envoy.post().status_code for _ in range(number)] == [status] * number
        six.status, six.hold = 200, threading.Event()
        assert users.envoy.post().status_code == 504
        six.hold.set()
    eventually(lambda: six.connections == 0, what="Envoy to let go of the connections that it kept")
    assert [users.envoy.post().status_code for _ in range(5)] == [503] * 5
    found = users.counted(start)
    arm = found.live["6"]
    assert (arm.requests, arm.errors) == (9 + 3 + 4 + 1 + 5, 4 + 1 + 5)
    assert sum(arm.latency_counts) == 9 + 3 + 4, "a refused connection and a time-out take no time"
    assert found.latency_edges_ms == gateway_edges_ms()
    assert (found.live["7"].requests, found.copies["7"]) == (0, 0)
    assert users.counted(found.cursor).live["6"].requests == 0


def test_a_user_who_gave_up_got_nothing_and_the_version_was_asked(
    users: Users, versions: tuple[Upstream, Upstream]
) -> None:
    """No error and no answer; its sample, if the version answered after all, is of a request that there was."""
    six, _ = versions
    set_endpoint(users.traffic, "intent", "6", six.url, six.url)
    users.route({"6": 100.0})
    start = users.counted(None).cursor
    six.hold = threading.Event()
    with pytest.raises(httpx.ReadTimeout):
        users.envoy.client.post(f"{users.envoy.url}/models/intent/predict", json={"text": "hi"}, timeout=0.3)
    six.hold.set()
    six.hold = None
    users.envoy.ask(2)
    found = users.counted(start)
    assert (found.live["6"].requests, found.live["6"].errors, found.sent["6"]) == (2, 0, 3)


def test_copies_are_no_requests_of_users(users: Users, versions: tuple[Upstream, Upstream]) -> None:
    """They go to a cluster of their own: the candidate's errors there are nobody's."""
    six, seven = versions
    for version in (six, seven):
        set_endpoint(users.traffic, "intent", version.version, version.url, version.url)
    users.route({"6": 100.0}, Mirror("7", 100.0))
    start = users.counted(None).cursor
    seven.status = 500
    users.envoy.ask(20)
    eventually(lambda: len(seven.requests) == 20, what="the copies")
    found = users.counted(start)
    assert (found.live["6"].requests, found.live["6"].errors, found.live["7"].requests) == (20, 0, 0)
    assert (found.copies, found.copies_failed) == ({"6": 0, "7": 20}, {"6": 0, "7": 20})


def test_the_former_version_is_copied_to_once_another_serves_everybody(
    users: Users, versions: tuple[Upstream, Upstream]
) -> None:
    """In probation the mirror goes the other way; copies that nobody takes fail as users' requests would."""
    six, seven = versions
    set_endpoint(users.traffic, "intent", "7", seven.url, seven.url)
    set_endpoint(users.traffic, "intent", "6", six.url, "http://127.0.0.1:9")
    users.route({"7": 100.0}, Mirror("6", 100.0))
    start = users.counted(None).cursor
    users.envoy.ask(10)
    found = users.counted(start)
    assert (found.live["7"].requests, found.live["7"].errors, found.live["6"].requests) == (10, 0, 0)
    assert (found.copies["6"], found.copies_failed["6"]) == (10, 10)
    set_endpoint(users.traffic, "intent", "6", six.url, six.url)
    users.route({"7": 100.0}, Mirror("6", 100.0))
    start = users.counted(None).cursor
    users.envoy.ask(10)
    eventually(lambda: len(six.requests) == 10, what="the copies")
    found = users.counted(start)
    assert (found.copies["6"], found.copies_failed["6"]) == (10, 0)


def test_a_replica_that_died_and_came_back_elsewhere_is_counted_on(users: Users) -> None:
    """Each request counts once and by how it ended, also those that found nobody."""
    with upstream("6") as six:
        set_endpoint(users.traffic, "intent", "6", six.url, six.url)
        users.route({"6": 100.0})
        start = users.counted(None).cursor
        users.envoy.ask(7)
        users.counted(None)
    eventually(lambda: six.connections == 0, what="Envoy to let go of the connection that it kept")
    assert [users.envoy.post().status_code for _ in range(5)] == [503] * 5
    with upstream("again") as again:
        set_endpoint(users.traffic, "intent", "6", again.url, again.url)
        statuses: list[int] = []
        eventually(lambda: statuses.append(users.envoy.post().status_code) or 200 in statuses, what="the new address")
        first = users.counted(start)
        failed = 5 + statuses.count(503)
        assert (first.live["6"].requests, first.live["6"].errors) == (7 + failed + 1, failed)
        users.envoy.ask(3)
        arm = users.counted(first.cursor).live["6"]
        assert (arm.requests, arm.errors) == (3, 0)


def test_a_version_whose_stand_in_changes_under_load_has_no_errors(users: Users) -> None:
    """At a promotion, and at each restart of the warm version. A cluster made anew for it lost counts by class of
    requests that were answered, which read as errors: 22 of 471, and a good version was rolled back."""
    with upstream("6") as six, upstream("7") as seven:
        six.announce(users.traffic)
        seven.announce(users.traffic)
        users.route({"7": 100.0})
        users.envoy.ask(20)
        start = users.counted(None).cursor
        for _ in range(5):
            with upstream("6") as other:
                other.announce(users.traffic)
                users.envoy.ask(10)
        arm = users.counted(start).live["7"]
        assert (arm.requests, arm.errors) == (50, 0)


def test_an_envoy_that_was_killed_counts_on_from_zero(users: Users, versions: tuple[Upstream, Upstream]) -> None:
    """Its counters begin anew and overtake what they were; its uptime tells, and nothing counts twice."""
    six, _ = versions
    set_endpoint(users.traffic, "intent", "6", six.url, six.url)
    users.route({"6": 100.0})
    users.envoy.ask(3)
    start = users.counted(None).cursor
    users.envoy.ask(2)
    users.counted(None)
    uptime_s = users.server.value("max(envoy_server_uptime)")
    assert uptime_s > 0
    users.envoy.end()
    with again(users.envoy.directory):
        eventually(lambda: _answers(users.envoy), what="Envoy to answer again")
        users.envoy.ask(30)
        arm = users.counted(start).live["6"]
    asked = len(six.requests) - 3
    assert (arm.requests, arm.errors, sum(arm.latency_counts)) == (asked, 0, asked)


@contextmanager
def again(directory: Path) -> Iterator[None]:
    """Envoy once more, from the same bootstrap."""
    process = subprocess.Popen(envoy_command(directory), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        yield
    finally:
        process.kill()
        process.wait(PATIENCE_S)


def _answers(envoy: RunningEnvoy) -> bool:
    try:
        return envoy.post().status_code == 200
    except httpx.TransportError:
        return False


def let_go_after(version: Upstream, seen: int, least_s: float) -> None:
    """So long after it has got the request, and Envoy, which passed it on, has had it for longer."""
    hold = version.hold
    assert hold is not None
    eventually(lambda: len(version.requests) > seen, what="the request")
    threading.Event().wait(least_s)
    hold.set()


def test_times_are_counted_below_edges_of_whole_milliseconds(users: Users, versions: tuple[Upstream, Upstream]) -> None:
    """No sooner than the version answered: what takes 60 ms is never below 60, nor 250 below 250."""
    six, _ = versions
    set_endpoint(users.traffic, "intent", "6", six.url, six.url)
    users.route({"6": 100.0})
    start = users.counted(None).cursor
    for least_s in (0.06, 0.06, 0.25):
        six.hold, seen = threading.Event(), len(six.requests)
        held = threading.Thread(target=let_go_after, args=(six, seen, least_s))
        held.start()
        users.envoy.ask(1)
        held.join()
    arm = users.counted(start).live["6"]
    edges = gateway_edges_ms()

    def below(edge_ms: float) -> int:
        return sum(arm.latency_counts[: edges.index(edge_ms) + 1])

    assert (below(60.0), sum(arm.latency_counts)) == (0, 3)
    assert below(250.0) <= 2


def test_the_service_counts_what_no_version_could_answer(users: Users, versions: tuple[Upstream, Upstream]) -> None:
    """From the first failure on, whose series had not been there before; and of no other model."""
    six, seven = versions
    set_endpoint(users.traffic, "intent", "6", six.url, six.url)
    users.route({"6": 100.0})
    users.counted(None)
    users.envoy.ask(30)
    six.status = 503
    assert {users.envoy.post().status_code for _ in range(30)} == {503}
    users.counted(None)
    errors, requests = users.metrics.service_errors("intent", (WINDOW_S,), at_s=time.time())[WINDOW_S]
    assert requests == pytest.approx(60, rel=0.35)  # Prometheus allows for what no scrape saw
    assert errors / requests == pytest.approx(0.5, abs=0.15)
    assert users.metrics.service_errors("inten", (WINDOW_S,), at_s=time.time())[WINDOW_S] == (0, 0)
    del seven


def test_only_what_is_read_is_kept(users: Users, versions: tuple[Upstream, Upstream]) -> None:
    """A name with dots is no label cut short, and Envoy's other counts cost nothing."""
    six, _ = versions
    set_endpoint(users.traffic, "in.tent-vx", "6", six.url, six.url)
    users.traffic.write(TrafficTable("in.tent-vx", {"6": 100.0}, None, "6", 1))
    eventually(lambda: is_served(users.traffic, "in.tent-vx", 1), what="the route")
    assert users.envoy.post("in.tent-vx").status_code == 200
    page = users.envoy.client.get(f"{users.envoy.admin_url}{GATEWAY_STATS_ROUTE}").text
    names = {line.partition("{")[0].partition(" ")[0] for line in page.splitlines() if line and line[0] != "#"}
    assert names <= {
        "envoy_cluster_upstream_rq_xx", "envoy_cluster_upstream_rq_completed", "envoy_cluster_upstream_rq_total",
        "envoy_server_uptime",
        "envoy_server_live", "envoy_http_no_cluster", "envoy_http_no_route", "envoy_http_downstream_rq_xx",
        *(f"envoy_cluster_upstream_rq_time_{part}" for part in ("bucket", "sum", "count")),
    }  # fmt: skip
    assert 'envoy_cluster_upstream_rq_xx{envoy_response_code_class="2",envoy_cluster_name="in.tent-vx-v6"} 1' in page
    assert "external" not in page
