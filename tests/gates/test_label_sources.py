"""A source of labels that is at fault makes errors of the gates that read labels, until it is mended; nothing else."""

from dataclasses import replace

import numpy as np
import pytest

from gates.evidence import LabelSource, Look, NameCount, UnseenSlice
from gates.gate_set import GateSet
from gates.outcome import Outcome, combine
from gates.policy import LabelPolicy, SlicePolicy
from gates.verdict import Verdict
from tests.gates.support import JUDGING, World, look, pairs

OF_LABELS = {"accuracy.shadow", "accuracy.slices", "calibration.shadow", "accuracy.live"}
CLASSES = ("no", "yes")
RIGHT = LabelSource("helpdesk", labelled=1_000, settled=1_000, expected_matched=1_000.0)


def judged(seen: Look, gate_set: GateSet | None = None) -> dict[str, Verdict]:
    gate_set = gate_set or GateSet(JUDGING)
    _, verdicts = gate_set.look(gate_set.start(), seen)
    return {verdict.gate: verdict for verdict in verdicts}


def seen_with(*sources: LabelSource, **changes: object) -> Look:
    seen = look(np.random.default_rng(1), 1, World(shadow_looks=0))
    return replace(seen, classes=CLASSES, label_sources=sources, **changes)


def unknown(labelled: int, wrong: int, *names: tuple[str, int]) -> LabelSource:
    told = tuple(NameCount(*name) for name in names) or (NameCount("Yes", wrong),)
    return replace(RIGHT, labelled=labelled, unknown=wrong, unknown_names=told)


@pytest.mark.parametrize(
    "source",
    [
        unknown(1, 1),
        unknown(1_000, 1_000),
        unknown(1_000, 6),
        replace(RIGHT, unmatched=1_000),
        replace(RIGHT, settled=100, unmatched=100, expected_matched=10.0),
        replace(RIGHT, contradicts_itself=150, contradicts_others=51),
    ],
)
def test_a_source_at_fault_is_an_error_of_what_reads_labels_and_of_nothing_else(source: LabelSource) -> None:
    """Names of another vocabulary, all or more than a small share; requests that nobody made; contradictions."""
    verdicts = judged(seen_with(RIGHT, source))
    assert {name for name, verdict in verdicts.items() if verdict.outcome is Outcome.ERROR} == OF_LABELS
    assert "'helpdesk'" in verdicts["accuracy.shadow"].reason


@pytest.mark.parametrize(
    "source",
    [
        RIGHT,
        LabelSource("new"),
        unknown(1_000, 5),
        unknown(10, 2),
        replace(RIGHT, unmatched=989),
        replace(RIGHT, settled=9, unmatched=9, expected_matched=9.0),
        replace(RIGHT, settled=1_000, unmatched=1_000, expected_matched=9.0),
        replace(RIGHT, contradicts_itself=100, contradicts_others=100),
        replace(RIGHT, labelled=5, settled=5, contradicts_others=5, expected_matched=5.0),
        replace(RIGHT, corrected_late=1_000),
    ],
)
def test_small_mistakes_of_a_source_stop_nothing(source: LabelSource) -> None:
    """A slip of the pen, a sample that is small by design, people who disagree at times."""
    assert not [v for v in judged(seen_with(source)).values() if v.outcome is Outcome.ERROR]


@pytest.mark.parametrize(("name", "who"), [("desk/agent{}", "'desk' together"), ("team{}", "all sources together")])
@pytest.mark.parametrize(
    "part",
    [
        LabelSource("", labelled=10, unknown=1, unknown_names=(NameCount("Yes", 1),)),
        LabelSource("", settled=5, unmatched=5, expected_matched=5.0),
        LabelSource("", settled=5, contradicts_itself=2),
    ],
)
def test_a_fault_that_is_spread_over_many_sources_is_a_fault(part: LabelSource, name: str, who: str) -> None:
    """Each by itself said too little to be judged by."""
    spread = tuple(replace(part, source=name.format(number)) for number in range(20))
    verdicts = judged(seen_with(*spread))
    assert {name for name, verdict in verdicts.items() if verdict.outcome is Outcome.ERROR} == OF_LABELS
    assert who in verdicts["accuracy.shadow"].reason


