"""Deleting: finalizers keep an object until they are gone, owners take what they own with them, evictions ask first."""

import math
from collections.abc import Mapping
from typing import Any

from tests.fakes.kubernetes.errors import ApiError, Cause, changed
from tests.fakes.kubernetes.kinds import BUDGETS, CRDS, NAMESPACES, PODS, Kind, Object, kinds_of
from tests.fakes.kubernetes.selecting import matches
from tests.fakes.kubernetes.store import Store
from tests.fakes.kubernetes.writing import now


def delete(store: Store, kind: Kind, namespace: str, name: str, options: Mapping[str, Any]) -> Object:
    """Delete the object, and what it owned or held unless that is to be left alone; the object as it is then."""
    with store.changed:
        found = store.get(kind, namespace, name)
        metadata = found["metadata"]
        conditions = options.get("preconditions") or {}
        for field in ("uid", "resourceVersion"):
            if conditions.get(field) not in (None, metadata[field]):
                raise changed(kind.resource, name)
        if metadata.get("finalizers"):
            if "deletionTimestamp" not in metadata:
                metadata["deletionTimestamp"] = now()
                if "generation" in metadata:
                    metadata["generation"] += 1
                store.put(kind, found)
            return found
        gone = store.remove(kind, namespace, name)
        _follow(store, kind, gone, orphan=options.get("propagationPolicy") == "Orphan")
        return gone


def _follow(store: Store, kind: Kind, gone: Object, *, orphan: bool) -> None:
    for one in store.everything():
        owners = one["metadata"].get("ownerReferences", [])
        left = [owner for owner in owners if owner["uid"] != gone["metadata"]["uid"]]
        if len(left) == len(owners) or store.find(*_place(store, one)) is None:
            continue
        if left or orphan:
            one["metadata"]["ownerReferences"] = left
            store.put(store.kind_of(one), one)
        else:
            delete(store, *_place(store, one), {})
    if kind == NAMESPACES:
        for one in store.everything():
            if one["metadata"].get("namespace") == gone["metadata"]["name"] and store.find(*_place(store, one)):
                delete(store, *_place(store, one), {})
    elif kind == CRDS:
        for added in kinds_of(gone):
            for one in store.all(added):
                store.remove(added, one["metadata"].get("namespace", ""), one["metadata"]["name"])


def _place(store: Store, found: Object) -> tuple[Kind, str, str]:
    return store.kind_of(found), found["metadata"].get("namespace", ""), found["metadata"]["name"]


def evict(store: Store, namespace: str, name: str, options: Mapping[str, Any]) -> None:
    """Delete the pod, unless a budget forbids it now.

    Raises:
        ApiError: 429 where one does; 404 where there is no such pod.
    """
    with store.changed:
        pod = store.get(PODS, namespace, name)
        pods = store.all(PODS, namespace)
        for budget in store.all(BUDGETS, namespace):
            if matches(budget["spec"].get("selector", {}), pod) and _left(budget, pods) < 1 and _is_ready(pod):
                said = f"The disruption budget {budget['metadata']['name']} needs more healthy pods than there are"
                cause = Cause("DisruptionBudget", said)
                message = "Cannot evict pod as it would violate the pod's disruption budget."
                raise ApiError(429, "TooManyRequests", message, [cause], retry_after_s=10)
        delete(store, PODS, namespace, name, options)


def _left(budget: Object, pods: list[Object]) -> int:
    """Return how many of its pods may go now."""
    mine = [pod for pod in pods if matches(budget["spec"].get("selector", {}), pod)]
    healthy = sum(_is_ready(pod) for pod in mine)
    if (most := budget["spec"].get("maxUnavailable")) is not None:
        return healthy - (len(mine) - _of(most, len(mine)))
    return healthy - _of(budget["spec"].get("minAvailable", 1), len(mine))


def _of(amount: int | str, pods: int) -> int:
    return math.ceil(int(amount.removesuffix("%")) / 100 * pods) if isinstance(amount, str) else amount


def _is_ready(pod: Object) -> bool:
    conditions = pod.get("status", {}).get("conditions", [])
    return any(one["type"] == "Ready" and one["status"] == "True" for one in conditions)
