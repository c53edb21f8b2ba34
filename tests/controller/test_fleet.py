"""Rounds over several models with real threads: what hangs with one keeps no other from its rollback or its abort."""

import math
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from controller.core.commands import Ask
from controller.core.release import Phase
from controller.loop.calm import next_moment_s
from controller.loop.jobs import InlineJobs, Running, ThreadedJobs
from tests.controller.releases import release_in
from tests.controller.service import GOOD
from tests.controller.world import World, with_suite
from tests.fakes.clock import FakeClock
from tests.patience import PATIENCE_S, eventually


class Switched:
    """Jobs that are done at once until a test wants threads, and the port's call at which everything hangs."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._inline, self._threaded = InlineJobs(), ThreadedJobs(world.clock, workers=2)
        self.hangs_at = ""
        self.let_go = threading.Event()
        self.hung = threading.Event()
        world.interrupt = self._interrupt

    def _interrupt(self, call: str) -> None:
        if call == self.hangs_at:
            self.hung.set()
            self.let_go.wait(PATIENCE_S)

    def ask(self, *job: Any, **named: Any) -> Any:
        return (self._threaded if self.hangs_at else self._inline).ask(*job, **named)

    def close(self) -> None:
        self.let_go.set()
        self._threaded.close()


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    world = World(tmp_path)
    world.jobs = Switched(world)
    world.restart()
    yield world
    world.jobs.close()


@pytest.mark.parametrize(
    ("phase", "hangs_at", "ask"),
    [
        (Phase.PROMOTING, "before registry.move_alias", Ask.ABORT),
        (Phase.PROMOTING, "before registry.aliases", Ask.ABORT),
        (Phase.CANARY, "before metrics.counts", Ask.ABORT),
        (Phase.CANARY, "before samples.since", Ask.ROLLBACK),
        (Phase.PROBATION, "before metrics.gateway", Ask.ROLLBACK),
        (Phase.CANARY, "before deployments.ensure", Ask.ABORT),
    ],
)
def test_a_persons_word_waits_for_nothing_that_hangs(world: World, phase: Phase, hangs_at: str, ask: Ask) -> None:
    """A hung MLflow made rounds of 37 s, and promoted against an abort."""
    jobs = world.jobs
    world.given(candidate=GOOD).when_phase(Phase.CANARY)
    if phase is Phase.PROMOTING:
        world.registry.away = "away"
        world.when_phase(phase)
        world.registry.away = None
    elif phase is Phase.PROBATION:
        world.when_phase(phase)
    jobs.hangs_at = hangs_at
    world.clock.pass_s(10)
    eventually(lambda: (world.tick(), jobs.hung.is_set())[1], what="the hung call")
    world.when_asked(ask)
    eventually(lambda: (world.tick(), world.weights == {"v6": 100})[1], what="everything back on stable")
    jobs.let_go.set()
    eventually(lambda: (world.tick(), world.release.phase in (Phase.ABORTED, Phase.ROLLED_BACK))[1], what="the end")
    assert (world.weights, world.champion) == ({"v6": 100}, "v6")
    assert [number for alias, number in world.registry.moved if alias == "champion"] in ([], ["7", "6"])


def test_an_abort_waits_for_no_suite_that_hangs(world: World, tmp_path: Path) -> None:
    jobs = world.jobs
    world.policy = with_suite(tmp_path)
    world.restart()
    jobs.hangs_at = "before replicas.probabilities"
    world.given(candidate=GOOD)
    passing = lambda: (world.clock.pass_s(1), world.tick())  # noqa: E731
    eventually(lambda: (passing(), jobs.hung.is_set())[1], what="the suite to hang")
    assert world.release.phase is Phase.SUITE
    world.when_asked(Ask.ABORT)
    eventually(lambda: (passing(), world.release.phase is Phase.ABORTED)[1], what="the abort")
    assert world.weights == {"v6": 100}


def test_a_word_that_comes_within_the_round_stops_what_cannot_be_undone(tmp_path: Path) -> None:
    """The abort is put in after the round looked for commands, before the alias is moved."""
    world = World(tmp_path).given(candidate=GOOD).when_phase(Phase.CANARY, step=1)

    def interrupt(call: str) -> None:
        if call == "after registry.aliases" and world.release.phase is Phase.PROMOTING:
            world.interrupt = lambda _: None
            world.when_asked(Ask.ABORT)

    world.interrupt = interrupt
    world.when(lambda: world.release.phase is Phase.ABORTED)
    assert (world.weights, world.champion) == ({"v6": 100}, "v6")
    assert not [table for table in world.traffic.history if table.weights_pct == {"7": 100.0}]
    assert world.registry.moved == []


def test_a_model_that_is_still_being_seen_to_is_not_begun_again() -> None:
    """The round says so, and the loop comes back soon for who was waiting."""
    jobs, go = ThreadedJobs(FakeClock(), workers=1), threading.Event()
    assert isinstance(jobs.ask("models", "intent", 1, lambda: go.wait(PATIENCE_S), patience_s=0), Running)
    second = jobs.ask("models", "intent", 2, lambda: None, patience_s=0)
    assert isinstance(second, Running)
    assert second.purpose == 1
    go.set()
    jobs.close()


@pytest.fixture
def calm(tmp_path: Path) -> World:
    """A release in shadow of which nothing is in a hurry: looks each 10 s, a glance each 5 s."""
    world = World(tmp_path).given(candidate=GOOD)
    world.calm_s = 5.0
    world.restart()
    return world.when_phase(Phase.SHADOW).when(lambda: world.release.looks > 0)


def test_a_turn_comes_with_each_look_and_none_between(calm: World) -> None:
    """Hundreds of models cost next to nothing at each round, and each is looked at when it is due."""
    asked: list[str] = []
    calm.interrupt = asked.append
    looks = calm.release.looks
    for _ in range(30):
        calm.clock.pass_s(1)
        calm.tick()
    assert calm.release.looks == looks + 3
    turns = asked.count("before metrics.counts")
    assert turns == 3
    assert asked.count("before deployments.ensure") <= 2 * (turns + 1)  # one more may be owed to a change of phase


@pytest.mark.parametrize("dies", ["6", "7"])
def test_a_glance_sees_a_version_that_does_not_run(calm: World, dies: str) -> None:
    """No look is due, and nobody asked for anything."""
    calm.clock.pass_s(1)
    calm.tick()
    calm.deployments.kill("intent", dies)
    for _ in range(7):
        calm.clock.pass_s(1)
        calm.tick()
    assert calm.release.phase is not Phase.SHADOW or calm.release.faults


def test_a_glance_sees_what_a_person_did_to_the_traffic(calm: World) -> None:
    calm.when_traffic_is_moved("6")
    looks = calm.release.looks
    for _ in range(7):
        calm.clock.pass_s(1)
        calm.tick()
    assert calm.release.phase is Phase.ROLLED_BACK
    assert calm.release.looks <= looks + 1


def test_a_word_does_not_wait_for_a_turn(calm: World) -> None:
    calm.when_asked(Ask.ABORT)
    calm.tick()
    calm.tick()
    assert calm.release.phase is Phase.ABORTED


def test_the_end_of_a_step_is_a_turn() -> None:
    """Neither a deadline nor the time of a step waits for the next look."""
    release = release_in(Phase.CANARY, phase_since_s=100.0, deadline_at_s=400.0)
    ends_s = 100.0 + release.canary_step.min_s
    assert next_moment_s(release, after_s=ends_s - 1) == ends_s
    assert next_moment_s(release, after_s=ends_s) == 400.0
    assert next_moment_s(release, after_s=400.0) == math.inf
    assert next_moment_s(replace(release, phase=Phase.HELD), after_s=0.0) == math.inf
