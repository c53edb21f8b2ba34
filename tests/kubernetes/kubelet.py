"""What a cluster's own parts do with what Serin writes: pods for Deployments, and what happens to pods.

Nothing happens by itself: a test takes a step. A version called ``broken`` never comes well.
"""

import itertools
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from controller.adapters.kubernetes.client import KubernetesClient
from controller.adapters.kubernetes.objects.labels import OWN, deployment_of, identity_of
from controller.adapters.kubernetes.resources import AUTOSCALERS, DEPLOYMENTS, PODS, Object

BROKEN = "broken"


class Kubelet:
    """Deployment controller, scheduler and kubelet of the namespace, as an admin of it.

    ``held``: pods are made and stay as they are, so that a test says what becomes of them.
    """

    def __init__(self, client: KubernetesClient) -> None:
        self._client = client
        self._numbers = itertools.count(1)
        self.held = False

    def step(self) -> None:
        """Make what is missing, end what is too much, and let what was made before come well."""
        deployments = {one["metadata"]["name"]: one for one in self._client.list(DEPLOYMENTS, labels=OWN).items}
        by_name: dict[str, list[Object]] = {name: [] for name in deployments}
        for pod in self._client.list(PODS, labels=OWN).items:
            name = deployment_of(pod)
            if (
                name not in by_name
                or pod["metadata"]["annotations"].get("test/uid") != deployments[name]["metadata"]["uid"]
            ):
                self._client.delete(PODS, pod["metadata"]["name"])
            elif pod["status"].get("phase") != "Failed":
                by_name[name].append(pod)
        for name, deployment in deployments.items():
            self._keep(deployment, by_name[name])

    def pods(self, name: str) -> Sequence[Object]:
        return [pod for pod in self._client.list(PODS, labels=OWN).items if deployment_of(pod) == name]

    def becomes(self, pod: Object, status: Mapping[str, Any]) -> None:
        """The pod's status changes."""
        found = self._client.get(PODS, pod["metadata"]["name"])
        assert found is not None
        self._client.replace(
            PODS,
            pod["metadata"]["name"],
            {**found, "status": {**found.get("status", {}), **status}},
            subresource="status",
        )

    def is_well(self, pod: Object) -> None:
        self.becomes(pod, ready(pod))

    def was_well(self, name: str) -> None:
        """The Deployment's rollout is complete."""
        found = self._client.get(DEPLOYMENTS, name)
        assert found is not None
        progressed = {"type": "Progressing", "status": "True", "reason": "NewReplicaSetAvailable"}
        self._client.replace(DEPLOYMENTS, name, {**found, "status": {"conditions": [progressed]}}, subresource="status")

    def scaled(self, name: str, replicas: int) -> None:
        """As an autoscaler, or anybody with kubectl, does it."""
        found = self._client.get(DEPLOYMENTS, name, subresource="scale")
        assert found is not None
        found["spec"]["replicas"] = replicas
        self._client.replace(DEPLOYMENTS, name, found, subresource="scale")

    def autoscale(self) -> None:
        """Each autoscaler keeps to its lower bound."""
        for scaler in self._client.list(AUTOSCALERS).items:
            name = scaler["spec"]["scaleTargetRef"]["name"]
            found = self._client.get(DEPLOYMENTS, name)
            if found is not None and found["spec"]["replicas"] < scaler["spec"]["minReplicas"]:
                self.scaled(name, scaler["spec"]["minReplicas"])

    def _keep(self, deployment: Object, pods: Sequence[Object]) -> None:
        wanted = deployment["spec"]["replicas"]
        for pod in pods[wanted:]:
            self._client.delete(PODS, pod["metadata"]["name"])
        for pod in pods[:wanted]:
            if not self.held and not pod["status"].get("conditions"):
                self._comes_well(deployment, pod)
        for _ in range(wanted - len(pods)):
            self._make(deployment)

    def _comes_well(self, deployment: Object, pod: Object) -> None:
        identity = identity_of(deployment)
        assert identity is not None
        if identity.artifact.number == BROKEN:
            self.becomes(pod, ended(3, "artifact refused: no weights"))
        else:
            self.is_well(pod)

    def _make(self, deployment: Object) -> None:
        template = deployment["spec"]["template"]
        name = f"{deployment['metadata']['name']}-{next(self._numbers)}"
        annotations = {**template["metadata"]["annotations"], "test/uid": deployment["metadata"]["uid"]}
        metadata = {**template["metadata"], "name": name, "annotations": annotations}
        pod = self._client.create(
            PODS, {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": template["spec"]}
        )
        self._client.replace(PODS, name, {**pod, "status": {"phase": "Pending"}}, subresource="status")


class Stepped:
    """Deployments after each of whose calls the cluster takes a step."""

    def __init__(self, deployments: Any, kubelet: Kubelet, forget: Callable[[], None]) -> None:
        self._deployments = deployments
        self._kubelet = kubelet
        self._forget = forget

    def __getattr__(self, name: str) -> Any:
        method = getattr(self._deployments, name)

        def called(*arguments: Any) -> Any:
            found = method(*arguments)
            self._kubelet.step()
            self._forget()
            return found

        return called


def conditions(**by_type: bool) -> dict[str, Any]:
    return {"conditions": [{"type": kind, "status": str(holds)} for kind, holds in by_type.items()]}


def fetched() -> dict[str, Any]:
    return {"initContainerStatuses": [{"name": "fetch", "state": {"terminated": {"exitCode": 0}}}]}


def ready(pod: Object) -> dict[str, Any]:
    number = int(pod["metadata"]["name"].rpartition("-")[2])
    replica = {"name": "replica", "ready": True, "started": True, "restartCount": 0, "state": {"running": {}}}
    return {
        **fetched(),
        **conditions(PodScheduled=True, Ready=True),
        "phase": "Running",
        "podIP": f"10.1.{number // 250}.{number % 250}",
        "containerStatuses": [replica],
    }


def ended(code: int, message: str, *, waiting: str = "CrashLoopBackOff") -> dict[str, Any]:
    """The replica's own process ended, and is not started again for now."""
    last = {"terminated": {"exitCode": code, "message": message, "reason": "Error"}}
    replica = {"name": "replica", "ready": False, "started": False, "restartCount": 3, "lastState": last}
    return {
        **fetched(),
        **conditions(PodScheduled=True, Ready=False),
        "phase": "Running",
        "containerStatuses": [{**replica, "state": {"waiting": {"reason": waiting}}}],
    }
