"""What tests of the cluster share: a server, and clients of it."""

import time
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path

import pytest
import yaml

from controller.adapters.kubernetes.client import KubernetesClient
from controller.adapters.kubernetes.connection import Connection, connect
from controller.errors import Source
from tests.fakes.kubernetes import ADMIN, FakeCluster
from tests.fakes.kubernetes.kinds import CRDS, Object

DEFINITIONS = Path(__file__).parents[2] / "deploy" / "crds"


@cache
def _definitions() -> tuple[Object, ...]:
    paths = sorted(DEFINITIONS.glob("*.yaml"))
    return tuple(yaml.load(path.read_text(encoding="utf-8"), yaml.CSafeLoader) for path in paths)


@pytest.fixture
def cluster() -> Iterator[FakeCluster]:
    """One with Serin's own kinds, too."""
    with FakeCluster() as opened:
        for definition in _definitions():
            opened.add(CRDS, "", definition)
        yield opened


@pytest.fixture
def connected(cluster: FakeCluster, tmp_path: Path) -> Iterator[Callable[..., Connection]]:
    """Connections to the cluster by a kubeconfig, with any token; closed afterwards."""
    opened: list[Connection] = []

    def connection(
        token: str = ADMIN, *, timeout_s: float = 60.0, monotonic: Callable[[], float] = time.monotonic
    ) -> Connection:
        path = tmp_path / f"kubeconfig-{len(opened)}.yaml"
        path.write_text(yaml.safe_dump(cluster.kubeconfig(token)))
        opened.append(connect(path, timeout_s=timeout_s, monotonic=monotonic))
        return opened[-1]

    yield connection
    for one in opened:
        one.close()


@pytest.fixture
def client(connected: Callable[..., Connection]) -> KubernetesClient:
    """Who may do everything, as manager ``serin``."""
    return KubernetesClient(connected(), manager="serin", source=Source.TRAFFIC)
