"""Parts of the world are away, broken or changed: nothing is promoted for it, and users keep getting answers."""

from dataclasses import replace

import pytest

from controller.core.commands import Ask
from controller.core.policy import OnDeadline
from controller.core.release import Phase
from controller.core.traffic import WriteStage
from controller.errors import PermanentError, Source, TransientError
from tests.controller.service import GOOD, Behaviour
from tests.controller.world import MODEL, POLICY, World, with_suite
from tests.fakes.replicas import FakeReplica

IMPATIENT = replace(POLICY, deadline_s=360.0)


@pytest.fixture
def world(tmp_path):
    return World(tmp_path, policy=IMPATIENT)


# --- evidence ---------------------------------------------------------------------------------------------------------
def test_while_the_metrics_are_away_nothing_is_promoted_and_it_goes_on_when_they_are_back(world):
    """No data is its own state, and it holds (argo 1466; flagger 1035, 1011)."""
    world.given(candidate=GOOD).when_phase(Phase.CANARY)
    world.service.metrics.away = "connection refused"
    world.when_time_passes(60)
    assert (world.release.phase, world.release.step) == (Phase.CANARY, 0)
    assert world.release.faults == {"metrics": "connection refused", "gateway": "connection refused"}
    world.service.metrics.away = None
    world.when_settled()
    assert (world.weights, world.release.faults) == ({"v7": 100}, {})
    assert world.service.unanswered == 0


@pytest.mark.parametrize(
    ("on_deadline", "end"), [(OnDeadline.HOLD, Phase.HELD), (OnDeadline.ROLL_BACK, Phase.ROLLED_BACK)]
)
def test_metrics_that_stay_away_end_the_release_at_its_deadline_with_users_on_stable(tmp_path, on_deadline, end):
    """An outage is not read as a bad model: no gate is blamed for it."""
    world = World(tmp_path, policy=replace(IMPATIENT, on_deadline=on_deadline)).given(candidate=GOOD)
    world.when_phase(Phase.CANARY)
    world.service.metrics.away = "connection refused"
    world.when_settled(within_s=400)
    assert (world.release.phase, world.release.blamed) == (end, ())
    assert "connection refused" in world.release.reason
    assert (world.weights, world.champion) == ({"v6": 100}, "v6")


def test_a_step_of_a_clock_elsewhere_blinds_for_a_minute_and_blames_nobody(world):
    """Envoy's uptime fell by five seconds where Prometheus's clock was not set: ten minutes without a look."""
    world.given(candidate=GOOD).when_phase(Phase.CANARY).when_time_passes(20)
    world.service.metrics.doubted_s = world.clock.now_s()
    world.when_time_passes(50)
    assert set(world.release.faults) == {"metrics", "gateway"}
    assert "ambiguous: two processes answer as one" in world.release.faults["gateway"]
    assert world.release.phase is Phase.CANARY
    world.when_time_passes(40)
    assert world.release.faults == {}
    world.when_settled()
    assert (world.weights, world.release.faults) == ({"v7": 100}, {})


def test_a_controller_that_lost_its_lease_in_the_middle_of_a_round_changes_nothing_outside(world):
    """The store's fence keeps it from the journal alone; it slept, and another one leads since."""
    world.given(candidate=GOOD).when_phase(Phase.CANARY)
    before = (world.weights, world.champion, world.traffic.read(MODEL).generation)
    world.leads = False
    world.when_time_passes(60)
    assert (world.weights, world.champion, world.traffic.read(MODEL).generation) == before
    assert "another controller leads for this database" in world.release.faults["traffic"]
    world.leads = True
    world.when_settled()
    assert (world.champion, world.release.blamed) == ("v7", ())


def test_without_labels_a_candidate_is_held_at_its_deadline(world):
    world.given(candidate=GOOD).when_phase(Phase.SHADOW)
    world.service.samples.away = "the labels' database did not answer"
    world.when_settled(within_s=400)
    assert world.release.phase is Phase.HELD
    assert "7" not in world.service.answered


