"""What the server says that it has: what kubectl asks before anything else."""

from typing import Any

from tests.fakes.kubernetes.kinds import Kind
from tests.fakes.kubernetes.store import Store

_VERBS = ["create", "delete", "deletecollection", "get", "list", "patch", "update", "watch"]


def discover(store: Store, path: str) -> dict[str, Any] | None:
    """The answer at this path; None where it is none of discovery's."""
    match path.strip("/").split("/"):
        case ["openapi", "v3", *rest]:
            return _openapi(store, rest)
        case ["version"]:
            return {"major": "1", "minor": "36", "gitVersion": "v1.36.2", "platform": "linux/amd64"}
        case ["api"]:
            return {"kind": "APIVersions", "versions": ["v1"]}
        case ["apis"]:
            versions = sorted({(kind.group, kind.version) for kind in store.kinds() if kind.group})
            return {"kind": "APIGroupList", "apiVersion": "v1", "groups": [_group(*one) for one in versions]}
        case ["api", _] | ["apis", _, _] as named:
            group, version = ["", *named[1:]][-2:]
            return _resources(store, group, version)
    return None


def _openapi(store: Store, of: list[str]) -> dict[str, Any] | None:
    match of:
        case []:
            versions = sorted({(kind.group, kind.version) for kind in store.kinds()})
            return {"paths": {_path(*one): {"serverRelativeURL": f"/openapi/v3/{_path(*one)}"} for one in versions}}
        case ["api", version]:
            return _validates(store, "", version)
        case ["apis", group, version]:
            return _validates(store, group, version)
    return None


def _path(group: str, version: str) -> str:
    return f"apis/{group}/{version}" if group else f"api/{version}"


def _validates(store: Store, group: str, version: str) -> dict[str, Any]:
    """As much of the OpenAPI document as tells kubectl that fields are validated here, by ``fieldValidation``."""
    parameters = [{"name": "fieldValidation", "in": "query", "schema": {"type": "string"}}]
    operations = {
        f"/{_path(group, version)}/{kind.plural}/{{name}}": {
            "patch": {
                "parameters": parameters,
                "x-kubernetes-group-version-kind": {"group": group, "version": version, "kind": kind.kind},
            }
        }
        for kind in store.kinds()
        if (kind.group, kind.version) == (group, version)
    }
    return {"openapi": "3.0.0", "info": {"title": "Kubernetes", "version": "v1.36.2"}, "paths": operations}


def _group(name: str, version: str) -> dict[str, Any]:
    one = {"groupVersion": f"{name}/{version}", "version": version}
    return {"name": name, "versions": [one], "preferredVersion": one}


def _resources(store: Store, group: str, version: str) -> dict[str, Any] | None:
    found = [kind for kind in store.kinds() if (kind.group, kind.version) == (group, version)]
    if not found:
        return None
    listed = [one for kind in found for one in _names(kind)]
    of = f"{group}/{version}" if group else version
    return {"kind": "APIResourceList", "apiVersion": "v1", "groupVersion": of, "resources": listed}


def _names(kind: Kind) -> list[dict[str, Any]]:
    base = {"namespaced": kind.namespaced, "kind": kind.kind}
    names = [{**base, "name": kind.plural, "singularName": kind.kind.lower(), "verbs": _VERBS}]
    verbs = ["get", "patch", "update"]
    if kind.has_status:
        names.append({**base, "name": f"{kind.plural}/status", "singularName": "", "verbs": verbs})
    if kind.has_scale:
        scale = {"name": f"{kind.plural}/scale", "kind": "Scale", "group": "autoscaling", "version": "v1"}
        names.append({**base, **scale, "singularName": "", "verbs": verbs})
    return names
