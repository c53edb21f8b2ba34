"""A release on a cluster, by the code that writes to one: the API server is ours, all else is real."""

import itertools
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import pytest

from controller.adapters.kubernetes.client import KubernetesClient
from controller.adapters.kubernetes.names import model_name, resource_name
from controller.adapters.kubernetes.objects.site import KEPT_PACKAGES
from controller.adapters.kubernetes.resources import (
    CONFIG_MAPS,
    DEPLOYMENTS,
    HTTP_ROUTES,
    MODEL_RELEASES,
    RELEASE_POLICIES,
)
from tests.deploy.verified import outcomes, verify
from tests.e2e.conftest import CHECKPOINTS, WITHIN_S, alone
from tests.fakes.kubernetes import Account
from tests.kubernetes.place import Place, place
from tests.patience import eventually

pytestmark = pytest.mark.integration

POLICY = Path(__file__).with_name("policy-cluster.yaml")
OF_OTHER_RELEASES = {
    ("apps", "deployments/scale", "get"),  # several replicas
    ("apps", "deployments/scale", "update"),
    ("autoscaling", "horizontalpodautoscalers", "create"),  # an autoscaler
    ("autoscaling", "horizontalpodautoscalers", "patch"),
    ("serin.dev", "modelreleases", "delete"),  # more views than are kept
    ("coordination.k8s.io", "leases", "update"),  # another leader
}
"""What the Role gives and a release like this one has no use for: `tests/kubernetes` does."""
PHASES = ("Pending", "Preflight", "Suite", "Shadow", "Canary 20 %", "Canary 50 %", "Promoting")


@pytest.fixture
def cluster(tmp_path_factory: pytest.TempPathFactory, tmp_path: Path) -> Iterator[Place]:
    with alone(tmp_path_factory), place(tmp_path, POLICY) as found:
        yield found


def test_a_better_model_is_promoted_and_one_that_turns_bad_with_users_is_taken_from_them(
    cluster: Place, tmp_path: Path
) -> None:
    """Promotion, as `verify-cluster.sh` asks for it and follows it; and rollback of traffic by accuracy, of a version
    that shadow passed: what people write turns once it answers one of them, into what it never learnt. Through
    Deployments and an HTTPRoute; with exactly the chart's Role."""
    site, client = cluster.site, cluster.client
    client.apply(RELEASE_POLICIES, "topic", {"spec": {"model": "topic", "steps": [{"weight_pct": 10}]}})
    with site.load("--turn-at", "3") as load:
        site.serin.serin("register", str(CHECKPOINTS / "v2"), "--model", "intent")
        _verified(cluster, tmp_path)
        site.register("v3")
        eventually(lambda: site.phase("3") == "rolled_back", within_s=WITHIN_S, what="version 3 rolled back")
    assert (load["failed"], load["failures"]) == (0, {})
    assert set(load["by_version"]) == {"1", "2", "3"}
    blamed = site.release("3")["state"]["blamed"]
    assert blamed
    assert all(gate.startswith("accuracy.") for gate in blamed), blamed
    dealt = _dealt(cluster)
    assert dealt[:5] == [{"1": 100}, {"1": 80, "2": 20}, {"1": 50, "2": 50}, {"2": 100}, {"2": 80, "3": 20}]
    assert dealt[-1] == {"2": 100}
    assert site.serin.serving_version() == "2"
    phases = [e["payload"]["phase"] for e in site.entries("intent-v2-1") if e["kind"] == "PhaseEntered"]
    eventually(lambda: _shown(client) == {"1": "promoted", "2": "promoted", "3": "rolled_back"}, what="the views")
    kept = set((client.get(CONFIG_MAPS, KEPT_PACKAGES) or {})["data"])
    assert {folder.name for folder in cluster.packages.iterdir() if folder.is_dir()} == kept
    assert len(kept) == 3
    assert cluster.account.refused == []
    assert set(cluster.account.unused()) <= OF_OTHER_RELEASES
    assert phases[:7] == ["preflight", "suite", "shadow", "canary", "canary", "promoting", "probation"]


def _verified(cluster: Place, folder: Path) -> None:
    """A release of version 2, asked for and followed as an operator does it, whose table has no row that failed and
    each phase, however short. The controllers of the chart are here a Deployment alone: the one that leads runs beside
    the cluster."""
    labels = {"app.kubernetes.io/name": "serin", "app.kubernetes.io/component": "controller"}
    spec = {
        "replicas": 1,
        "selector": {"matchLabels": labels},
        "template": {
            "metadata": {"labels": labels},
            "spec": {"containers": [{"name": "serin", "image": "serin:test"}]},
        },
    }
    made = cluster.client.create(
        DEPLOYMENTS,
        {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "serin", "labels": labels}, "spec": spec},
    )
    well = dict.fromkeys(("replicas", "updatedReplicas", "readyReplicas", "availableReplicas"), 1)
    status = {"observedGeneration": made["metadata"]["generation"], **well}
    cluster.client.replace(DEPLOYMENTS, "serin", {**made, "status": status}, subresource="status")
    cluster.cluster.rights.give("", Account("operator"))  # kubectl shows no token to a server without TLS
    home = cluster.site.serin.home
    asked = ("--namespace", "default", "--model", "intent", "--version", "2")
    reached = ("--server", cluster.site.serin.api, "--token-file", str(home / "api.token"))
    done = verify(cluster.cluster, folder, *asked, *reached, within_s=WITHIN_S)
    print(done.stdout)
    table = outcomes(done.stdout)
    assert (done.returncode, set(table.values())) == (0, {"ok"}), done.stdout
    assert [row for row in table if row in PHASES] == list(PHASES)


def _dealt(cluster: Place) -> Sequence[Mapping[str, float]]:
    """The shares of users in percent, by version, that stood in the route, one after the other."""
    versions = {resource_name("intent", number): number for number in ("1", "2", "3")}
    store = cluster.cluster.store
    routes = [
        event.found["spec"]["rules"]
        for event in store.since(store.floor)
        if (event.key.plural, event.key.name) == (HTTP_ROUTES.plural, model_name("intent"))
        and event.found["spec"].get("rules")
    ]
    shares = [{versions[one["name"]]: one["weight"] / 100 for one in rules[0]["backendRefs"]} for rules in routes]
    return [share for share, _ in itertools.groupby(shares)]


def _shown(client: KubernetesClient) -> dict[str, str]:
    """The phase that each release's object tells, by version."""
    found = client.list(MODEL_RELEASES).items
    return {one["spec"]["version"]: one.get("status", {}).get("phase", "") for one in found}
