"""Suites: floors, slices, the comparison with stable, calibration, and bad results."""

import math
from dataclasses import replace

import numpy as np
import pytest

from gates.offline.suite import judge_suite
from gates.offline.suite_cases import SuiteResult
from gates.offline.suite_classes import classes_lost
from gates.outcome import Outcome
from gates.policy import CostPolicy, CostRow, FloorPolicy, GatePolicy, SuitePolicy
from gates.stats.calibration import _starts, debiased_l2
from tests.gates.suite_support import flipped, results

POLICY = GatePolicy()


def judge(cases, baseline=None, **suite):
    accuracy, calibration = judge_suite(cases, baseline, GatePolicy(suite=SuitePolicy(**suite)))
    return accuracy, calibration


def test_a_good_first_version_passes_on_absolute_floors_alone():
    accuracy, calibration = judge(results(2000))
    assert accuracy.outcome is Outcome.PASS
    assert calibration.outcome is Outcome.PASS
    assert "above the floor of 80 %" in accuracy.reason


def test_a_version_below_the_floor_fails():
    accuracy, _ = judge(results(2000, signal=1.5))
    assert accuracy.outcome is Outcome.FAIL


def test_a_floor_that_a_small_suite_cannot_prove_is_inconclusive():
    """A pass needs positive evidence: 27 right of 30 do not prove 80 %, and 30 cases are too few anyway."""
    accuracy, calibration = judge(results(30))
    assert accuracy.outcome is Outcome.INCONCLUSIVE
    assert calibration.outcome is Outcome.INCONCLUSIVE
    assert accuracy.samples_needed == 100


def test_a_loss_against_stable_fails_above_every_floor():
    cases = results(2000)
    accuracy, _ = judge(flipped(cases, 40), cases)
    assert accuracy.outcome is Outcome.FAIL
    assert "40 answers got worse and 0 better" in accuracy.reason


def test_a_margin_must_be_excluded_where_one_is_set():
    cases = results(2000)
    assert judge(cases, cases, margin_points=1.0)[0].outcome is Outcome.PASS
    few = results(200)
    assert judge(few, few, accuracy_min=0.5, margin_points=1.0)[0].outcome is Outcome.INCONCLUSIVE


def test_an_average_does_not_hide_a_slice_that_always_fails():
    """Lessons, promptfoo 5847: slices have floors of their own."""
    cases = [replace(case, slices=("late",)) if place % 50 == 0 else case for place, case in enumerate(results(2000))]
    cases = [replace(c, label="none") if c.slices == ("late",) else c for c in cases]
    assert judge(cases)[0].outcome is Outcome.PASS
    accuracy, _ = judge(cases, slice_floors=(("late", 0.5),))
    assert accuracy.outcome is Outcome.FAIL
    assert "slice late" in accuracy.reason


def test_a_slice_with_a_floor_and_no_case_holds():
    accuracy, _ = judge(results(2000), slice_floors=(("missing", 0.5),))
    assert accuracy.outcome is Outcome.INCONCLUSIVE


def test_one_failing_case_does_not_fail_a_suite():
    """Lessons, promptfoo 1441."""
    cases = results(2000)
    assert judge(flipped(cases, 1), cases)[0].outcome is Outcome.PASS


def test_overconfidence_fails_and_the_remedy_is_named():
    """Logits three times too large: the temperature that would help is about 3."""
    _, calibration = judge(results(4000, sharpness=3.0))
    assert calibration.outcome is Outcome.FAIL
    remedy = float(calibration.reason.split("dividing the logits by ")[1].split()[0])
    assert remedy == pytest.approx(3.0, rel=0.1)


def test_a_calibrated_model_is_not_failed_by_the_bias_of_plain_ece():
    """At 200 cases plain ECE is large for a perfect model; the debiased error's interval holds zero."""
    for seed in range(20):
        _, calibration = judge(results(200, seed=seed))
        assert calibration.outcome is not Outcome.FAIL
        assert calibration.interval.low == 0.0


