"""The fields that the server writes where nobody did."""

import zlib
from collections.abc import Callable, Mapping
from copy import deepcopy
from typing import Any, Final

from tests.fakes.kubernetes.kinds import Kind, Object


def default(found: Object, kind: Kind) -> None:
    """Write the defaults of this kind into the object."""
    if kind.schema is not None:
        _by_schema(found, kind.schema)
    elif (writes := _BUILT_IN.get((kind.group, kind.kind))) is not None:
        writes(found)


def prune(found: Any, schema: Mapping[str, Any], path: str = "") -> list[str]:
    """Remove the fields that the schema does not declare; the paths of what was removed."""
    removed: list[str] = []
    if schema.get("x-kubernetes-preserve-unknown-fields"):
        return removed
    if isinstance(found, dict):
        properties: Mapping[str, Any] = schema.get("properties", {})
        more = schema.get("additionalProperties")
        for name in list(found):
            if not path and name in ("apiVersion", "kind", "metadata"):
                continue
            inner = properties.get(name, more)
            if inner is None:
                del found[name]
                removed.append(f"{path}.{name}")
            elif isinstance(inner, Mapping):
                removed += prune(found[name], inner, f"{path}.{name}")
    elif isinstance(found, list):
        for place, item in enumerate(found):
            removed += prune(item, schema.get("items", {}), f"{path}[{place}]")
    return removed


def _by_schema(found: Any, schema: Mapping[str, Any]) -> None:
    if isinstance(found, dict):
        properties: Mapping[str, Any] = schema.get("properties", {})
        for name, inner in properties.items():
            if name not in found and "default" in inner:
                found[name] = deepcopy(inner["default"])
            if name in found:
                _by_schema(found[name], inner)
        if isinstance(more := schema.get("additionalProperties"), Mapping):
            for name in found.keys() - properties.keys():
                _by_schema(found[name], more)
    elif isinstance(found, list):
        for item in found:
            _by_schema(item, schema.get("items", {}))


def _set(into: Object, **values: Any) -> None:
    for name, value in values.items():
        into.setdefault(name, value)


def _deployment(found: Object) -> None:
    spec = found.setdefault("spec", {})
    _set(spec, replicas=1, revisionHistoryLimit=10, progressDeadlineSeconds=600)
    strategy = spec.setdefault("strategy", {})
    _set(strategy, type="RollingUpdate")
    if strategy["type"] == "RollingUpdate":
        _set(strategy.setdefault("rollingUpdate", {}), maxUnavailable="25%", maxSurge="25%")
    template = spec.setdefault("template", {})
    template.setdefault("metadata", {})
    _pod_spec(template.setdefault("spec", {}))


def _pod(found: Object) -> None:
    spec = found.setdefault("spec", {})
    _pod_spec(spec)
    _set(spec, enableServiceLinks=True, preemptionPolicy="PreemptLowerPriority", priority=0)


def _pod_spec(spec: Object) -> None:
    _set(spec, restartPolicy="Always", terminationGracePeriodSeconds=30, dnsPolicy="ClusterFirst")
    _set(spec, securityContext={}, schedulerName="default-scheduler")
    if "serviceAccountName" in spec:
        _set(spec, serviceAccount=spec["serviceAccountName"])
    for container in [*spec.get("initContainers", []), *spec.get("containers", [])]:
        _container(container)
    for volume in spec.get("volumes", []):
        for source in ("configMap", "secret", "projected"):
            if source in volume:
                _set(volume[source], defaultMode=420)
        if "downwardAPI" in volume:
            _set(volume["downwardAPI"], defaultMode=420)
        for item in volume.get("downwardAPI", {}).get("items", []):
            _set(item.get("fieldRef", {}), apiVersion="v1")


def _container(container: Object) -> None:
    tag = container.get("image", "").rpartition("/")[2]
    latest = ":" not in tag or tag.endswith(":latest")
    pulled = "Always" if latest and "@" not in tag else "IfNotPresent"
    _set(container, terminationMessagePath="/dev/termination-log", terminationMessagePolicy="File", resources={})
    _set(container, imagePullPolicy=pulled)
    for port in container.get("ports", []):
        _set(port, protocol="TCP")
    for variable in container.get("env", []):
        if "fieldRef" in variable.get("valueFrom", {}):
            _set(variable["valueFrom"]["fieldRef"], apiVersion="v1")
    resources = container["resources"]
    for name, amount in resources.get("limits", {}).items():
        _set(resources.setdefault("requests", {}), **{name: amount})
    for probe in ("livenessProbe", "readinessProbe", "startupProbe"):
        if probe in container:
            _set(container[probe], timeoutSeconds=1, periodSeconds=10, successThreshold=1, failureThreshold=3)
            _set(container[probe].get("httpGet", {"scheme": ""}), scheme="HTTP", path="/")
    for hook in container.get("lifecycle", {}).values():
        _set(hook.get("httpGet", {"scheme": ""}), scheme="HTTP", path="/")


def _service(found: Object) -> None:
    spec = found.setdefault("spec", {})
    _set(spec, type="ClusterIP", sessionAffinity="None", internalTrafficPolicy="Cluster")
    for port in spec.get("ports", []):
        _set(port, protocol="TCP", targetPort=port.get("port"))
    if "clusterIP" not in spec:
        number = zlib.crc32(repr((found["metadata"].get("namespace"), found["metadata"].get("name"))).encode())
        spec["clusterIP"] = f"10.96.{number % 250}.{number // 250 % 250 + 1}"
    _set(spec, clusterIPs=[spec["clusterIP"]], ipFamilies=["IPv4"], ipFamilyPolicy="SingleStack")


def _autoscaler(found: Object) -> None:
    _set(found.setdefault("spec", {}), minReplicas=1)


def _network_policy(found: Object) -> None:
    spec = found.setdefault("spec", {})
    _set(spec, policyTypes=["Ingress", "Egress"] if "egress" in spec else ["Ingress"])


_BUILT_IN: Final[Mapping[tuple[str, str], Callable[[Object], None]]] = {
    ("apps", "Deployment"): _deployment,
    ("", "Pod"): _pod,
    ("", "Service"): _service,
    ("autoscaling", "HorizontalPodAutoscaler"): _autoscaler,
    ("networking.k8s.io", "NetworkPolicy"): _network_policy,
}
