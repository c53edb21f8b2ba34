"""The objects that Serin writes in a release, as JSON for kubectl: made by its own code, for `verify-cluster.sh`.

verify_objects.py version NUMBER NAMESPACE
                                          what a version runs by
verify_objects.py deployment NUMBER       what its Deployment is called
verify_objects.py route GENERATION STABLE [CANDIDATE PCT]
                                          the route of the model where the candidate has a share, or nobody but stable
verify_objects.py name                    what the route is called
"""

import json
import sys
from collections.abc import Sequence
from typing import Any

from controller.adapters.kubernetes.names import model_name, resource_name
from controller.adapters.kubernetes.objects.autoscaler import autoscaler
from controller.adapters.kubernetes.objects.deployment import deployment
from controller.adapters.kubernetes.objects.disruption import disruption_budget
from controller.adapters.kubernetes.objects.route import API_VERSION, RouteOptions, annotations_of, rules_of
from controller.adapters.kubernetes.objects.service import service
from controller.adapters.kubernetes.objects.site import Autoscaling, Site
from controller.core.release import Version
from controller.core.traffic import Mirror, TrafficTable
from controller.ports.runtime import DeploymentSpec

MODEL = "verify"
IMAGE = "serin.invalid/serving:none"  # nothing is meant to run


def version(number: str, namespace: str) -> Sequence[dict[str, Any]]:
    """Return the objects of one version."""
    site = Site(image=IMAGE, namespace=namespace, registry_url="http://mlflow.invalid")
    spec = DeploymentSpec(MODEL, Version(number, "m-" + number.rjust(32, "0"), number.rjust(64, "0")))
    name = resource_name(MODEL, number)
    return [
        service(name, spec, site),
        disruption_budget(name, spec, site),
        autoscaler(name, spec, site, Autoscaling(), replicas_min=1),
        deployment(name, spec, site, replicas=1),
    ]


def route(generation: int, stable: str, candidate: str | None = None, pct: float = 0.0) -> dict[str, Any]:
    """Return the route as it is applied: rules and annotations, and nothing that is Git's."""
    weights = {stable: 100.0 - pct, **({candidate: pct} if candidate is not None else {})}
    table = TrafficTable(
        MODEL,
        {number: share for number, share in weights.items() if share},
        mirror=Mirror(candidate, 100.0) if candidate is not None and pct < 100 else None,
        known_good=stable,
        generation=generation,
    )
    rules = rules_of(table, RouteOptions(), resource_name)
    return {
        "apiVersion": API_VERSION,
        "kind": "HTTPRoute",
        "metadata": {"name": model_name(MODEL), "annotations": annotations_of(table, rules, resource_name)},
        "spec": {"rules": rules},
    }


def main(arguments: Sequence[str]) -> str:
    match arguments:
        case ["version", number, namespace]:
            return "\n---\n".join(map(json.dumps, version(number, namespace)))
        case ["route", generation, stable]:
            return json.dumps(route(int(generation), stable))
        case ["route", generation, stable, candidate, pct]:
            return json.dumps(route(int(generation), stable, candidate, float(pct)))
        case ["name"]:
            return model_name(MODEL)
        case ["deployment", number]:
            return resource_name(MODEL, number)
    return __doc__ or ""


if __name__ == "__main__":
    print(main(sys.argv[1:]))
