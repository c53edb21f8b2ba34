"""What was written counts once users are answered by it, and what others write past Serin is never lost in silence."""

from dataclasses import replace

import pytest

from controller.core.abilities import Mirroring, load_ratio
from controller.core.commands import Ask
from controller.core.events import TrafficRestored
from controller.core.policy import OnDrift, Step, WithoutMirror
from controller.core.release import Phase
from controller.core.traffic import Mirror, TrafficTable, WriteStage
from controller.errors import Source, TransientError
from controller.journal.codec import event_of
from gates.outcome import Outcome
from gates.policy import LiveAccuracyPolicy
from gates.verdict import Stage
from tests.controller.service import GOOD, Behaviour
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


# --- what the gateway deals ------------------------------------------------------------------------------------------
def test_a_gateway_that_deals_otherwise_than_it_was_told_holds_the_release_and_blames_nobody(world):
    """RouteNotServed: half of the users got a candidate that 10 % were written for."""
    world.given(candidate=GOOD).when_phase(Phase.CANARY)
    table = world.traffic.read("intent")
    world.service.dealt_by = replace(table, weights_pct={"6": 50.0, "7": 50.0})
    world.when(lambda: "routing" in world.release.faults)
    told = world.release.faults["routing"]
    assert told.startswith("RouteNotServed: memory sent ")
    assert told.endswith(" to version 7, but was told to send 10.00 %: it does not route as it was told")
    world.when_settled()
    assert (world.release.phase, world.release.blamed, world.weights) == (Phase.HELD, (), {"v6": 100})


def test_a_canary_that_nobody_is_dealt_to_is_not_taken_for_one_that_does_well(world):
    """The route says 10 %, and every user is answered by the stable version."""
    world.given(candidate=GOOD).when_phase(Phase.CANARY)
    world.service.dealt_by = replace(world.traffic.read("intent"), weights_pct={"6": 100.0})
    world.when(lambda: "routing" in world.release.faults)
    assert "(0.00 %) to version 7" in world.release.faults["routing"]


def test_users_who_stay_with_their_version_are_no_draws(world):
    """Dealt by the hash of a header, few users with many requests say nothing of the gateway."""
    world.traffic.able = replace(world.traffic.able, sticky_header="x-user")
    world.given(candidate=GOOD).when_phase(Phase.CANARY)
    world.service.dealt_by = replace(world.traffic.read("intent"), weights_pct={"6": 80.0, "7": 20.0})
    world.when_time_passes(200)
    assert "routing" not in world.release.faults


# --- what the gateway can do ------------------------------------------------------------------------------------------
SKIPPING = replace(
    POLICY,
    without_mirror=WithoutMirror.SKIP_SHADOW,
    gates=replace(POLICY.gates, accuracy_live=LiveAccuracyPolicy(required=True)),
)
NO_MIRROR = {"name": "Traefik", "mirroring": Mirroring.NONE, "mirror_step_pct": 100.0}


def test_a_policy_that_needs_a_mirror_is_refused_where_there_is_none(world):
    """Before any traffic, in one sentence with the key and the way out; no person's word makes a mirror of it."""
    world.given(candidate=GOOD)
    world.traffic.able = replace(world.traffic.able, **NO_MIRROR)
    written = len(world.traffic.history)
    world.when_settled()
    assert (world.release.phase, world.release.looks, world.release.blamed) == (Phase.HELD, 0, ())
    assert world.release.reason.startswith("mirror_pct: nothing copies requests here (Traefik)")
    assert "without_mirror: skip_shadow" in world.release.reason
    world.when_asked(Ask.RESUME).when_time_passes(60)
    assert world.release.phase is Phase.HELD
    assert all(table.weights_pct == {"6": 100.0} for table in world.traffic.history[written:])


