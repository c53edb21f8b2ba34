"""A stable version that cannot run does not block its fix: a person has it take the place, and its suites judge it."""

import dataclasses

import pytest

from controller.core.actions import CheckChampion, MoveChampion, Route, Serve, plan
from controller.core.commands import Ask
from controller.core.condition import Condition
from controller.core.events import Started, fold
from controller.core.facts import AliasAt, FrozenBy, Probed, Routed, Serving, Unreachable
from controller.core.foresight import Standing, foresee
from controller.core.intake import Begin, Seen, intake
from controller.core.release import Phase, Purpose, Release, Version
from controller.core.traffic import TrafficTable
from controller.errors import Source
from gates.outcome import Outcome
from gates.verdict import Stage
from tests.controller.releases import (
    CANDIDATE,
    FREEZE,
    NOW_S,
    POLICY,
    STABLE,
    after,
    command,
    passes,
    release_in,
    suites_run,
    verdict,
)
from tests.controller.service import GOOD, MODEL, Behaviour
from tests.controller.world import World, with_suite

READY = Serving("7", Condition.READY)
PROBED = Probed(CANDIDATE, (verdict("preflight.package", stage=Stage.PREFLIGHT),))
CRASHES = Serving("6", Condition.FAILING, "CrashLoopBackOff: exit status 78")
PASSED = suites_run(verdict("accuracy.suite", stage=Stage.SUITE))


def replacing(phase: Phase, **changes: object) -> Release:
    """A release of version 7 in place of version 6, as it stands in the phase."""
    begun = Started(
        "intent-v7-1", MODEL, Purpose.PROMOTE, CANDIDATE, None, None, POLICY, "ana", "6 leaks", replaced=STABLE
    )
    fields: dict[str, object] = {"phase": phase, "deadline_at_s": NOW_S + 3_600, "verdicts": passes()}
    return dataclasses.replace(fold(None, [begun], NOW_S), **{**fields, **changes})  # type: ignore[arg-type]


# --- a release that was not asked for so ------------------------------------------------------------------------------
def test_25_a_release_that_waits_for_stable_says_the_way_out() -> None:
    release = release_in(Phase.PREFLIGHT, verdicts={})
    held = after(release, READY, PROBED, CRASHES, at_s=NOW_S + 3_600)
    assert (held.phase, held.ending) == (Phase.ROLLING_BACK, Phase.HELD)
    assert "version 6 is not (CrashLoopBackOff: exit status 78)" in held.reason
    assert "`serin release start intent 7 --because-stable-is-down`" in held.reason


def test_a_release_whose_candidate_is_not_ready_says_nothing_of_it() -> None:
    held = after(release_in(Phase.PREFLIGHT, verdicts={}), CRASHES, at_s=NOW_S + 3_600)
    assert "because-stable" not in held.reason


# --- preflight --------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("condition", [Condition.FAILING, Condition.FAILED])
def test_25_a_fix_goes_on_once_stable_is_seen_failing(condition: Condition) -> None:
    release = replacing(Phase.PREFLIGHT, verdicts={})
    assert after(release, READY, PROBED, Serving("6", condition)).phase is Phase.SUITE


@pytest.mark.parametrize("condition", [Condition.READY, Condition.STARTING, Condition.DISTURBED])
def test_a_stable_that_runs_or_is_kept_from_running_is_compared_with(condition: Condition) -> None:
    """An evicted pod is no reason to leave comparisons out."""
    release = replacing(Phase.PREFLIGHT, verdicts={})
    assert after(release, READY, PROBED, Serving("6", condition)).phase is Phase.PREFLIGHT
    held = after(release, READY, PROBED, Serving("6", condition), at_s=NOW_S + 3_600)
    assert (held.phase, held.ending) == (Phase.ROLLING_BACK, Phase.HELD)
    assert "was not seen to fail" in held.reason


def test_without_a_word_of_stable_nothing_goes_on() -> None:
    release = replacing(Phase.PREFLIGHT, verdicts={})
    away = Unreachable(Source.DEPLOYMENTS, "no answer for 9 s")
    assert after(release, READY, PROBED, away).phase is Phase.PREFLIGHT


def test_where_neither_version_runs_the_fix_is_not_blamed() -> None:
    """What neither can do is for want of something that both need."""
    both = (Serving("7", Condition.FAILED, "no image"), Serving("6", Condition.FAILED, "no image"))
    held = after(replacing(Phase.PREFLIGHT, verdicts={}), *both)
    assert (held.ending, held.blamed) == (Phase.HELD, ())


# --- judged by its suites ---------------------------------------------------------------------------------------------
def test_25_the_floors_of_its_suites_take_it_all_the_way_and_nothing_is_compared() -> None:
    release = after(replacing(Phase.SUITE), PASSED, READY, CRASHES)
    assert (release.phase, release.faults) == (Phase.PROMOTING, {})
    assert release.reason == "It meets its absolute floors, and takes the place of version 6, which cannot run."
    assert plan(release, NOW_S) == (
        Serve(STABLE),  # tried on for its users, until they have another
        Serve(CANDIDATE),
        CheckChampion(CANDIDATE, STABLE),
        Route({"7": 100.0}, None, None, takes_up_override=False, replaces_edit=False),
    )
    routed = after(release, Routed({"7": 100.0}, 2), CRASHES)
    assert MoveChampion(CANDIDATE, STABLE) in plan(routed, NOW_S)
    assert after(routed, AliasAt("7"), CRASHES).phase is Phase.PROMOTED


