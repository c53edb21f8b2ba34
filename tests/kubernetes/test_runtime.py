"""Versions as Deployments of a cluster: made once, told apart by whose doing it is, and gone without a trace."""

from dataclasses import replace
from typing import Any

import pytest

from controller.adapters.kubernetes.client import KubernetesClient
from controller.adapters.kubernetes.looks import Looks
from controller.adapters.kubernetes.objects.autoscaler import autoscaler
from controller.adapters.kubernetes.objects.deployment import deployment
from controller.adapters.kubernetes.objects.disruption import disruption_budget
from controller.adapters.kubernetes.objects.service import service
from controller.adapters.kubernetes.objects.site import Autoscaling, Site
from controller.adapters.kubernetes.resources import (
    AUTOSCALERS,
    DEPLOYMENTS,
    DISRUPTION_BUDGETS,
    SERVICES,
)
from controller.adapters.kubernetes.runtime import KubernetesDeployments
from controller.core.condition import Condition
from controller.core.release import Version
from controller.core.serving import ServingPolicy
from controller.errors import PermanentError, TransientError
from controller.ports.runtime import DeploymentSpec, DeploymentStatus
from tests.contracts.deployments import DeploymentsContract, spec
from tests.fakes.clock import FakeClock
from tests.fakes.kubernetes import FakeCluster, writes
from tests.kubernetes.kubelet import Kubelet, Stepped, conditions, ended, fetched

SITE = Site("registry.invalid/serin:1", "default", "http://mlflow:5000", autoscaling=Autoscaling())
SIX = DeploymentSpec("intent", Version("6", "m-" + "a" * 32, "f" * 64), serving=ServingPolicy(replicas=2))
ALL = (DEPLOYMENTS, SERVICES, DISRUPTION_BUDGETS, AUTOSCALERS)


def name_of(model: str, version: str) -> str:
    return f"{model}-v{version}"


class Traffic:
    """What is routed, as a test says."""

    def __init__(self) -> None:
        self.versions: set[str] = set()

    def __call__(self, _: str) -> set[str]:
        return self.versions


@pytest.fixture
def routed() -> Traffic:
    return Traffic()


@pytest.fixture
def looks(client: KubernetesClient) -> Looks:
    """Nothing is kept: each call sees what a test has just done."""
    return Looks(client, FakeClock(), kept_s=0.0)


@pytest.fixture
def runtime(client: KubernetesClient, looks: Looks, routed: Traffic) -> KubernetesDeployments:
    return KubernetesDeployments(client, looks, SITE, name_of, routed)


@pytest.fixture
def kubelet(client: KubernetesClient) -> Kubelet:
    return Kubelet(client)


class TestContract(DeploymentsContract):
    @pytest.fixture
    def deployments(self, runtime: KubernetesDeployments, kubelet: Kubelet, looks: Looks) -> Any:
        return Stepped(runtime, kubelet, looks.forget)


def settled(runtime: KubernetesDeployments, kubelet: Kubelet, wanted: DeploymentSpec = SIX) -> DeploymentStatus:
    """The version runs, and its rollout is complete."""
    runtime.ensure(wanted)
    kubelet.step()
    kubelet.step()
    kubelet.was_well(name_of(wanted.model, wanted.version))
    return runtime.ensure(wanted)


def uids(kubelet: Kubelet, name: str = "intent-v6") -> list[str]:
    return [pod["metadata"]["uid"] for pod in kubelet.pods(name)]


def test_a_versions_objects_are_all_made_and_all_go(
    runtime: KubernetesDeployments, client: KubernetesClient, kubelet: Kubelet
) -> None:
    runtime.ensure(SIX)
    assert all(client.get(resource, "intent-v6") is not None for resource in ALL)
    runtime.remove("intent", "6")
    assert all(client.get(resource, "intent-v6") is None for resource in ALL)


