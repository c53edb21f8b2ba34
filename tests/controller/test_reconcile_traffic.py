"""What was written counts once users are answered by it, and what others write past Serin is never lost in silence."""

from dataclasses import replace

import pytest

from controller.core.commands import Ask
from controller.core.events import TrafficRestored
from controller.core.policy import OnDrift
from controller.core.release import Phase
from controller.core.traffic import WriteStage
from controller.journal.codec import event_of
from tests.controller.service import GOOD
from tests.controller.world import POLICY, World


@pytest.fixture
def world(tmp_path):
    return World(tmp_path)


def events_of(world, kind):
    """Those of the newest release."""
    found = (event_of(it.entry) for it in world.journal.entries(world.release.id))
    return [event for event in found if isinstance(event, kind)]


@pytest.fixture
def halfway(world):
    """Half of the users are moved to version 7 by somebody with an editor, in a canary."""
    world.given(candidate=GOOD).when_phase(Phase.CANARY)
    world.traffic.edit("intent", {"6": 50.0, "7": 50.0})
    return world


def test_no_name_moves_and_nothing_ends_before_users_are_answered_by_it(world):
    """A gateway that hangs at the promotion: the alias stays, and the version of before goes on running."""
    world.given(candidate=GOOD).when_phase(Phase.CANARY, step=1)
    world.traffic.stop()
    world.when_phase(Phase.PROMOTING)
    world.when_time_passes(120)
    assert (world.release.phase, world.champion, world.running) == (Phase.PROMOTING, "v6", {"v6", "v7"})
    assert world.release.faults["traffic"].endswith("is written: the data plane does not answer")
    world.traffic.go_on()
    world.when_settled()
    assert (world.champion, world.release.faults) == ("v7", {})


def test_a_refusal_of_the_gateway_is_said_in_its_own_words(world):
    """Nobody waits in silence for what never comes; nothing is counted, and no version is blamed for it."""
    world.given(candidate=GOOD).when_phase(Phase.SHADOW)
    world.traffic.reaches, world.traffic.detail = WriteStage.REJECTED, "no such field: 'nonsense'"
    world.when_phase(Phase.CANARY)
    looks = world.release.looks
    world.when_time_passes(300)
    assert world.release.faults["traffic"].endswith("is rejected: no such field: 'nonsense'")
    assert (world.release.phase, world.release.step, world.release.looks) == (Phase.CANARY, 0, looks)


def test_an_edit_holds_the_release_and_stays(halfway):
    """By default nothing is written over it, no step follows, and who put it back is not asked why."""
    halfway.when_time_passes(300)
    assert halfway.release.phase is Phase.CANARY
    assert halfway.weights == {"v6": 50, "v7": 50}
    told = halfway.release.faults["traffic"]
    assert "version 7 50 %" in told
    assert "on_drift: hold" in told
    assert "serin rollback" in told
    step = halfway.traffic.history[-1]
    halfway.traffic.edit("intent", dict(step.weights_pct))
    halfway.when_settled()
    assert (halfway.weights, halfway.release.faults) == ({"v7": 100}, {})
    assert not events_of(halfway, TrafficRestored)


def test_a_policy_may_have_it_restored_and_the_journal_says_so(world):
    world.policy = replace(POLICY, on_drift=OnDrift.RESTORE)
    world.given(candidate=GOOD).when_phase(Phase.CANARY)
    before = world.weights
    world.traffic.edit("intent", {"7": 100.0})
    world.when_time_passes(10)
    assert world.weights == before
    (event,) = events_of(world, TrafficRestored)
    assert (event.by, "version 7 100 %" in event.what) == ("ben", True)
    world.when_settled()
    assert world.weights == {"v7": 100}


def test_a_way_back_goes_over_an_edit_and_says_so(halfway):
    """No edit keeps users on a version that somebody wants back."""
    halfway.when_asked(Ask.ABORT).when_settled()
    assert halfway.weights == {"v6": 100}
    assert len(events_of(halfway, TrafficRestored)) == 1