def test_without_traffic_nothing_is_proven(world):
    """Zero traffic counted as failure, or as success (flagger 1035, 1011)."""
    world.given(candidate=GOOD)
    world.service.requests_per_s = 0
    world.when_settled(within_s=400)
    assert (world.release.phase, world.release.blamed) == (Phase.HELD, ())


def test_nothing_is_counted_twice_over_an_outage(world):
    """The same cursor is used again: what happened meanwhile is read once, when it can be read."""
    world.given(candidate=GOOD).when_phase(Phase.CANARY)
    world.service.metrics.away = "connection refused"
    world.when_time_passes(60)
    world.service.metrics.away = None
    world.when_settled()
    counted = world.release.verdicts["errors.live"].samples
    assert counted <= world.service.answered["7"]


# --- the registry -----------------------------------------------------------------------------------------------------
def test_a_rollback_does_not_wait_for_the_registry_which_is_caught_up_later(world):
    """Rollback needs nothing."""
    world.given(candidate=GOOD).when_phase(Phase.PROBATION)
    world.registry.away = "MLflow is away"
    world.when_asked(Ask.ROLLBACK).when_time_passes(20)
    assert (world.weights, world.release.phase) == ({"v6": 100}, Phase.ROLLING_BACK)
    world.registry.away = None
    world.when_settled()
    assert (world.champion, world.release.phase) == ("v6", Phase.ROLLED_BACK)


def test_a_promotion_waits_for_the_registry_and_then_is_done_once(world):
    world.given(candidate=GOOD).when_phase(Phase.CANARY, step=1)
    world.registry.away = "MLflow is away"
    world.when_phase(Phase.PROMOTING)
    world.when_time_passes(40)
    assert world.release.faults == {"registry": "MLflow is away"}
    world.registry.away = None
    world.when_settled()
    assert (world.release.phase, world.registry.moved) == (Phase.PROBATION, [("champion", "7")])


def test_a_promotion_that_the_registry_never_learns_of_is_held_with_users_on_stable(world):
    world.given(candidate=GOOD).when_phase(Phase.CANARY, step=1)
    world.registry.away = "MLflow is away"
    world.when_settled()
    assert "not promoted by the deadline: MLflow is away" in world.release.reason
    world.registry.away = None
    world.when_time_passes(20)
    assert (world.release.phase, world.weights, world.champion) == (Phase.HELD, {"v6": 100}, "v6")
    assert not [table for table in world.traffic.history if table.weights_pct == {"7": 100.0}]


def test_an_alias_moved_by_somebody_else_holds_the_release(world):
    """Anyone can move `@champion` (mlflow 24742, 7762): stop and say so, before users are moved."""
    world.given(candidate=GOOD).when_phase(Phase.CANARY, step=1)
    world.register("v5", GOOD)
    world.registry.aliases_of["intent"]["champion"] = "5"
    world.when_settled()
    assert (world.release.phase, world.weights) == (Phase.HELD, {"v6": 100})
    assert "'champion' of intent: expected at version 6, found at version 5" in world.release.reason
    assert world.champion == "v5"


def test_an_alias_lost_during_probation_does_not_stop_the_traffic_from_going_back(world):
    world.given(candidate=GOOD).when_phase(Phase.PROBATION)
    world.register("v5", GOOD)
    world.registry.aliases_of["intent"]["champion"] = "5"
    world.when_asked(Ask.ROLLBACK).when_settled()
    assert (world.release.phase, world.weights, world.champion) == (Phase.ROLLED_BACK, {"v6": 100}, "v5")
    assert "The registry is left as found" in world.release.reason


def test_a_candidate_alias_on_a_version_that_is_refused_does_not_disturb_a_release(world):
    world.given(candidate=GOOD).when_phase(Phase.SHADOW)
    world.registry.aliases_of["intent"]["candidate"] = "99"
    world.when_settled()
    assert world.weights == {"v7": 100}