def test_11_a_versions_pod_template_never_changes_after_creation(
    runtime: KubernetesDeployments, client: KubernetesClient, kubelet: Kubelet, looks: Looks, routed: Traffic
) -> None:
    """Neither a newer Serin with another site, nor an edited policy, nor a controller that starts again touches it."""
    settled(runtime, kubelet)
    before, pods = client.get(DEPLOYMENTS, "intent-v6"), uids(kubelet)
    newer = replace(SITE, image="registry.invalid/serin:2", memory_mb=1_000, flags=("--capture-ratio", "0.5"))
    restarted = KubernetesDeployments(client, looks, newer, name_of, routed)
    for _ in range(3):
        assert restarted.ensure(replace(SIX, objectives_ms=(80.0,), start_timeout_s=10.0)).ready
        kubelet.step()
    assert client.get(DEPLOYMENTS, "intent-v6") == before
    assert uids(kubelet) == pods


def test_13_written_as_it_is_read_back(runtime: KubernetesDeployments, client: KubernetesClient) -> None:
    """The server adds nothing to what was written but what only it can know."""
    runtime.ensure(SIX)
    scaler = autoscaler("intent-v6", SIX, SITE, Autoscaling(), replicas_min=2)
    made = [
        deployment("intent-v6", SIX, SITE, replicas=2),
        service("intent-v6", SIX, SITE),
        disruption_budget("intent-v6", SIX, SITE),
        scaler,
    ]
    its_own = {"clusterIP", "clusterIPs", "ipFamilies", "ipFamilyPolicy"}
    for resource, manifest in zip(ALL, made, strict=True):
        found = client.get(resource, "intent-v6")
        assert found is not None
        assert {key: value for key, value in found["spec"].items() if key not in its_own} == manifest["spec"]


def test_scaling_makes_no_release_event(
    runtime: KubernetesDeployments, kubelet: Kubelet, client: KubernetesClient
) -> None:
    """An autoscaler adds pods that are not ready yet, and takes some away: the version stays ready. Serin never writes
    ``replicas``."""
    settled(runtime, kubelet)
    kubelet.held = True
    kubelet.scaled("intent-v6", 5)
    kubelet.step()
    assert len(kubelet.pods("intent-v6")) == 5
    status = runtime.ensure(SIX)
    assert (status.ready, len(status.endpoints)) == (True, 2)
    found = client.get(DEPLOYMENTS, "intent-v6")
    assert found is not None
    assert found["spec"]["replicas"] == 5


def becomes(kubelet: Kubelet, which: int, status: dict[str, Any]) -> None:
    kubelet.becomes(kubelet.pods("intent-v6")[which], status)


REPLICA = {"name": "replica", "ready": False, "started": False, "restartCount": 0, "state": {}}
AT_REST = {"podIP": None, "containerStatuses": []}


def fetching(code: int, message: str) -> dict[str, Any]:
    last = {"terminated": {"exitCode": code, "message": message}}
    fetch = {"name": "fetch", "state": {"waiting": {"reason": "CrashLoopBackOff"}}, "lastState": last}
    return {**AT_REST, **conditions(PodScheduled=True, Ready=False), "initContainerStatuses": [fetch]}


def unplaced() -> dict[str, Any]:
    why = {"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": "0/3 nodes are available"}
    return {**AT_REST, "conditions": [why]}


def no_image() -> dict[str, Any]:
    state = {"waiting": {"reason": "ImagePullBackOff", "message": "no such host"}}
    return {**fetched(), **conditions(Ready=False), "containerStatuses": [{**REPLICA, "state": state}]}


def node_lost() -> dict[str, Any]:
    """The kubelet's last word was that all is well; the node controller says that the pod is not ready."""
    replica = {**REPLICA, "ready": True, "started": True, "state": {"running": {}}}
    return {**conditions(PodScheduled=True, Ready=False), "containerStatuses": [replica]}


def evicted() -> dict[str, Any]:
    why = {"type": "DisruptionTarget", "status": "True", "reason": "EvictionByEvictionAPI", "message": "node drain"}
    return {**node_lost(), "conditions": [{"type": "Ready", "status": "False"}, why]}


