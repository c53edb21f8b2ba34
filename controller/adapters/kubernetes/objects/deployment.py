"""The Deployment of a version. It is created once; after that only its size changes, by `scale` or by an autoscaler."""

import math
from typing import Any

from controller.adapters.kubernetes.objects.labels import annotations_of, labels_of, selector_of
from controller.adapters.kubernetes.objects.pod import pod_template
from controller.adapters.kubernetes.objects.site import Site
from controller.ports.runtime import DeploymentSpec


def deployment(name: str, spec: DeploymentSpec, site: Site, *, replicas: int) -> dict[str, Any]:
    """Return the manifest. It has no owner: a known good version outlives the release that brought it."""
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {
            "name": name,
            "namespace": site.namespace,
            "labels": labels_of(name),
            "annotations": annotations_of(spec),
        },
        "spec": {
            "replicas": replicas,
            "selector": {"matchLabels": selector_of(name)},
            "template": pod_template(name, spec, site),
            "strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxUnavailable": "25%", "maxSurge": "25%"}},
            "revisionHistoryLimit": 10,
            "progressDeadlineSeconds": math.ceil(spec.start_timeout_s),
        },
    }
