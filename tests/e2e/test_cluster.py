"""A release on a cluster, by the code that writes to one: the API server is ours, all else is real."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from controller.adapters.kubernetes.client import KubernetesClient
from controller.adapters.kubernetes.names import model_name
from controller.adapters.kubernetes.objects.site import KEPT_PACKAGES
from controller.adapters.kubernetes.resources import CONFIG_MAPS, HTTP_ROUTES, MODEL_RELEASES, RELEASE_POLICIES
from tests.e2e.conftest import POLICY, WITHIN_S, alone
from tests.kubernetes.place import Place, place
from tests.patience import eventually

pytestmark = pytest.mark.integration

OF_OTHER_RELEASES = {
    ("apps", "deployments/scale", "get"),  # several replicas
    ("apps", "deployments/scale", "update"),
    ("autoscaling", "horizontalpodautoscalers", "create"),  # an autoscaler
    ("autoscaling", "horizontalpodautoscalers", "patch"),
    ("serin.dev", "modelreleases", "delete"),  # more views than are kept
    ("coordination.k8s.io", "leases", "update"),  # another leader
}
"""What the Role gives and a release like this one has no use for: `tests/kubernetes` does."""


@pytest.fixture
def cluster(tmp_path_factory: pytest.TempPathFactory, tmp_path: Path) -> Iterator[Place]:
    with alone(tmp_path_factory), place(tmp_path, POLICY) as found:
        yield found


def test_a_better_model_is_promoted_and_a_worse_one_is_not(cluster: Place) -> None:
    """Promotion, and rollback by accuracy, through Deployments and an HTTPRoute; with exactly the chart's Role."""
    site, client = cluster.site, cluster.client
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
    kept = set((client.get(CONFIG_MAPS, KEPT_PACKAGES) or {})["data"])
    assert {folder.name for folder in cluster.packages.iterdir() if folder.is_dir()} == kept
    assert len(kept) == 3
    assert cluster.account.refused == []
    assert set(cluster.account.unused()) <= OF_OTHER_RELEASES
    assert phases[:7] == ["preflight", "suite", "shadow", "canary", "canary", "promoting", "probation"]


def _shown(client: KubernetesClient) -> dict[str, str]:
    """The phase that each release's object tells, by version."""
    found = client.list(MODEL_RELEASES).items
    return {one["spec"]["version"]: one.get("status", {}).get("phase", "") for one in found}
