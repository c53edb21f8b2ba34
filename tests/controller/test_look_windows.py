"""What a look carries: its window is the time that its counts cover, and both versions are told of alike."""

from dataclasses import replace
from pathlib import Path

import pytest

from controller.core.events import Looked
from controller.core.policy import Step
from controller.core.release import Phase
from controller.journal.codec import event_of
from gates.evidence import ArmCounts, Look
from gates.outcome import Outcome
from gates.policy import LimitPolicy
from serving.contract import USER_EDGES_MS, USER_PARTS, latency_edges_ms
from tests.controller.service import GOOD
from tests.controller.world import POLICY, World
from tests.fakes.metrics import Levels

PRICED = replace(POLICY, gates=replace(POLICY.gates, limits=LimitPolicy(replica_hour_price=3.6)))


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path, policy=PRICED).given(candidate=GOOD)


def looks(world: World) -> list[Looked]:
    events = (event_of(recorded.entry) for recorded in world.journal.entries(world.release.id))
    return [event for event in events if isinstance(event, Looked)]


def last(world: World) -> Look:
    return looks(world)[-1].look


def test_after_an_outage_the_window_covers_what_is_counted(world: World) -> None:
    """The counts of the first look after it began before it; the looks meanwhile counted nothing. No gate objects."""
    world.when_phase(Phase.SHADOW).when(lambda: world.release.looks > 3)
    before = last(world)
    world.service.metrics.away = "connection refused"
    world.when_time_passes(50)
    during = last(world)
    assert during.faults
    assert during.window.start_s > before.window.end_s
    world.service.metrics.away = None
    world.when_time_passes(10)
    after = looks(world)[-1]
    assert after.look.window.start_s == before.window.end_s
    assert after.look.stable is not None
    assert after.look.stable.requests == pytest.approx(
        world.service.requests_per_s * after.look.window.length_s, rel=0.2
    )
    assert not [v.gate for v in after.verdicts if v.outcome is Outcome.ERROR]
    world.when_time_passes(10)
    assert last(world).window.start_s == after.look.window.end_s


def test_a_look_tells_what_both_versions_used_and_answered(world: World) -> None:
    """Of one window; the reference once, with the first look."""
    world.service.metrics.levels["7"] = Levels(memory_ratio=0.5, queue_depth=2.0)
    world.when_phase(Phase.CANARY, step=1).when_time_passes(10)
    look = last(world)
    assert look.stable_profile is not None
    assert look.candidate_profile is not None
    assert look.candidate_resources is not None
    assert look.classes == ("cancel", "refund", "track")
    assert sum(look.candidate_profile.class_counts) == sum(look.candidate_profile.confidence_counts) > 0
    assert sum(look.candidate_profile.token_counts) == sum(look.candidate.latency_counts)  # type: ignore[union-attr]
    assert (len(look.tokenizer_pinned), look.tokens_max) == (64, 128)
    assert (look.candidate_resources.memory_ratio, look.candidate_resources.queue_depth) == (0.5, 2.0)
    assert look.candidate_resources.restarts == 0
    assert look.candidate_resources.cost == pytest.approx(3.6 * look.window.length_s / 3600)
    assert look.candidate_resources.requests_per_busy_s == pytest.approx(100.0)
    assert [bool(event.look.reference) for event in looks(world)].count(True) <= 1


def test_looks_of_a_warm_up_say_so(tmp_path: Path) -> None:
    """From the first at a new share on, until all of a window is after it; and again after a version was started by us.
    In shadow no user waits for the candidate."""
    world = World(tmp_path, policy=replace(PRICED, warm_up_s=25.0)).given(candidate=GOOD)
    world.when_phase(Phase.SHADOW).when(lambda: world.release.looks > 1)
    assert not last(world).warming
    world.when_phase(Phase.CANARY).when_time_passes(30)
    seen = [event.look for event in looks(world) if event.look.candidate_share == 0.1]
    assert [look.warming for look in seen] == [True, True, True]
    world.when_time_passes(10)
    assert not last(world).warming
    assert world.release.step == 0  # its least time begins once it is warm
    world.when_phase(Phase.CANARY, step=1).when_time_passes(10)
    assert last(world).warming
    world.when_time_passes(30)
    assert not last(world).warming
    world.deployments.restart()
    world.when_time_passes(40)  # it answers again, and what users got begins to count
    assert last(world).warming
    world.when_time_passes(60)
    assert not last(world).warming


