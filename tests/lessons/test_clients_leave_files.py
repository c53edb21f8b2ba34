"""However many clients connect, Envoy keeps files to open for itself: new tables are read, and the answers go on."""

import resource
import socket
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from urllib.parse import urlsplit

import psutil
import pytest

from controller.adapters.envoy.rollback import rollback_route
from controller.adapters.envoy.tables import ROUTES_FILE
from controller.adapters.envoy.traffic import EnvoyTraffic
from controller.core.traffic import TrafficTable
from tests.contracts.traffic import confirmed
from tests.controller.envoy_support import ASIDE, RunningEnvoy, running_envoy, upstream
from tests.patience import PATIENCE_S, eventually

pytestmark = pytest.mark.integration
FILES_MAX = 300
PROMOTED = TrafficTable("intent", {"7": 100.0}, known_good="6", generation=1)


@contextmanager
def crowd(envoy: RunningEnvoy) -> Iterator[None]:
    """Twice as many clients as Envoy may have files open, of which none asks anything."""
    parts = urlsplit(envoy.url)
    with ExitStack() as stack:
        for _ in range(2 * FILES_MAX):
            stack.enter_context(socket.create_connection((parts.hostname or "", parts.port or 0), timeout=PATIENCE_S))
        yield


def test_a_rollback_reaches_an_envoy_that_is_crowded(tmp_path: Path) -> None:
    """Who is connected is answered by the version that it names; who comes beside is refused."""
    with (
        upstream("6") as stable,
        upstream("7") as candidate,
        running_envoy(tmp_path, files_max=FILES_MAX) as envoy,
    ):
        resource.prlimit(envoy.process.pid, resource.RLIMIT_NOFILE, (FILES_MAX, FILES_MAX))
        traffic = EnvoyTraffic(tmp_path)
        for version in (stable, candidate):
            version.announce(traffic)
        traffic.write(PROMOTED)
        assert confirmed(traffic, "intent", PROMOTED.generation)
        assert envoy.ask(1) == ["7"]
        with crowd(envoy):
            assert psutil.Process(envoy.process.pid).num_fds() < FILES_MAX
            assert rollback_route(tmp_path / ROUTES_FILE, "intent", "wrong refunds", "ada", 0.0).confirmed
            eventually(lambda: set(envoy.ask(2, headers=ASIDE)) == {"6"}, what="who is connected to be answered by 6")
