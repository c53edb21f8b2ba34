"""The kinds that the server knows: those built in that Serin or its operators use, and what CRDs add."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

Object = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Kind:
    """A resource of the API. ``schema`` is the openAPIV3Schema of a CRD; None for what is built in."""

    group: str
    version: str
    plural: str
    kind: str
    namespaced: bool = True
    has_status: bool = False
    has_scale: bool = False
    schema: Mapping[str, Any] | None = field(default=None, repr=False, hash=False)

    @property
    def api_version(self) -> str:
        return f"{self.group}/{self.version}" if self.group else self.version

    @property
    def resource(self) -> str:
        """Return the name that messages call it by: ``deployments.apps``."""
        return f"{self.plural}.{self.group}" if self.group else self.plural

    @property
    def qualified(self) -> str:
        """Return the kind with its group, as refusals name it."""
        return f"{self.kind}.{self.group}" if self.group else self.kind


CRDS: Final = Kind(
    "apiextensions.k8s.io", "v1", "customresourcedefinitions", "CustomResourceDefinition", namespaced=False
)
NAMESPACES: Final = Kind("", "v1", "namespaces", "Namespace", namespaced=False, has_status=True)
PODS: Final = Kind("", "v1", "pods", "Pod", has_status=True)
DEPLOYMENTS: Final = Kind("apps", "v1", "deployments", "Deployment", has_status=True, has_scale=True)
SERVICES: Final = Kind("", "v1", "services", "Service", has_status=True)
LEASES: Final = Kind("coordination.k8s.io", "v1", "leases", "Lease")
BUDGETS: Final = Kind("policy", "v1", "poddisruptionbudgets", "PodDisruptionBudget", has_status=True)

BUILT_IN: Final = (
    CRDS,
    NAMESPACES,
    PODS,
    SERVICES,
    DEPLOYMENTS,
    LEASES,
    BUDGETS,
    Kind("", "v1", "configmaps", "ConfigMap"),
    Kind("", "v1", "secrets", "Secret"),
    Kind("", "v1", "events", "Event"),
    Kind("", "v1", "endpoints", "Endpoints"),
    Kind("", "v1", "serviceaccounts", "ServiceAccount"),
    Kind("", "v1", "persistentvolumeclaims", "PersistentVolumeClaim", has_status=True),
    Kind("", "v1", "nodes", "Node", namespaced=False, has_status=True),
    Kind("apps", "v1", "replicasets", "ReplicaSet", has_status=True, has_scale=True),
    Kind("apps", "v1", "statefulsets", "StatefulSet", has_status=True, has_scale=True),
    Kind("batch", "v1", "jobs", "Job", has_status=True),
    Kind("autoscaling", "v2", "horizontalpodautoscalers", "HorizontalPodAutoscaler", has_status=True),
    Kind("discovery.k8s.io", "v1", "endpointslices", "EndpointSlice"),
    Kind("events.k8s.io", "v1", "events", "Event"),
    Kind("networking.k8s.io", "v1", "networkpolicies", "NetworkPolicy"),
    Kind("rbac.authorization.k8s.io", "v1", "roles", "Role"),
    Kind("rbac.authorization.k8s.io", "v1", "rolebindings", "RoleBinding"),
)


def kinds_of(crd: Object) -> list[Kind]:
    """The kinds that a CustomResourceDefinition adds, one a served version."""
    spec = crd["spec"]
    return [
        Kind(
            group=spec["group"],
            version=version["name"],
            plural=spec["names"]["plural"],
            kind=spec["names"]["kind"],
            namespaced=spec["scope"] == "Namespaced",
            has_status="status" in version.get("subresources", {}),
            has_scale="scale" in version.get("subresources", {}),
            schema=version["schema"]["openAPIV3Schema"],
        )
        for version in spec["versions"]
        if version["served"]
    ]