def test_restarts_are_those_since_the_first_look(world: World) -> None:
    """Of the replica, by whoever keeps it running, and of its workers, by itself."""
    world.when_phase(Phase.SHADOW).when(lambda: world.release.looks > 2)
    world.deployments.restarts["7"] = 3
    world.service.metrics.use("intent", "7", worker_restarts=2)
    world.when_time_passes(10)
    assert last(world).candidate_resources.restarts == 5  # type: ignore[union-attr]
    world.when_time_passes(10)
    assert last(world).candidate_resources.restarts == 5  # type: ignore[union-attr]


def test_a_reference_that_cannot_be_read_at_first_is_read_later(world: World) -> None:
    """Its store was away: once it is back, the reference comes with the look."""
    world.service.samples.away = "the database did not answer"
    world.when_phase(Phase.SHADOW).when(lambda: world.release.looks > 2)
    assert not world.release.cursors.reference_read
    world.service.samples.away = None
    world.when_time_passes(20)
    assert world.release.cursors.reference_read
    assert [bool(event.look.reference) for event in looks(world)].count(True) == 1


def test_a_replica_with_another_tokenizer_than_the_pinned_one_is_taken_back(world: World) -> None:
    """It quietly makes other token ids of the same texts (mteb 5377)."""
    world.service.metrics.levels["7"] = Levels(tokenizer="letters")
    world.when_settled()
    assert (world.release.phase, world.release.blamed) == (Phase.ROLLED_BACK, ("tokenization.fingerprint",))
    assert "tokenizer letters is not the pinned" in world.release.reason


def test_at_a_step_of_all_traffic_nothing_has_to_pair(tmp_path: Path) -> None:
    """The candidate serves everybody: no other version is left to send copies to, and none to answer them."""
    policy = replace(POLICY, steps=(Step(100.0, min_s=30, min_requests=100),))
    world = World(tmp_path, policy=policy).given(candidate=GOOD)
    world.when_phase(Phase.CANARY).when_time_passes(20)
    due = world.release.cursors.arrived.get("to pair", 0)
    world.when_time_passes(30)
    assert world.weights == {"v7": 100}
    assert world.release.phase is Phase.CANARY
    assert world.release.cursors.arrived.get("to pair", 0) == due


def test_where_users_stick_a_look_tells_of_stables_answers_to_the_candidates_users(world: World) -> None:
    """Beside its own, which those of the same version are held against; while nobody is the candidate's, of nothing."""
    world.traffic.able = replace(world.traffic.able, sticky_header="x-user")
    world.when_phase(Phase.SHADOW).when(lambda: world.release.looks > 1)
    assert (last(world).sticky, last(world).former) == (True, None)
    world.when_phase(Phase.CANARY, step=1).when_time_passes(20)
    look = last(world)
    assert look.former is not None
    assert look.candidate is not None
    assert look.candidate.requests > 0
    assert look.former.requests == pytest.approx(look.candidate.requests, abs=2)


def test_stable_is_told_by_its_replicas_and_where_users_stick_by_these(world: World) -> None:
    two = tuple(ArmCounts(5, 1, (0,) * (len(latency_edges_ms()) + 1)) for _ in range(2))
    parts = tuple(ArmCounts(number, 0, (0,) * (len(USER_EDGES_MS) + 1)) for number in range(USER_PARTS))
    world.service.metrics.parts["6"], world.service.metrics.users["6"] = two, parts
    world.traffic.able = replace(world.traffic.able, sticky_header="x-user")
    world.when_phase(Phase.SHADOW).when(lambda: world.release.looks > 1)
    assert last(world).stable_parts == two
    assert (last(world).stable_users, last(world).users_edges_ms) == (parts, USER_EDGES_MS)


def test_where_each_request_is_dealt_by_itself_no_look_is_larger_for_it(world: World) -> None:
    """A gateway that is told by what to keep users, and another one that deals them, are two."""
    parts = tuple(ArmCounts(number, 0, (0,) * (len(USER_EDGES_MS) + 1)) for number in range(USER_PARTS))
    world.service.metrics.users["6"] = parts
    world.when_phase(Phase.CANARY, step=1).when_time_passes(20)
    assert (last(world).sticky, last(world).former, last(world).stable_users) == (False, None, ())
