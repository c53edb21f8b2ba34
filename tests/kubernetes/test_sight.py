"""What is shown of a cluster to people who ask how things are: its own versions and routes, and what was seen last."""

from collections.abc import Mapping
from pathlib import Path

import pytest
import yaml
from typer.testing import CliRunner

from controller.adapters.kubernetes.client import KubernetesClient
from controller.adapters.kubernetes.names import model_name
from controller.adapters.kubernetes.resources import HTTP_ROUTES, RELEASE_POLICIES
from controller.adapters.kubernetes.sight import ClusterSight
from controller.api.callers import Refusals
from controller.bootstrap.alerting import follow_policies
from controller.bootstrap.controller import _readings, build
from controller.bootstrap.installations import service_of
from controller.bootstrap.policies import has_policy, installed_policies
from controller.bootstrap.stores import upgrade_schema
from controller.cli.app import app
from controller.config.settings import Home, Settings
from controller.core.release import Version
from controller.core.traffic import TrafficTable
from controller.errors import Source, TransientError
from controller.overview import Overview
from controller.ports.runtime import DeploymentSpec, DeploymentStatus
from controller.service import UnknownError
from tests.fakes.clock import FakeClock
from tests.fakes.kubernetes import FakeCluster
from tests.fakes.traffic import MemoryTraffic
from tests.kubernetes.kubelet import Kubelet

NOBODY = "http://127.0.0.1:1"
SIX = DeploymentSpec("intent", Version("6", "m-" + "a" * 32, "f" * 64))
TABLE = TrafficTable("intent", {"6": 100.0}, known_good="6", generation=1)


@pytest.fixture
def home(cluster: FakeCluster, tmp_path: Path) -> Home:
    kubeconfig = tmp_path / "kubeconfig.yaml"
    kubeconfig.write_text(yaml.safe_dump(cluster.kubeconfig()))
    runtime = {
        "kind": "kubernetes",
        "gateway_url": NOBODY,
        "pods": {"image": "registry.invalid/serin:1"},
        "gateway": {"name": "shop", "features": ["HTTPRoutePathRewrite"]},
        "kubeconfig": str(kubeconfig),
    }
    found = Home(tmp_path / "home")
    found.save(Settings(registry_url=NOBODY, runtime=runtime))
    upgrade_schema(found)
    return found


@pytest.fixture
def serving(home: Home, client: KubernetesClient) -> Home:
    """A home whose cluster serves everybody by version 6 of intent."""
    controller, kubelet = build(home, "one"), Kubelet(client)
    try:
        controller.plane.deployments.ensure(SIX)
        kubelet.step()
        kubelet.step()
    finally:
        controller.close()
    controller = build(home, "one")  # the moment for which a look is kept is over
    try:
        controller.plane.traffic.write(TABLE)
    finally:
        controller.close()
    return home


def overview(home: Home) -> Overview:
    with service_of(home) as service:
        return service.overview()


def test_status_shows_the_versions_and_the_traffic_of_the_cluster(serving: Home) -> None:
    """And what the gateway can do. Nothing of it lies in the home."""
    seen = overview(serving)
    assert seen.traffic == {"intent": TABLE}
    assert list(seen.deployments) == ["intent"]
    (status,) = seen.deployments["intent"].values()
    assert (status.version, status.ready) == ("6", True)
    assert seen.able is not None
    assert seen.able.name == "gateway shop"
    assert seen.troubles == ()


def test_a_route_that_is_gone_is_a_trouble(serving: Home, client: KubernetesClient) -> None:
    """With the way out."""
    client.delete(HTTP_ROUTES, model_name("intent"))
    (told,) = [one for one in overview(serving).troubles if "route of intent" in one]
    assert "was deleted" in told
    assert "serin rollback intent" in told