@pytest.mark.parametrize("confidences", [(0.9,), (0.9, 0.9, 0.9, 0.9, 0.5), (0.6, 0.9, 0.9)])
@pytest.mark.parametrize("order", ["right ones first", "mixed"])
def test_cases_of_one_confidence_are_judged_together_in_whatever_order(confidences, order):
    """Divided among bins by their order, a perfectly calibrated constant looked .145 off."""
    said = np.array(confidences * 600)
    right = np.zeros(len(said))
    for value in set(confidences):
        same = np.flatnonzero(said == value)
        right[same[: round(value * len(same))]] = 1.0
    place = (
        np.argsort(-right, kind="stable")
        if order == "right ones first"
        else np.random.default_rng(1).permutation(len(said))
    )
    error = debiased_l2(said[place], right[place], 0.02)
    assert error.value == pytest.approx(0.0, abs=1e-9)
    assert error.high < 0.05
    assert error == debiased_l2(said, right, 0.02)


@pytest.mark.parametrize("cases", [2, 3, 5, 19, 20, 21, 101])
def test_a_bin_never_holds_a_single_case(cases):
    """Distinct and tied confidences alike: one case has no variance to take away from its squared distance."""
    rng = np.random.default_rng(cases)
    for said in (rng.random(cases), rng.integers(0, 4, cases) / 4, np.ones(cases)):
        starts = _starts(np.sort(said), 10)
        assert starts[0] == 0
        assert min(np.diff([*starts, cases])) >= 2


def test_worse_probabilities_at_equal_labels_fail_by_the_brier_score():
    cases = results(4000)
    blurred = [
        replace(c, confidence=max(p), probabilities=p)
        for c in cases
        for p in [tuple(0.6 * value + 0.4 / 3 for value in c.probabilities)]
    ]
    _, calibration = judge(blurred, cases, calibration_gap_max=0.9)
    assert calibration.outcome is Outcome.FAIL
    assert "Brier" in calibration.reason


def test_a_frequent_class_is_judged_on_its_own():
    """One class's probability is inflated where it does not win: the top label's calibration cannot see it."""
    cases = []
    for case in results(4000, signal=1.5):
        said = np.array(case.probabilities)
        if case.label == "other":
            said += said[1] * np.array([1.0, -1.0, 0.0])  # all of the runner-up's probability goes to refund
        cases.append(replace(case, probabilities=tuple(float(p) for p in said)))
    _, top_only = judge(cases, class_labels_min=10**6, calibration_gap_max=0.05)
    _, each = judge(cases, calibration_gap_max=0.05)
    assert top_only.outcome is Outcome.PASS
    assert each.outcome is Outcome.FAIL
    assert "class" in each.reason


def test_unevenly_sampled_cases_count_in_inverse_proportion():
    """Hard cases were drawn ten times as often: the weighted accuracy is that of the population."""
    easy = [replace(c, label=c.truth, inclusion_probability=0.05) for c in results(500, seed=1)]
    hard = [replace(c, case_id=f"h{c.case_id}", label="none", inclusion_probability=0.5) for c in results(500, seed=2)]
    accuracy, _ = judge([*easy, *hard], accuracy_min=0.8)
    assert accuracy.value == pytest.approx(10 / 11)
    assert accuracy.outcome is Outcome.PASS


@pytest.mark.parametrize(
    ("spoil", "field"),
    [
        (lambda case: replace(case, confidence=math.nan), "confidence"),
        (lambda case: replace(case, confidence=1.2), "confidence"),
        (lambda case: replace(case, probabilities=(0.5, 0.5)), "probabilities"),
        (lambda case: replace(case, probabilities=(0.9, 0.9, 0.1)), "probabilities"),
        (lambda case: replace(case, case_id="1"), "appears twice"),
        (lambda case: replace(case, inclusion_probability=0.0), "inclusion_probability"),
    ],
)
def test_bad_results_are_an_error_that_names_the_field(spoil, field):
    cases = results(200)
    verdicts = judge_suite([spoil(cases[0]), *cases[1:]], None, POLICY)
    assert {verdict.outcome for verdict in verdicts} == {Outcome.ERROR}
    assert all(field in verdict.reason for verdict in verdicts)


