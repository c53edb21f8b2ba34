"""The API of a cluster as adapters need it: objects are plain mappings, and refusals are Serin's own errors."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from controller.adapters.kubernetes.connection import Answer, Connection
from controller.adapters.kubernetes.refusals import error_of, tells_of
from controller.adapters.kubernetes.resources import Object, Resource
from controller.errors import Source

_APPLY: Final = "application/apply-patch+yaml"
_JSON_PATCH: Final = "application/json-patch+json"
_MERGE_PATCH: Final = "application/merge-patch+json"
_GRACE_S: Final = 10.0  # how much longer than ``lasts_s`` a watch may be silent before it counts as broken
_BOOKMARK: Final = "BOOKMARK"
_ERROR: Final = "ERROR"


@dataclass(frozen=True, slots=True)
class Listed:
    """The objects of a list, and the revision from which a watch continues."""

    items: Sequence[Object]
    revision: str


@dataclass(frozen=True, slots=True)
class Change:
    """One change of an object: ADDED, MODIFIED or DELETED. A BOOKMARK has only a newer revision."""

    what: str
    found: Object = field(repr=False)

    @property
    def revision(self) -> str:
        return str(self.found["metadata"]["resourceVersion"])


class KubernetesClient:
    """Reads objects, and writes them as one field manager. Any thread may use it.

    Every method raises TransientError if the server does not answer, is overloaded, or does not allow the request
    (`refusals.ForbiddenError`), and PermanentError if it refuses the request for good.
    """

    def __init__(self, connection: Connection, *, manager: str, source: Source) -> None:
        """``manager``: the field manager to write as. ``source``: what errors are attributed to."""
        self._connection = connection
        self._manager = manager
        self._source = source

    @property
    def namespace(self) -> str:
        """Return the namespace that is used if none is named."""
        return self._connection.namespace

    def get(
        self, resource: Resource, name: str, *, subresource: str = "", namespace: str | None = None
    ) -> Object | None:
        """Return the object, or None if it does not exist. Raises NoSuchObjectError if the cluster does not have this
        kind."""
        path = self._path(resource, name, subresource, namespace)
        answer = self._connection.ask("GET", path, source=self._source)
        if answer.code == 404 and tells_of(answer.body, name):
            return None
        return self._taken(answer, f"read {resource.said} {name!r}")

    def list(
        self, resource: Resource, *, labels: Mapping[str, str] | None = None, namespace: str | None = None
    ) -> Listed:
        """Return the objects that have all of these labels."""
        query = {"labelSelector": ",".join(f"{key}={value}" for key, value in labels.items())} if labels else None
        path = self._path(resource, "", "", namespace)
        found = self._taken(
            self._connection.ask("GET", path, source=self._source, query=query), f"list {resource.said}"
        )
        # The items of a list lack these two fields, without which they cannot be written back.
        own = {"apiVersion": resource.api_version, "kind": resource.kind}
        return Listed([own | item for item in found["items"]], str(found["metadata"]["resourceVersion"]))

    def create(
        self, resource: Resource, body: Object, *, name: str = "", subresource: str = "", namespace: str | None = None
    ) -> Object:
        """Create the object, or a ``subresource`` of the object called ``name``, and return it as stored. Raises
        ConflictError if one with its name exists."""
        path = self._path(resource, name, subresource, namespace)
        return self._write("POST", path, body, f"create {resource.said} {body['metadata'].get('name', '')!r}")

    def apply(
        self,
        resource: Resource,
        name: str,
        body: Object,
        *,
        force: bool = False,
        revision: str | None = None,
        subresource: str = "",
        namespace: str | None = None,
    ) -> Object:
        """Apply the fields of ``body``, own them, and return the object as stored. Fields that were owned before and
        are left out now are removed.

        ``force`` takes over fields that others own. With ``revision``, nothing is written unless the object still has
        that revision.

        Raises:
            FieldConflictError: others own some of the fields; names them.
            ConflictError: the object no longer has ``revision``.
        """
        metadata = {**body.get("metadata", {}), "name": name}
        if revision is not None:
            metadata["resourceVersion"] = revision
        whole = {**body, "apiVersion": resource.api_version, "kind": resource.kind, "metadata": metadata}
        path = self._path(resource, name, subresource, namespace)
        more = {"force": "true"} if force else {}
        return self._write("PATCH", path, whole, f"apply {resource.said} {name!r}", content_type=_APPLY, more=more)

    def replace(
        self, resource: Resource, name: str, body: Object, *, subresource: str = "", namespace: str | None = None
    ) -> Object:
        """Replace the object, and return it as stored. Raises ConflictError if it no longer has the body's
        ``resourceVersion``."""
        path = self._path(resource, name, subresource, namespace)
        return self._write("PUT", path, body, f"write {resource.said} {name!r}")

    def patch(
        self,
        resource: Resource,
        name: str,
        operations: Sequence[Mapping[str, Any]],
        *,
        subresource: str = "",
        namespace: str | None = None,
    ) -> Object:
        """Change the object by a JSON patch, and return it as stored. Raises ConflictError if a test in the patch
        fails."""
        path = self._path(resource, name, subresource, namespace)
        doing = f"change {resource.said} {name!r}"
        return self._write("PATCH", path, list(operations), doing, content_type=_JSON_PATCH)

    def merge(
        self, resource: Resource, name: str, body: Object, *, subresource: str = "", namespace: str | None = None
    ) -> Object:
        """Change the object by a merge patch, in which null removes a field, and return it as stored."""
        path = self._path(resource, name, subresource, namespace)
        return self._write("PATCH", path, body, f"change {resource.said} {name!r}", content_type=_MERGE_PATCH)

    def delete(self, resource: Resource, name: str, *, uid: str | None = None, namespace: str | None = None) -> bool:
        """Delete the object and what it owns. Return False if it did not exist. With ``uid``, delete only the object
        with that uid.

        Raises:
            ConflictError: an object with another uid has the name now.
        """
        options: Object = {"propagationPolicy": "Background"}
        if uid is not None:
            options["preconditions"] = {"uid": uid}
        path = self._path(resource, name, "", namespace)
        answer = self._connection.ask("DELETE", path, source=self._source, body=options)
        if answer.code == 404 and tells_of(answer.body, name):
            return False
        self._taken(answer, f"delete {resource.said} {name!r}")
        return True

    def watch(
        self, resource: Resource, revision: str, *, lasts_s: int = 240, name: str = "", namespace: str | None = None
    ) -> Iterator[Change]:
        """Yield the changes after ``revision``, of one object or of all, until the server ends the watch: after
        ``lasts_s`` seconds at most.

        Raises:
            ExpiredError: the revision is too old: list again.
        """
        query = {
            "watch": "true",
            "resourceVersion": revision,
            "allowWatchBookmarks": "true",
            **({"fieldSelector": f"metadata.name={name}"} if name else {}),
            "timeoutSeconds": str(lasts_s),
        }
        path = self._path(resource, "", "", namespace)
        doing = f"cannot watch {resource.said}"
        silence_s = lasts_s + _GRACE_S
        for one in self._connection.lines(path, source=self._source, query=query, silence_s=silence_s):
            if isinstance(one, Answer):
                raise error_of(one.code, one.body, doing, self._source)
            if one.get("type") == _ERROR:
                raise error_of(int(one["object"].get("code", 500)), one["object"], doing, self._source)
            yield Change(str(one["type"]), one["object"])

    def _path(self, resource: Resource, name: str, subresource: str, namespace: str | None) -> str:
        return resource.path(namespace if namespace is not None else self.namespace, name, subresource)

    def _write(
        self,
        method: str,
        path: str,
        body: object,
        doing: str,
        *,
        content_type: str = "application/json",
        more: Mapping[str, str] | None = None,
    ) -> Object:
        query = {"fieldManager": self._manager, **(more or {})}
        answer = self._connection.ask(
            method, path, source=self._source, query=query, body=body, content_type=content_type
        )
        return self._taken(answer, doing)

    def _taken(self, answer: Answer, doing: str) -> Object:
        if answer.code >= 400:
            raise error_of(answer.code, answer.body, f"cannot {doing}", self._source)
        return answer.body
