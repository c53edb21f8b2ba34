"""Rehearsals through the whole loop: judged in a freeze, and no user is answered by what is rehearsed."""

import pytest

from controller.core.commands import Ask, Freeze
from controller.core.release import Phase, Purpose
from tests.controller.service import GOOD, LESS_ACCURATE, Behaviour
from tests.controller.world import World


@pytest.fixture
def world(tmp_path):
    return World(tmp_path).given()


def rehearse(world: World, behaviour: Behaviour) -> None:
    world.register("v7", behaviour)
    world.when_asked(Ask.REHEARSE, version="7")


def freeze(world: World) -> None:
    world.freezes.freeze(Freeze("intent", "a drill", "ana", world.clock.now_s()))


def served(world: World) -> set[str]:
    """The versions that users were sent to by any table that ever was."""
    return {version for table in world.traffic.history for version in table.weights_pct}


def test_a_worse_version_is_found_in_a_freeze(world):
    """On pairs of users' requests, as any release is."""
    freeze(world)
    rehearse(world, LESS_ACCURATE)
    world.when_phase(Phase.ROLLED_BACK)
    assert world.report.blames("accuracy.shadow")
    assert (served(world), world.champion, world.release.purpose) == ({"6"}, "v6", Purpose.REHEARSE)


@pytest.mark.parametrize("frozen", [True, False])
def test_a_good_one_ends_where_users_would_begin(world, frozen):
    """Nor does it wait for a person, or for the freeze to be lifted."""
    if frozen:
        freeze(world)
    rehearse(world, GOOD)
    world.when_phase(Phase.ROLLED_BACK)
    assert world.release.reason == "Every gate on shadow traffic passed. This was a rehearsal, and it ends here."
    assert (served(world), world.champion) == ({"6"}, "v6")
    world.when_time_passes(60)
    assert world.running == {"v6"}


def test_nobody_promotes_it(world):
    rehearse(world, LESS_ACCURATE)
    world.when_phase(Phase.SHADOW).when_asked(Ask.PROMOTE)
    world.when_phase(Phase.ROLLED_BACK)
    assert served(world) == {"6"}


def test_nothing_is_rehearsed_beside_a_release(world):
    """Which goes on."""
    world.given_candidate("v8", GOOD).when_phase(Phase.SHADOW)
    rehearse(world, LESS_ACCURATE)
    world.when_phase(Phase.CANARY)
    assert ["nothing can be rehearsed beside it" in answer for answer in world.inbox.answered.values()] == [True]


def test_a_newer_candidate_ends_it(world):
    rehearse(world, GOOD)
    world.when_phase(Phase.SHADOW)
    world.given_candidate("v8", GOOD).when_phase(Phase.PROBATION)
    assert world.ends == [("v7", Phase.SUPERSEDED), ("v8", Phase.PROBATION)]


def test_a_first_version_is_not_rehearsed(tmp_path):
    """Which its suites alone would promote."""
    world = World(tmp_path).given(stable=None)
    rehearse(world, GOOD)
    world.when_phase(Phase.REJECTED)
    assert world.release.reason == "No version is serving that it could be compared with."