def test_a_release_starts_when_the_registry_is_back(world):
    world.given(candidate=GOOD)
    world.registry.away = "MLflow is away"
    world.when_time_passes(60)
    assert world.reports == []
    world.registry.away = None
    world.when_settled()
    assert world.weights == {"v7": 100}


def test_a_version_that_is_still_being_registered_is_waited_for(world):
    world.given(candidate=GOOD)
    world.registry.publish("intent", "7", content="again", ready=False)
    world.when_time_passes(60)
    assert (world.release.phase, world.release.faults) == (
        Phase.PREFLIGHT,
        {"registry": "intent version 7 is still being registered"},
    )


# --- packages and replicas --------------------------------------------------------------------------------------------
def test_a_package_that_differs_from_its_manifest_is_rejected_by_the_name_of_the_file(world):
    world.given(candidate=GOOD)
    (world.registry.package_of("intent", "7") / "model.onnx").write_text("another graph, same name", encoding="utf-8")
    world.when_settled()
    assert (world.release.phase, world.release.blamed) == (Phase.REJECTED, ("preflight.package",))
    assert "model.onnx" in world.release.reason
    assert "v7" not in world.running


def test_a_replica_that_runs_something_else_than_was_registered_is_rejected(world):
    world.given(candidate=GOOD)
    running = world.replicas.running["http://intent-v7-shadow.test"]
    world.replicas.running["http://intent-v7-shadow.test"] = replace(running, fingerprint="0" * 64)
    world.when_settled()
    assert (world.release.phase, world.release.blamed) == (Phase.REJECTED, ("preflight.identity",))


def test_other_token_ids_from_identical_files_are_found_on_the_running_candidate(world):
    """Identical weights, upgraded library, silently other token ids (mteb 5377)."""
    world.given(candidate=GOOD)
    running = world.replicas.running["http://intent-v7-shadow.test"]
    other = FakeReplica(running.fingerprint, lambda _: (1, 2, 3), running.predict)
    world.replicas.running["http://intent-v7-shadow.test"] = other
    world.when_settled()
    assert (world.release.phase, world.release.blamed) == (Phase.REJECTED, ("preflight.tokens",))


def test_a_version_registered_anew_under_its_number_is_another_release(world):
    """A version number alone is no identity: a recreated model starts again at 1."""
    world.given(candidate=GOOD).when_phase(Phase.SHADOW)
    world.when_asked(Ask.ABORT).when_settled()
    first = world.release.candidate.source_id
    world.registry.publish("intent", "7", content="registered anew")
    world.when_time_passes(20)
    assert [version for version, _ in world.ends] == ["v7", "v7"]
    assert world.release.candidate.source_id != first
    assert world.release.id == "intent-v7-2"


def test_a_version_registered_anew_before_it_was_fetched_is_refused(world):
    """Between the alias and the download somebody deletes the model and registers another one of its name."""
    world.given(candidate=GOOD)

    def swap(point):
        if point == "after journal.append":
            world.interrupt = lambda _: None
            world.registry.publish("intent", "7", content="registered anew")

    world.interrupt = swap
    world.when_time_passes(10)
    first = world.reports[-1].release
    assert first.phase is Phase.REJECTED
    assert "it was registered again" in first.reason


@pytest.mark.parametrize("phase", [Phase.SHADOW, Phase.CANARY, Phase.PROBATION])
def test_a_candidate_that_dies_is_rolled_back(world, phase):
    world.given(candidate=GOOD).when_phase(phase)
    world.deployments.kill("intent", "7", "killed, out of memory")
    world.when_phase(Phase.ROLLED_BACK)
    assert (world.weights, world.champion) == ({"v6": 100}, "v6")
    assert "killed, out of memory" in world.release.reason


