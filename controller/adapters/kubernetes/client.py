"""The API of a cluster in the words that adapters need: objects are plain mappings, refusals are Serin's own errors."""

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
_GRACE_S: Final = 10.0  # that a watch may be silent beyond the time at which the server ends it
_BOOKMARK: Final = "BOOKMARK"
_ERROR: Final = "ERROR"


@dataclass(frozen=True, slots=True)
class Listed:
    """Objects, and the revision from which a watch goes on."""

    items: Sequence[Object]
    revision: str


@dataclass(frozen=True, slots=True)
class Change:
    """One change of an object: ADDED, MODIFIED or DELETED; BOOKMARK tells the revision alone."""

    what: str
    found: Object = field(repr=False)

    @property
    def revision(self) -> str:
        return str(self.found["metadata"]["resourceVersion"])


class KubernetesClient:
    """Asks for objects, and writes them as one field manager. Any thread may use it.

    Every method raises TransientError where the server does not answer, is overloaded, or does not allow it
    (`refusals.ForbiddenError`), and PermanentError where it refuses what was asked for good.
    """

    def __init__(self, connection: Connection, *, manager: str, source: Source) -> None:
        """``manager`` is who writes; ``source`` what errors are told of."""
        self._connection = connection
        self._manager = manager
        self._source = source

    @property
    def namespace(self) -> str:
        """Return the namespace that is meant where none is named."""
        return self._connection.namespace

    def get(
        self, resource: Resource, name: str, *, subresource: str = "", namespace: str | None = None
    ) -> Object | None:
        """The object; None where there is none. Raises NoSuchObjectError where the cluster has none of this kind."""
        path = self._path(resource, name, subresource, namespace)
        answer = self._connection.ask("GET", path, source=self._source)
        if answer.code == 404 and tells_of(answer.body, name):
            return None
        return self._taken(answer, f"read {resource.said} {name!r}")

    def list(
        self, resource: Resource, *, labels: Mapping[str, str] | None = None, namespace: str | None = None
    ) -> Listed:
        """The objects with these labels."""
        query = {"labelSelector": ",".join(f"{key}={value}" for key, value in labels.items())} if labels else None
        path = self._path(resource, "", "", namespace)
        found = self._taken(
            self._connection.ask("GET", path, source=self._source, query=query), f"list {resource.said}"
        )
        # The items of a list leave out what they are; what is read goes on as what could be written.
        own = {"apiVersion": resource.api_version, "kind": resource.kind}
        return Listed([own | item for item in found["items"]], str(found["metadata"]["resourceVersion"]))

    def create(
        self, resource: Resource, body: Object, *, name: str = "", subresource: str = "", namespace: str | None = None
    ) -> Object:
        """Create the object, or a ``subresource`` of the one called ``name``. Raises ConflictError where there is one
        of its name."""
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
        """Apply the fields of ``body``, and own them: those that were owned before and are left out are taken away.

        ``force`` takes over what others own; with ``revision``, only what still stands at it is written.

        Raises:
            FieldConflictError: others own some of the fields; names them.
            ConflictError: it does not stand at ``revision`` any more.
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
        """Replace the object. Raises ConflictError where it does not stand at the body's ``resourceVersion``."""
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
        """Change the object by a JSON patch. Raises ConflictError where one of its tests fails."""
        path = self._path(resource, name, subresource, namespace)
        doing = f"change {resource.said} {name!r}"
        return self._write("PATCH", path, list(operations), doing, content_type=_JSON_PATCH)

    def merge(
        self, resource: Resource, name: str, body: Object, *, subresource: str = "", namespace: str | None = None
    ) -> Object:
        """Change the object by a merge patch: null takes a field away."""
        path = self._path(resource, name, subresource, namespace)
        return self._write("PATCH", path, body, f"change {resource.said} {name!r}", content_type=_MERGE_PATCH)

    def delete(self, resource: Resource, name: str, *, uid: str | None = None, namespace: str | None = None) -> bool:
        """Delete the object, and what it owns; False where there was none. With ``uid``, only that very one.

        Raises:
            ConflictError: another object has the name now.
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
        """The changes after ``revision``, of one object or of all, until the server ends it, ``lasts_s`` at most.

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
        doing = f"watch {resource.said}"
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