@pytest.mark.parametrize("outcome", [Outcome.INCONCLUSIVE, Outcome.ERROR])
def test_missing_evidence_is_no_pass_for_a_fix_either(outcome: Outcome) -> None:
    release = after(replacing(Phase.SUITE), suites_run(verdict("accuracy.suite", outcome, Stage.SUITE)), CRASHES)
    assert (release.phase, release.ending) == (Phase.ROLLING_BACK, Phase.HELD)


def test_a_fix_below_its_floors_is_rejected_and_the_traffic_is_left_alone() -> None:
    release = after(replacing(Phase.SUITE), suites_run(verdict("accuracy.suite", Outcome.FAIL, Stage.SUITE)), CRASHES)
    assert (release.phase, release.ending) == (Phase.ROLLING_BACK, Phase.REJECTED)
    assert not [action for action in plan(release, NOW_S) if isinstance(action, Route)]
    assert after(release, CRASHES).phase is Phase.REJECTED


def test_without_suites_a_fix_waits_for_a_person() -> None:
    release = after(replacing(Phase.SUITE, policy=dataclasses.replace(POLICY, suites=())), CRASHES)
    assert release.ending is Phase.HELD
    assert release.reason == (
        "A version that takes the place of one that cannot run is judged by suites, and the policy names none."
    )


def test_a_freeze_holds_a_fix_too() -> None:
    assert after(replacing(Phase.SUITE), PASSED, FrozenBy(FREEZE), CRASHES).ending is Phase.HELD


# --- what people ask --------------------------------------------------------------------------------------------------
def test_what_is_asked_for_begins_as_it_was_asked() -> None:
    table = TrafficTable(MODEL, {"6": 100.0}, known_good=None, generation=1)
    for ask, replaces in ((Ask.START, False), (Ask.REPLACE, True)):
        word = command(ask, version="7")
        begin = intake(Seen(MODEL, None, table, [word], identified={"7": CANDIDATE})).begin
        assert begin == Begin(Purpose.PROMOTE, CANDIDATE, "ana", "I say so", word)
        assert begin.replaces is replaces


def test_what_would_come_of_it_is_said_before() -> None:
    table = TrafficTable(MODEL, {"6": 100.0}, known_good=None, generation=1)
    said = foresee(Ask.REPLACE, Standing(MODEL, None, table), "7").sentence
    assert "Once version 6 is seen to fail, version 7 takes its place on its suites' floors alone" in said
    assert "no version is kept warm to go back to" in said
    first = foresee(Ask.REPLACE, Standing(MODEL, None, None), "7").sentence
    assert first == "A release of version 7 begins."


# --- through the loop -------------------------------------------------------------------------------------------------
@pytest.fixture
def world(tmp_path) -> World:
    return World(tmp_path, policy=with_suite(tmp_path))


def down(world: World) -> World:
    world.given()
    world.deployments.kill(MODEL, "6", "CrashLoopBackOff")
    return world


def test_25_a_crash_looping_stable_does_not_block_its_fix(world: World) -> None:
    down(world).register("v7", GOOD)
    world.when_asked(Ask.REPLACE, version="v7", reason="6 leaks").when_settled()
    assert (world.weights, world.champion) == ({"v7": 100}, "v7")
    assert world.ends == [("v7", Phase.PROMOTED)]
    assert world.report.blames("accuracy") is False
    assert (world.release.replaced, world.release.stable) == (Version("6", *_identity(world)), None)


def test_an_abort_gives_users_back_to_the_version_whose_place_was_taken(world: World) -> None:
    """They are not left on a version that somebody aborted, nor is the former one ended."""

    def interrupt(call: str) -> None:
        if call == "before registry.move_alias":
            world.registry.away = "away"

    down(world).register("v7", GOOD)
    world.interrupt = interrupt
    world.when_asked(Ask.REPLACE, version="v7", reason="6 leaks")
    world.when(lambda: world.release.phase is Phase.PROMOTING and world.weights == {"v7": 100})
    world.when_asked(Ask.ABORT, reason="it is worse")
    world.when(lambda: world.weights == {"v6": 100}, within_s=300)
    world.interrupt, world.registry.away = lambda _: None, None
    world.when_settled()
    assert (world.release.phase, world.weights, world.champion) == (Phase.ABORTED, {"v6": 100}, "v6")
    assert "v6" in world.running


def test_25_a_fix_that_is_worse_than_its_floors_is_turned_down(world: World) -> None:
    down(world).register("v7", Behaviour(accuracy=0.4))
    world.when_asked(Ask.REPLACE, version="v7").when_settled()
    assert world.weights == {"v6": 100}
    assert world.ends == [("v7", Phase.REJECTED)]


def test_a_stable_that_runs_holds_what_was_asked_in_its_place(world: World) -> None:
    world.given().register("v7", GOOD)
    world.when_asked(Ask.REPLACE, version="v7").when_phase(Phase.HELD)
    assert (world.weights, world.champion) == ({"v6": 100}, "v6")


def _identity(world: World) -> tuple[str, str]:
    replaced = world.release.replaced
    assert replaced is not None
    return replaced.source_id, replaced.fingerprint
