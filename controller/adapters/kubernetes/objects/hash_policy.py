"""The object that makes a gateway split users by the hash of a header: Envoy Gateway's BackendTrafficPolicy."""

from collections.abc import Mapping, Sequence
from typing import Any

from controller.adapters.kubernetes.objects.labels import MANAGED_BY
from controller.adapters.kubernetes.resources import HTTP_ROUTES, TRAFFIC_POLICIES, Object


def hash_policy(route: str, header: str) -> Object:
    """Return the policy of the route, under the route's own name: it splits requests by the hash of the header."""
    target = {"group": HTTP_ROUTES.group, "kind": HTTP_ROUTES.kind, "name": route}
    by_header = {"type": "Header", "header": {"name": header}}
    return {
        "apiVersion": TRAFFIC_POLICIES.api_version,
        "kind": TRAFFIC_POLICIES.kind,
        "metadata": {"name": route, "labels": {MANAGED_BY: "serin"}},
        "spec": {"targetRefs": [target], "loadBalancer": {"type": "ConsistentHash", "consistentHash": by_header}},
    }


def says(found: Mapping[str, Any], wanted: Mapping[str, Any]) -> bool:
    """Return whether the object has everything that is wanted; what else it has does not matter."""
    return _holds(found.get("spec"), wanted["spec"])


def _holds(found: Any, wanted: Any) -> bool:
    if isinstance(wanted, Mapping):
        return isinstance(found, Mapping) and all(_holds(found.get(key), value) for key, value in wanted.items())
    return bool(found == wanted)


def writer_of_spec(found: Mapping[str, Any], own: Sequence[str]) -> str:
    """Return a field manager that wrote part of the spec and is not one of ``own``; empty if none is known."""
    managers = (
        str(entry.get("manager", ""))
        for entry in found["metadata"].get("managedFields") or ()
        if "f:spec" in (entry.get("fieldsV1") or {})
    )
    return next((manager for manager in managers if manager not in own), "")


def refusal(found: Mapping[str, Any]) -> str:
    """Return why a gateway rejects the policy as it is now; empty if none does."""
    for ancestor in (found.get("status") or {}).get("ancestors") or ():
        for condition in ancestor.get("conditions") or ():
            is_old = int(condition.get("observedGeneration", 0)) < found["metadata"]["generation"]
            if condition.get("type") == "Accepted" and condition.get("status") == "False" and not is_old:
                return f"{condition.get('reason', 'Accepted')}: {condition.get('message', '')}"
    return ""
