"""Whatever the evidence holds: no crash, no pass, a sentence that names the field, and a state left as it was."""

import json
import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gates.evidence import (
    Answer,
    ArmCounts,
    Fault,
    LabelChance,
    LabelCounts,
    LabelledPair,
    Look,
    Profile,
    Resources,
    SlicePairs,
)
from gates.gate_set import GateSet, state_from_json, state_to_json
from gates.outcome import Outcome, combine
from gates.policy import GatePolicy, LimitPolicy
from gates.verdict import Stage, Window
from tests.gates.support import EDGES_MS, JUDGING, NONE_TIMED, World, arm, look, run

GATES = GateSet(JUDGING)
STATE, _ = run(GATES, GATES.start(), World(shadow_looks=5), 10, seed=0)
GOOD = look(np.random.default_rng(1), 11, World(shadow_looks=5))
PAIR = GOOD.pairs[0]
ARM = GOOD.candidate

METRIC_GATES = {"errors.shadow", "errors.live", "latency.p95", "latency.p99", "budget.burn"}
PAIR_GATES = {"accuracy.shadow", "accuracy.slices", "calibration.shadow"}

BAD = [
    ({"candidate": replace(ARM, requests=-1)}, METRIC_GATES, "candidate.requests"),
    ({"candidate": replace(ARM, requests=1.5)}, METRIC_GATES, "candidate.requests"),
    ({"candidate": replace(ARM, requests=math.nan)}, METRIC_GATES, "candidate.requests"),
    ({"stable": replace(ARM, errors=math.inf)}, METRIC_GATES, "stable.errors"),
    ({"stable": replace(ARM, errors=ARM.requests + 1)}, METRIC_GATES, "stable.errors"),
    ({"shadow": replace(ARM, latency_counts=ARM.latency_counts[:-1])}, METRIC_GATES, "shadow.latency_counts"),
    ({"shadow": replace(ARM, latency_counts=(-1, *ARM.latency_counts[1:]))}, METRIC_GATES, "shadow.latency_counts"),
    ({"candidate": replace(ARM, latency_counts=(9999, *ARM.latency_counts[1:]))}, METRIC_GATES, "latency_counts"),
    ({"latency_edges_ms": (math.nan, *EDGES_MS[1:])}, METRIC_GATES, "latency_edges_ms"),
    ({"latency_edges_ms": (EDGES_MS[1], EDGES_MS[0], *EDGES_MS[2:])}, METRIC_GATES, "latency_edges_ms"),
    ({"latency_edges_ms": tuple(2 * e for e in EDGES_MS)}, {"latency.p95", "latency.p99"}, "latency_edges_ms"),
    ({"stable": None}, METRIC_GATES, "stable"),
    ({"pairs": (replace(PAIR, stable=Answer("yes", math.nan, 0.1)),)}, PAIR_GATES, "pairs[0].stable.confidence"),
    ({"pairs": (PAIR, replace(PAIR, candidate=Answer("yes", 1.1, 0.1)))}, PAIR_GATES, "pairs[1].candidate.confidence"),
    ({"pairs": (replace(PAIR, candidate=Answer("yes", 0.9, -0.1)),)}, PAIR_GATES, "pairs[0].candidate.brier"),
    ({"pairs": (replace(PAIR, inclusion_probability=0.0),)}, PAIR_GATES, "pairs[0].inclusion_probability"),
    ({"pairs": (LabelledPair("a", PAIR.stable, PAIR.stable, directed=True),)}, PAIR_GATES, "pairs[0].directed"),
    ({"pairs": (replace(PAIR, truth=""),)}, PAIR_GATES | {"accuracy.live"}, "pairs[0].truth"),
    ({"pairs_agreed": -1}, PAIR_GATES, "pairs_agreed"),
    ({"slice_pairs": (SlicePairs("de", 1, -1),)}, PAIR_GATES, "slice_pairs[de]"),
    ({"candidate_labels": LabelCounts(3, 4)}, PAIR_GATES | {"accuracy.live"}, "candidate_labels.wrong"),
    (
        {"stable_labels": LabelCounts(3, 1, (LabelChance(0.0, 3, 1),))},
        PAIR_GATES | {"accuracy.live"},
        "stable_labels.chances.inclusion_probability",
    ),
    (
        {"candidate_labels": LabelCounts(3, 1, (LabelChance(0.5, 2, 1),))},
        PAIR_GATES | {"accuracy.live"},
        "candidate_labels.chances: they do not add up to 3 labelled",
    ),
    (
        {"candidate_labels": LabelCounts(3, 1, (LabelChance(0.5, 3, 4),))},
        PAIR_GATES | {"accuracy.live"},
        "candidate_labels.chances: 4 wrong of 3",
    ),
    ({"stable_labels": LabelCounts(-3, -4)}, PAIR_GATES | {"accuracy.live"}, "stable_labels"),
]


