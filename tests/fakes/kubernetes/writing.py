"""What a write does to an object, from what was asked to what is stored."""

import copy
import uuid
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, Final

from tests.fakes.kubernetes.defaulting import default, prune
from tests.fakes.kubernetes.errors import ApiError, bad_request, changed, not_found
from tests.fakes.kubernetes.kinds import CRDS, DEPLOYMENTS, LEASES, NAMESPACES, Kind, Object
from tests.fakes.kubernetes.ownership import Manager, applied, same, updated
from tests.fakes.kubernetes.shapes import shape_of
from tests.fakes.kubernetes.store import Store
from tests.fakes.kubernetes.validation import validate

_KEPT_METADATA: Final = ("uid", "creationTimestamp", "generation", "deletionTimestamp", "managedFields")
_UNCOUNTED: Final = {"ConfigMap", "Secret", "Service", "Event", "Endpoints", "ServiceAccount", "Namespace", "Node"}


def now() -> str:
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


class Writer:
    """Writes objects by the rules of the API. Every method holds the store until it is done."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def create(self, kind: Kind, namespace: str, body: Object, by: Manager, *, strict: bool, dry: bool) -> Object:
        with self._store.changed:
            found = self._taken_in(kind, namespace, body, strict=strict)
            name = found["metadata"].get("name")
            if name is None and (prefix := found["metadata"].get("generateName")):
                name = found["metadata"]["name"] = prefix + uuid.uuid4().hex[:5]
            if name is None:
                raise bad_request("name or generateName is required")
            if found["metadata"].pop("resourceVersion", ""):
                raise bad_request("resourceVersion should not be set on objects to be created")
            if self._store.find(kind, namespace, name) is not None:
                raise ApiError(409, "AlreadyExists", f'{kind.resource} "{name}" already exists')
            found["metadata"].pop("managedFields", None)
            return self._born(kind, found, lambda it: updated(_nothing(it), it, shape_of(kind), by, now()), dry=dry)

    def replace(
        self, kind: Kind, namespace: str, name: str, change: Callable[[Object], Object], by: Manager, *, dry: bool
    ) -> Object:
        """Write what ``change`` makes of the object as it is."""
        with self._store.changed:
            before = self._store.get(kind, namespace, name)
            asked = change(copy.deepcopy(before))
            _check_version(kind, before, asked)
            after = self._kept(kind, before, asked, by.subresource)
            updated(before, after, shape_of(kind), by, now())
            return self._changed(kind, before, after, dry=dry)

    def apply(
        self, kind: Kind, namespace: str, name: str, body: Object, by: Manager, *, force: bool, dry: bool
    ) -> Object:
        with self._store.changed:
            if body.get("metadata", {}).get("managedFields"):
                raise bad_request("metadata.managedFields must be nil")
            wanted = copy.deepcopy(body)
            unknown = prune(wanted, kind.schema) if kind.schema is not None else []
            if unknown:
                said = f"failed to create typed patch object ({namespace}/{name}; {kind.api_version}, Kind={kind.kind})"
                raise ApiError(500, "InternalError", f"{said}: {unknown[0]}: field not declared in schema")
            version = wanted.get("metadata", {}).pop("resourceVersion", None)
            before = self._store.find(kind, namespace, name)
            if kind.has_status and by.subresource != "status":
                wanted.pop("status", None)
            elif by.subresource == "status":
                wanted = {key: value for key, value in wanted.items() if key != "spec"}
            if before is None:
                if version is not None or by.subresource:
                    raise not_found(kind.resource, name)
                found = self._taken_in(
                    kind, namespace, {"apiVersion": kind.api_version, "kind": kind.kind}, strict=False
                )
                found["metadata"]["name"] = name
                found = applied(found, wanted, shape_of(kind), by, now(), force=force)
                return self._born(kind, found, lambda _: None, dry=dry)
            if version is not None and version != before["metadata"]["resourceVersion"]:
                raise changed(kind.resource, name)
            after = applied(before, wanted, shape_of(kind), by, now(), force=force)
            default(after, kind)
            return self._changed(kind, before, after, dry=dry)

    def _taken_in(self, kind: Kind, namespace: str, body: Object, *, strict: bool) -> Object:
        found = copy.deepcopy(body)
        if (found.get("apiVersion", kind.api_version), found.get("kind", kind.kind)) != (kind.api_version, kind.kind):
            raise bad_request(f"the object is a {found.get('kind')} of {found.get('apiVersion')}, not a {kind.kind}")
        found |= {"apiVersion": kind.api_version, "kind": kind.kind}
        metadata = found.setdefault("metadata", {})
        if kind.namespaced:
            if self._store.find(NAMESPACES, "", namespace) is None:
                raise not_found("namespaces", namespace)
            if metadata.setdefault("namespace", namespace) != namespace:
                raise bad_request("the namespace of the provided object does not match the namespace of the request")
        unknown = prune(found, kind.schema) if kind.schema is not None else []
        if unknown and strict:
            said = ", ".join(f'unknown field "{one.removeprefix(".")}"' for one in unknown)
            raise bad_request(f"strict decoding error: {said}")
        if kind.has_status:
            found.pop("status", None)
        return found

    def _born(self, kind: Kind, found: Object, own: Callable[[Object], None], *, dry: bool) -> Object:
        default(found, kind)
        metadata = found["metadata"]
        metadata |= {"uid": str(uuid.uuid4()), "creationTimestamp": now()}
        if _counts(kind):
            metadata["generation"] = 1
        own(found)
        validate(found, kind, None)
        if kind == CRDS:
            found["status"] = {
                "conditions": [{"type": "Established", "status": "True", "reason": "InitialNamesAccepted"}]
            }
        return found if dry else self._store.put(kind, found)

    def _kept(self, kind: Kind, before: Object, asked: Object, subresource: str) -> Object:
        """What is asked for, with all that this request may not change as it was."""
        if subresource == "status":
            after = copy.deepcopy(before)
            after["status"] = asked.get("status", {})
        else:
            after = asked
            for field in _KEPT_METADATA:
                after["metadata"].pop(field, None)
                if field in before["metadata"]:
                    after["metadata"][field] = before["metadata"][field]
            if kind.has_status:
                after.pop("status", None)
                if "status" in before:
                    after["status"] = before["status"]
        after["metadata"]["resourceVersion"] = before["metadata"]["resourceVersion"]
        if kind.schema is not None:
            prune(after, kind.schema)
        default(after, kind)
        return after

    def _changed(self, kind: Kind, before: Object, after: Object, *, dry: bool) -> Object:
        validate(after, kind, before)
        if same(before, after):
            return before
        if _counts(kind) and _grows(kind, before, after):
            after["metadata"]["generation"] = before["metadata"]["generation"] + 1
        if dry:
            return after
        if "deletionTimestamp" in after["metadata"] and not after["metadata"].get("finalizers"):
            return self._store.remove(kind, after["metadata"].get("namespace", ""), after["metadata"]["name"])
        return self._store.put(kind, after)


def _nothing(found: Object) -> Object:
    return {"apiVersion": found["apiVersion"], "kind": found["kind"], "metadata": {}}


def _check_version(kind: Kind, before: Object, asked: Object) -> None:
    version = asked.get("metadata", {}).get("resourceVersion")
    if version and version != before["metadata"]["resourceVersion"]:
        raise changed(kind.resource, before["metadata"]["name"])


def _counts(kind: Kind) -> bool:
    """Return whether objects of this kind have a generation."""
    return kind != LEASES and kind.kind not in _UNCOUNTED


def _grows(kind: Kind, before: Object, after: Object) -> bool:
    """Return whether the change is of what is wanted: not of metadata, nor of the status where that stands apart."""
    aside = {"metadata", "status"} if kind.has_status else {"metadata"}

    def wanted(found: Object) -> dict[str, Any]:
        return {key: value for key, value in found.items() if key not in aside}

    if wanted(before) != wanted(after):
        return True
    annotations = [one["metadata"].get("annotations") for one in (before, after)]
    return kind == DEPLOYMENTS and annotations[0] != annotations[1]