def silent() -> dict[str, Any]:
    replica = {**REPLICA, "started": True, "state": {"running": {}}}
    return {**conditions(PodScheduled=True, Ready=False), "containerStatuses": [replica]}


@pytest.mark.parametrize(
    ("status", "condition", "words"),
    [
        (ended(3, "artifact refused: model.onnx: has 1 bytes"), Condition.FAILED, "artifact refused: model.onnx"),
        (ended(137, ""), Condition.FAILED, "ended with exit code 137: Error"),
        (ended(1, "a worker died", waiting="ContainerCreating"), Condition.FAILING, "a worker died"),
        (ended(75, "this machine cannot serve it now"), Condition.DISTURBED, "cannot run on its node"),
        (fetching(3, "artifact refused: manifest.json"), Condition.FAILED, "refused its package: artifact refused"),
        (fetching(75, "http://mlflow:5000 did not answer"), Condition.DISTURBED, "has no package yet: http://mlflow"),
        (fetching(137, ""), Condition.DISTURBED, "has no package yet: its fetch ended with exit code 137"),
        (unplaced(), Condition.DISTURBED, "cannot be scheduled: 0/3 nodes are available"),
        (no_image(), Condition.FAILED, "cannot get its image (ImagePullBackOff): no such host"),
        (node_lost(), Condition.DISTURBED, "is on a node that does not report"),
        (evicted(), Condition.DISTURBED, "is being removed (EvictionByEvictionAPI): node drain"),
        (silent(), Condition.FAILING, "does not answer"),
        (
            {**fetched(), "containerStatuses": [{**REPLICA, "state": {"running": {}}}]},
            Condition.STARTING,
            "is starting",
        ),
        ({"initContainerStatuses": [{"name": "fetch", "state": {"running": {}}}]}, Condition.STARTING, "waits for its"),
    ],
)
def test_what_happens_to_a_pod_is_told_by_whose_doing_it_is(
    runtime: KubernetesDeployments, kubelet: Kubelet, status: dict[str, Any], condition: Condition, words: str
) -> None:
    kubelet.held = True
    runtime.ensure(replace(SIX, serving=ServingPolicy(replicas=1)))
    kubelet.step()
    becomes(kubelet, 0, status)
    (endpoint,) = runtime.status("intent")["6"].endpoints
    assert endpoint.condition is condition
    assert words in endpoint.detail
    assert endpoint.url is None


def test_25_missing_registries_change_nothing_of_what_ran(runtime: KubernetesDeployments, kubelet: Kubelet) -> None:
    """Pods of a version that ran well are made anew elsewhere, and neither their image nor their package can be had:
    a disturbance, whatever the pods look like; of a version that never ran, no image is a failure."""
    settled(runtime, kubelet)
    becomes(kubelet, 0, no_image())
    becomes(kubelet, 1, fetching(75, "the registry is away"))
    assert runtime.status("intent")["6"].condition is Condition.DISTURBED


def test_one_of_several_pods_that_is_evicted_disturbs_and_blames_nobody(
    runtime: KubernetesDeployments, kubelet: Kubelet
) -> None:
    settled(runtime, kubelet)
    becomes(kubelet, 0, evicted())
    status = runtime.status("intent")["6"]
    assert (status.condition, status.held_up) == (Condition.DISTURBED, True)
    becomes(kubelet, 0, ended(1, "Segmentation fault"))
    assert runtime.status("intent")["6"].condition is Condition.DISTURBED  # the others answer


def test_pods_that_are_ending_are_nobodys_endpoints(
    runtime: KubernetesDeployments, kubelet: Kubelet, client: KubernetesClient
) -> None:
    """A failed pod of a lost node stays listed beside the one that took its place."""
    settled(runtime, kubelet)
    becomes(kubelet, 0, {"phase": "Failed", "reason": "NodeLost"})
    assert runtime.status("intent")["6"].condition is Condition.DISTURBED
    kubelet.step()
    kubelet.step()
    assert len(kubelet.pods("intent-v6")) == 3
    assert runtime.status("intent")["6"].ready


