"""The controller is killed, interrupted or doubled: the same end is reached, once, and users never notice."""

import random
from dataclasses import replace
from pathlib import Path

import pytest

from controller.core.commands import Ask
from controller.core.policy import Step
from controller.core.release import TERMINAL, Phase
from controller.errors import TransientError
from gates.policy import GatePolicy
from tests.controller.service import ERRORING, GOOD, Behaviour
from tests.controller.world import GATES, POLICY, KilledError, World, write_suite

# What a crash can spoil does not depend on how much evidence a gate wants: two gates, one step.
QUICK = replace(
    POLICY,
    steps=(Step(50.0, min_s=10, min_requests=100),),
    probation_s=180.0,  # what is bad is found in some looks, and some of them are lost here
    gates=GatePolicy(
        incident_s=0.0,
        accuracy_shadow=None,
        accuracy_live=None,
        accuracy_slices=None,
        calibration_shadow=None,
        latency=None,
        experiment=None,
        drift=None,
        limits=None,
        errors_shadow=GATES.errors_shadow,
        errors_live=GATES.errors_live,
    ),
)
WRITES = {
    "journal.append",
    "traffic.write",
    "registry.move_alias",
    "registry.drop_alias",
    "registry.tag",
    "registry.fetch",
    "deployments.remove",
    "freezes.freeze",
}
LATE = Behaviour(error_ratio=0.3)


def quick(directory: Path) -> World:
    """Version 6 serves, and no gate asks for samples."""
    world = World(directory, policy=QUICK)
    world.service.captured = 0.0
    return world.given()


def play_promotion(world: World) -> World:
    return world.given_candidate("v7", GOOD).when_phase(Phase.PROMOTED).when_time_passes(20)


def play_rollback(world: World) -> World:
    return world.given_candidate("v7", ERRORING).when_settled().when_time_passes(20)


def play_late_rollback(world: World) -> World:
    """Promoted, and found to be bad in probation."""
    world.given_candidate("v7", GOOD).when_phase(Phase.PROBATION)
    world.service.behaviours["7"] = LATE
    return world.when(lambda: world.release.phase in TERMINAL).when_time_passes(20)


def play_override(world: World) -> World:
    """Promoted, and left by a person past the controller."""
    world.given_candidate("v7", GOOD).when_phase(Phase.PROMOTED)
    return world.when_traffic_is_moved("v6").when(lambda: world.ends[-1] == ("v6", Phase.PROMOTED))


STORIES = {
    play_promotion: ([("v7", Phase.PROMOTED)], {"v7": 100}, [("champion", "7")]),
    play_rollback: ([("v7", Phase.ROLLED_BACK)], {"v6": 100}, []),
    play_late_rollback: ([("v7", Phase.ROLLED_BACK)], {"v6": 100}, [("champion", "7"), ("champion", "6")]),
    play_override: (
        [("v7", Phase.PROMOTED), ("v6", Phase.PROMOTED)],
        {"v6": 100},
        [("champion", "7"), ("champion", "6")],
    ),
}
each_story = pytest.mark.parametrize("play", STORIES)


def assert_same_end(world, play):
    ends, weights, moves = STORIES[play]
    assert (world.ends, world.weights, world.registry.moved) == (ends, weights, moves)
    for report in world.reports:  # each read from the journal and replayed
        assert [phase for phase in report.phases if phase in TERMINAL] == [report.release.phase]
    assert world.freezes.in_force() == () or play is not play_promotion


def names_a_healthy_version(world):
    """Whoever the table sends users to answers them."""
    table = world.traffic.read("intent")
    statuses = world.deployments.status("intent")
    return all(statuses[version].ready for version in table.weights_pct)


class Points:
    """Counts the points of a story at which a test may interfere."""

    def __init__(self, interfere, only=frozenset()):
        self.seen = 0
        self._interfere = interfere
        self._only = only

    def __call__(self, point):
        if not self._only or point.split()[1] in self._only:
            self.seen += 1
            self._interfere(self.seen, point)


def writes_of(play, directory):
    """How many points before and after writes the story has when nobody interferes."""
    world = quick(directory)
    points = Points(lambda *_: None, WRITES)
    world.interrupt = points
    play(world)
    assert_same_end(world, play)
    return points.seen


@each_story
def test_killed_before_or_after_any_write_the_same_end_is_reached_once(tmp_path, play):
    """Journal first: no double promotion, no lost rollback. Each point in turn, with a fresh world each."""
    total = writes_of(play, tmp_path / "undisturbed")
    killed_at = range(1, total + 1, 2 if play in (play_late_rollback, play_override) else 1)
    for nth in killed_at:

        def kill(seen, _, nth=nth):
            if seen == nth:
                raise KilledError

        world = quick(tmp_path / f"killed-{nth}")
        world.interrupt = Points(kill, WRITES)
        play(world)
        assert_same_end(world, play)
        assert world.service.unanswered == 0


