"""A real Prometheus scrapes processes whose counters we control, and the adapter keeps the contract of ``Metrics``."""

import itertools
import json
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

import pytest

from controller.adapters.clock import SystemClock
from controller.adapters.prometheus.server import TargetFiles, prometheus_config
from controller.core.policy import ReleasePolicy
from controller.files import replace_file
from controller.loop.error_budget import ErrorBudget
from gates.evidence import ArmCounts
from gates.policy import BudgetPolicy, GatePolicy
from gates.stats.burn import BurnWindow
from serving.contract import deployment_name
from tests.contracts.metrics import EDGES_MS, TOKEN_EDGES, MetricsContract, MetricsWorld
from tests.controller.prometheus_support import (
    SCRAPE_INTERVAL_S,
    GatewayExporter,
    PrometheusServer,
    ScrapedWorld,
    eventually,
    exported,
    exporter,
)
from tests.fakes.metrics import FakeMetrics, Levels

WORLDS = 26  # each test takes a model of its own; all are discovered at once, which takes seconds


@pytest.fixture(scope="module")
def worlds(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Iterator[ScrapedWorld]]:
    with ExitStack() as running:
        gateway = running.enter_context(exported(GatewayExporter()))
        server = PrometheusServer(tmp_path_factory.mktemp("prometheus"), int(gateway.url.rpartition(":")[2]))
        running.callback(server.stop)
        prepared = []
        for model in (f"model{number}" for number in range(WORLDS)):
            exporters = [running.enter_context(exporter(model, version)) for version in ("6", "7")]
            for one in exporters:
                server.targets.set(model, one.version, {deployment_name(model, one.version): one.url})
                gateway.clusters.add(deployment_name(model, one.version))
            prepared.append(ScrapedWorld(server, exporters, gateway))
        server.start()
        yield iter(prepared)


@pytest.mark.integration
class TestPrometheus(MetricsContract):
    @pytest.fixture
    def world(self, worlds: Iterator[ScrapedWorld]) -> ScrapedWorld:
        return next(worlds)

    def test_a_process_that_stops_answering_is_an_error_until_it_answers_again(self, world: ScrapedWorld) -> None:
        """An outage is not zero traffic; afterwards the same cursor gives the whole count."""
        world.serve("7", latencies_ms=[20.0])
        start = world.look(None).cursor
        process = world.exporters["7"]
        working, process.page = process.page, lambda: "this is no exposition format {"  # type: ignore[method-assign]
        eventually(lambda: "version 7 does not answer" in world.look_error(start), what="a look that says so")
        assert world.look_error(start, ("6",)) == ""
        process.page = working  # type: ignore[method-assign]
        world.serve("7", latencies_ms=[20.0] * 4)
        assert world.look(start).live["7"] == ArmCounts(4, 0, (0, 4, 0, 0), 0)


class TestFake(MetricsContract):
    @pytest.fixture
    def world(self) -> MetricsWorld:
        return _FakeWorld()


class _FakeWorld:
    def __init__(self) -> None:
        self._metrics = FakeMetrics(EDGES_MS, TOKEN_EDGES)
        self._metrics.unscraped.add("8")
        self._times = itertools.count(1000)

    def serve(self, version, **served):  # type: ignore[no-untyped-def]
        self._metrics.serve("intent", version, **served)

    def deal(self, version, **dealt):  # type: ignore[no-untyped-def]
        self._metrics.deal("intent", version, **dealt)

    def lose_gateway(self) -> None:
        self._metrics.gateway_away = "nobody scrapes it"

    def users(self, cursor, versions=("6", "7")):  # type: ignore[no-untyped-def]
        return self._metrics.gateway("intent", versions, cursor, at_s=float(next(self._times)))

    def restart_gateway(self) -> None:
        """Nothing is kept in processes here."""

    def read(self, version, tokens, **of):  # type: ignore[no-untyped-def]
        self._metrics.read("intent", version, tokens, **of)

    def use(self, version, **amounts):  # type: ignore[no-untyped-def]
        self._metrics.use("intent", version, **amounts)

    def stand(self, version, **levels):  # type: ignore[no-untyped-def]
        self._metrics.levels[version] = Levels(**levels)

    def service_errors(self, windows_s):  # type: ignore[no-untyped-def]
        return self._metrics.service_errors("intent", windows_s, at_s=float(next(self._times)))

    def restart(self, version: str) -> None:
        """Nothing is kept in processes here."""

    def look(self, cursor, versions=("6", "7")):  # type: ignore[no-untyped-def]
        return self._metrics.counts("intent", versions, cursor, at_s=float(next(self._times)))


@pytest.mark.integration
def test_prometheus_stopped_in_the_middle_loses_no_count(tmp_path: Path) -> None:
    """While it is away a look is an error; when it is back the old cursor counts all that came meanwhile."""
    with ExitStack() as running:
        server = PrometheusServer(tmp_path)
        running.callback(server.stop)
        exporters = [running.enter_context(exporter("intent", version)) for version in ("6", "7")]
        for one in exporters:
            server.targets.set("intent", one.version, {f"intent-v{one.version}": one.url})
        world = ScrapedWorld(server, exporters)
        server.start()
        world.serve("7", latencies_ms=[20.0] * 3)
        start = world.look(None).cursor
        world.serve("7", latencies_ms=[20.0] * 2)
        server.stop()
        assert "not reachable" in world.look_error(start)
        world.serve("7", latencies_ms=[20.0] * 5)
        server.start()
        assert world.look(start).live["7"] == ArmCounts(7, 0, (0, 7, 0, 0), 0)


