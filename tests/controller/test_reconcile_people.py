"""People and pipelines: what they ask for is done, once, and their reasons are kept."""

from dataclasses import replace

import pytest

from controller.core.commands import Ask, Command, Freeze
from controller.core.events import CommandTaken
from controller.core.release import Phase, Purpose
from controller.errors import Source, TransientError
from controller.journal.codec import event_of
from controller.loop.fleet import COMMAND_KEPT_S
from tests.controller.service import GOOD, LESS_ACCURATE, Behaviour
from tests.controller.world import POLICY, World


@pytest.fixture
def world(tmp_path):
    return World(tmp_path)


BETTER = Behaviour(accuracy=0.93)


# --- traffic that a person moved --------------------------------------------------------------------------------------
@pytest.mark.parametrize("phase", [Phase.SHADOW, Phase.CANARY, Phase.PROBATION])
def test_an_operators_rollback_past_the_controller_ends_the_release_and_keeps_the_reason(world, phase):
    """`serin rollback` works with the controller stopped; the controller takes it up and never undoes it."""
    world.given(candidate=GOOD).when_phase(phase)
    world.when_traffic_is_moved("v6", reason="pager 4711").when_settled()
    world.when_phase(Phase.ROLLED_BACK)
    assert (world.weights, world.champion) == ({"v6": 100}, "v6")
    assert world.release.reason == "Rolled back by bo: pager 4711"
    assert world.traffic.read("intent").override is None
    assert world.ends == [("v7", Phase.ROLLED_BACK)]


def test_an_operators_rollback_of_what_is_going_back_already_is_on_record(world):
    """Two on call, and the other's abort came first: who moved the traffic, and why, is not overwritten with the table.
    The word that ends the release is recorded once."""
    world.given(candidate=GOOD).when_phase(Phase.CANARY)
    world.when_asked(Ask.ABORT, reason="stop").when_traffic_is_moved("v6", reason="pager 4711").when_settled()
    world.when_phase(Phase.ABORTED)
    events = map(event_of, world.journal.entries(world.release.id))
    asked = [(one.ask, one.reason, one.by) for one in events if isinstance(one, CommandTaken)]
    assert asked == [("abort", "stop", "ana"), ("rollback", "pager 4711", "bo")]
    assert world.traffic.read("intent").override is None


def test_an_operators_rollback_of_what_was_promoted_is_a_release_of_the_former_version(world):
    world.given(candidate=GOOD).when_phase(Phase.PROMOTED)
    world.when_traffic_is_moved("v6", reason="pager 4711").when_time_passes(10)
    assert world.weights == {"v6": 100}
    world.when_settled()
    assert (world.release.purpose, world.release.phase) == (Purpose.RESTORE, Phase.PROMOTED)
    assert (world.champion, world.release.reason) == ("v6", "pager 4711")
    assert world.report.phases == (Phase.PREFLIGHT, Phase.PROMOTING, Phase.PROMOTED)
    world.when_time_passes(200)
    assert world.ends == [("v7", Phase.PROMOTED), ("v6", Phase.PROMOTED)]


def test_a_rollback_of_what_was_promoted_can_be_asked_of_the_controller_too(world):
    world.given(candidate=GOOD).when_phase(Phase.PROMOTED)
    world.when_asked(Ask.ROLLBACK, reason="too many complaints").when_settled()
    assert (world.weights, world.champion) == ({"v6": 100}, "v6")
    assert world.release.reason == "too many complaints"


def test_a_rollback_with_nothing_to_go_back_to_is_answered_and_changes_nothing(world):
    world.given().when_asked(Ask.ROLLBACK).when_time_passes(30)
    assert (world.weights, world.reports) == ({"v6": 100}, [])
    assert list(world.inbox.answered.values()) == ["there is nothing to rollback for intent"]


def test_a_way_back_is_not_undone_by_the_candidate_that_waits(world):
    """A person leaves v7 while the registry already names v8: first back, then the next release."""
    world.given(candidate=GOOD).when_phase(Phase.PROMOTED)
    world.given_candidate("v8", GOOD)
    world.when_traffic_is_moved("v6").when_time_passes(60)
    assert world.ends[:2] == [("v7", Phase.PROMOTED), ("v6", Phase.PROMOTED)]
    assert "v7" not in world.weights
    world.when_settled()
    assert world.ends[2] == ("v8", Phase.PROBATION)
    assert all("7" not in table.weights_pct for table in world.traffic.history[-4:])


def test_a_rollback_asked_for_twice_goes_back_once(world):
    world.given(candidate=GOOD).when_phase(Phase.PROMOTED)
    world.when_asked(Ask.ROLLBACK).when_time_passes(1)
    world.when_asked(Ask.ROLLBACK).when_settled()
    assert (world.weights, world.ends[-1]) == ({"v6": 100}, ("v6", Phase.PROMOTED))


