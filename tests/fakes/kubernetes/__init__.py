"""A Kubernetes API server of our own, over HTTP: as much of the API as Serin relies on.

It has what makes the API what it is: optimistic concurrency, field ownership, defaults, CRDs with schemas and CEL,
watches that expire, subresources, RBAC. It runs no controller: pods, endpoints and conditions of a gateway are what a
test writes. `tests/contracts/kubernetes_api.py` holds it to a real server.
"""

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from functools import cache
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import yaml

from tests.certificates import Pair
from tests.fakes.kubernetes.errors import ApiError, Cause
from tests.fakes.kubernetes.faults import Faults, everything, writes
from tests.fakes.kubernetes.kinds import CRDS, NAMESPACES, Kind, Object
from tests.fakes.kubernetes.ownership import Manager
from tests.fakes.kubernetes.rights import Access, Account, Rights
from tests.fakes.kubernetes.server import ApiServer
from tests.fakes.kubernetes.store import Store
from tests.fakes.kubernetes.writing import Writer

GATEWAYS = Path(__file__).parent / "crds"
ADMIN = "admin-token"
_US = Manager("test", "Update")


@cache
def _of_gateways() -> tuple[Object, ...]:
    paths = sorted(GATEWAYS.glob("*.yaml"))
    return tuple(one for path in paths for one in yaml.load_all(path.read_text(encoding="utf-8"), yaml.CSafeLoader))


class FakeCluster:
    """A server with the namespace ``default`` and the kinds of Gateway API and of Envoy Gateway. ``store`` is what it
    holds, ``faults`` what goes wrong. Closed by ``close``, or as a context."""

    def __init__(self, tls: tuple[Pair, Path] | None = None) -> None:
        """``tls``: the server's certificate, and the authority that its kubeconfigs name; without, it speaks HTTP."""
        self.store = Store()
        self.faults = Faults()
        self.rights = Rights()
        self.admin = self.rights.give(ADMIN, Account("admin"))
        self._writer = Writer(self.store)
        self.add_namespace("default")
        for crd in _of_gateways():
            self.add(CRDS, "", crd)
        self._authority = tls[1] if tls is not None else None
        self._server = ApiServer(self.store, self.rights, self.faults, tls[0] if tls is not None else None)
        self.url = self._server.url

    def add_namespace(self, name: str) -> None:
        self.add(NAMESPACES, "", {"metadata": {"name": name}})

    def add(self, kind: Kind, namespace: str, found: Object) -> Object:
        """Create an object past HTTP, as somebody called ``test``."""
        return self._writer.create(kind, namespace, found, _US, strict=False, dry=False)

    def add_account(
        self, token: str, rules: Sequence[Mapping[str, Any]] | None = None, *, namespace: str = ""
    ) -> Account:
        """Let the token stand for somebody of its name who has a Role's rules in the namespace; who did what with it
        stands in the account."""
        return self.rights.give(token, Account(token, rules, namespace))

    def away(self) -> AbstractContextManager[None]:
        """Let the server refuse connections while the block lasts."""
        return self._server.away()

    def kubeconfig(self, token: str = ADMIN, namespace: str = "default") -> Object:
        """What a kubeconfig file has for this server."""
        cluster = {"server": self.url}
        if self._authority is not None:
            cluster["certificate-authority"] = str(self._authority)
        return {
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{"name": "fake", "cluster": cluster}],
            "users": [{"name": "user", "user": {"token": token}}],
            "contexts": [{"name": "fake", "context": {"cluster": "fake", "user": "user", "namespace": namespace}}],
            "current-context": "fake",
        }

    def close(self) -> None:
        self._server.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


__all__ = ["ADMIN", "Access", "Account", "ApiError", "Cause", "FakeCluster", "everything", "writes"]
