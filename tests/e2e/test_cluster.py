"""A release on a cluster, by the code that writes to one: the API server is ours, all else is real."""

import json
import os
import signal
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
import yaml

from controller.adapters.kubernetes.client import KubernetesClient
from controller.adapters.kubernetes.connection import connect
from controller.adapters.kubernetes.names import model_name
from controller.adapters.kubernetes.resources import HTTP_ROUTES
from controller.errors import Source
from suites.intents.demo.installation import installation
from tests.e2e.conftest import POLICY, WITHIN_S, Site, alone
from tests.fakes.kubernetes import FakeCluster
from tests.kubernetes.gateway import Gateway, serving
from tests.kubernetes.machine import Machine
from tests.patience import eventually

pytestmark = pytest.mark.integration

TOKEN = "serin_0123456789ab_" + "x" * 43


@pytest.fixture
def place(tmp_path_factory: pytest.TempPathFactory, tmp_path: Path) -> Iterator[tuple[Site, KubernetesClient]]:
    """An installation whose controller runs by a cluster's settings. Envoy, Prometheus and MLflow are those of `serin
    up`; that Envoy is led by the routes of the cluster."""
    home, folder, kubeconfig = tmp_path / "home", tmp_path / "nodes", tmp_path / "kubeconfig.yaml"
    capture = folder / "secrets" / "capture"
    capture.mkdir(parents=True)
    (capture / "token").write_text(TOKEN)
    (capture / "digest-key").write_text("0" * 64)
    with FakeCluster() as cluster:
        kubeconfig.write_text(yaml.safe_dump(cluster.kubeconfig()))
        with (
            alone(tmp_path_factory),
            closing(connect(kubeconfig)) as connection,
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
                        yield site, client
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


def test_a_better_model_is_promoted_and_a_worse_one_is_not(place: tuple[Site, KubernetesClient]) -> None:
    """Promotion, and rollback by accuracy, through Deployments and an HTTPRoute."""
    site, client = place
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
    assert phases[:7] == ["preflight", "suite", "shadow", "canary", "canary", "promoting", "probation"]