def test_a_slip_of_one_among_many_people_stops_nothing() -> None:
    """Also of one who labelled nothing else."""
    people = tuple(replace(RIGHT, source=f"desk/agent{number}", labelled=10) for number in range(20))
    slip = LabelSource("desk/new", 1, 1, (NameCount("Yes", 1),))
    assert not [v for v in judged(seen_with(*people, slip)).values() if v.outcome is Outcome.ERROR]


def test_one_who_corrects_few_of_many_is_not_at_fault() -> None:
    """Contradictions are held against the labels of both: the later one may be right."""
    people = replace(RIGHT, source="people", labelled=40, settled=40, expected_matched=40.0, contradicts_others=40)
    bot = replace(RIGHT, source="bot")
    verdicts = judged(seen_with(bot, replace(people, others_labels=1_000)))
    assert not [v for v in verdicts.values() if v.outcome is Outcome.ERROR]
    assert judged(seen_with(bot, replace(people, others_labels=100)))["accuracy.shadow"].outcome is Outcome.ERROR


def test_the_error_names_what_was_said_most_and_the_nearest_classes() -> None:
    """Three names, so that a person knows at once what to write into the policy; nothing in them moves a terminal."""
    source = unknown(100, 90, ("YES", 40), ("N o", 30), ("\x1b[2Jzzz", 15), ("fourth", 5))
    reason = judged(seen_with(source))["accuracy.live"].reason
    assert "90 of 100 labels (90 %)" in reason
    assert "'YES' 40 times (perhaps 'yes'), 'N o' 30 times" in reason
    assert "'\\x1b[2Jzzz' 15 times" in reason
    assert "fourth" not in reason
    assert "label_names" in reason


def test_the_shares_are_the_policys() -> None:
    policy = replace(JUDGING, labels=LabelPolicy(unknown_ratio_max=1.0, unmatched_ratio_max=1.0))
    seen = seen_with(unknown(1_000, 999), replace(RIGHT, unmatched=1_000))
    assert combine(v.outcome for v in judged(seen, GateSet(policy)).values()) is not Outcome.ERROR
    for wrong in ({"unknown_ratio_max": 2.0}, {"unmatched_ratio_max": -0.1}, {"contradicted_ratio_max": float("nan")}):
        with pytest.raises(ValueError, match=next(iter(wrong))):
            LabelPolicy(**wrong)


def test_a_truth_that_is_no_class_is_no_evidence_to_any_gate() -> None:
    """Evidence of other programs may hold it: the pairs are left out as if they had never been labelled."""
    rng = np.random.default_rng(2)
    some = pairs(rng, 400, World())
    strange = tuple(replace(pair, truth="maybe") for pair in pairs(rng, 4, World()))
    gate_set = GateSet(replace(JUDGING, labels=LabelPolicy(unknown_ratio_max=1.0)))
    clean = gate_set.look(gate_set.start(), seen_with(pairs=some))
    mixed = gate_set.look(gate_set.start(), seen_with(pairs=some + strange))
    assert mixed == clean


def test_a_class_that_only_one_version_has_is_a_class() -> None:
    """The other's answer is wrong there, and that is evidence."""
    fresh = tuple(
        replace(pair, truth="new", candidate=replace(pair.candidate, label="new"))
        for pair in pairs(np.random.default_rng(2), 200, World())
    )
    verdict = judged(replace(seen_with(pairs=fresh), classes=("new", *CLASSES)))["accuracy.shadow"]
    assert verdict.outcome is not Outcome.ERROR
    assert "0 answers got worse and 200 better" in verdict.reason


