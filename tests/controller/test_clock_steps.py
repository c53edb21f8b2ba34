"""Somebody sets the clock: no deadline comes sooner or later for it, no look is missed, and nobody is blamed."""

from pathlib import Path

import pytest

from controller.core.events import ClockStepped
from controller.core.release import Phase
from controller.journal.codec import event_of
from controller.offline.evidence_file import RecordedLook, evidence_of
from controller.offline.replay import judge
from gates.outcome import Outcome
from tests.controller.releases import NOW_S, release_in
from tests.controller.service import GOOD, LESS_ACCURATE
from tests.controller.world import World

STEPS_S = [5.0, -5.0, 3_600.0, -3_600.0, 86_400.0, -86_400.0]


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


def steps(world: World) -> list[float]:
    events = (event_of(recorded) for recorded in world.journal.entries(world.release.id))
    return [event.by_s for event in events if isinstance(event, ClockStepped)]


@pytest.mark.parametrize("by_s", STEPS_S)
@pytest.mark.parametrize("phase", [Phase.SHADOW, Phase.CANARY])
def test_a_good_version_is_promoted_whatever_the_clock_does(world: World, phase: Phase, by_s: float) -> None:
    """A clock that was set back an hour blinded the gates for an hour; one day forward is past every deadline."""
    world.given(candidate=GOOD).when_phase(phase).when_time_passes(20)
    looks = world.release.looks
    world.clock.step(by_s)
    world.when_time_passes(20)
    assert world.release.phase in (Phase.SHADOW, Phase.CANARY)
    assert world.release.looks >= looks + 2
    assert not [one.gate for one in world.release.verdicts.values() if one.outcome is Outcome.ERROR]
    world.when(lambda: world.release.phase is Phase.PROBATION)
    assert steps(world) == [by_s]
    for entries in [world.journal.entries(world.release.id)]:
        found = [one for one in evidence_of(entries) if isinstance(one, RecordedLook)]
        *_, last = judge(world.release.policy, found)
        assert last.outcome is Outcome.PASS


@pytest.mark.parametrize("by_s", STEPS_S)
def test_probation_is_as_long_as_it_was_to_be(world: World, by_s: float) -> None:
    world.given(candidate=GOOD).when_phase(Phase.PROBATION).when_time_passes(100)
    world.clock.step(by_s)
    world.when_time_passes(150)
    assert world.release.phase is Phase.PROBATION
    world.when_time_passes(100)
    assert world.release.phase is Phase.PROMOTED


@pytest.mark.parametrize("by_s", [3_600.0, -3_600.0])
def test_a_bad_version_is_still_rolled_back(world: World, by_s: float) -> None:
    world.given(candidate=LESS_ACCURATE).when_phase(Phase.SHADOW).when_time_passes(20)
    world.clock.step(by_s)
    world.when_settled()
    assert world.release.phase is Phase.ROLLED_BACK


def test_a_clock_that_is_kept_right_is_no_step(world: World) -> None:
    world.given(candidate=GOOD).when_phase(Phase.SHADOW)
    for _ in range(5):
        world.clock.step(0.5)
        world.when_time_passes(10)
    assert steps(world) == []


def test_a_look_of_a_time_to_come_keeps_no_other_from_being_taken() -> None:
    """The clock was set back while no controller watched."""
    from controller.core.actions import look_is_due

    release = release_in(Phase.SHADOW, looked_at_s=NOW_S + 3_600)
    assert look_is_due(release, NOW_S)
