"""The disruption budget of a version: draining nodes takes one of its pods at a time."""

from typing import Any

from controller.adapters.kubernetes.objects.labels import annotations_of, labels_of, selector_of
from controller.adapters.kubernetes.objects.site import Site
from controller.ports.runtime import DeploymentSpec


def disruption_budget(name: str, spec: DeploymentSpec, site: Site) -> dict[str, Any]:
    """Return the manifest of a PodDisruptionBudget. Pods that are not ready may always be evicted: they serve
    nobody."""
    return {
        "apiVersion": "policy/v1",
        "kind": "PodDisruptionBudget",
        "metadata": {
            "name": name,
            "namespace": site.namespace,
            "labels": labels_of(name),
            "annotations": annotations_of(spec),
        },
        "spec": {
            "maxUnavailable": 1,
            "selector": {"matchLabels": selector_of(name)},
            "unhealthyPodEvictionPolicy": "AlwaysAllow",
        },
    }