# --- abort, start, resume ---------------------------------------------------------------------------------------------
@pytest.mark.parametrize("phase", [Phase.SHADOW, Phase.CANARY, Phase.PROBATION])
def test_abort_brings_users_back_to_stable_from_any_phase(world, phase):
    """Abort was ignored after `promote --full` (argo 4461)."""
    world.given(candidate=GOOD).when_phase(phase)
    world.when_asked(Ask.ABORT, reason="wrong checkpoint").when_time_passes(10)
    assert world.weights == {"v6": 100}
    world.when_phase(Phase.ABORTED)
    assert (world.champion, world.release.reason) == ("v6", "Aborted by ana: wrong checkpoint")


def test_abort_with_nothing_running_changes_nothing(world):
    """It scaled the stable version to zero (argo 1292)."""
    world.given().when_asked(Ask.ABORT).when_time_passes(30)
    assert (world.weights, world.running) == ({"v6": 100}, {"v6"})
    assert list(world.inbox.answered.values()) == ["there is nothing to abort for intent"]


def test_a_version_can_be_started_by_hand(world):
    world.given()
    world.register("v7", GOOD)
    world.when_asked(Ask.START, version="v7", reason="the registry hook is off").when_settled()
    assert world.weights == {"v7": 100}
    assert world.release.started_by == "ana"


def test_a_version_that_was_released_before_can_be_started_again_by_hand(world):
    world.given(candidate=LESS_ACCURATE).when_settled()
    world.service.behaviours["7"] = GOOD
    world.when_asked(Ask.START, version="v7").when_settled()
    assert world.ends == [("v7", Phase.ROLLED_BACK), ("v7", Phase.PROBATION)]


@pytest.mark.parametrize(
    ("version", "answer"),
    [
        ("v99", "there is no intent version 99"),
        ("v6", "version 6 is the stable version already"),
        ("v7", "release intent-v7-1 of version 7 is in progress"),
    ],
)
def test_no_release_is_left_for_a_start_that_cannot_be_followed(world, version, answer):
    world.given(candidate=GOOD).when_phase(Phase.CANARY)
    world.when_asked(Ask.START, version=version).when_settled()
    assert world.ends == [("v7", Phase.PROBATION)]
    assert list(world.inbox.answered.values()) == [answer]


@pytest.mark.parametrize(
    ("version", "answer"), [("v99", "there is no intent version 99"), ("v6", "version 6 serves all traffic already")]
)
def test_a_start_of_what_cannot_be_released_is_answered_with_the_reason(world, version, answer):
    world.given().when_asked(Ask.START, version=version).when_time_passes(20)
    assert (world.reports, list(world.inbox.answered.values())) == ([], [answer])


def test_a_command_that_nobody_took_up_in_a_day_comes_to_nothing_and_says_so(world):
    """A controller that was down for a week must not abort today's release for last week's reason."""
    world.given(candidate=GOOD).when_phase(Phase.SHADOW)
    at_s = world.clock.now_s() - COMMAND_KEPT_S - 1
    world.inbox.put(Command("old", Ask.ABORT, "intent", None, "last week's incident", "ana", at_s))
    world.when_time_passes(1)
    assert world.inbox.outcome("old") == "it was not taken up within 24 h: ask again"
    assert world.release.phase is Phase.SHADOW


def test_a_start_waits_for_the_registry_and_leaves_the_release_in_progress_alone(world):
    world.given(candidate=GOOD).when_phase(Phase.SHADOW)
    world.register("v8", GOOD)
    world.registry.away = "MLflow is away"
    world.when_asked(Ask.START, version="v8").when_time_passes(30)
    assert world.ends[-1][0] == "v7"
    assert len(world.inbox.waiting()) == 1
    world.registry.away = None
    world.when(lambda: world.release.candidate.number == "8").when_settled()
    assert world.ends == [("v7", Phase.SUPERSEDED), ("v8", Phase.PROBATION)]


def test_a_command_for_a_model_without_a_policy_is_answered(world):
    world.given()
    world.inbox.put(Command("1", Ask.START, "spam", "1", "why", "ana", 0.0))
    world.tick()
    assert world.inbox.answered == {"1": "no policy for model 'spam'"}


def test_a_held_release_is_resumed_by_a_person_and_can_still_be_promoted(tmp_path):
    world = World(tmp_path, policy=replace(POLICY, deadline_s=300.0)).given(candidate=GOOD).when_phase(Phase.SHADOW)
    world.service.samples.away = "no database"
    world.when_phase(Phase.HELD).when_time_passes(200)
    assert (world.release.phase, world.running) == (Phase.HELD, {"v6", "v7"})
    world.service.samples.away = None
    world.when_asked(Ask.RESUME).when_time_passes(10)
    world.when_settled()
    assert (world.weights, world.champion) == ({"v7": 100}, "v7")


