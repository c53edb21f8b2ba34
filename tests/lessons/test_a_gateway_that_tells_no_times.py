"""What a gateway does not tell is not taken for well: the gates that need it say so, and the others judge."""

from dataclasses import replace
from pathlib import Path

from gates.outcome import Outcome
from tests.controller.service import GOOD
from tests.controller.world import POLICY, World

WHY = "NGINX exports the average response time only, and no histogram"


def asked_of(tmp_path: Path, *, latency: bool) -> World:
    gates = POLICY.gates if latency else replace(POLICY.gates, latency=None)
    world = World(tmp_path, policy=replace(POLICY, gates=gates))
    world.service.metrics.times_untold = WHY
    return world


def test_latency_waits_for_times_that_nobody_tells(tmp_path: Path) -> None:
    """A good candidate is not promoted past a gate that could not judge; by no other source is it held."""
    world = asked_of(tmp_path, latency=True)
    world.given(candidate=GOOD).when_settled()
    assert world.weights == {"v6": 100}
    assert world.release.faults["gateway times"] == f"not reported by this gateway: {WHY}"
    assert world.release.faults.keys() == {"gateway times"}
    found = world.release.verdicts
    assert found["latency.p95"].outcome is Outcome.ERROR
    assert "not reported by this gateway" in found["latency.p95"].reason
    assert found["errors.live"].outcome is Outcome.PASS


def test_a_policy_that_asks_for_no_times_needs_none(tmp_path: Path) -> None:
    world = asked_of(tmp_path, latency=False)
    world.given(candidate=GOOD).when_settled()
    assert (world.weights, world.release.faults) == ({"v7": 100}, {})
