"""The HorizontalPodAutoscaler of a version. Only Serin changes its bounds."""

from typing import Any

from controller.adapters.kubernetes.objects.labels import annotations_of, labels_of
from controller.adapters.kubernetes.objects.site import Autoscaling, ScaleBy, Site
from controller.ports.runtime import DeploymentSpec
from serving.contract import QUEUE_DEPTH_METRIC


def autoscaler(
    name: str, spec: DeploymentSpec, site: Site, scaling: Autoscaling, *, replicas_min: int
) -> dict[str, Any]:
    """Return the manifest of a HorizontalPodAutoscaler."""
    return {
        "apiVersion": "autoscaling/v2",
        "kind": "HorizontalPodAutoscaler",
        "metadata": {
            "name": name,
            "namespace": site.namespace,
            "labels": labels_of(name),
            "annotations": annotations_of(spec),
        },
        "spec": {
            "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": name},
            "minReplicas": replicas_min,
            "maxReplicas": max(scaling.replicas_max, replicas_min),
            "metrics": [_metric(scaling)],
        },
    }


def bounds(replicas_min: int, replicas_max: int) -> dict[str, Any]:
    """Return the merge patch that changes the bounds and nothing else."""
    return {"spec": {"minReplicas": replicas_min, "maxReplicas": max(replicas_min, replicas_max)}}


def _metric(scaling: Autoscaling) -> dict[str, Any]:
    if scaling.by is ScaleBy.CPU:
        target = {"type": "Utilization", "averageUtilization": round(scaling.target)}
        return {"type": "Resource", "resource": {"name": "cpu", "target": target}}
    target = {"type": "AverageValue", "averageValue": _quantity(scaling.target)}
    return {"type": "Pods", "pods": {"metric": {"name": QUEUE_DEPTH_METRIC}, "target": target}}


def _quantity(value: float) -> str:
    """Return the value as the server writes it: in thousandths if it is not whole."""
    return f"{value:g}" if value == int(value) else f"{round(value * 1000)}m"