def test_a_held_release_is_ended_by_a_person(tmp_path):
    world = World(tmp_path, policy=replace(POLICY, deadline_s=100.0)).given(candidate=GOOD)
    world.service.requests_per_s = 0
    world.when_phase(Phase.HELD)
    world.when_asked(Ask.ROLLBACK, reason="not worth it").when_phase(Phase.ROLLED_BACK)
    assert world.release.reason == "Rolled back by ana: not worth it"
    assert world.running == {"v6"}


# --- one candidate after another --------------------------------------------------------------------------------------
def test_a_newer_candidate_in_the_middle_supersedes_the_older_one(world):
    """A new version in the middle of a canary (flagger 30, argo 1372): evidence is kept by version."""
    world.given(candidate=GOOD).when_phase(Phase.CANARY)
    world.given_candidate("v8", BETTER).when(lambda: world.release.candidate.number == "8").when_settled()
    assert world.ends == [("v7", Phase.SUPERSEDED), ("v8", Phase.PROBATION)]
    assert (world.weights, world.champion, world.release.stable.number) == ({"v8": 100}, "v8", "6")
    assert world.service.unanswered == 0


def test_a_bad_candidate_after_a_good_one_comes_back_to_the_good_one(world):
    """Remember the right former version (kserve 2130): v7, not v6."""
    world.given(candidate=GOOD).when_settled()
    world.given_candidate("v8", LESS_ACCURATE).when_phase(Phase.ROLLED_BACK)
    assert world.ends == [("v7", Phase.PROMOTED), ("v8", Phase.ROLLED_BACK)]
    assert (world.weights, world.champion) == ({"v7": 100}, "v7")
    assert world.traffic.read("intent").known_good == "6"


def test_while_a_candidate_is_tried_known_good_is_what_serves(world):
    world.given(candidate=GOOD).when_settled()
    world.given_candidate("v8", GOOD).when_phase(Phase.CANARY)
    world.when_time_passes(10)
    assert world.traffic.read("intent").known_good == "7"


# --- freezes ----------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("model", ["intent", "*"])
def test_a_freeze_stops_a_canary_where_it_is_until_it_is_lifted(world, model):
    """Freezes and a stop button for everything (kargo 1328)."""
    world.given(candidate=GOOD).when_phase(Phase.CANARY)
    world.freezes.freeze(Freeze(model, "incident 42", "ana", world.clock.now_s()))
    world.when_time_passes(150)
    assert (world.release.phase, world.release.step) == (Phase.CANARY, 0)
    world.freezes.lift(model, reason="over", by="ana", at_s=world.clock.now_s())
    world.when_settled()
    assert world.weights == {"v7": 100}


def test_a_freeze_with_an_end_ends_by_itself(world):
    """Whoever made it may be gone. One by hand beside it stays."""
    world.given(candidate=GOOD).when_phase(Phase.CANARY)
    brief = Freeze("intent", "a drill", "ana", world.clock.now_s(), ends_at_s=world.clock.now_s() + 60)
    by_hand = Freeze("intent", "incident 42", "bob", world.clock.now_s())
    world.freezes.freeze(brief)
    world.freezes.freeze(by_hand)
    world.when_time_passes(59)
    assert world.freezes.in_force() == (brief, by_hand)
    world.when_time_passes(60)
    assert world.freezes.in_force() == (by_hand,)
    assert (world.release.phase, world.release.step) == (Phase.CANARY, 0)
    world.freezes.end(by_hand, at_s=world.clock.now_s())
    world.when_settled()
    assert world.weights == {"v7": 100}


def test_a_freeze_holds_while_its_end_cannot_be_recorded(world, monkeypatch):
    """The journal has the end of it before a release goes on."""
    world.given(candidate=GOOD).when_phase(Phase.CANARY)
    world.freezes.freeze(Freeze("intent", "a drill", "ana", world.clock.now_s(), ends_at_s=world.clock.now_s() + 60))
    ends = world.freezes.end

    def unwritten(*_, **__):
        raise TransientError(Source.FREEZES, "the disk is full")

    monkeypatch.setattr(world.freezes, "end", unwritten)
    world.when_time_passes(150)
    assert (world.release.phase, world.release.step) == (Phase.CANARY, 0)
    monkeypatch.setattr(world.freezes, "end", ends)
    world.when_settled()
    assert world.weights == {"v7": 100}


def test_under_a_freeze_a_way_back_is_open(world):
    world.given(candidate=GOOD).when_phase(Phase.CANARY)
    world.freezes.freeze(Freeze("*", "incident 42", "ana", world.clock.now_s()))
    world.service.behaviours["7"] = Behaviour(error_ratio=0.2)
    world.when_settled()
    assert (world.weights, world.release.phase) == ({"v6": 100}, Phase.ROLLED_BACK)


def test_a_candidate_named_under_a_freeze_waits(world):
    world.given()
    world.freezes.freeze(Freeze("intent", "incident 42", "ana", world.clock.now_s()))
    world.given_candidate("v7", GOOD).when_time_passes(60)
    assert (world.ends, world.running) == ([("v7", Phase.PENDING)], {"v6"})
