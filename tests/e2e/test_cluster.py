"""A release on a cluster, by the code that writes to one: the API server is ours, all else is real."""

import json
import os
import signal
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import pytest
import yaml

from controller.adapters.kubernetes.client import KubernetesClient
from controller.adapters.kubernetes.connection import connect
from controller.adapters.kubernetes.names import model_name
from controller.adapters.kubernetes.resources import HTTP_ROUTES, MODEL_RELEASES, RELEASE_POLICIES
from controller.adapters.kubernetes.rights import rules
from controller.errors import Source
from suites.intents.demo.installation import installation
from tests.e2e.conftest import POLICY, WITHIN_S, Site, alone
from tests.fakes.kubernetes import Account, FakeCluster
from tests.fakes.kubernetes.kinds import CRDS
from tests.kubernetes.gateway import Gateway, serving
from tests.kubernetes.machine import Machine
from tests.patience import eventually

pytestmark = pytest.mark.integration

TOKEN = "serin_0123456789ab_" + "x" * 43
DEFINITIONS = Path(__file__).parents[2] / "deploy" / "crds"
OF_OTHER_RELEASES = {
    ("apps", "deployments/scale", "get"),  # several replicas
    ("apps", "deployments/scale", "update"),
    ("autoscaling", "horizontalpodautoscalers", "create"),  # an autoscaler
    ("autoscaling", "horizontalpodautoscalers", "patch"),
    ("", "configmaps", "create"),  # copies by the replicas
    ("", "configmaps", "patch"),
    ("serin.dev", "modelreleases", "delete"),  # more views than are kept
    ("coordination.k8s.io", "leases", "update"),  # another leader
}
"""What the Role gives and a release like this one has no use for: `tests/kubernetes` does."""


@dataclass(frozen=True, slots=True)
class Place:
    """An installation, an admin of its cluster, and what its controller did there."""

    site: Site
    client: KubernetesClient
    account: Account


@pytest.fixture
def place(tmp_path_factory: pytest.TempPathFactory, tmp_path: Path) -> Iterator[Place]:
    """An installation whose controller runs by a cluster's settings, with the rights of the chart's Role. Envoy,
    Prometheus and MLflow are those of `serin up`; that Envoy is led by the routes of the cluster."""
    home, folder, kubeconfig = tmp_path / "home", tmp_path / "nodes", tmp_path / "kubeconfig.yaml"
    capture = folder / "secrets" / "capture"
    capture.mkdir(parents=True)
    (capture / "token").write_text(TOKEN)
    (capture / "digest-key").write_text("0" * 64)
    with FakeCluster() as cluster:
        for definition in sorted(DEFINITIONS.glob("*.yaml")):
            cluster.add(CRDS, "", yaml.safe_load(definition.read_text()))
        account = cluster.add_account("controller", rules(), namespace="default")
        admin = tmp_path / "admin.yaml"
        admin.write_text(yaml.safe_dump(cluster.kubeconfig()))
        kubeconfig.write_text(yaml.safe_dump(cluster.kubeconfig("controller")))
        with (
            alone(tmp_path_factory),
            closing(connect(admin)) as connection,
            installation(home, POLICY, lambda _: None) as serin,
        ):
            client = KubernetesClient(connection, manager="cluster", source=Source.DEPLOYMENTS)
            site = Site(serin)
            with serving(Gateway(client), steps=False) as gateway:
                _moved_to(site, gateway.url, kubeconfig, capture)
                with closing(Machine(client, gateway, home, folder)) as machine:
                    site.register("v1")
                    try:
                        eventually(lambda: site.phase("1") == "promoted", within_s=WITHIN_S, what="version 1")
                        yield Place(site, client, account)
                    finally:
                        print(site.serin.serin("status"), *machine.faults[-5:], sep="\n")
                        print(*(f"{log.name}: {log.read_text()[-500:]}" for log in folder.glob("*.log")), sep="\n")
                        print((home / "logs" / "controller.log").read_text()[-3000:])


def _moved_to(site: Site, gateway_url: str, kubeconfig: Path, capture: Path) -> None:
    """The controller starts again by settings that name a cluster."""
    file = site.serin.home / "settings.json"
    settings = json.loads(file.read_text())
    features = ["HTTPRoutePathRewrite", "HTTPRouteRequestMirror", "HTTPRouteRequestPercentageMirror"]
    settings["runtime"] = {
        "kind": "kubernetes",
        "kubeconfig": str(kubeconfig),
        "gateway_url": gateway_url,
        "controller_url": site.serin.api,
        "capture_token_file": str(capture / "token"),
        "gateway": {"name": "shop", "features": [*features, "HTTPRouteResponseHeaderModification"]},
        "pods": {"image": "serin:test", "capture_secret": "serin-capture"},
    }
    file.write_text(json.dumps(settings))
    before = site.pid("controller")
    os.kill(before, signal.SIGTERM)
    eventually(lambda: site.pid("controller") != before and site.serin.releases() == [], what="the controller again")


def test_a_better_model_is_promoted_and_a_worse_one_is_not(place: Place) -> None:
    """Promotion, and rollback by accuracy, through Deployments and an HTTPRoute; with exactly the chart's Role."""
    site, client = place.site, place.client
    client.apply(RELEASE_POLICIES, "topic", {"spec": {"model": "topic", "steps": [{"weight_pct": 10}]}})
    with site.load() as load:
        site.register("v2")
        eventually(lambda: site.phase("2") == "probation", within_s=WITHIN_S, what="version 2 promoted")
        site.register("v3")
        eventually(lambda: site.phase("3") == "rolled_back", within_s=WITHIN_S, what="version 3 rolled back")
    assert (load["failed"], load["failures"]) == (0, {})
    assert set(load["by_version"]) == {"1", "2"}
    blamed = site.release("3")["state"]["blamed"]
    assert "accuracy.shadow" in blamed or "calibration.shadow" in blamed
    route = client.get(HTTP_ROUTES, model_name("intent"))
    assert route is not None
    assert len(route["spec"]["rules"][0]["backendRefs"]) == 1
    phases = [e["payload"]["phase"] for e in site.entries("intent-v2-1") if e["kind"] == "PhaseEntered"]
    eventually(lambda: _shown(client) == {"1": "promoted", "2": "promoted", "3": "rolled_back"}, what="the views")
    assert place.account.refused == []
    assert set(place.account.unused()) <= OF_OTHER_RELEASES
    assert phases[:7] == ["preflight", "suite", "shadow", "canary", "canary", "promoting", "probation"]


def _shown(client: KubernetesClient) -> dict[str, str]:
    """The phase that each release's object tells, by version."""
    found = client.list(MODEL_RELEASES).items
    return {one["spec"]["version"]: one.get("status", {}).get("phase", "") for one in found}
