"""Drift against what the service saw before the release, and what it says: a warning, and no fault of a candidate."""

import dataclasses
from dataclasses import replace

import numpy as np
import pytest

from gates.evidence import Profile
from gates.gate_set import GateSet, state_from_json, state_to_json
from gates.online.drift.reference import ReferenceState
from gates.outcome import Outcome
from gates.policy import DriftPolicy
from tests.gates.support import World, look
from tests.gates.test_watching import NOTHING

GATES = GateSet(NOTHING)
BEFORE = (0.6, 0.3, 0.1)
OTHER = (0.3, 0.4, 0.3)
FIELDS = {
    "reference.inputs": "token_counts",
    "reference.classes": "class_counts",
    "reference.confidence": "confidence_counts",
}


def counts(rng, total, chances=BEFORE):
    return tuple(int(number) for number in rng.multinomial(total, chances))


def everything(rng, total, chances):
    return Profile(**{field: counts(rng, total, chances) for field in FIELDS.values()}, tokens=total, requests=total)


def last(now, *, looks=60, blocks=8, size=500, per_look=100, seed=3, candidate=BEFORE):
    """The verdicts after the looks, by gate; the reference comes with the second one, and all goes through JSON."""
    rng, state = np.random.default_rng(seed), GATES.start()
    reference = tuple(everything(rng, size, BEFORE) for _ in range(blocks))
    for sequence in range(1, looks + 1):
        seen = replace(
            look(rng, sequence, World(shadow_looks=0)),
            pairs=(),
            token_edges=(8, 16),
            classes=("a", "b", "c"),
            stable_profile=everything(rng, per_look, now),
            candidate_profile=everything(rng, per_look, candidate),
            reference=reference if sequence == 2 else (),
        )
        state, verdicts = GATES.look(state_from_json(state_to_json(state)), seen)
    return {verdict.gate: verdict for verdict in verdicts}


@pytest.mark.parametrize("gate", FIELDS)
def test_a_service_that_sees_what_it_saw_before_passes(gate):
    verdict = last(BEFORE)[gate]
    assert (verdict.outcome, verdict.advisory) == (Outcome.PASS, True)
    assert "7 days before the release" in verdict.reason


@pytest.mark.parametrize("gate", FIELDS)
def test_drift_warns_and_blames_nobody(gate):
    """Both versions meet it: no verdict that counts says anything but before."""
    verdicts = last(OTHER, candidate=OTHER)
    assert verdicts[gate].outcome is Outcome.INCONCLUSIVE
    assert "does not count against the candidate" in verdicts[gate].reason
    assert "label" in verdicts[gate].reason
    assert all(verdict.advisory for verdict in verdicts.values())


def test_a_candidate_that_answers_otherwise_is_no_drift_of_the_service():
    """The reference is stable's, and so is what is compared with it."""
    verdicts = last(BEFORE, candidate=OTHER)
    assert {verdicts[gate].outcome for gate in FIELDS} == {Outcome.PASS}


@pytest.mark.parametrize(("blocks", "size"), [(0, 1), (1, 50)])
def test_too_little_of_a_reference_is_said(blocks, size):
    """A service that is new has none yet; that is neither drift nor its absence."""
    verdict = last(OTHER, blocks=blocks, size=size)["reference.classes"]
    assert verdict.outcome is Outcome.INCONCLUSIVE
    assert f"too little to compare with, {blocks * size} sampled answers" in verdict.reason


def test_little_traffic_is_compared_too():
    """Blocks larger than what comes in an hour do not keep the gate waiting."""
    assert last(OTHER, looks=120, per_look=10, size=1000)["reference.classes"].value > 0.2


def test_the_state_stays_small_however_long_it_looks():
    """Each block is used once and forgotten."""
    state = ReferenceState().begin(((60, 30, 10),) * 8)
    for _ in range(1_000):
        state = state.add((60, 30, 10), 200)
    assert (state.blocks, state.known) == ((), 800)
    assert sum(state.compared.candidate) + sum(state.waiting) == 100_000


def test_other_bins_than_the_references_are_not_compared():
    state = ReferenceState().begin(((60, 40),))
    assert state.add((1, 2, 3), 1) == state


def test_an_equal_service_raises_an_alarm_no_more_often_than_it_may():
    """Over 300 releases with as many looks as the reference lasts for, at a level of 5 %."""
    policy = DriftPolicy(alpha=0.05, reference_guard=0.0)
    rng, alarms = np.random.default_rng(5), 0
    for _ in range(300):
        state = ReferenceState().begin(tuple(counts(rng, 200) for _ in range(8)))
        for _ in range(40):
            state = state.add(counts(rng, 50), policy.samples_min)
        alarms += state.compared.peak >= -np.log(policy.alpha)
    assert alarms / 300 <= 0.05


def test_a_gate_that_an_older_serin_did_not_have_begins_when_it_is_met():
    """A release that was going on during an upgrade goes on; only what watches may be missing."""
    stored = state_to_json(GATES.start())
    old = {name: state for name, state in stored["gates"].items() if not name.startswith("reference.")}
    state = state_from_json({**stored, "gates": old})
    after, verdicts = GATES.look(state, look(np.random.default_rng(1), 1, World()))
    assert dataclasses.asdict(after)["gates"] is not None
    assert {verdict.gate for verdict in verdicts} == set(GATES.names)
    with pytest.raises(ValueError, match="the policy of"):
        GateSet(dataclasses.replace(NOTHING, drift=None)).look(state, look(np.random.default_rng(1), 1, World()))
