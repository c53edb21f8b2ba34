"""What a request asks for, taken from its path."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

from tests.fakes.kubernetes.errors import ApiError
from tests.fakes.kubernetes.kinds import NAMESPACES, Kind
from tests.fakes.kubernetes.ownership import Manager
from tests.fakes.kubernetes.rights import Access
from tests.fakes.kubernetes.store import Store

_VERBS = {"POST": "create", "PUT": "update", "PATCH": "patch"}


@dataclass(frozen=True, slots=True)
class Request:
    """A request for objects of one kind."""

    method: str
    kind: Kind
    namespace: str
    name: str
    subresource: str
    query: Mapping[str, str]
    body: Any
    content_type: str
    agent: str

    @property
    def is_watch(self) -> bool:
        return self.method == "GET" and self.query.get("watch", "false") not in ("false", "0")

    @property
    def is_apply(self) -> bool:
        return self.method == "PATCH" and self.content_type.startswith("application/apply-patch")

    @property
    def is_dry(self) -> bool:
        return self.query.get("dryRun") == "All"

    @property
    def access(self) -> Access:
        """What RBAC is asked."""
        if self.method == "GET":
            verb = "watch" if self.is_watch else "get" if self.name else "list"
        elif self.method == "DELETE":
            verb = "delete" if self.name else "deletecollection"
        else:
            verb = _VERBS[self.method]
        resource = f"{self.kind.plural}/{self.subresource}" if self.subresource else self.kind.plural
        name = self.name
        if self.is_watch or verb == "list":  # one object is watched by a selector, which RBAC takes for its name
            name = self.query.get("fieldSelector", "").removeprefix("metadata.name=") or name
        namespace = self.name if self.kind == NAMESPACES else self.namespace
        return Access(verb, self.kind.group, resource, namespace, name)

    @property
    def manager(self) -> Manager:
        """Who writes."""
        name = self.query.get("fieldManager") or self.agent.partition("/")[0]
        return Manager(name, "Apply" if self.is_apply else "Update", self.subresource)


def read(store: Store, method: str, target: str, headers: Mapping[str, str], body: Any) -> Request:
    """The request. Raises ApiError 404 where the server has no such resource."""
    parsed = urlsplit(target)
    parts = [unquote(part) for part in parsed.path.strip("/").split("/")]
    query = dict(parse_qsl(parsed.query, keep_blank_values=True))
    nothing = ApiError(404, "NotFound", "the server could not find the requested resource")
    if parts[0] == "api" and len(parts) > 2:
        group, version, rest = "", parts[1], parts[2:]
    elif parts[0] == "apis" and len(parts) > 3:
        group, version, rest = parts[1], parts[2], parts[3:]
    else:
        raise nothing
    namespace = ""
    if rest[0] == "namespaces" and len(rest) > 2 and rest[2] not in ("status", "finalize"):
        namespace, rest = rest[1], rest[2:]
    kind = store.kind(group, version, rest[0])
    if kind is None or len(rest) > 3:
        raise nothing
    name, subresource = [*rest[1:], "", ""][:2]
    content_type = headers.get("Content-Type", "")
    agent = headers.get("User-Agent", "unknown")
    return Request(method, kind, namespace, name, subresource, query, body, content_type, agent)
