"""A cluster that was built anew, with a journal that was kept: nobody is at risk, and a person says how it goes on."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from controller.adapters.kubernetes.capacity import Capacity
from controller.adapters.kubernetes.client import KubernetesClient
from controller.adapters.kubernetes.connection import Connection
from controller.adapters.kubernetes.copies import ReplicaCopies
from controller.adapters.kubernetes.looks import Looks
from controller.adapters.kubernetes.objects.route import Feature
from controller.adapters.kubernetes.objects.site import Site
from controller.adapters.kubernetes.probe import GatewayProbe
from controller.adapters.kubernetes.resources import HTTP_ROUTES
from controller.adapters.kubernetes.runtime import KubernetesDeployments
from controller.adapters.kubernetes.traffic import GatewaySite, KubernetesTraffic
from controller.core.release import Phase
from controller.errors import Source
from tests.controller.service import GOOD, MODEL
from tests.controller.world import World
from tests.fakes.deployments import MemoryDeployments
from tests.fakes.traffic import MemoryTraffic
from tests.kubernetes.gateway import Gateway, serving
from tests.kubernetes.kubelet import Kubelet

BEFORE_IT_IS_DECIDED = (Phase.SHADOW, Phase.CANARY)


def name_of(model: str, version: str) -> str:
    return f"{model}-v{version}"


@pytest.fixture
def gateway(client: KubernetesClient) -> Iterator[Gateway]:
    with serving(Gateway(client)) as opened:
        yield opened


@pytest.mark.parametrize("phase", BEFORE_IT_IS_DECIDED)
def test_25_an_empty_cluster_and_a_kept_journal_give_stable_everybody_and_hold_the_release(
    phase: Phase,
    tmp_path: Path,
    client: KubernetesClient,
    connected: Callable[..., Connection],
    gateway: Gateway,
) -> None:
    """Behaviour 25. The weights of before are not put back: what they were decided on ran somewhere else."""
    world = World(tmp_path).given(candidate=GOOD).when_phase(phase)
    world.when(lambda: world.release.looks > 0)
    assert world.release.phase is phase
    clock, kubelet = world.clock, Kubelet(client)
    looks = Looks(client, clock, kept_s=0.0)
    site = Site("registry.invalid/serin:1", "default", "http://mlflow:5000")
    setup = KubernetesClient(connected(), manager="serin-setup", source=Source.TRAFFIC)
    world.traffic = KubernetesTraffic(  # type: ignore[assignment]
        client,
        setup,
        GatewaySite("shop", features=frozenset(Feature)),
        Capacity(client, looks),
        ReplicaCopies(client, name_of, lambda model: model),
        GatewayProbe(gateway.url),
        name_of,
        lambda model: model,
        clock,
        kept_s=0.0,
        patience_s=0.0,
    )
    world.deployments = KubernetesDeployments(client, looks, site, name_of, lambda _: ())  # type: ignore[assignment]
    gateway.versions = {name_of(MODEL, version): version for version in ("6", "7")}
    world.restart()
    for _ in range(30):
        clock.pass_s(10.0)
        world.tick()
        kubelet.step()
        gateway.step()
        if (route := client.get(HTTP_ROUTES, MODEL)) is not None:
            backends = route["spec"]["rules"][0]["backendRefs"]
            assert [one["name"] for one in backends] == ["intent-v6"]
        if world.release.phase is Phase.HELD:
            break
    assert world.release.phase is Phase.HELD, world._standing()
    assert world.weights == {"v6": 100.0}
    assert "was rebuilt" in world.release.reason
    assert "serin release resume intent" in world.release.reason


def test_25_a_promoted_version_goes_on_serving_in_a_cluster_that_was_built_anew(tmp_path: Path) -> None:
    """It was decided: it is what stable is by now."""
    world = World(tmp_path).given(candidate=GOOD).when_phase(Phase.PROBATION)
    world.traffic, world.deployments = MemoryTraffic(), MemoryDeployments()
    world.restart()
    for _ in range(5):
        world.clock.pass_s(1.0)
        world.tick()
    assert (world.release.phase, world.weights) == (Phase.PROBATION, {"v7": 100.0})