def test_a_baseline_of_other_cases_or_other_truths_is_an_error():
    cases = results(200)
    others = [replace(case, case_id=f"x{case.case_id}") for case in cases]
    relabelled = [replace(cases[0], truth="none"), *cases[1:]]
    for baseline in (others, relabelled):
        assert judge_suite(cases, baseline, POLICY)[0].outcome is Outcome.ERROR


def test_no_case_at_all_is_an_error():
    assert judge_suite([], None, POLICY)[0].outcome is Outcome.ERROR


def test_the_same_answers_give_the_same_verdicts():
    assert judge_suite(results(500), None, POLICY) == judge_suite(results(500), None, POLICY)


@pytest.mark.parametrize("count", [1, 2, 5, 12, 40])
def test_few_cases_reject_nobody_for_calibration(count):
    """The interval is a bootstrap's: of one case it has no width, and "0.657 to 0.657" failed sound versions."""
    for seed in range(5):
        _, calibration = judge(results(count, seed=seed))
        assert calibration.outcome is Outcome.INCONCLUSIVE
        assert f"{count} cases of 100 that are needed" in calibration.reason


# --- what the policy asks of classes and costs ------------------------------------------------------------------------
def asked(cases, stable=None, **policy):
    return judge_suite(cases, stable, GatePolicy(suite=SuitePolicy(accuracy_min=0.5), **policy))[0]


def answering(truth, label, count, first=0):
    return [SuiteResult(str(first + place), truth, label, 0.9) for place in range(count)]


CLASSY = [
    *answering("refund", "refund", 300),
    *answering("refund", "cancel", 100, 300),
    *answering("other", "other", 600, 400),
]


@pytest.mark.parametrize(
    ("floor", "outcome", "words"),
    [
        (FloorPolicy("recall:refund", at_least=0.9), Outcome.FAIL, "recall:refund 75.0 % of 400 cases is below"),
        (FloorPolicy("recall:refund", at_least=0.6), Outcome.PASS, ""),
        (FloorPolicy("false_positives:cancel", at_most=0.05), Outcome.FAIL, "not taken for it 90.0 % of 1,000 cases"),
        (FloorPolicy("false_positives:other", at_most=0.05), Outcome.PASS, ""),
        (FloorPolicy("recall:Refund", at_least=0.6), Outcome.INCONCLUSIVE, "no case (perhaps 'refund')"),
    ],
)
def test_floors_of_classes_hold_suites_too(floor, outcome, words):
    verdict = asked(CLASSY, floors=(floor,))
    assert verdict.outcome is outcome
    assert words in verdict.reason


def test_what_mistakes_cost_is_compared_with_stable():
    """As many right answers as stable: other ones are wrong, and those cost more."""
    stable = [*CLASSY[:900], *answering("other", "refund", 100, 900)]
    candidate = [*answering("refund", "cancel", 100), *answering("refund", "refund", 200, 100), *CLASSY[300:]]
    costs = CostPolicy(rows=(CostRow("refund", 10.0),))
    assert sum(case.correct for case in stable) == sum(case.correct for case in candidate)
    verdict = asked(candidate, stable, costs=costs)
    assert verdict.outcome is Outcome.FAIL
    assert "wrong answers cost +0.9 a case" in verdict.reason
    of_all = GatePolicy(suite=SuitePolicy(accuracy_min=0.5, class_guard_points=None))
    assert judge_suite(candidate, stable, of_all)[0].outcome is Outcome.PASS


# --- class by class beside stable -------------------------------------------------------------------------------------
MANY = tuple(f"class {number:02}" for number in range(30))
OF_CLASS = [600, 300, 200, *[100] * 7, *[40] * 10, *[10] * 10]  # cases of each: imbalanced, as classes are