@pytest.mark.parametrize("phase", [Phase.CANARY, Phase.PROBATION])
@pytest.mark.parametrize("late", [False, True], ids=["scraped at once", "scraped a look later"])
def test_what_users_got_while_we_started_versions_again_counts_against_nobody(world, phase, late):
    """A restart of everything under load: "the candidate failed 99 of 99" rolled a good version back."""
    world.given(candidate=GOOD).when_phase(phase).when_time_passes(20)
    world.deployments.restart()
    world.service.metrics.deal("intent", "7", codes={503: 0 if late else 200})
    world.when_time_passes(10)
    assert "Serin restarted versions" in world.release.faults["gateway"]
    world.service.metrics.deal("intent", "7", codes={503: 200 if late else 0})
    world.when_time_passes(30)
    assert "gateway" not in world.release.faults
    assert world.release.phase in {phase, Phase.PROBATION}
    world.service.behaviours["7"] = Behaviour(error_ratio=0.2)  # and what they get afterwards counts again
    world.when_settled().when(lambda: world.release.phase is Phase.ROLLED_BACK)


def test_users_count_once_it_is_known_that_we_started_nothing_again(world):
    """After a restart of everything packages are verified for seconds; looks came first, and "the error budget burns
    634 times too fast" took a good version back. What a controller alone was away for counts all the same, later."""
    world.given(candidate=GOOD).when_phase(Phase.CANARY).when_time_passes(20)
    world.deployments.restart()
    restarted_while_deployments_hang(world, codes={503: 200})
    assert "not known yet" in world.release.faults["gateway"]
    world.when(lambda: "gateway" not in world.release.faults)
    assert world.release.phase in {Phase.CANARY, Phase.PROMOTING, Phase.PROBATION}
    restarted_while_deployments_hang(world, codes={503: 200})
    world.when(lambda: counts_against_it(world, 200), within_s=60)


def counts_against_it(world, failed):
    return f"the candidate failed {failed} of" in world.release.verdicts["errors.live"].reason


def restarted_while_deployments_hang(world, *, codes):
    """The controller begins anew, has some looks, and meanwhile nobody says whether versions run."""

    def away(point):
        if point == "before deployments.ensure":
            raise TransientError(Source.DEPLOYMENTS, "no answer")

    world.interrupt = away
    world.restart()
    world.service.metrics.deal("intent", "7", codes=codes)
    world.when_time_passes(20)
    world.interrupt = lambda _: None


def test_what_the_gateway_counted_until_it_knew_a_version_again_counts_against_nobody(tmp_path):
    """Looks of each second: the version answers again, and a scrape of before is all that a look can begin with."""
    policy = replace(POLICY, look_every_s=1.0, probation_look_every_s=1.0)
    world = World(tmp_path, policy=policy).given(candidate=GOOD).when_phase(Phase.PROBATION).when_time_passes(20)
    world.deployments.restart()
    for _ in range(4):  # it is ready after two of them
        world.when_time_passes(1)
        world.service.metrics.deal("intent", "7", codes={503: 200})
    world.when_time_passes(30)
    assert world.release.phase is Phase.PROBATION
    world.service.metrics.deal("intent", "7", codes={503: 200})
    world.when(lambda: counts_against_it(world, 200), within_s=60)


def test_a_candidate_that_never_starts_is_rejected(world):
    world.deployments.broken["7"] = "no libonnxruntime.so"
    world.given(candidate=GOOD).when_settled()
    assert world.release.phase is Phase.REJECTED
    assert "no libonnxruntime.so" in world.release.reason


def test_what_serves_is_kept_running_between_releases_without_the_registry(world):
    """A restart or a repair needs only what lies on local disk."""
    world.given()
    world.registry.away = "MLflow is away"
    world.deployments.remove("intent", "6")
    world.when_time_passes(20)
    assert world.deployments.status("intent")["6"].ready


def test_what_nobody_needs_any_more_is_ended(world):
    world.policy = POLICY  # whatever chance makes of it, both are promoted in time
    world.given(candidate=GOOD).when_phase(Phase.PROMOTED)
    assert world.running == {"v6", "v7"}
    world.given_candidate("v8", GOOD).when_settled().when_phase(Phase.PROMOTED)
    assert world.running == {"v7", "v8"}


