"""The gate set: what it answers in each phase, what it remembers, and what it makes of faults."""

import json
from dataclasses import replace

import numpy as np
import pytest

from gates.evidence import Answer, ArmCounts, Fault, LabelledPair, Profile
from gates.gate_set import GateSet, state_from_json, state_to_json
from gates.outcome import Outcome, combine
from gates.policy import GatePolicy, LiveErrorsPolicy, SlicePolicy
from gates.verdict import Stage, Window
from tests.gates.support import JUDGING, NONE_TIMED, World, look, run

GATES = GateSet(JUDGING)
METRIC_GATES = {"errors.shadow", "errors.live", "latency.p95", "latency.p99", "budget.burn"}


def blamed(history):
    """Gates that failed, in the order of their first failure."""
    return list(
        dict.fromkeys(gate for verdicts in history for gate, v in verdicts.items() if v.outcome is Outcome.FAIL)
    )


def required(verdicts, *stages):
    return combine(v.outcome for v in verdicts.values() if v.stage in stages and not v.advisory)


def test_an_equal_candidate_passes_shadow_then_live_and_never_fails():
    _, history = run(
        GATES, GATES.start(deadline_s=7200.0), World(shadow_looks=60, share=0.2, label_share=0.2), 120, seed=1
    )
    assert blamed(history) == []
    assert required(history[59], Stage.SHADOW) is Outcome.PASS
    assert required(history[-1], Stage.SHADOW, Stage.LIVE) is Outcome.PASS


@pytest.mark.parametrize(
    ("world", "gate"),
    [
        (World(worse=0.07, better=0.03), "accuracy.shadow"),
        (World(overconfidence=0.09), "calibration.shadow"),
        (World(error_factor=10), "errors.shadow"),
        (World(slow=1.3, shadow_looks=5), "latency.p95"),
        (World(error=0.01, error_factor=5, shadow_looks=1), "errors.live"),
    ],
)
def test_each_fault_is_blamed_on_its_gate(world, gate):
    """And never promoted: the gates of its stage together never pass before."""
    _, history = run(GATES, GATES.start(deadline_s=7200.0), world, 60, seed=2)
    assert gate in blamed(history)
    assert all(verdicts[gate].outcome is not Outcome.PASS for verdicts in history)


def test_live_gates_wait_while_there_is_only_mirrored_traffic():
    _, history = run(GATES, GATES.start(), World(), 5, seed=3)
    live = [verdict for verdict in history[-1].values() if verdict.stage is Stage.LIVE]
    assert len(live) == 5
    assert {verdict.outcome for verdict in live} == {Outcome.INCONCLUSIVE}
    assert all(verdict.reason.startswith("No l") for verdict in live)


def test_every_gate_speaks_at_every_look_with_reason_and_window():
    _, history = run(GATES, GATES.start(), World(), 3, seed=3)
    for verdicts in history:
        assert tuple(verdicts) == GATES.names
        assert all(v.reason.endswith(".") and v.window is not None for v in verdicts.values())


def test_restart_in_the_middle_changes_nothing():
    """Through JSON and back at every look: the same states, the same verdicts, float for float."""
    rng_a, rng_b = np.random.default_rng(5), np.random.default_rng(5)
    straight = restarted = GATES.start(deadline_s=1800.0)
    for sequence in range(1, 41):
        restarted = state_from_json(json.loads(json.dumps(state_to_json(restarted), allow_nan=False, sort_keys=True)))
        straight, expected = GATES.look(straight, look(rng_a, sequence, World(shadow_looks=10)))
        restarted, found = GATES.look(restarted, look(rng_b, sequence, World(shadow_looks=10)))
        assert found == expected
        assert restarted == straight


def test_state_does_not_grow_with_traffic():
    small, _ = run(GATES, GATES.start(), World(shadow_looks=10), 20, seed=6)
    large, _ = run(GATES, small, World(shadow_looks=10), 0, seed=6)
    for sequence in range(21, 61):
        large, _ = GATES.look(large, look(np.random.default_rng(sequence), sequence, World(shadow_looks=10)))
    assert len(json.dumps(state_to_json(large))) < 1.1 * len(json.dumps(state_to_json(small)))


