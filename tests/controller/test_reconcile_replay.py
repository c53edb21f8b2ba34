"""Recorded requests are asked again while a release is in shadow, and nothing waits for them."""

from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest

from controller.core.policy import ReplayPolicy
from controller.core.release import Phase
from controller.loop.replay import Asked
from controller.ports.recordings import ReplayOrder
from tests.controller.service import GOOD
from tests.controller.world import POLICY, World

REPLAY = ReplayPolicy(requests_max=500)


@dataclass
class Noted:
    """Implements ``Replays``: notes what it is asked for, and has so many stretches to go."""

    world: World
    stretches: int = 1_000
    broken: bool = False
    orders: list[ReplayOrder] = field(default_factory=list)
    asked: list[Asked] = field(default_factory=list)
    phases: list[Phase] = field(default_factory=list)
    lengths: set[float] = field(default_factory=set)

    def go_on(self, order: ReplayOrder, asked: Asked, *, for_s: float, inclusion_probability: float) -> bool:
        self.orders.append(order)
        self.asked.append(asked)
        self.phases.append(self.world.release.phase)
        self.lengths.add(for_s * inclusion_probability)
        if self.broken:
            raise RuntimeError("a defect of ours")
        return len(self.orders) < self.stretches


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path, policy=replace(POLICY, shadow_replay=REPLAY))


def noted(world: World, **changes: object) -> Noted:
    world.replays = Noted(world, **changes)  # type: ignore[arg-type]
    world.restart()
    return world.replays


def test_recorded_requests_are_asked_again_in_shadow_only_where_nobody_waits(world: World) -> None:
    """At the ports for copies of both versions, by stretches of a look, once the release knows which pairs are its own;
    none after shadow."""
    replays = noted(world)
    world.given(candidate=GOOD).when_settled()
    assert set(replays.phases) == {Phase.SHADOW}
    asked = Asked(("http://intent-v6-shadow.test",), ("http://intent-v7-shadow.test",))
    assert replays.asked == [asked] * len(replays.asked)
    (order,) = set(replays.orders)
    assert (order.stable, order.candidate, order.policy) == ("6", "7", REPLAY)
    assert order.began_at_s == world.release.started_at_s
    assert replays.lengths == {POLICY.look_every_s}
    assert world.report.phases[-1] is Phase.PROBATION


def test_a_replay_that_is_over_is_not_begun_again(world: World) -> None:
    replays = noted(world, stretches=1)
    world.given(candidate=GOOD).when_settled()
    assert len(replays.orders) == 1


def test_a_replay_that_breaks_holds_nothing_up(world: World) -> None:
    """It is no source of the release's: what can be judged on live requests is."""
    replays = noted(world, broken=True)
    world.given(candidate=GOOD).when_settled()
    assert replays.orders
    assert (world.report.phases[-1], world.release.faults) == (Phase.PROBATION, {})


def test_without_a_number_of_requests_nothing_is_asked_again(tmp_path: Path) -> None:
    world = World(tmp_path)
    replays = noted(world)
    world.given(candidate=GOOD).when_settled()
    assert replays.orders == []
