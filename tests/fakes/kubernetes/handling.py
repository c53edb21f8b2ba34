"""What the server does with a request, watches aside."""

import copy
from collections.abc import Callable
from typing import Any, Final

from tests.fakes.kubernetes.deleting import delete, evict
from tests.fakes.kubernetes.errors import ApiError, bad_request
from tests.fakes.kubernetes.kinds import PODS, Object
from tests.fakes.kubernetes.patches import merged, patched
from tests.fakes.kubernetes.requests import Request
from tests.fakes.kubernetes.selecting import chooser
from tests.fakes.kubernetes.store import Store
from tests.fakes.kubernetes.writing import Writer

_SUCCESS: Final = {"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success"}


def handle(store: Store, request: Request) -> tuple[int, Object]:
    """The status code and the body that answer the request. Raises ApiError."""
    kind, where = request.kind, (request.kind, request.namespace, request.name)
    if request.subresource == "eviction" and kind == PODS and request.method == "POST":
        evict(store, request.namespace, request.name, request.body.get("deleteOptions") or {})
        return 201, {**_SUCCESS, "code": 201}
    served = {"status": kind.has_status, "scale": kind.has_scale, "": True}
    if not served.get(request.subresource, False):
        raise ApiError(404, "NotFound", "the server could not find the requested resource")
    if request.method == "GET":
        if not request.name:
            return 200, _list(store, request)
        found = store.get(*where)
        return 200, _scale_of(found) if request.subresource == "scale" else found
    if request.method == "DELETE":
        return 200, _deleted(store, request)
    return _written(store, request)


def _list(store: Store, request: Request) -> Object:
    choose = chooser(request.query)
    with store.changed:
        items = [found for found in store.all(request.kind, request.namespace) if choose(found)]
        revision = store.revision
    kind = request.kind
    return {
        "apiVersion": kind.api_version,
        "kind": f"{kind.kind}List",
        "metadata": {"resourceVersion": str(revision)},
        "items": items,
    }


def _deleted(store: Store, request: Request) -> Object:
    options = {**(request.body or {}), **{key: request.query[key] for key in request.query if key == _PROPAGATION}}
    if request.name:
        gone = delete(store, request.kind, request.namespace, request.name, options)
        return gone if "deletionTimestamp" in gone["metadata"] else {**_SUCCESS, "details": {"name": request.name}}
    listed = _list(store, request)
    for one in listed["items"]:
        delete(store, request.kind, one["metadata"].get("namespace", ""), one["metadata"]["name"], options)
    return listed


_PROPAGATION: Final = "propagationPolicy"


def _written(store: Store, request: Request) -> tuple[int, Object]:
    writer, kind, by, dry = Writer(store), request.kind, request.manager, request.is_dry
    where = (kind, request.namespace, request.name)
    if request.method == "POST":
        strict = request.query.get("fieldValidation") == "Strict"
        return 201, writer.create(kind, request.namespace, request.body, by, strict=strict, dry=dry)
    if request.subresource == "scale":
        return 200, _scale_of(writer.replace(*where, _scaled(request), by, dry=dry))
    if request.is_apply:
        if not request.query.get("fieldManager"):
            raise bad_request("PatchOptions.meta.k8s.io is invalid: fieldManager: Required value")
        force = request.query.get("force") == "true"
        new = store.find(*where) is None
        return (201 if new else 200), writer.apply(*where, request.body, by, force=force, dry=dry)
    return 200, writer.replace(*where, _change(request), by, dry=dry)


def _change(request: Request) -> Callable[[Object], Object]:
    body = request.body
    if request.method == "PUT":
        if body.get("metadata", {}).get("name") != request.name:
            raise bad_request("the name of the object does not match the name on the URL")
        return lambda _: copy.deepcopy(body)
    if request.content_type.startswith("application/json-patch"):
        return lambda found: _object(patched(found, body))
    if request.content_type.startswith("application/merge-patch"):
        return lambda found: _object(merged(found, body))
    raise ApiError(415, "UnsupportedMediaType", f"the fake server takes no patch of {request.content_type!r}")


def _object(found: Any) -> Object:
    if not isinstance(found, dict):
        raise bad_request("what a patch leaves must be an object")
    return found


def _scaled(request: Request) -> Callable[[Object], Object]:
    change = _change(request)

    def write(found: Object) -> Object:
        asked = change(_scale_of(found))
        found["spec"]["replicas"] = asked.get("spec", {}).get("replicas", 0)
        found["metadata"]["resourceVersion"] = asked["metadata"].get("resourceVersion")
        return found

    return write


def _scale_of(found: Object) -> Object:
    metadata = found["metadata"]
    selector = found["spec"].get("selector", {}).get("matchLabels", {})
    return {
        "apiVersion": "autoscaling/v1",
        "kind": "Scale",
        "metadata": {
            key: metadata[key] for key in ("name", "namespace", "uid", "resourceVersion", "creationTimestamp")
        },
        "spec": {"replicas": found["spec"].get("replicas", 0)},
        "status": {
            "replicas": found.get("status", {}).get("replicas", 0),
            "selector": ",".join(f"{key}={value}" for key, value in sorted(selector.items())),
        },
    }
