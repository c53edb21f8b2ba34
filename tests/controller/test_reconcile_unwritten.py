"""The journal takes nothing for a while, as on a full disk: users go back all the same, and all of it is told later."""

import pytest

from controller.core.commands import Ask
from controller.core.events import Leaving, Looked
from controller.core.release import Phase
from controller.errors import Source, TransientError
from controller.journal.codec import event_of
from tests.controller.service import GOOD, Behaviour
from tests.controller.world import MODEL, World

FAILS = Behaviour(error_ratio=0.1)
FULL = TransientError(Source.JOURNAL, "the journal's database did not answer: database or disk is full")


@pytest.fixture
def world(tmp_path):
    return World(tmp_path)


def fill(world: World) -> None:
    """Nothing can be written to the journal from now on."""

    def interrupt(point: str) -> None:
        if point in ("before journal.append", "before inbox.discard"):
            raise FULL

    world.interrupt = interrupt


def make_room(world: World) -> None:
    world.interrupt = lambda _: None


def recorded(world: World, kind: type) -> list[float]:
    """When events of the kind happened, as the journal of the newest release tells."""
    entries = world.journal.entries(world.release.id)
    return [one.entry.at_s for one in entries if isinstance(event_of(one), kind)]


def test_a_candidate_that_fails_is_taken_back_though_nothing_can_be_recorded(world):
    world.given(candidate=GOOD).when_phase(Phase.CANARY)
    fill(world)
    world.service.behaviours["7"] = FAILS
    began_s, looks = world.clock.now_s(), len(recorded(world, Looked))
    world.when(lambda: world.weights == {"v6": 100.0}, within_s=300)
    moved_s = world.clock.now_s()
    table = world.traffic.read(MODEL)
    assert table.override.by == "serin"
    assert "errors" in table.override.reason
    assert world.release.phase is Phase.CANARY  # as far as the journal knows
    world.when_time_passes(60)
    assert world.traffic.read(MODEL) == table  # nothing is written again and again
    make_room(world)
    world.when_settled()
    assert (world.release.phase, world.weights) == (Phase.ROLLED_BACK, {"v6": 100.0})
    assert world.report.blames("errors")
    seen = recorded(world, Looked)[looks:]
    assert len(seen) > 1, "every look is told"
    assert seen == sorted(seen)
    assert began_s < seen[0] < moved_s, "with the time at which it was taken"
    assert recorded(world, Leaving) == [moved_s]


def test_what_was_kept_in_memory_and_lost_stands_in_the_table(world):
    world.given(candidate=GOOD).when_phase(Phase.CANARY)
    fill(world)
    world.service.behaviours["7"] = FAILS
    world.when(lambda: world.weights == {"v6": 100.0}, within_s=300)
    world.restart()
    world.when_time_passes(30)
    assert world.weights == {"v6": 100.0}
    make_room(world)
    world.when_settled()
    assert world.release.phase is Phase.ROLLED_BACK
    assert "Rolled back by serin" in world.release.reason
    assert "errors" in world.release.reason
    assert world.weights == {"v6": 100.0}


def test_an_abort_that_waits_in_the_inbox_is_done_before_it_is_recorded(world, caplog):
    world.given(candidate=GOOD).when_phase(Phase.CANARY)
    fill(world)
    world.when_asked(Ask.ABORT, reason="it is Friday").when_time_passes(10)
    assert world.weights == {"v6": 100.0}
    make_room(world)
    world.when_settled()
    assert "journal changed" not in caplog.text, "it is taken up once"
    assert (world.release.phase, world.weights) == (Phase.ABORTED, {"v6": 100.0})
    assert "it is Friday" in world.release.reason
    assert not world.inbox.waiting()


@pytest.mark.parametrize(
    ("ask", "version"), [(Ask.PAUSE, None), (Ask.PROMOTE, None), (Ask.START, "v7")], ids=["pause", "promote", "start"]
)
def test_a_word_that_cannot_be_taken_up_keeps_no_gate_from_taking_users_back(world, ask, version):
    world.given(candidate=GOOD).when_phase(Phase.CANARY)
    fill(world)
    world.service.behaviours["7"] = FAILS
    world.when_asked(ask, version=version)
    world.when(lambda: world.weights == {"v6": 100.0}, within_s=300)
    make_room(world)
    world.when_settled()
    assert world.release.phase is Phase.ROLLED_BACK
    world.when_time_passes(10)
    assert not world.inbox.waiting()


def test_a_step_whose_confirmation_cannot_be_recorded_is_judged(world):
    def interrupt(point: str) -> None:
        if point == "before journal.append" and world.journal.releases() and world.release.phase is Phase.CANARY:
            raise FULL

    world.interrupt = interrupt
    world.given(candidate=GOOD).when_phase(Phase.CANARY)
    world.service.behaviours["7"] = FAILS
    world.when(lambda: world.weights.keys() == {"v6", "v7"}, within_s=60)
    world.when(lambda: world.weights == {"v6": 100.0}, within_s=300)
    make_room(world)
    world.when_settled()
    assert (world.release.phase, world.weights) == (Phase.ROLLED_BACK, {"v6": 100.0})


def test_nobody_gets_more_of_a_candidate_while_nothing_can_be_recorded(world):
    world.given(candidate=GOOD).when_phase(Phase.CANARY)
    before = world.traffic.read(MODEL)
    fill(world)
    world.when_time_passes(900)
    assert world.traffic.read(MODEL) == before
    make_room(world)
    world.when_settled()
    assert world.release.phase is Phase.PROBATION
    assert world.weights == {"v7": 100.0}


def test_a_controller_that_leads_no_more_moves_nobody(world):
    world.given(candidate=GOOD).when_phase(Phase.CANARY)
    before = world.traffic.read(MODEL)
    fill(world)
    world.leads = False
    world.service.behaviours["7"] = FAILS
    world.when_asked(Ask.ABORT).when_time_passes(60)
    assert world.traffic.read(MODEL) == before
