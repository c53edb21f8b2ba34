"""The Service of a version: named after the version and never after a role, with a separate port for copies."""

from typing import Any

from controller.adapters.kubernetes.objects.labels import annotations_of, labels_of, selector_of
from controller.adapters.kubernetes.objects.site import LIVE_PORT, SHADOW_PORT, Site
from controller.ports.runtime import DeploymentSpec


def service(name: str, spec: DeploymentSpec, site: Site) -> dict[str, Any]:
    """Return the manifest of a Service."""
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {
            "name": name,
            "namespace": site.namespace,
            "labels": labels_of(name),
            "annotations": annotations_of(spec),
        },
        "spec": {
            "type": "ClusterIP",
            "selector": selector_of(name),
            "ports": [
                {"name": "live", "port": LIVE_PORT, "targetPort": "live", "protocol": "TCP"},
                {"name": "shadow", "port": SHADOW_PORT, "targetPort": "shadow", "protocol": "TCP"},
            ],
            "sessionAffinity": "None",
            "internalTrafficPolicy": "Cluster",
        },
    }