@pytest.mark.integration
def test_a_service_that_burns_its_budget_is_held_until_it_has_recovered(worlds: Iterator[ScrapedWorld]) -> None:
    """A table of seconds, on a real Prometheus: both windows fire, and the short one ends soon after the errors do."""
    world = next(worlds)
    row = BurnWindow(budget_ratio=0.1, long_s=30.0, short_s=4.0)
    budget = replace(BudgetPolicy(), service_windows=(row,), period_s=3_000.0, service_errors_min=5)
    policy = ReleasePolicy(world.model, gates=GatePolicy(budget=budget))
    watch = ErrorBudget(world.metrics, SystemClock(), poll_s=0.0)
    world.settle()
    world.serve("6", latencies_ms=[20.0] * 50)
    world.settle()
    assert watch.overspent(policy) is None
    world.serve("6", latencies_ms=[20.0] * 50, codes={500: 50})
    eventually(lambda: "too fast over 30 s" in (watch.overspent(policy) or ""), what="why no release may come")
    eventually(lambda: watch.overspent(policy) is None, what="the service to have recovered")


@pytest.mark.integration
def test_a_deployment_is_scraped_soon_after_its_file_appears_and_ages_after_it_is_gone(tmp_path: Path) -> None:
    """Discovery by file; a version that left is told by the age of its last sample, then as not being scraped."""
    with ExitStack() as running:
        server = PrometheusServer(tmp_path)
        running.callback(server.stop)
        server.start()
        process = running.enter_context(exporter("intent", "7"))
        world = ScrapedWorld(server, [process])
        server.targets.set("intent", "7", {"intent-v7": process.url})
        world.settle()
        assert world.look_error(None, ("7",)) == ""
        server.targets.drop("intent", "7")
        eventually(lambda: "s old" in (said := world.look_error(None, ("7",))) or "no samples" in said, what="its age")


def test_the_configuration_is_one_that_prometheus_accepts(tmp_path: Path) -> None:
    """promtool reads what we write, and finds the target files."""
    TargetFiles(tmp_path / "targets").set("intent", "7", {"intent-v7": "http://127.0.0.1:8007"})
    path = prometheus_config(tmp_path, tmp_path / "targets", scrape_interval_s=SCRAPE_INTERVAL_S)
    promtool = shutil.which("promtool") or "promtool"
    checked = subprocess.run([promtool, "check", "config", str(path)], capture_output=True, text=True, check=False)
    assert checked.returncode == 0, checked.stdout + checked.stderr


def test_a_target_file_tells_prometheus_where_and_whose_it_is(tmp_path: Path) -> None:
    """One file per deployment, named by version and never by role."""
    targets = TargetFiles(tmp_path)
    targets.set("intent", "7", {"intent-v7": "http://127.0.0.1:8007", "intent-v7-2": "http://127.0.0.1:8008"})
    [document, other] = json.loads((tmp_path / "intent-v7.json").read_text())
    assert document["targets"] == ["127.0.0.1:8007"]
    assert document["labels"] == {"instance": "intent-v7", "model": "intent", "model_version": "7"}
    assert (other["targets"], other["labels"]["instance"]) == (["127.0.0.1:8008"], "intent-v7-2")
    targets.drop("intent", "7")
    targets.drop("intent", "7")
    assert list(tmp_path.glob("*.json")) == []


@pytest.mark.integration
def test_a_look_is_quick_enough_to_be_frequent(worlds: Iterator[ScrapedWorld]) -> None:
    """One query; the median of twenty looks stays below the time between two looks, on a machine however busy."""
    world = next(worlds)
    world.serve("6", latencies_ms=[20.0] * 5)
    start = world.look(None).cursor
    times_ms = []
    for _ in range(20):
        began_s = time.perf_counter()
        assert world.look_error(start) == ""
        times_ms.append((time.perf_counter() - began_s) * 1000)
    assert sorted(times_ms)[10] < 5_000, times_ms


@pytest.mark.integration
def test_a_replica_that_is_relabelled_is_read_on_and_one_that_is_doubled_is_told(tmp_path: Path) -> None:
    """Discovery gives it another label, and then it is scraped under two: the real markers, starts and overlaps."""
    with ExitStack() as running:
        server = PrometheusServer(tmp_path)
        running.callback(server.stop)
        process = running.enter_context(exporter("intent", "7"))
        world = ScrapedWorld(server, [process])

        def label(*replicas: str) -> None:
            own = {"instance": "intent-v7", "model": "intent", "model_version": "7"}
            address = process.url.removeprefix("http://")
            groups = [{"targets": [address], "labels": {**own, "replica": replica}} for replica in replicas]
            replace_file(tmp_path / "targets" / "intent-v7.json", json.dumps(groups))

        label("a")
        server.start()
        world.serve("7", latencies_ms=[20.0] * 50)
        start = world.look(None, ("7",)).cursor
        world.serve("7", latencies_ms=[20.0] * 3)
        label("b")
        eventually(lambda: server.success_s('up{replica="b"}') > 0, what="a scrape under the new label")
        found = world.look(start, ("7",))
        assert found.live["7"].requests == 3
        label("a", "b")
        eventually(lambda: "replica ('a' and 'b')" in world.look_error(start, ("7",)), what="the doubled replica told")
        label("b")
        world.serve("7", latencies_ms=[20.0] * 2)
        eventually(lambda: not world.look_error(start, ("7",)), what="the end of the double")
        assert world.look(found.cursor, ("7",)).live["7"].requests == 2