def test_a_cluster_that_is_away_shows_what_was_seen_last() -> None:
    """It is said, and it is asked once in a while, not at every question: each may wait for its time-out."""
    clock, traffic, asked = FakeClock(), MemoryTraffic(), list[int]()
    running = {"intent": {"6": DeploymentStatus("6", ())}}

    def runs() -> Mapping[str, Mapping[str, DeploymentStatus]]:
        asked.append(1)
        if traffic.outage is not None:
            raise traffic.outage
        return running

    sight = ClusterSight(runs, traffic, clock)
    traffic.write(TABLE)
    assert (sight.tables(), sight.running(), sight.troubles()) == ((TABLE,), running, ())
    traffic.outage = TransientError(Source.TRAFFIC, "connection refused")
    before = len(asked)
    for _ in range(3):
        assert (sight.running(), sight.tables()) == (running, (TABLE,))
        assert sight.troubles() == ("the cluster cannot be read (connection refused): the last known state is shown",)
    assert len(asked) == before + 1
    (told,) = ClusterSight(runs, traffic, clock).troubles()  # of a command that begins while it is away
    assert told.endswith("(connection refused): its versions and its traffic are not shown")
    clock.pass_s(10.0)
    traffic.outage = None
    assert sight.troubles() == ()


def test_the_controllers_metrics_say_that_the_cluster_is_away(home: Home, cluster: FakeCluster) -> None:
    """What was seen last is for people: who is paged by `serin_controller_unreadable` must not be soothed by it."""
    controller = build(home, "one")
    try:
        with cluster.away(), pytest.raises(TransientError):
            _readings(controller, Refusals()).tables()
    finally:
        controller.close()


# --- policies: files, and objects -------------------------------------------------------------------------------------
def test_whoever_asks_without_the_controller_finds_the_policies_that_are_objects(
    home: Home, client: KubernetesClient
) -> None:
    """The commands, and the alert rules. Nothing is written at the objects: that is the controller's to say."""
    client.apply(RELEASE_POLICIES, "intent", {"spec": {"model": "intent", "gates": {"latency": {"p95_ms_max": 81}}}})
    assert list(installed_policies(home, home.load())()) == ["intent"]
    assert has_policy(home, "intent")
    assert not has_policy(home, "tone")
    with service_of(home) as service:
        assert list(service.models) == ["intent"]
        assert list(service.site.policies()) == ["intent"]
        with pytest.raises(UnknownError, match="no policy for model 'tone'; models here: intent"):
            service.check("tone")
    follow_policies(home, home.load())()
    assert "> 81 " in home.rules.read_text()
    printed = CliRunner().invoke(app, ["rules", "--home", str(home.path)])
    assert printed.exit_code == 0, printed.output
    assert "> 81 " in printed.stdout
    found = client.get(RELEASE_POLICIES, "intent")
    assert found is not None
    assert "status" not in found


def test_a_file_goes_before_an_object_for_the_same_model(home: Home, client: KubernetesClient) -> None:
    """As for the controller: whoever asks gets one answer."""
    client.apply(RELEASE_POLICIES, "intent", {"spec": {"model": "intent", "mirror_pct": 50}})
    home.policies.mkdir(parents=True, exist_ok=True)
    text = "apiVersion: serin/v1\nkind: ReleasePolicy\nmodel: intent\nmirror_pct: 25\n"
    (home.policies / "intent.yaml").write_text(text)
    policies = installed_policies(home, home.load())
    assert policies()["intent"].mirror_pct == 25
    assert "another policy for model 'intent'" in policies.faults["ReleasePolicy/intent"]


def test_a_policy_check_warns_of_what_the_gateway_in_force_cannot_do(home: Home, tmp_path: Path) -> None:
    """It is valid, and on this cluster no release would begin by it: the key is named."""
    file = tmp_path / "policy.yaml"
    text = "apiVersion: serin/v1\nkind: ReleasePolicy\nmodel: intent\nsteps: [{weight_pct: 0.001}, {weight_pct: 5}]\n"
    file.write_text(text)
    told = CliRunner().invoke(app, ["policy", "check", str(file), "--home", str(home.path)])
    assert told.exit_code == 0, told.output
    assert "valid. Model intent" in told.stdout
    assert "warning: steps[0].weight_pct: 0.001 is not a share that can be served" in told.stderr
    assert "(gateway shop)" in told.stderr
    file.write_text(text.replace("{weight_pct: 0.001}, ", ""))
    assert "warning" not in CliRunner().invoke(app, ["policy", "check", str(file), "--home", str(home.path)]).stderr
