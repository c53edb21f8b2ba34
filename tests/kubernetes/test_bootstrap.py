"""An installation whose settings name a cluster runs on it: what is composed is what the parts' own tests try."""

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from controller.adapters.kubernetes.client import KubernetesClient
from controller.adapters.kubernetes.connection import connect
from controller.adapters.kubernetes.names import model_name, resource_name
from controller.adapters.kubernetes.resources import DEPLOYMENTS, HTTP_ROUTES
from controller.adapters.local.packages import PackageStore
from controller.adapters.prometheus.gateway_kinds import KINDS, GatewayPlace
from controller.bootstrap.kubernetes import GatewayName, gateway_of, let_replicas_in, runtime_of
from controller.bootstrap.plane import data_plane
from controller.cli.rollback import rollback
from controller.config.settings import Home, Settings
from controller.core.condition import Condition
from controller.core.release import Version
from controller.core.traffic import TrafficTable
from controller.errors import PermanentError, UsageError
from controller.ports.runtime import DeploymentSpec
from serving.access.tokens import TokenFile, read_tokens
from tests.fakes.kubernetes import FakeCluster
from tests.fakes.registry import FakeRegistry
from tests.kubernetes.kubelet import Kubelet

SIX = DeploymentSpec("Intent_DE", Version("6", "m-" + "a" * 32, "f" * 64))
TOKEN = "serin_0123456789ab_" + "x" * 43
NO_SAMPLES = {"controller_url": None, "capture_token_file": None}
BLOCK: dict[str, Any] = {
    "kind": "kubernetes",
    "gateway_url": "http://127.0.0.1:1",
    "controller_url": "http://serin:8081",
    "capture_token_file": "/nowhere/token",
    "pods": {
        "image": "registry.invalid/serin:1",
        "capture_secret": "serin-capture",
        "cache": {"claim": "packages"},
        "autoscaling": {"replicas_max": 4, "by": "requests", "target": 8.0},
    },
    "gateway": {"name": "shop", "features": ["HTTPRoutePathRewrite", "HTTPRouteRequestMirror"]},
}


def settings(**changes: Any) -> Settings:
    return Settings(registry_url="http://mlflow:5000", runtime={**BLOCK, **changes})


@pytest.fixture
def kubeconfig(cluster: FakeCluster, tmp_path: Path) -> Path:
    file = tmp_path / "kubeconfig.yaml"
    file.write_text(yaml.safe_dump(cluster.kubeconfig()))
    return file


@pytest.fixture
def plane_of(tmp_path: Path, kubeconfig: Path) -> Callable[..., Any]:
    home = Home(tmp_path / "home")

    def made(sticky_header: str | None = None, **changes: Any) -> Any:
        token = tmp_path / "token"
        token.write_text(TOKEN + "\n")
        chosen = settings(kubeconfig=str(kubeconfig), capture_token_file=str(token), **changes)
        chosen = dataclasses.replace(chosen, sticky_header=sticky_header)
        return data_plane(home, chosen, lambda _: True, PackageStore(FakeRegistry(), home.packages), lambda _: None)

    return made


def test_the_settings_are_kept_and_read_back(tmp_path: Path) -> None:
    home = Home(tmp_path / "home")
    home.save(settings())
    assert home.load() == settings()


def test_versions_and_routes_of_a_model_of_any_name(
    plane_of: Callable[..., Any], client: KubernetesClient, kubeconfig: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """From nothing to a version that serves everybody, and a rollback from the command line with the kubeconfig."""
    plane, kubelet = plane_of(), Kubelet(client)
    assert plane.deployments.ensure(SIX).condition is Condition.STARTING
    for _ in range(2):
        kubelet.step()
    made = client.get(DEPLOYMENTS, resource_name("Intent_DE", "6"))
    assert made is not None
    command = made["spec"]["template"]["spec"]["containers"][0]["command"]
    assert command[command.index("--capture-url") + 1] == "http://serin:8081"
    table = TrafficTable("Intent_DE", {"6": 100.0}, known_good="6", generation=1)
    anew = plane_of()  # the moment for which a look is kept is over
    anew.traffic.write(table)
    assert (anew.traffic.read("Intent_DE"), anew.sight.tables()) == (table, (table,))
    with pytest.raises(PermanentError, match="still gets traffic"):
        anew.deployments.remove("Intent_DE", "6")
    rollback(["Intent_DE", "--reason", "incident 4711", "--kubeconfig", str(kubeconfig)])
    assert "Intent_DE: all traffic to version 6 after" in capsys.readouterr().out
    route = client.get(HTTP_ROUTES, model_name("Intent_DE"))
    assert route is not None
    assert route["metadata"]["annotations"]["serin.dev/generation"] == "2"


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"gatway_url": "x"}, "runtime: unknown key 'gatway_url'; did you mean 'gateway_url'?"),
        ({"pods": {"image": "a", "chache": {}}}, "runtime.pods: unknown key 'chache'; did you mean 'cache'?"),
        ({"pods": {"image": "a", "flags": []}}, "runtime.pods.flags: is taken from the other settings"),
        ({"pods": {}}, r"runtime\.pods\.image: Field required"),
        ({"pods": {"image": "a", "memory_mb": "4"}}, r"runtime\.pods\.memory_mb: Input should be a valid integer"),
        ({"pods": {"image": "a"}}, "runtime.pods.capture_secret: with controller_url, name a Secret"),
        ({"pods": {"image": "a", "cache": {"claim": "a", "host_path": "/b"}}}, "a claim or a host_path, not both"),
        (
            {"gateway_url": "shop", **NO_SAMPLES},
            "gateway url: an http:// or https:// address is needed",
        ),
        ({}, "runtime.capture_token_file: .*/nowhere/token"),
        ({"kubeconfig": "/nowhere", **NO_SAMPLES}, "kubeconfig /nowhere"),
        ({"gateway_metrics": {"kind": "ngnix"}}, r"runtime\.gateway_metrics\.kind: Input should be 'serin', .*'nginx'"),
        ({"gateway_metrics": {"jobb": "a"}}, "runtime.gateway_metrics: unknown key 'jobb'; did you mean 'job'"),
    ],
)
def test_what_cannot_be_is_named(
    plane_of: Callable[..., Any], tmp_path: Path, kubeconfig: Path, changes: dict[str, Any], problem: str
) -> None:
    home = Home(tmp_path / "home")
    chosen = settings(**{"kubeconfig": str(kubeconfig), **changes})
    with pytest.raises(UsageError, match=problem):
        data_plane(home, chosen, lambda _: True, PackageStore(FakeRegistry(), home.packages), lambda _: None)