# --- traffic ----------------------------------------------------------------------------------------------------------
def test_a_data_plane_that_does_not_confirm_is_not_judged_and_held_at_the_deadline(world):
    """Nothing is read from a window in which the traffic may not have been what was asked for."""
    world.given(candidate=GOOD)
    world.traffic.reaches = WriteStage.WRITTEN
    world.when_phase(Phase.ROLLING_BACK)
    assert (world.release.ending, world.release.looks, world.weights) == (Phase.HELD, 0, {"v6": 100})


def test_a_data_plane_that_is_away_is_waited_for(world):
    world.given(candidate=GOOD).when_phase(Phase.SHADOW)
    world.traffic.outage = TransientError("traffic", "the route file is locked")
    world.tick()
    world.traffic.outage = None
    world.when_settled()
    assert world.weights == {"v7": 100}


def test_a_damaged_route_file_of_ours_is_waited_for_and_blames_nobody(world):
    """Whatever keeps us from moving traffic says nothing of the candidate; it is told."""
    world.given(candidate=GOOD).when_phase(Phase.SHADOW)
    world.traffic.outage = PermanentError("the route file is damaged")
    world.tick()
    assert (world.release.phase, world.release.faults) == (Phase.SHADOW, {"traffic": "the route file is damaged"})
    world.traffic.outage = None
    world.when_settled()
    assert (world.release.phase, world.release.faults) == (Phase.PROBATION, {})


# --- defects ----------------------------------------------------------------------------------------------------------
def test_a_defect_of_ours_keeps_neither_a_deadline_nor_an_abort_from_being_decided(world, caplog):
    """One action that fails in a way nobody foresaw is a fault of its source, logged with its trace."""
    world.given(candidate=GOOD).when_phase(Phase.CANARY)

    def fail(point):
        if point == "before metrics.counts":
            raise ZeroDivisionError("division by zero")

    world.interrupt = fail
    world.when_time_passes(120)
    assert (world.release.phase, world.release.step) == (Phase.CANARY, 0)
    assert world.release.faults == {"metrics": "ZeroDivisionError: division by zero"}
    assert "ZeroDivisionError" in caplog.text
    world.when_asked(Ask.ABORT).when_time_passes(10)
    assert (world.weights, world.release.phase) == ({"v6": 100}, Phase.ABORTED)


def test_a_disk_that_is_full_is_waited_for(world):
    world.given(candidate=GOOD)

    def fail(point):
        if point == "before registry.fetch":
            raise OSError(28, "No space left on device")

    world.interrupt = fail
    world.when_time_passes(60)
    assert "No space left on device" in world.release.faults["packages"]
    world.interrupt = lambda _: None
    world.when_settled()
    assert (world.weights, world.release.faults) == ({"v7": 100}, {})


@pytest.mark.parametrize("phase", [Phase.PREFLIGHT, Phase.SHADOW, Phase.CANARY])
def test_a_database_that_is_locked_once_ends_no_replica(world, phase):
    """What this process remembers is not the truth: after an error it is read again before anything is ended."""
    world.given(candidate=GOOD)
    world.deployments.started.clear()

    def locked(call):
        if call == "before journal.append" and world.journal.releases() and world.release.phase is phase:
            world.interrupt = lambda _: None
            raise TransientError("journal", "database is locked")

    world.interrupt = locked
    world.when_settled()
    assert [spec.version for spec in world.deployments.started] == ["7"]
    assert world.release.phase is Phase.PROBATION


def test_suites_that_no_replica_answers_hold_the_release_in_time(tmp_path):
    world = World(tmp_path, policy=with_suite(tmp_path)).given(candidate=GOOD)

    def fail(point):
        if point == "before replicas.probabilities":
            raise TransientError("deployments", "http://intent-v7-shadow.test did not answer")

    world.interrupt = fail
    world.when_settled()
    assert world.release.phase is Phase.HELD
    assert "did not answer" in world.release.reason