@each_story
@pytest.mark.parametrize("every", [47, 53, 61])
def test_killed_again_and_again_the_same_end_is_reached(tmp_path, play, every):
    def kill(seen, _):
        if seen % every == 0:
            raise KilledError

    world = quick(tmp_path)
    world.interrupt = Points(kill)
    play(world)
    assert_same_end(world, play)


@each_story
def test_at_any_point_the_traffic_table_names_a_healthy_version(tmp_path, play):
    def look(_, point):
        assert names_a_healthy_version(world), point

    world = quick(tmp_path)
    world.interrupt = Points(look)
    play(world)
    assert world.interrupt.seen > 100


@each_story
@pytest.mark.parametrize("seed", range(8))
def test_ports_that_fail_now_and_then_change_nothing_of_the_end(tmp_path, play, seed):
    """Whether a call failed before it was done, or was done and its answer lost."""
    luck = random.Random(seed)

    def fail(_, point):
        if luck.random() < 0.05:
            raise TransientError(point.split()[1].split(".")[0], f"lost {point}")

    world = quick(tmp_path)
    world.interrupt = Points(fail)
    play(world)
    assert_same_end(world, play)


def test_killed_with_an_operators_word_waiting_the_word_is_taken_up_once(tmp_path):
    """A command leaves the inbox in the transaction that records what followed from it."""
    for point_of_death in ("before journal.append", "after journal.append"):
        world = quick(tmp_path / point_of_death.split()[0]).given_candidate("v7", GOOD).when_phase(Phase.CANARY)

        def kill(point, world=world, point_of_death=point_of_death):
            if point == point_of_death:
                world.interrupt = lambda _: None
                raise KilledError

        world.when_asked(Ask.ABORT)
        world.interrupt = kill
        world.when_settled()
        assert (world.ends, world.weights) == ([("v7", Phase.ABORTED)], {"v6": 100})
        assert list(world.inbox.answered.values()) == ["taken up"]


def test_an_alias_moved_just_before_a_crash_is_moved_back_by_a_rollback(tmp_path):
    """The move was done and not recorded; then the version is aborted while the registry is away."""
    world = quick(tmp_path).given_candidate("v7", GOOD)

    def kill(point):
        if point == "after registry.move_alias":
            world.registry.away = "MLflow is away"
            world.interrupt = lambda _: None
            raise KilledError

    world.interrupt = kill
    world.when_phase(Phase.PROMOTING)
    world.when_asked(Ask.ABORT).when_time_passes(20)
    assert world.weights == {"v6": 100}
    world.registry.away = None
    world.when_settled()
    assert (world.release.phase, world.champion) == (Phase.ABORTED, "v6")


@pytest.mark.parametrize("point_of_death", ["before journal.append", "after journal.append"])
def test_killed_where_suites_are_recorded_their_evidence_is_kept_once(tmp_path, point_of_death):
    """Evidence and verdicts are written in one step: after it they stand, before it the suites are run again."""
    world = World(tmp_path, policy=replace(QUICK, suites=(str(write_suite(tmp_path / "suite.jsonl")),)))
    world.service.captured = 0.0
    world.given().given_candidate("v7", GOOD)

    def kill(point):
        if world.journal.releases() and world.release.phase is Phase.SUITE and point == point_of_death:
            world.interrupt = never
            raise KilledError

    def never(_):
        pass

    world.interrupt = kill
    world.when_phase(Phase.PROMOTED)
    assert world.interrupt is never
    entries = world.journal.entries(world.release.id)
    (kept,) = [entry for entry in entries if entry.entry.payload.get("suites")]
    assert [verdict["gate"] for verdict in kept.entry.payload["verdicts"]] == ["accuracy.suite", "calibration.suite"]
    assert world.ends == [("v7", Phase.PROMOTED)]


def test_two_controllers_at_once_promote_once(tmp_path):
    """The journal lets one of them write; the other reads again. No lease is needed for safety, only for peace."""
    world = quick(tmp_path).given_candidate("v7", GOOD)
    second = world._start_controller()

    def both(point):
        if point == "before journal.append" and not running:
            running.append(point)
            second.tick()
            running.clear()

    running: list[str] = []
    world.interrupt = both
    world.when_settled().when_phase(Phase.PROMOTED)
    assert_same_end(world, play_promotion)


def test_a_start_that_could_not_be_recorded_is_tried_again(tmp_path):
    world = quick(tmp_path).given_candidate("v7", GOOD)

    def fail(point):
        if point == "before journal.append":
            world.interrupt = lambda _: None
            raise TransientError("journal", "the database is locked")

    world.interrupt = fail
    world.when_settled().when_phase(Phase.PROMOTED)
    assert world.ends == [("v7", Phase.PROMOTED)]
