"""Which samples a look takes: those of its own release, also where their store was away when the release began."""

from pathlib import Path

import pytest

from controller.core.release import Phase
from tests.controller.service import GOOD
from tests.controller.world import World

BEFORE = 50  # pairs of an earlier attempt with the same two versions


@pytest.fixture
def world(tmp_path: Path) -> World:
    world = World(tmp_path).given(candidate=GOOD)
    world.service.samples.pairs = [("6", "7", True)] * BEFORE
    return world


def test_a_release_takes_nothing_of_an_earlier_attempt(world: World) -> None:
    """It begins where things stand at its first look."""
    world.service.requests_per_s = 0
    world.when_phase(Phase.SHADOW).when(lambda: world.release.looks > 2)
    assert world.release.cursors.pair == BEFORE
    assert world.release.verdicts["agreement.shadow"].samples == 0


def test_samples_that_were_away_at_the_first_look_bring_in_no_past(world: World) -> None:
    """The metrics have answered meanwhile: that says nothing of where the samples begin."""
    world.service.samples.away = "the labels' database did not answer"
    world.service.requests_per_s = 0
    world.when_phase(Phase.SHADOW).when(lambda: world.release.looks > 2)
    assert world.release.cursors.counters is not None
    assert world.release.cursors.first_pair is None
    world.service.samples.away = None
    looks = world.release.looks
    world.when(lambda: world.release.looks > looks + 1)
    assert world.release.cursors.pair == BEFORE
    assert world.release.verdicts["agreement.shadow"].samples == 0