@pytest.mark.parametrize(("change", "gates", "field"), BAD)
def test_bad_evidence_is_an_error_that_names_the_field(change, gates, field):
    after, verdicts = GATES.look(STATE, replace(GOOD, **change))
    errors = {v.gate: v.reason for v in verdicts if v.outcome is Outcome.ERROR}
    assert set(errors) == gates
    assert all(field in reason for reason in errors.values())
    for gate in gates:
        assert dict(after.gates)[gate] == dict(STATE.gates)[gate]


def test_a_window_that_ends_before_it_starts_cannot_be_constructed():
    for start, end in ((2.0, 1.0), (math.nan, 1.0), (0.0, math.inf)):
        with pytest.raises(ValueError, match="window"):
            Window(start, end)


numbers = st.one_of(st.integers(-5, 400), st.floats(), st.booleans(), st.none())
counts = st.one_of(st.integers(0, 300), numbers)
arms = st.one_of(
    st.none(),
    st.builds(
        ArmCounts, counts, counts, st.one_of(st.just((3,) * len(NONE_TIMED)), st.lists(counts, max_size=99).map(tuple))
    ),
)
answers = st.builds(Answer, st.sampled_from(["yes", "no", ""]), st.one_of(st.floats(0, 1), numbers), numbers)
labelled = st.builds(LabelledPair, st.sampled_from(["yes", "no", ""]), answers, answers, numbers, st.booleans())
label_counts = st.one_of(st.none(), st.builds(LabelCounts, counts, counts))
bins = st.lists(counts, max_size=4).map(tuple)
profiles = st.one_of(
    st.none(),
    st.builds(Profile, bins, bins, bins, counts, counts, counts, counts, st.sampled_from(["", "one", "other"])),
)
resources = st.one_of(st.none(), st.builds(Resources, *[numbers] * 8))
edges = st.one_of(st.just(EDGES_MS), st.lists(numbers, max_size=4).map(tuple))
looks = st.builds(
    Look,
    sequence=st.one_of(st.just(11), numbers),
    window=st.tuples(st.floats(0, 2000), st.floats(0, 2000)).map(lambda ends: Window(min(ends), max(ends))),
    candidate_share=st.one_of(st.sampled_from([0.0, 0.05, 1.0]), numbers),
    latency_edges_ms=edges,
    stable=arms,
    candidate=arms,
    shadow=arms,
    pairs=st.lists(labelled, max_size=3).map(tuple),
    pairs_agreed=counts,
    pairs_disagreed=counts,
    stable_labels=label_counts,
    candidate_labels=label_counts,
    faults=st.one_of(st.just(()), st.just((Fault("labels", "the label service is away"),))),
    token_edges=st.sampled_from([(), (8,), (8, 16, 32)]),
    classes=st.sampled_from([(), ("a", "b"), ("a", "b", "c", "d")]),
    stable_profile=profiles,
    candidate_profile=profiles,
    stable_resources=resources,
    candidate_resources=resources,
    tokenizer_pinned=st.sampled_from(["", "one"]),
    reference=st.lists(profiles.filter(bool), max_size=2).map(tuple),
)
RAISED = "the gate itself failed"  # an error that only a fault of ours may make
WATCHING = GateSet(GatePolicy(limits=LimitPolicy(replica_hour_price=1.0)))


@settings(max_examples=300, deadline=None)
@given(looks)
def test_nothing_that_a_look_may_hold_crashes_the_gate_set_or_poisons_its_state(garbage):
    after, verdicts = GATES.look(STATE, garbage)
    assert len(verdicts) == len(GATES.names)
    assert "NaN" not in str(state_to_json(after))
    for verdict in verdicts:
        assert verdict.reason
        assert RAISED not in verdict.reason
        if verdict.outcome is Outcome.ERROR:
            assert dict(after.gates)[verdict.gate] == dict(STATE.gates)[verdict.gate]


@settings(max_examples=100, deadline=None)
@given(looks, looks)
def test_garbage_is_never_good_news_of_profiles_and_resources(first, second):
    """Of what only warns: no crash, no claim that rolls back, and a state that can be stored and goes on."""
    state = WATCHING.start()
    for sequence, garbage in enumerate((first, second), start=11):
        window = Window(1_000.0 * sequence, 1_000.0 * sequence + 60)
        state, verdicts = WATCHING.look(state, replace(garbage, sequence=sequence, window=window, candidate_share=0.0))
        assert "NaN" not in str(state_to_json(state))
        assert state_from_json(json.loads(json.dumps(state_to_json(state)))) == state
        watching = [v for v in verdicts if v.gate.startswith(("resources", "tokenization.t", "cost", "drift", "ref"))]
        assert watching
        assert all(v.advisory and v.reason for v in watching)
        assert not [v for v in verdicts if RAISED in v.reason]