def test_a_release_under_way_goes_on_with_a_version_that_remembers_more():
    """What the state of an earlier version does not tell has its default; what it does tell is kept."""
    state, _ = run(GATES, GATES.start(), World(shadow_looks=10), 5, seed=6)
    document = state_to_json(state)
    losses = document["gates"]["accuracy.shadow"]["state"]["losses"]
    for since in ("chances", "apart", "alike", "directed"):
        del losses[since]
    del document["gates"]["accuracy.live"]["state"]["uneven"]
    del document["gates"]["calibration.shadow"]["state"]["sums"]
    upgraded, verdicts = GATES.look(
        state_from_json(document), look(np.random.default_rng(6), 6, World(shadow_looks=10))
    )
    expected, known = GATES.look(state, look(np.random.default_rng(6), 6, World(shadow_looks=10)))
    assert [verdict.outcome for verdict in verdicts] == [verdict.outcome for verdict in known]
    assert dict(upgraded.gates)["accuracy.shadow"].peak_harm == dict(expected.gates)["accuracy.shadow"].peak_harm


def test_a_state_of_another_shape_is_refused():
    document = state_to_json(GATES.start())
    document["gates"]["accuracy.shadow"]["state"]["peak_harm"] = "0"
    with pytest.raises(ValueError, match="expected float"):
        state_from_json(document)
    document["gates"]["accuracy.shadow"]["kind"] = "Unknown"
    with pytest.raises(ValueError, match="unknown kind"):
        state_from_json(document)


def test_a_source_in_fault_makes_errors_of_its_gates_only_and_leaves_their_state():
    before, _ = run(GATES, GATES.start(), World(shadow_looks=2), 10, seed=7)
    broken = replace(
        look(np.random.default_rng(8), 11, World(shadow_looks=2)),
        faults=(Fault("metrics", "Prometheus did not answer within 2 s"),),
    )
    after, verdicts = GATES.look(before, broken)
    for verdict in verdicts:
        assert (verdict.outcome is Outcome.ERROR) == (verdict.gate in METRIC_GATES)
        if verdict.gate in METRIC_GATES:
            assert "Prometheus did not answer" in verdict.reason
            assert dict(after.gates)[verdict.gate] == dict(before.gates)[verdict.gate]


def test_a_pass_is_not_reported_while_its_source_is_in_fault_and_is_afterwards():
    world = World(shadow_looks=20)
    state, history = run(GATES, GATES.start(), world, 20, seed=9)
    assert history[-1]["errors.shadow"].outcome is Outcome.PASS
    rng = np.random.default_rng(1)
    fault = replace(look(rng, 21, world), faults=(Fault("metrics", "away"),))
    state, verdicts = GATES.look(state, fault)
    assert combine(v.outcome for v in verdicts if v.gate == "errors.shadow") is Outcome.ERROR
    _, verdicts = GATES.look(state, look(rng, 22, world))
    assert next(v for v in verdicts if v.gate == "errors.shadow").outcome is Outcome.PASS


def test_a_failure_stays_whatever_comes_later():
    """Also while its source is in fault, and when the evidence turns good again."""
    bad, good = World(error_factor=30, shadow_looks=99), World(error=0.0, shadow_looks=99)
    state, history = run(GATES, GATES.start(), bad, 10, seed=10)
    assert history[-1]["errors.shadow"].outcome is Outcome.FAIL
    rng = np.random.default_rng(2)
    for sequence in range(11, 60):
        state, verdicts = GATES.look(state, look(rng, sequence, good))
    assert next(v for v in verdicts if v.gate == "errors.shadow").outcome is Outcome.FAIL
    fault = replace(look(rng, 60, good), faults=(Fault("metrics", "away"),))
    _, verdicts = GATES.look(state, fault)
    found = next(v for v in verdicts if v.gate == "errors.shadow")
    assert found.outcome is Outcome.FAIL
    assert "Failed at look" in found.reason


def test_burning_the_budget_four_times_too_fast_freezes_and_stays_frozen():
    state = GATES.start()
    for sequence in range(1, 5):
        base = look(np.random.default_rng(sequence), sequence, World(shadow_looks=0))
        burning = ArmCounts(1000, 30, base.candidate.latency_counts)
        state, verdicts = GATES.look(state, replace(base, candidate=burning))
    assert next(v for v in verdicts if v.gate == "budget.burn").freezes
    _, verdicts = GATES.look(state, look(np.random.default_rng(1), 5, World(shadow_looks=0, error=0)))
    assert next(v for v in verdicts if v.gate == "budget.burn").freezes


