"""An installation on a cluster leads by its Lease, follows its policies, and takes in its releases."""

import dataclasses
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest
import yaml

from controller.adapters.kubernetes.client import KubernetesClient
from controller.adapters.kubernetes.resources import (
    CONFIG_MAPS,
    LEASES,
    MODEL_RELEASES,
    PROMETHEUS_RULES,
    RELEASE_POLICIES,
    Object,
    Resource,
)
from controller.bootstrap.controller import Controller, build
from controller.bootstrap.stores import upgrade_schema
from controller.config.settings import Home, Settings
from tests.contracts.kubernetes_api import CRDS
from tests.fakes.kubernetes import FakeCluster
from tests.fakes.kubernetes.kinds import CRDS as DEFINITIONS
from tests.kubernetes.test_rule_object import KIND
from tests.patience import eventually

NOBODY = "http://127.0.0.1:1"


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
def controller(home: Home) -> Iterator[Controller]:
    built = build(home, "one")
    yield built
    built.close()


def test_a_controller_leads_by_the_lease(controller: Controller, client: KubernetesClient) -> None:
    """And the store knows its fence."""
    assert controller.leader.leads()
    lease = client.get(LEASES, "serin")
    assert lease is not None
    assert lease["spec"]["holderIdentity"] == "one"
    assert controller.store.fences.highest() == controller.leader.fence() == lease["spec"]["leaseTransitions"]


def test_git_brings_a_release_and_its_policy_in_any_order(controller: Controller, client: KubernetesClient) -> None:
    """The release is asked for once there is a policy, and both objects say how it stands."""
    assert controller.leader.leads()
    client.apply(MODEL_RELEASES, "intent-7", {"spec": {"model": "intent", "version": "7"}})

    def status() -> Object:
        controller.fleet.tick()
        found = client.get(MODEL_RELEASES, "intent-7") or {}
        return dict(found.get("status", {}))

    eventually(lambda: "no policy for model 'intent'" in status().get("reason", ""), what="the object to wait")
    client.apply(RELEASE_POLICIES, "intent", {"spec": {"model": "intent", "steps": [{"weight_pct": 5}]}})
    eventually(lambda: "Asked for" in status().get("reason", ""), what="the release to be asked for")
    (command,) = controller.store.inbox.waiting()
    assert (command.model, command.version) == ("intent", "7")
    policy = client.get(RELEASE_POLICIES, "intent")
    assert policy is not None
    assert [one["status"] for one in policy["status"]["conditions"]] == ["True"]


def test_a_cluster_without_the_kinds_leaves_policies_to_files(
    controller: Controller, client: KubernetesClient, home: Home, caplog: pytest.LogCaptureFixture
) -> None:
    """Told once; nothing else is the worse for it."""
    for name in ("modelreleases.serin.dev", "releasepolicies.serin.dev"):
        client.delete(CRDS, name)
    home.policies.mkdir(parents=True, exist_ok=True)
    policy = "apiVersion: serin/v1\nkind: ReleasePolicy\nmodel: intent\nsteps: [{weight_pct: 5}]\n"
    (home.policies / "intent.yaml").write_text(policy)
    assert controller.leader.leads()

    def said() -> list[str]:
        controller.fleet.tick()
        return [text for text in caplog.messages if "modelreleases.serin.dev" in text]

    eventually(said, what="the missing kind to be told")
    for _ in range(10):
        said()
    assert len(said()) == 1
    assert list(controller.fleet.models) == ["intent"]


@pytest.mark.parametrize(
    ("form", "resource"), [({}, PROMETHEUS_RULES), ({"form": "config_map"}, CONFIG_MAPS)], ids=["operator", "plain"]
)
def test_alert_rules_of_policies_that_are_objects_are_kept(
    home: Home, cluster: FakeCluster, client: KubernetesClient, form: Mapping[str, str], resource: Resource
) -> None:
    """Where the settings name the object for it; they ask the gateway that the settings name."""
    cluster.add(DEFINITIONS, "", KIND)
    settings = home.load()
    rules = {"name": "serin-policies", "labels": {"release": "kps"}, **form}
    gateway = {"kind": "istio", "job": "infra/shop"}
    more = {"alert_rules": rules, "gateway_metrics": gateway, "namespace": "default"}
    home.save(dataclasses.replace(settings, runtime={**(settings.runtime or {}), **more}))
    client.apply(RELEASE_POLICIES, "intent", {"spec": {"model": "intent", "steps": [{"weight_pct": 5}]}})
    controller = build(home, "one")
    try:
        assert controller.leader.leads()

        def found() -> Object:
            controller.fleet.tick()
            return client.get(resource, "serin-policies") or {}

        def groups() -> str:
            told = found()
            return str(yaml.safe_load(told["data"]["serin.rules.yml"]) if "data" in told else told.get("spec"))

        eventually(lambda: 'model="intent"' in groups(), what="the rules of intent")
        assert 'istio_requests_total{job="infra/shop"' in groups()
        assert found()["metadata"]["labels"] == {"release": "kps"}
    finally:
        controller.close()
