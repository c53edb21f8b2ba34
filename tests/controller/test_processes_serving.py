"""Deployments, gateway and the real server together, wired as the composition root wires them."""

import os
import re
import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest

from controller.adapters.clock import SystemClock
from controller.adapters.envoy.traffic import EnvoyTraffic
from controller.adapters.local.command import serving_command
from controller.adapters.local.loopback import get
from controller.adapters.local.processes import Gateway, LocalProcesses, end_recorded
from controller.adapters.local.tries import Patience
from controller.core.release import Version
from controller.core.traffic import Mirror, TrafficTable
from controller.errors import PermanentError
from controller.ports.runtime import DeploymentSpec, DeploymentStatus
from serving.contract import METRICS_ROUTE, MODEL_VERSION_HEADER, REQUESTS_METRIC
from serving.packaging.build import build_package
from tests.contracts.deployments import gone, settled
from tests.contracts.traffic import confirmed
from tests.controller.envoy_support import RunningEnvoy, running_envoy
from tests.patience import PATIENCE_S, eventually

CHECKPOINT = Path(__file__).parents[1] / "serving" / "data" / "tiny"


@pytest.fixture(scope="module")
def package(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("packages") / "tiny"
    build_package(CHECKPOINT, directory)
    return directory


@pytest.fixture
def envoy(tmp_path: Path) -> Iterator[RunningEnvoy]:
    with running_envoy(tmp_path / "envoy-files") as envoy:
        yield envoy


@pytest.fixture
def traffic(envoy: RunningEnvoy) -> EnvoyTraffic:
    return EnvoyTraffic(envoy.directory)


@pytest.fixture
def deployments(tmp_path: Path, traffic: EnvoyTraffic, package: Path) -> Iterator[LocalProcesses]:
    gateway = Gateway(
        announce=lambda model, version, places: traffic.set_endpoints(model, version, list(places.values())),
        withdraw=traffic.drop_endpoint,
    )
    patience = Patience(backoff_s=0.1)
    command = lambda spec, port_file: serving_command(spec, package, port_file)  # noqa: E731
    deployments = LocalProcesses(tmp_path / "deployments", command, gateway, SystemClock(), patience)
    yield deployments
    end_recorded(tmp_path / "deployments", grace_s=10)
    for child in deployments._children.values():
        child.wait(PATIENCE_S)


@pytest.mark.integration
def test_a_version_is_served_mirrored_restarted_and_removed(
    envoy: RunningEnvoy, traffic: EnvoyTraffic, deployments: LocalProcesses, tmp_path: Path
) -> None:
    """The life of a canary on one machine: users are answered by version 6 throughout, and 7 leaves no process."""
    specs = {version: DeploymentSpec("intent", Version(version), objectives_ms=(120.0,)) for version in "67"}
    ready: Callable[[DeploymentStatus], bool] = lambda status: status.ready  # noqa: E731
    settled(deployments, specs["6"], ready)
    first = settled(deployments, specs["7"], ready)

    table = TrafficTable("intent", {"6": 100.0}, mirror=Mirror("7", 100.0), known_good="6", generation=1)
    traffic.write(table)
    assert confirmed(traffic, "intent", 1)
    assert {_served_by(envoy.post()) for _ in range(20)} == {"6"}
    eventually(lambda: _requests(first, "shadow") >= 20, what="the server itself to count the copies as shadow traffic")
    assert _requests(first, "live") == 0

    with pytest.raises(PermanentError, match="version 7 of intent still gets traffic"):
        deployments.remove("intent", "7")

    (pid,) = re.findall(r'"pid": (\d+)', (tmp_path / "deployments" / "intent-v7.json").read_text())
    os.killpg(int(pid), signal.SIGKILL)
    eventually(lambda: not deployments.ensure(specs["7"]).ready, what="the death to be seen")
    second = settled(deployments, specs["7"], ready)
    assert second.endpoints[0].url != first.endpoints[0].url
    traffic.write(table := table.next(weights_pct={"7": 100.0}, mirror=None))
    eventually(lambda: _served_by(envoy.post()) == "7", what="the restarted replica to serve")

    traffic.write(table.next(weights_pct={"6": 100.0}))
    assert confirmed(traffic, "intent", 3)
    deployments.remove("intent", "7")
    assert gone(deployments, "intent", "7")
    assert {_served_by(envoy.post()) for _ in range(20)} == {"6"}


def _served_by(answer: httpx.Response) -> str:
    return answer.headers.get(MODEL_VERSION_HEADER, f"nobody: {answer.status_code} {answer.text}")


def _requests(status: DeploymentStatus, traffic: str) -> float:
    _, body = get(f"{status.endpoints[0].url}{METRICS_ROUTE}", timeout_s=5)
    lines = [line for line in body.decode().splitlines() if line.startswith(REQUESTS_METRIC)]
    return sum(float(line.rpartition(" ")[2]) for line in lines if f'traffic="{traffic}"' in line)