def test_where_errors_are_counted_by_cluster_the_budget_counts_them_so_too():
    gate_set = GateSet(replace(JUDGING, errors_live=LiveErrorsPolicy(count_clusters=True)))
    _, verdicts = gate_set.look(gate_set.start(), look(np.random.default_rng(0), 1, World(shadow_looks=0)))
    burn = next(v for v in verdicts if v.gate == "budget.burn")
    assert (burn.outcome, burn.advisory) == (Outcome.ERROR, True)
    assert "error_clusters" in burn.reason


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"sequence": 3}, "sequence"),
        ({"sequence": 2}, "sequence"),
        ({"sequence": True}, "sequence"),
        ({"window": Window(60.0, 240.0)}, "window"),
        ({"candidate_share": float("nan")}, "candidate_share"),
        ({"candidate_share": 1.5}, "candidate_share"),
    ],
)
def test_a_look_out_of_order_is_an_error_of_every_gate_and_forgets_nothing(change, field):
    state, _ = run(GATES, GATES.start(), World(), 3, seed=11)
    after, verdicts = GATES.look(state, replace(look(np.random.default_rng(0), 4, World()), **change))
    assert after == state
    assert all(v.outcome is Outcome.ERROR and f"{field}:" in v.reason for v in verdicts)


def test_live_counts_that_are_missing_are_an_error_not_silence():
    """The candidate serves users and nothing is known of it: lessons, argo 1466 and flagger 1035."""
    state, _ = run(GATES, GATES.start(), World(shadow_looks=2), 4, seed=12)
    _, verdicts = GATES.look(state, replace(look(np.random.default_rng(0), 5, World(shadow_looks=2)), candidate=None))
    assert {v.gate for v in verdicts if v.outcome is Outcome.ERROR} == METRIC_GATES


def test_a_window_of_no_traffic_holds():
    """Zero requests are neither a failure nor a success."""
    empty = ArmCounts(0, 0, NONE_TIMED)
    state = GATES.start()
    for sequence in range(1, 5):
        quiet = replace(
            look(np.random.default_rng(0), sequence, World(shadow_looks=0)),
            stable=empty,
            candidate=empty,
            shadow=empty,
            pairs=(),
            stable_labels=None,
            candidate_labels=None,
        )
        state, verdicts = GATES.look(state, quiet)
        assert {v.outcome for v in verdicts} == {Outcome.INCONCLUSIVE}


def test_a_gate_that_is_not_configured_is_left_out_and_leaves_its_level_to_the_others():
    policy = replace(JUDGING, accuracy_live=None, latency=None, slices=(SlicePolicy("de"),))
    gate_set = GateSet(policy)
    assert gate_set.names == (
        "accuracy.shadow",
        "accuracy.shadow[de]",
        "accuracy.slices",
        "calibration.shadow",
        "errors.shadow",
        "errors.live",
        "budget.burn",
    )
    assert sum(gate.alpha for gate in gate_set._gates) == pytest.approx(policy.rollback_alpha)
    assert sum(gate.alpha for gate in GATES._gates) == pytest.approx(policy.rollback_alpha)


def test_the_deadline_test_runs_once_at_a_deadline_that_was_fixed_before():
    """A loss too small for the watching part is found by the exact test, at that look and no other."""
    gate_set = GateSet(GatePolicy(deadline_fraction=0.9))
    right, wrong = Answer("yes", 0.9, 0.02), Answer("no", 0.9, 1.62)
    minute = (LabelledPair("yes", right, wrong),) * 3 + (LabelledPair("yes", wrong, right),) * 2
    minute += (LabelledPair("yes", right, right),) * 95
    watched, timed, failed = gate_set.start(), gate_set.start(deadline_s=40 * 60.0), []
    for sequence in range(1, 45):
        seen = replace(look(np.random.default_rng(sequence), sequence, World()), pairs=minute)
        watched, without = gate_set.look(watched, seen)
        timed, verdicts = gate_set.look(timed, seen)
        assert without[0].outcome is Outcome.INCONCLUSIVE
        failed.append(verdicts[0].outcome is Outcome.FAIL)
    assert failed.index(True) == 39