def many(found, *, seed=0):
    """Cases of thirty classes, of which each is found with this probability; the others are taken for the next one."""
    rng, cases = np.random.default_rng(seed), []
    for at, (name, count) in enumerate(zip(MANY, OF_CLASS, strict=True)):
        for right in rng.random(count) < found[at]:
            label = name if right else MANY[(at + 1) % 30]
            cases.append(SuiteResult(str(len(cases)), name, label, 0.8))
    return cases


def of_classes(candidate, stable, **suite):
    return judge_suite(candidate, stable, GatePolicy(suite=SuitePolicy(accuracy_min=0.5, **suite)))[0]


def test_a_rare_class_that_is_lost_fails_though_all_cases_together_hardly_lose():
    """From 36 % to 0 % of a class of forty, at half a point of all: no floor was set for it."""
    before = [0.9] * 30
    before[15] = 0.36
    stable = many(before)
    candidate = [replace(c, label=MANY[16]) if c.truth == MANY[15] else c for c in stable]
    won = [place for place, c in enumerate(candidate) if c.truth == MANY[0] and not c.correct][:14]
    candidate = [replace(c, label=c.truth) if place in won else c for place, c in enumerate(candidate)]
    assert sum(c.correct for c in stable) - sum(c.correct for c in candidate) < 0.01 * len(stable)
    verdict = of_classes(candidate, stable)
    assert verdict.outcome is Outcome.FAIL
    assert "of class class 15 the candidate finds 0 % where stable finds" in verdict.reason
    assert of_classes(candidate, stable, class_guard_points=None).outcome is Outcome.PASS
    assert of_classes(candidate, stable, class_guard_points=50.0).outcome is Outcome.PASS


def test_a_class_that_the_candidate_does_not_have_is_lost():
    stable = many([0.9] * 30)
    left = tuple(name for name in MANY if name != "class 12")
    candidate = [
        replace(c, classes=left, probabilities=(1 / 29,) * 29, label="class 13" if c.truth == "class 12" else c.label)
        for c in stable
    ]
    reason = of_classes(candidate, stable, calibration_gap_max=0.99).reason
    assert "of class class 12 the candidate, which has no such class, finds 0 % where stable finds" in reason


def test_equal_versions_of_many_imbalanced_classes_are_seldom_failed():
    """The level holds for all classes together: 0.01, of which discrete tests use a part."""
    failed = 0
    for seed in range(300):
        stable, candidate = many([0.8] * 30, seed=2 * seed), many([0.8] * 30, seed=2 * seed + 1)
        pairs = list(zip(stable, candidate, strict=True))
        failed += any(classes_lost(pairs, 0.01, 0.0))
    assert failed <= 9  # of a probability of 0.01 in 300: more comes once in 1,000 times


def test_classes_too_small_to_fail_take_no_level_from_the_others():
    """Eleven answers lost of one class prove it at 0.01 among thirty, of which most have no answer that changed."""
    pairs = [(right, right) for right in answering("refund", "refund", 400)]
    lost = [(a, replace(a, label="x")) for a in answering("cancel", "cancel", 11, 400)]
    rare = [(a, replace(a, label="x")) for n in range(28) for a in answering(f"rare {n}", f"rare {n}", 2, 500 + 2 * n)]
    assert 0.5**11 > 0.01 / 30
    assert [found.reason.split(" the ")[0] for found in classes_lost([*pairs, *lost, *rare], 0.01, 5.0)] == [
        "of class cancel"
    ]


def test_uneven_cases_of_a_class_count_in_inverse_proportion():
    """Doubtful texts were drawn ten times as often: of all texts of the class the loss is a small one."""
    hard = [(a, replace(a, label="x")) for a in answering("refund", "refund", 60)]
    easy = [(a, a) for a in answering("refund", "refund", 60, 60)]
    uneven = [
        *(tuple(replace(one, inclusion_probability=1.0) for one in pair) for pair in hard),
        *(tuple(replace(one, inclusion_probability=0.1) for one in pair) for pair in easy),
    ]
    assert [found.outcome for found in classes_lost([*hard, *easy], 0.01, 20.0)] == [Outcome.FAIL]
    assert list(classes_lost(uneven, 0.01, 20.0)) == []