def test_a_quota_that_refuses_pods_is_told(
    runtime: KubernetesDeployments, kubelet: Kubelet, client: KubernetesClient
) -> None:
    runtime.ensure(SIX)
    found = client.get(DEPLOYMENTS, "intent-v6")
    assert found is not None
    refused = {"type": "ReplicaFailure", "status": "True", "message": "exceeded quota: pods"}
    client.replace(DEPLOYMENTS, "intent-v6", {**found, "status": {"conditions": [refused]}}, subresource="status")
    status = runtime.status("intent")["6"]
    assert status.condition is Condition.DISTURBED
    assert "exceeded quota: pods" in status.detail


def test_24_nothing_that_traffic_leads_to_is_removed(
    runtime: KubernetesDeployments, kubelet: Kubelet, routed: Traffic
) -> None:
    """Neither taken away, nor made anew because its number was given again: no route is left without backends."""
    settled(runtime, kubelet)
    routed.versions = {"6"}
    with pytest.raises(PermanentError, match="still gets traffic"):
        runtime.remove("intent", "6")
    with pytest.raises(PermanentError, match="runs with another package or other settings"):
        runtime.ensure(replace(SIX, artifact=replace(SIX.artifact, fingerprint="e" * 64)))
    assert runtime.status("intent")["6"].ready


def test_a_number_that_was_given_again_is_made_anew(
    runtime: KubernetesDeployments, kubelet: Kubelet, client: KubernetesClient
) -> None:
    settled(runtime, kubelet)
    before = client.get(DEPLOYMENTS, "intent-v6")
    other = replace(SIX, artifact=replace(SIX.artifact, fingerprint="e" * 64))
    assert runtime.ensure(other).condition is Condition.DISTURBED
    kubelet.step()
    assert settled(runtime, kubelet, other).ready
    after = client.get(DEPLOYMENTS, "intent-v6")
    assert before is not None
    assert after is not None
    assert before["metadata"]["uid"] != after["metadata"]["uid"]


def test_24_deleting_in_any_order_is_mended(
    runtime: KubernetesDeployments, client: KubernetesClient, kubelet: Kubelet
) -> None:
    """Somebody deletes one of the objects: a Service is made again, and what is left of a version can be removed."""
    settled(runtime, kubelet)
    pods = uids(kubelet)
    client.delete(SERVICES, "intent-v6")
    assert runtime.ensure(SIX).ready
    assert client.get(SERVICES, "intent-v6") is not None
    assert uids(kubelet) == pods
    client.delete(DEPLOYMENTS, "intent-v6")
    assert "6" not in runtime.status("intent")
    runtime.remove("intent", "6")
    assert all(client.get(resource, "intent-v6") is None for resource in ALL)


def test_two_controllers_that_make_a_version_make_it_once(
    runtime: KubernetesDeployments, cluster: FakeCluster, client: KubernetesClient, looks: Looks, routed: Traffic
) -> None:
    """The other one is a moment earlier with each object."""
    other = KubernetesDeployments(client, looks, SITE, name_of, routed)
    cluster.faults.meanwhile(lambda: other.ensure(SIX) and None, concerns=writes)
    assert runtime.ensure(SIX).condition is Condition.STARTING
    assert len(client.list(DEPLOYMENTS).items) == 1


def test_one_look_serves_all_models(client: KubernetesClient, routed: Traffic, cluster: FakeCluster) -> None:
    """However many there are, a round reads each list once; our own writes are seen at once."""
    clock = FakeClock()
    looks = Looks(client, clock)
    runtime = KubernetesDeployments(client, looks, SITE, name_of, routed)
    for model in ("intent", "topic"):
        runtime.ensure(spec("1", model))
    look = looks.take()
    for model in ("intent", "topic", "tone"):
        runtime.status(model)
    assert looks.take() is look
    clock.pass_s(1.0)
    assert looks.take() is not look


def test_a_server_that_is_away_is_an_outage(runtime: KubernetesDeployments, cluster: FakeCluster) -> None:
    with cluster.away(), pytest.raises(TransientError):
        runtime.status("intent")
    assert runtime.status("intent") == {}
