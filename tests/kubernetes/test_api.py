"""The API by one contract: our fake server, and the real one that SERIN_TEST_KUBECONFIG names."""

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from controller.adapters.kubernetes.client import KubernetesClient
from controller.adapters.kubernetes.connection import Connection, connect
from controller.adapters.kubernetes.resources import HTTP_ROUTES, NAMESPACES, Resource
from controller.errors import SerinError, Source
from tests.contracts.kubernetes_api import CRDS, Api, KubernetesApiContract, crd, new_name
from tests.patience import eventually

REAL = os.environ.get("SERIN_TEST_KUBECONFIG")


def _by(connection: Connection) -> Callable[[str], KubernetesClient]:
    return lambda manager: KubernetesClient(connection, manager=manager, source=Source.TRAFFIC)


def _new_kind(admin: KubernetesClient) -> Resource:
    """A kind that this test alone has, once the server serves it."""
    group = f"{new_name()}.example"
    made = admin.create(CRDS, crd(group))
    kind = Resource(group, "v1", "contracts", "Contract")

    def is_served() -> bool:
        try:
            admin.list(kind)
        except SerinError:
            return False
        return True

    eventually(is_served, what=f"the server to serve {made['metadata']['name']}")
    return kind


class TestFakeServer(KubernetesApiContract):
    @pytest.fixture
    def api(self, connected: Callable[..., Connection]) -> Api:
        return Api(_by(connected()), "default")

    @pytest.fixture
    def kinds(self, api: Api) -> Resource:
        return _new_kind(api.by("test"))


if REAL:

    @pytest.mark.integration
    class TestRealServer(KubernetesApiContract):
        @pytest.fixture
        def api(self) -> Iterator[Api]:
            name = new_name()
            connection = connect(Path(REAL), namespace=name, timeout_s=30.0)
            admin = _by(connection)("test")
            try:
                admin.list(HTTP_ROUTES, namespace="")
            except SerinError:
                pytest.skip("this cluster has no Gateway API")
            admin.create(NAMESPACES, {"metadata": {"name": name}})
            yield Api(_by(connection), name)
            admin.delete(NAMESPACES, name)
            connection.close()

        @pytest.fixture
        def kinds(self, api: Api) -> Iterator[Resource]:
            kind = _new_kind(api.by("test"))
            yield kind
            api.by("test").delete(CRDS, f"{kind.plural}.{kind.group}")
