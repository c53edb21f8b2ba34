"""What a release on a cluster is judged by: nobody writes a query, and what does not come moves nothing."""

import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from controller.adapters.kubernetes.client import KubernetesClient
from controller.adapters.kubernetes.objects.site import Site
from controller.adapters.kubernetes.policies import PolicyObjectsAsked
from controller.adapters.kubernetes.resources import RELEASE_POLICIES
from controller.bootstrap.kubernetes import KubernetesRuntime, runtime_of
from controller.config.settings import Settings
from controller.core.release import Phase
from controller.core.traffic import Mirror, TrafficTable
from tests.controller.service import GOOD, MODEL
from tests.controller.world import World

CHART_VALUES = Path(__file__).parents[2] / "deploy" / "helm" / "serin" / "values.schema.json"
CRDS = Path(__file__).parents[2] / "deploy" / "crds"
QUIET_S = 200.0


def test_1_a_model_an_image_and_a_gateway_are_enough(client: KubernetesClient, tmp_path: Path) -> None:
    """Every gate is there with what it asks Prometheus for, and nobody can be asked for a query."""
    pods, gateway = {"image": "registry.invalid/serin:1"}, {"name": "shop", "class_name": "envoy"}
    runtime = {"kind": "kubernetes", "gateway_url": "http://shop", "pods": pods, "gateway": gateway}
    found = runtime_of(Settings(registry_url="http://mlflow:5000", runtime=runtime))
    assert isinstance(found, KubernetesRuntime)
    assert found.pods == Site(**pods)
    client.apply(RELEASE_POLICIES, "intent", {"spec": {"model": "intent"}})
    policies = PolicyObjectsAsked(client, tmp_path)
    (document,) = policies.documents().values()
    assert document.model == "intent"
    said = [CHART_VALUES, *sorted(CRDS.glob("*.yaml"))]
    keys = {key for file in said for key in _keys(yaml.safe_load(file.read_text()))}
    assert len(keys) > 100
    assert not [key for key in keys if re.search("quer|promql|expr", key, re.IGNORECASE)]


def _keys(schema: Any) -> Iterator[str]:
    """The names of all fields of a schema."""
    if isinstance(schema, dict):
        if isinstance(schema.get("properties"), dict):
            yield from schema["properties"]
        for one in schema.values():
            yield from _keys(one)
    elif isinstance(schema, list):
        for one in schema:
            yield from _keys(one)


def vanishes(world: World) -> None:
    world.service.requests_per_s = 0


def vanishes_from_the_candidate(world: World) -> None:
    world.service.dealt_by = TrafficTable(MODEL, {"6": 100.0}, mirror=Mirror("7", 100.0), generation=1)


@pytest.mark.parametrize("happens", [vanishes, vanishes_from_the_candidate])
@pytest.mark.parametrize("step", [0, 1])
def test_3_traffic_that_vanishes_or_half_vanishes_advances_nothing(
    happens: Callable[[World], None], step: int, tmp_path: Path
) -> None:
    """Of either version: for as long as nothing fresh comes a canary stays at its step, blames nobody, and goes on."""
    world = World(tmp_path).given(candidate=GOOD).when_phase(Phase.CANARY, step=step)
    rate = world.service.requests_per_s
    happens(world)
    world.when_time_passes(QUIET_S)
    assert (world.release.phase, world.release.step) == (Phase.CANARY, step)
    assert not world.release.blamed
    world.service.requests_per_s, world.service.dealt_by = rate, None
    world.when_phase(Phase.PROMOTED)