def test_a_look_of_nothing_but_strange_truths_is_an_error() -> None:
    """Also where no source is told."""
    strange = tuple(replace(pair, truth="YES") for pair in pairs(np.random.default_rng(2), 50, World()))
    verdict = judged(seen_with(pairs=strange))["accuracy.shadow"]
    assert verdict.outcome is Outcome.ERROR
    assert "'YES' 50 times (perhaps 'yes')" in verdict.reason


def test_what_was_rightly_said_while_a_source_was_at_fault_counts_once_it_is_mended() -> None:
    """The error neither fails nor passes, and loses nothing: the next look judges all of it."""
    gate_set = GateSet(JUDGING)
    rng = np.random.default_rng(3)
    bad = World(worse=0.12, better=0.01, shadow_looks=100)
    state = gate_set.start()
    for sequence in range(1, 9):
        seen = replace(look(rng, sequence, bad), classes=CLASSES, label_sources=(unknown(100, 50),))
        state, verdicts = gate_set.look(state, seen)
        assert {v.outcome for v in verdicts if v.gate in OF_LABELS} == {Outcome.ERROR}
        assert not state.failures
    state, verdicts = gate_set.look(state, replace(look(rng, 9, bad), classes=CLASSES, label_sources=(RIGHT,)))
    assert {v.gate: v.outcome for v in verdicts}["accuracy.shadow"] is Outcome.FAIL


def test_counts_of_a_source_that_cannot_be_are_an_error_that_names_the_field() -> None:
    """As of all evidence."""
    for change, field in (
        ({"labelled": -1}, "labelled"),
        ({"unknown": 1_001}, "unknown"),
        ({"unmatched": 1.5}, "unmatched"),
        ({"expected_matched": float("nan")}, "expected_matched"),
        ({"unknown_names": (NameCount("x", -1),)}, "unknown_names"),
    ):
        verdict = judged(seen_with(replace(RIGHT, **change)))["accuracy.shadow"]
        assert verdict.outcome is Outcome.ERROR
        assert f"label_sources[0].{field}" in verdict.reason


@pytest.mark.parametrize(
    ("unseen", "said"),
    [
        (UnseenSlice("class:Yes", nearest="class:yes"), "there is no slice 'class:Yes', no request can be"),
        (UnseenSlice("class:Yes", 900, "class:y"), "none of the last 900 sampled requests is in it; did you mean"),
    ],
)
@pytest.mark.parametrize("required", [True, False])
def test_a_slice_that_no_traffic_can_have_is_an_error_of_its_gate(
    unseen: UnseenSlice, said: str, required: bool
) -> None:
    """It guards nothing, and whoever wrote it believes it does: the verdict names the nearest one that there is. It
    holds a release as far as its gate does."""
    part = SlicePolicy("class:Yes", replace(SlicePolicy("").accuracy, required=required))
    verdict = judged(seen_with(unseen_slices=(unseen,)), GateSet(replace(JUDGING, slices=(part,))))[
        "accuracy.shadow[class:Yes]"
    ]
    assert (verdict.outcome, verdict.advisory) == (Outcome.ERROR, not required)
    assert said in verdict.reason


def test_a_name_that_label_names_sends_to_no_class_is_told_as_such() -> None:
    """To say in label_names what it means helps nobody who has done so, with a slip."""
    source = replace(unknown(50, 50), unknown_names=(NameCount("Ja", 50, "yess"),))
    reason = judged(seen_with(source))["accuracy.shadow"].reason
    assert "'Ja' 50 times, which label_names calls 'yess', no class either (perhaps 'yes')" in reason


def test_a_name_in_another_unicode_form_is_shown_by_its_letters() -> None:
    """The two look the same on paper: to be told one beside the other would help nobody."""
    source = unknown(50, 50, ("cafe\u0301", 50))
    reason = judged(replace(seen_with(source), classes=("caf\xe9", "tea")))["accuracy.shadow"].reason
    assert r"'caf\xe9': it looks the same, and this is 'cafe\u0301'" in reason
