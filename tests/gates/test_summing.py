"""Looks in a row as one: nothing that was counted is lost, and the gates come to the same."""

from dataclasses import replace

import pytest

from gates.evidence import (
    ArmCounts,
    Fault,
    LabelChance,
    LabelCounts,
    LabelSource,
    Look,
    Profile,
    Resources,
    SlicePairs,
    UserCounts,
)
from gates.gate_set import GateSet
from gates.offline.summing import can_be_added, summed
from gates.policy import GatePolicy
from gates.verdict import Window

EDGES_MS = (10.0, 100.0)


def arm(requests: int, errors: int = 0, clusters: int | None = None) -> ArmCounts:
    return ArmCounts(requests, errors, (requests - errors, 0, errors), clusters)


def look(sequence: int, **changes: object) -> Look:
    """A look of ten seconds in which each number is told by the look's own."""
    n = sequence
    profile = Profile((n, 1), (n,), (0, n), tokens=7 * n, unknown_tokens=n, truncated=1, requests=n, tokenizer="t")
    resources = Resources(0.1 * n, None, cold_starts=n, restarts=n, requests_per_busy_s=100.0 / n, cost=0.5)
    values = Look(
        sequence,
        Window(100.0 + 10 * n, 110.0 + 10 * n),
        0.25,
        EDGES_MS,
        stable=arm(100 * n, n),
        candidate=arm(10 * n, 0, clusters=n),
        pairs_agreed=n,
        pairs_disagreed=1,
        slice_pairs=(SlicePairs("lang:en", n, 1), SlicePairs(f"only:{n}", 1, 0)),
        stable_labels=LabelCounts(n, 1),
        candidate_labels=LabelCounts(n, 0, (LabelChance(0.5, n, 0),)),
        token_edges=(8,),
        classes=("a",),
        candidate_profile=profile,
        stable_resources=resources,
        label_sources=(LabelSource("people", labelled=n),),
        users=UserCounts(arm(n), arm(2 * n, 1), EDGES_MS),
    )
    return replace(values, **changes)  # type: ignore[arg-type]


def test_everything_that_was_counted_is_added_up() -> None:
    """By arm, slice, chance and class; of resources the worst, and of sources what was found last."""
    whole = summed([look(1), look(2), look(3)])
    assert (whole.sequence, whole.window) == (3, Window(110.0, 140.0))
    assert (whole.stable, whole.candidate) == (arm(600, 6), arm(60, 0, clusters=6))
    assert whole.users == UserCounts(arm(6), arm(12, 3), EDGES_MS)
    assert (whole.pairs_agreed, whole.pairs_disagreed) == (6, 3)
    assert whole.slice_pairs[0] == SlicePairs("lang:en", 6, 3)
    assert {part.slice for part in whole.slice_pairs[1:]} == {"only:1", "only:2", "only:3"}
    assert whole.stable_labels == LabelCounts(6, 3)
    assert whole.candidate_labels == LabelCounts(6, 0, (LabelChance(0.5, 6, 0),))
    assert whole.candidate_profile == Profile((6, 3), (6,), (0, 6), 42, 6, 3, 6, "t")
    assert whole.stable_resources == Resources(
        pytest.approx(0.3), None, cold_starts=6, restarts=3, requests_per_busy_s=pytest.approx(100 / 3), cost=1.5
    )
    assert whole.label_sources == (LabelSource("people", labelled=3),)


def test_labels_by_several_chances_stay_apart() -> None:
    """A look whose labels were all certain adds to those of chance 1."""
    certain, uneven = look(1, candidate_labels=LabelCounts(4, 1)), look(2)
    assert can_be_added(certain, uneven)
    assert summed([certain, uneven]).candidate_labels == LabelCounts(
        6, 1, (LabelChance(1.0, 4, 1), LabelChance(0.5, 2, 0))
    )


@pytest.mark.parametrize(
    "changes",
    [
        {"candidate_share": 0.5},
        {"latency_edges_ms": (10.0,)},
        {"stable": None},
        {"candidate": arm(20)},
        {"shadow": arm(20)},
        {"users": None},
        {"classes": ("a", "b")},
        {"candidate_profile": None},
        {"stable_labels": None},
        {"stable_resources": None},
        {"faults": (Fault("metrics", "away"),)},
        {"reference": (Profile(),)},
    ],
)
def test_looks_of_two_kinds_are_not_added(changes: dict[str, object]) -> None:
    """What was not known in one of them would be told of both."""
    assert can_be_added(look(1), look(2))
    assert not can_be_added(look(1), look(2, **changes))


def test_the_gates_come_to_the_same_counts() -> None:
    """Judged as one look, the sum rests on as many samples with the same value as the looks did one by one."""
    gate_set = GateSet(GatePolicy())
    state = gate_set.start(deadline_s=10_000.0)
    looks = [look(n) for n in range(1, 5)]
    for one in looks:
        after, verdicts = gate_set.look(state, one)
        state = after
    _, at_once = gate_set.look(gate_set.start(deadline_s=10_000.0), summed(looks))
    told, summed_up = (
        {verdict.gate: (verdict.samples, verdict.value) for verdict in some if verdict.gate == "errors.live"}
        for some in (verdicts, at_once)
    )
    assert told["errors.live"][0] > 0
    assert summed_up == told