def test_without_a_mirror_a_policy_may_go_on_from_the_suites_to_users(world):
    """No shadow phase, no copies, and each gate on shadow traffic says why it is not judged."""
    world.policy = SKIPPING
    world.given(candidate=GOOD)
    world.traffic.able = replace(world.traffic.able, **NO_MIRROR)
    world.when_phase(Phase.CANARY)
    assert "nothing copies requests here" in world.release.reason
    world.when_settled()
    phases = world.report.phases
    assert Phase.SHADOW not in phases
    assert not [table for table in world.traffic.history if table.mirror is not None]
    shadow = [one for one in world.release.verdicts.values() if one.stage is Stage.SHADOW]
    assert shadow
    assert {(one.outcome, one.advisory, one.reason[:14]) for one in shadow} == {
        (Outcome.INCONCLUSIVE, True, "No mirror here")
    }
    assert world.weights == {"v7": 100}


def test_without_a_mirror_some_gate_has_to_ask_for_accuracy(world):
    """A policy that judged accuracy on copies alone would promote without any."""
    world.policy = replace(POLICY, without_mirror=WithoutMirror.SKIP_SHADOW)
    world.given(candidate=GOOD)
    world.traffic.able = replace(world.traffic.able, **NO_MIRROR)
    world.when_settled()
    assert world.release.phase is Phase.HELD
    assert "set gates.accuracy_live.required: true, or gates.accuracy_shadow: null" in world.release.reason


def test_less_accuracy_is_found_without_a_mirror_too(world):
    """Then users' labels are what shows it."""
    world.policy = SKIPPING
    world.given(candidate=Behaviour(accuracy=0.6))
    world.traffic.able = replace(world.traffic.able, **NO_MIRROR)
    world.when_settled()
    assert world.weights == {"v6": 100}
    assert world.report.blames("accuracy")


@pytest.mark.parametrize(
    ("able", "said"),
    [
        ({"weight_step_pct": 1.0}, "steps[0].weight_pct: 0.5 is not a share that can be served here (memory)"),
        ({"mirror_step_pct": 100.0}, "mirror_pct: 12.5 is not a share that can be copied here (memory)"),
        ({"versions_max": 1}, "steps: only one version of a model can be served at a time here (memory)"),
    ],
)
def test_a_share_that_the_gateway_cannot_serve_is_refused_before_traffic(world, able, said):
    """Not rounded in silence, and not found out in the middle of a canary."""
    world.policy = replace(POLICY, mirror_pct=12.5, steps=(Step(0.5), *POLICY.steps))
    world.given(candidate=GOOD)
    world.traffic.able = replace(world.traffic.able, **able)
    world.when_settled()
    assert world.release.phase is Phase.HELD
    assert world.release.reason.startswith(said)


@pytest.mark.parametrize(
    ("weight_pct", "mirror_pct", "both_ways", "ratio"),
    [
        (1.0, 100.0, True, 1.0),
        (50.0, 100.0, True, 1.0),
        (50.0, 100.0, False, 2.0),  # it serves half of the users and gets a copy of every other request
        (50.0, None, True, 1.0),
        (10.0, None, True, 1 / 9),
        (20.0, 25.0, True, 0.4 / 0.85),
        (100.0, None, True, 1.0),
    ],
)
def test_the_loads_of_two_versions_follow_from_the_table(weight_pct, mirror_pct, both_ways, ratio):
    weights = {version: pct for version, pct in (("6", 100.0 - weight_pct), ("7", weight_pct)) if pct}
    table = TrafficTable("intent", weights, mirror=Mirror("7", mirror_pct) if mirror_pct else None)
    assert load_ratio(table, "7", both_ways=both_ways) == pytest.approx(ratio)


def test_9_capacity_that_never_comes_is_given_up_by_the_deadline(world):
    """It waits, says how many replicas are there, and ends where it began, with nobody blamed."""
    world.given(candidate=GOOD).when_phase(Phase.SHADOW)
    write, said = world.traffic.write, "version 7 has 1/2 replicas ready for 5 %: no weight is written"

    def short_of_replicas(table, *, over=None):
        if "7" in table.weights_pct:
            raise TransientError(Source.TRAFFIC, said)
        write(table, over=over)

    world.traffic.write = short_of_replicas
    world.when_phase(Phase.CANARY)
    world.when(lambda: said in world.release.faults.values())
    assert world.weights == {"v6": 100}
    world.when_settled(within_s=world.policy.deadline_s + 600)
    assert world.release.phase is Phase.HELD
    assert (world.weights, world.release.blamed) == ({"v6": 100}, ())
    assert said in world.release.reason