def test_18_a_sticky_header_is_refused_by_name() -> None:
    """Kept silently, it would promise that users keep their version, and nothing would."""
    with pytest.raises(UsageError, match="settings: sticky_header: no cluster gateway is known"):
        runtime_of(dataclasses.replace(settings(), sticky_header="x-user"))


STICKY = {"gateway": {**BLOCK["gateway"], "sticky_by": "envoy-gateway"}}


def test_18_how_the_gateway_is_told_and_by_which_header_are_said_together(plane_of: Callable[..., Any]) -> None:
    with pytest.raises(UsageError, match=r"settings: runtime\.gateway\.sticky_by: say in sticky_header by which"):
        runtime_of(settings(**STICKY))
    with pytest.raises(UsageError, match=r"runtime\.gateway\.sticky_by: Input should be 'envoy-gateway'"):
        runtime_of(settings(gateway={**BLOCK["gateway"], "sticky_by": "istio"}))
    plain, sticky = plane_of(), plane_of(sticky_header="x-user", **STICKY)
    assert [one.traffic.abilities("intent").sticky_header for one in (plain, sticky)] == [None, "x-user"]


@pytest.mark.parametrize("namespace", [None, "prod"])
def test_a_setting_chooses_whose_counts_of_users_are_read(kubeconfig: Path, namespace: str | None) -> None:
    """Versions are known there by the names of their Services in the installation's namespace."""
    block = {"gateway_metrics": {"kind": "nginx", "job": "infra/shop"}, "namespace": namespace}
    runtime = runtime_of(settings(**{"kubeconfig": str(kubeconfig), **block}))
    assert runtime is not None
    place = gateway_of(runtime, ("pod",))
    assert (place.kind, place.job, place.process_labels) == (KINDS["nginx"], "infra/shop", ("pod",))
    assert place.namespace == (namespace or connect(kubeconfig).namespace)
    assert place.name_of("intent", "7") == resource_name("intent", "7")
    assert {name.value for name in GatewayName} == KINDS.keys()


def test_without_the_setting_serins_own_envoy_is_read() -> None:
    runtime = runtime_of(settings())
    assert runtime is not None
    assert gateway_of(runtime, ("pod",)) == GatewayPlace()


def test_replicas_are_known_by_the_token_that_they_share(plane_of: Callable[..., Any], tmp_path: Path) -> None:
    """It is bound to no version, may send predictions and nothing else, and one that is renewed takes its place."""
    home = Home(tmp_path / "home")
    for _ in range(2):
        plane_of()
    (entry,) = read_tokens(home.api_tokens).tokens
    assert TokenFile(home.api_tokens).entry(TOKEN.encode()) == entry
    assert (entry.roles, entry.model, entry.version) == (("replica",), "*", "*")
    renewed = TOKEN.replace("0123", "4567")
    (tmp_path / "other").write_text(renewed)
    let_replicas_in(home, tmp_path / "other")
    assert [entry.id for entry in read_tokens(home.api_tokens).tokens] == ["4567456789ab"]
    (tmp_path / "other").write_text("secret")
    with pytest.raises(UsageError, match="holds no token"):
        let_replicas_in(home, tmp_path / "other")


@pytest.mark.parametrize("runtime", [{}, {"kind": "nomad"}, "kubernetes"])
def test_a_runtime_is_one_of_those_that_there_are(runtime: Any) -> None:
    with pytest.raises(ValueError, match=r"runtime: .* local, kubernetes"):
        dataclasses.replace(Settings(), runtime=runtime)