BROKEN = Profile((1, 2), (3, 4), (5,), tokens=3, requests=3)


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"candidate_profile": replace(BROKEN, token_counts=(1, -2))}, "candidate_profile.token_counts"),
        ({"candidate_profile": replace(BROKEN, token_counts=(1, 2, 3))}, "candidate_profile.token_counts"),
        ({"stable_profile": replace(BROKEN, class_counts=(math.nan, 1))}, "stable_profile.class_counts"),
        ({"stable_profile": replace(BROKEN, confidence_counts=(1.5,))}, "stable_profile.confidence_counts"),
        ({"candidate_profile": replace(BROKEN, unknown_tokens=4)}, "candidate_profile: unknown_tokens"),
        ({"candidate_profile": replace(BROKEN, truncated=-1)}, "candidate_profile: tokens, unknown_tokens, truncated"),
        ({"reference": (BROKEN, replace(BROKEN, class_counts=(1, 2, 3)))}, "reference[1].class_counts"),
    ],
)
def test_a_bad_profile_is_an_error_of_what_reads_it_and_of_nothing_else(change, field):
    """A warning that cannot be judged must not keep the gates that decide from judging."""
    seen = replace(GOOD, pairs=(), token_edges=(8,), classes=("a", "b"), **change)
    after, verdicts = WATCHING.look(WATCHING.start(), seen)
    errors = {v.gate: v for v in verdicts if v.outcome is Outcome.ERROR}
    assert {"experiment.inputs", "drift.classes", "reference.classes", "tokenization.unknown"} <= set(errors)
    assert not set(errors) & {"accuracy.shadow", "errors.live", "latency.p95", "budget.burn", "experiment.ratio"}
    assert all(field in v.reason and v.advisory for v in errors.values())
    assert all(dict(after.gates)[gate] == dict(WATCHING.start().gates)[gate] for gate in errors)


@pytest.mark.parametrize("value", [math.nan, math.inf, -0.1])
@pytest.mark.parametrize(
    ("field", "gate"),
    [
        ("memory_ratio", "resources.memory"),
        ("cpu_ratio", "resources.cpu"),
        ("gpu_ratio", "resources.gpu"),
        ("queue_depth", "resources.queue"),
        ("cold_starts", "resources.cold_starts"),
        ("restarts", "resources.restarts"),
        ("requests_per_busy_s", "throughput"),
        ("cost", "cost.per_1000"),
    ],
)
def test_a_resource_that_is_no_number_is_an_error_that_names_its_gate(field, gate, value):
    used = replace(Resources(requests_per_busy_s=1.0), **{field: value})
    _, verdicts = WATCHING.look(
        WATCHING.start(), replace(GOOD, candidate_resources=used, stable_resources=Resources(requests_per_busy_s=1.0))
    )
    found = {v.gate: v for v in verdicts}[gate]
    assert (found.outcome, found.advisory) == (Outcome.ERROR, True)
    assert gate in found.reason


@settings(max_examples=100, deadline=None)
@given(looks)
def test_garbage_alone_never_passes_a_release(garbage):
    """From the start, one look of anything is not enough for every required gate."""
    _, verdicts = GATES.look(GATES.start(), replace(garbage, sequence=1))
    live = combine(v.outcome for v in verdicts if not v.advisory and v.stage in (Stage.SHADOW, Stage.LIVE))
    assert live is not Outcome.PASS


BADNESS = {Outcome.PASS: 0, Outcome.INCONCLUSIVE: 1, Outcome.ERROR: 1, Outcome.FAIL: 2}


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**20), st.lists(st.integers(0, 3), min_size=8, max_size=8), st.floats(0, 0.02))
def test_more_errors_never_make_a_verdict_better(seed, extra, error):
    """The same looks with some of the candidate's good answers turned into errors: each verdict as bad or worse."""
    rng = np.random.default_rng(seed)
    better = worse = GATES.start(deadline_s=300.0)
    for sequence, more in enumerate(extra, start=1):
        seen = replace(look(rng, sequence, World(shadow_looks=0)), candidate=arm(rng, 400, error), pairs=())
        spoilt = replace(seen.candidate, errors=seen.candidate.errors + more)
        better, first = GATES.look(
            better, replace(seen, candidate=replace(spoilt, errors=seen.candidate.errors, latency_counts=NONE_TIMED))
        )
        worse, second = GATES.look(worse, replace(seen, candidate=replace(spoilt, latency_counts=NONE_TIMED)))
        for a, b in zip(first, second, strict=True):
            if a.gate in ("errors.live", "budget.burn"):
                assert BADNESS[b.outcome] >= BADNESS[a.outcome]
