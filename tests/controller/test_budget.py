"""A service that burns its own error budget gets no new version until it has recovered."""

from dataclasses import replace
from pathlib import Path

import pytest

from controller.core.policy import ReleasePolicy
from controller.core.release import Phase
from controller.loop.error_budget import ErrorBudget
from gates.policy import BudgetPolicy, GatePolicy
from gates.stats.burn import BurnWindow
from tests.controller.service import GOOD, LESS_ACCURATE
from tests.controller.world import World
from tests.fakes.clock import FakeClock
from tests.fakes.metrics import FakeMetrics

BURNING = (500, 10_000)  # 50 times what 99.9 % allows
FINE = (5, 10_000)


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


def test_a_release_does_not_begin_while_the_service_burns_and_begins_by_itself_afterwards(world: World) -> None:
    """No person has to lift anything; the reason is on record and in the status meanwhile."""
    world.service.metrics.burning = BURNING
    world.given(candidate=GOOD).when_phase(Phase.PENDING).when_time_passes(300)
    assert world.release.phase is Phase.PENDING
    assert "50.0 times too fast over 1 h" in world.release.faults["error budget"]
    assert "releases wait from 14.4 times" in world.release.faults["error budget"]
    assert world.weights == {"v6": 100}
    world.service.metrics.burning = FINE
    world.when_settled()
    assert (world.weights, world.release.faults) == ({"v7": 100}, {})


def test_a_release_in_progress_exposes_no_more_users_while_the_service_burns(world: World) -> None:
    """It stays at its step, and goes on afterwards."""
    world.given(candidate=GOOD).when_phase(Phase.CANARY)
    step = world.release.step
    world.service.metrics.burning = BURNING
    world.when_time_passes(300)
    assert (world.release.phase, world.release.step) == (Phase.CANARY, step)
    assert "error budget" in world.release.faults
    world.service.metrics.burning = None
    world.when_settled()
    assert world.weights == {"v7": 100}


def test_a_worse_candidate_is_rolled_back_all_the_same(world: World) -> None:
    """Only the way forward is held."""
    world.given(candidate=LESS_ACCURATE).when_phase(Phase.SHADOW)
    world.service.metrics.burning = BURNING
    world.when_settled()
    assert (world.release.phase, world.report.blames("accuracy")) == (Phase.ROLLED_BACK, True)


def test_a_release_does_not_begin_while_nobody_can_tell(world: World) -> None:
    """No data is no budget; it goes on when the metrics are back."""
    world.service.metrics.away = "connection refused"
    world.given(candidate=GOOD).when_phase(Phase.PENDING).when_time_passes(60)
    assert world.release.phase is Phase.PENDING
    assert world.release.faults == {
        "error budget": "How fast the service burns its error budget is not known: connection refused"
    }
    world.service.metrics.away = None
    world.when_phase(Phase.SHADOW)
    assert world.release.faults == {}


def test_a_policy_without_a_table_asks_nobody(tmp_path: Path) -> None:
    policy = World(tmp_path).policy
    calm = replace(policy, gates=replace(policy.gates, budget=replace(BudgetPolicy(), service_windows=())))
    world = World(tmp_path, policy=calm)
    world.service.metrics.burning = BURNING
    world.given(candidate=GOOD).when_settled()
    assert world.weights == {"v7": 100}


# --- the watch --------------------------------------------------------------------------------------------------------
class Counted(FakeMetrics):
    """Counts how often it is asked."""

    asked = 0

    def service_errors(self, model, windows_s, *, at_s):  # type: ignore[no-untyped-def]
        self.asked += 1
        return super().service_errors(model, windows_s, at_s=at_s)


def watched(burning: tuple[int, int], **changes: object) -> tuple[ErrorBudget, Counted, FakeClock, ReleasePolicy]:
    metrics, clock = Counted(), FakeClock()
    metrics.burning = burning
    policy = ReleasePolicy("intent", gates=GatePolicy(budget=replace(BudgetPolicy(), **changes)))  # type: ignore[arg-type]
    return ErrorBudget(metrics, clock), metrics, clock, policy


def test_it_asks_seldom_and_says_the_same_while_the_same_rows_fire() -> None:
    """Days of samples are not read at each round, and the journal is not filled with numbers that move."""
    watch, metrics, clock, policy = watched(BURNING)
    first = watch.overspent(policy)
    metrics.burning = (600, 10_000)
    assert (watch.overspent(policy), metrics.asked) == (first, 1)
    clock.pass_s(20)
    assert (watch.overspent(policy), metrics.asked) == (first, 2)
    metrics.burning = FINE
    clock.pass_s(20)
    assert watch.overspent(policy) is None


@pytest.mark.parametrize(
    ("burning", "holds"), [((0, 0), False), ((9, 9), False), ((10, 9_999), True), ((10, 10_001), False)]
)
def test_few_errors_hold_nothing_and_many_do(burning: tuple[int, int], *, holds: bool) -> None:
    """Nine errors of nine requests are a small service on a bad minute; ten of too many are within the budget."""
    watch, _, _, policy = watched(burning)
    assert (watch.overspent(policy) is not None) is holds


def test_windows_are_data() -> None:
    """A table of one's own: the factor follows from it."""
    row = BurnWindow(budget_ratio=0.5, long_s=7_200.0, short_s=60.0)
    watch, _, _, policy = watched((100, 10_000), service_windows=(row,), period_s=72_000.0)
    assert "10.0 times too fast over 2 h" in str(watch.overspent(policy))
    assert "(releases wait from 5 times)" in str(watch.overspent(policy))