def test_a_gate_that_cannot_conclude_at_the_deadline_makes_its_test_once_it_can():
    """Labels that cannot be read at that look hold up the gates that read them, and no others."""
    gate_set = GateSet(GatePolicy(deadline_fraction=0.9))
    right, wrong = Answer("yes", 0.9, 0.02), Answer("no", 0.9, 1.62)
    minute = (LabelledPair("yes", right, wrong),) * 3 + (LabelledPair("yes", wrong, right),) * 2
    minute += (LabelledPair("yes", right, right),) * 95
    state, found, owed = gate_set.start(deadline_s=40 * 60.0), [], []
    for sequence in range(1, 45):
        seen = replace(look(np.random.default_rng(sequence), sequence, World()), pairs=minute)
        faults = (Fault("labels", "the file is gone"),) if sequence in (40, 41) else ()
        state, verdicts = gate_set.look(state, replace(seen, pairs=() if faults else minute, faults=faults))
        state = state_from_json(json.loads(json.dumps(state_to_json(state))))
        found.append(verdicts[0].outcome)
        owed.append(state.deadline_owed)
    assert found.index(Outcome.FAIL) == 41
    assert found[39:41] == [Outcome.ERROR] * 2
    assert owed[39] == owed[40] == ("accuracy.shadow", "accuracy.slices", "calibration.shadow", "accuracy.live")
    assert not any(owed[:39] + owed[41:])


def test_a_state_of_another_policy_is_refused():
    other = GateSet(replace(JUDGING, latency=None)).start()
    with pytest.raises(ValueError, match="the state is of the gates"):
        GATES.look(other, look(np.random.default_rng(0), 1, World()))


@pytest.mark.parametrize("name", GateSet(GatePolicy()).names)
def test_a_gate_that_raises_is_an_error_of_its_own_and_the_others_are_judged(name):
    """It remembers nothing that it could read, as after a faulty change of ours."""
    gate_set, seen = GateSet(GatePolicy()), look(np.random.default_rng(3), 6, World(shadow_looks=2))
    before, _ = run(gate_set, gate_set.start(), World(shadow_looks=2), 5, seed=3)
    broken = replace(before, gates=tuple((gate, "?" if gate == name else state) for gate, state in before.gates))
    expected, sound = gate_set.look(before, seen)
    after, verdicts = gate_set.look(broken, seen)
    of = {verdict.gate: verdict for verdict in verdicts}
    required = next(gate.required for gate in gate_set._gates if gate.name == name)
    assert (of[name].outcome, of[name].advisory) == (Outcome.ERROR, not required)
    assert of[name].reason.startswith("Could not judge this look: the gate itself failed, AttributeError: ")
    assert [verdict for verdict in verdicts if verdict.gate != name] == [v for v in sound if v.gate != name]
    assert dict(after.gates) == dict(expected.gates) | {name: "?"}
    assert after.sequence == expected.sequence


def test_what_a_gate_raises_is_told_on_one_line_of_bounded_length():
    class Loud:
        def add(self, *_):
            raise RuntimeError("first line\nsecond line" + 1000 * "!")

    gate_set = GateSet(GatePolicy())
    start = gate_set.start()
    broken = replace(start, gates=tuple((gate, Loud() if gate == "drift.classes" else s) for gate, s in start.gates))
    profile = Profile(class_counts=(3, 4))
    seen = replace(
        look(np.random.default_rng(3), 1, World()),
        classes=("no", "yes"), stable_profile=profile, candidate_profile=profile,
    )  # fmt: skip
    _, verdicts = gate_set.look(broken, seen)
    reason = next(verdict.reason for verdict in verdicts if verdict.gate == "drift.classes")
    assert "RuntimeError: first line second line!!!" in reason
    assert len(reason) < 300


def test_labels_in_fault_do_not_block_where_promotion_waits_for_no_label():
    """accuracy.live is not required by default: its error is advisory."""
    gate_set = GateSet(replace(JUDGING, accuracy_shadow=None, calibration_shadow=None))
    seen = replace(look(np.random.default_rng(0), 1, World()), faults=(Fault("labels", "away"),))
    _, verdicts = gate_set.look(gate_set.start(), seen)
    live = next(v for v in verdicts if v.gate == "accuracy.live")
    assert (live.outcome, live.advisory) == (Outcome.ERROR, True)
    assert combine(v.outcome for v in verdicts if not v.advisory) is not Outcome.ERROR
