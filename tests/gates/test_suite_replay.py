"""What the suites were judged by: recorded in columns, judged again to the same bytes, odd evidence an error."""

import copy
import json
import math
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gates.codec import decode, encode
from gates.offline.suite import judge_suite
from gates.offline.suite_replay import as_evidence, judge_suite_evidence
from gates.outcome import Outcome, combine
from gates.policy import GatePolicy, SuitePolicy
from gates.suite_evidence import PARTS, SuiteEvidence, SuiteFile
from tests.gates.suite_support import flipped, results

POLICY = GatePolicy(suite=SuitePolicy(slice_floors=(("all", 0.5),), margin_points=5.0))


def served(cases):
    """The answers as a replica writes them: with seven decimals."""
    return [
        replace(
            case,
            confidence=round(case.confidence, 7),
            probabilities=tuple(round(probability, 7) for probability in case.probabilities),
        )
        for case in cases
    ]


def worse(cases, count):
    """The same answers, with the first ``count`` right ones made wrong, as surely as they were right."""
    found = []
    for case, lost in zip(cases, flipped(cases, count), strict=True):
        said = dict(zip(case.classes, case.probabilities, strict=True))
        said[case.label], said[lost.label] = said[lost.label], said[case.label]
        found.append(replace(lost, probabilities=tuple(said.values())))
    return found


def evidence(cases, baseline=None):
    return as_evidence([SuiteFile("suite.jsonl", "ab" * 32, len(cases))], cases, baseline)


def through_json(value):
    return decode(SuiteEvidence, json.loads(json.dumps(encode(value), allow_nan=False)))


def turned(case):
    return replace(case, classes=case.classes[::-1], probabilities=case.probabilities[::-1])


GOOD = served(results(400))
STORIES = {
    "good": (GOOD, GOOD),
    "first version": (GOOD, None),
    "worse": (worse(GOOD, 40), GOOD),
    "overconfident": (served(results(400, sharpness=3.0)), GOOD),
    "few": (GOOD[:30], GOOD[:30]),
    "sampled unevenly": (
        [replace(case, inclusion_probability=1 / (2 + n % 3)) for n, case in enumerate(GOOD)], GOOD),
    "other order of classes": (GOOD, [turned(case) for case in GOOD]),
    "two slices": ([replace(case, slices=("all", "odd") if n % 2 else ()) for n, case in enumerate(GOOD)], GOOD),
}  # fmt: skip


@pytest.mark.parametrize("story", STORIES)
def test_evidence_is_judged_as_the_answers_themselves_to_the_last_bit(story):
    """Nothing that a verdict depends on is left out: not the order of the classes, not a digit of a probability."""
    candidate, stable = STORIES[story]
    found = judge_suite_evidence(through_json(evidence(candidate, stable)), POLICY)
    assert repr(found) == repr(judge_suite(candidate, stable, POLICY))


def test_evidence_survives_json_with_every_field():
    found = evidence(*STORIES["sampled unevenly"])
    assert through_json(found) == found
    assert found.inclusion_probabilities[1] == 1 / 3
    assert found.candidate.probabilities_e7[0] == tuple(round(PARTS * p) for p in GOOD[0].probabilities)


def test_more_digits_than_a_replica_writes_are_rounded_before_they_are_judged():
    """What is judged is what is recorded: rounding changes no outcome, and a second judgement changes no bit."""
    exact = results(400)
    once = evidence(exact, exact)
    assert repr(judge_suite_evidence(through_json(once), POLICY)) == repr(judge_suite_evidence(once, POLICY))
    assert [v.outcome for v in judge_suite_evidence(once, POLICY)] == [
        v.outcome for v in judge_suite(exact, exact, POLICY)
    ]


def test_thousands_of_cases_are_small():
    """2,000 cases of 16 classes, both versions: well below a megabyte, class names once."""
    classes = tuple(f"intent_{n}" for n in range(16))
    rows = [tuple(round(p, 7) for p in (0.9, *[0.1 / 15] * 15)) for _ in range(2_000)]
    cases = [replace(GOOD[0], case_id=f"case-{n:04}", truth="intent_0", label="intent_0", confidence=row[0],
                     probabilities=row, classes=classes) for n, row in enumerate(rows)]  # fmt: skip
    text = json.dumps(encode(evidence(cases, cases)), separators=(",", ":"))
    assert len(text) < 600_000
    assert text.count("intent_7") == 1


@pytest.mark.parametrize("broken", [math.nan, math.inf, -0.5, 1e300, "high", None])
def test_an_answer_that_is_no_probability_is_recorded_and_an_error(broken):
    """It leaves the controller no way but to hold the release, and says which answer it was."""
    place = next(n for n in range(3) if GOOD[2].classes[n] != GOOD[2].label)
    odd = replace(GOOD[2], probabilities=(*GOOD[2].probabilities[:place], broken, *GOOD[2].probabilities[place + 1 :]))
    found = judge_suite_evidence(through_json(evidence([*GOOD[:2], odd, *GOOD[3:]], GOOD)), POLICY)
    assert {verdict.outcome for verdict in found} == {Outcome.ERROR}
    assert "candidate.probabilities_e7[2]: null" in found[0].reason


@pytest.mark.parametrize(
    ("path", "value", "said"),
    [
        (("files", 0, "cases"), 399, "files: they have [399] cases, case_ids 400"),
        (("classes", 1), "refund", "classes: a name appears twice"),
        (("case_ids", 1), "0", "candidate[0]: appears twice"),
        (("case_ids",), [], "files: they have [400] cases, case_ids 0"),
        (("truths", 3), 3, "truths[3]: 3 is no place among the 3 classes"),
        (("truths", 3), -1, "truths[3]: -1 is no place among the 3 classes"),
        (("truths",), [0], "truths: 1 for 400 cases"),
        (("slice_names",), ["all", "all"], "slice_names: a name appears twice"),
        (("slices", 0), [0, 0], "slices[0]: a slice appears twice"),
        (("slices", 0), [1], "slices[0][0]: 1 is no place among the 1 slice_names"),
        (("slices",), [[0]], "slices: 1 rows for 400 cases"),
        (("inclusion_probabilities",), [1.0], "inclusion_probabilities: 1 for 400 cases"),
        (("inclusion_probabilities",), [0.0] * 400, "inclusion_probability: 0.0 is not in (0, 1]"),
        (("candidate", "classes"), [0, 0, 1], "candidate.classes: a class appears twice"),
        (("candidate", "classes"), [0, 1, 9], "candidate.classes[2]: 9 is no place among the 3 classes"),
        (("stable", "classes"), [0, 1], "stable.labels["),
        (("stable", "labels", 5), 7, "stable.labels[5]: 7 is no place among the 3 classes"),
        (("candidate", "labels"), [], "candidate.labels: 0 for 400 cases"),
        (("candidate", "probabilities_e7"), [], "candidate.probabilities_e7: 0 rows for 400 cases"),
        (("candidate", "probabilities_e7", 4), [1], "candidate.probabilities_e7[4]: 1 numbers for 3 classes"),
        (("candidate", "probabilities_e7", 4), [PARTS, PARTS, 0], "candidate[4].probabilities: they sum to 2.0000"),
        (("stable", "probabilities_e7", 4), [2 * PARTS, 0, 0], "stable[4]."),
        (("stable", "probabilities_e7", 4), [None, 0, 0], "stable.probabilities_e7[4]: null"),
    ],
)
def test_odd_evidence_is_an_error_of_both_gates_that_names_the_field(path, value, said):
    document = encode(evidence(GOOD, GOOD))
    parent = document
    for key in path[:-1]:
        parent = parent[key]
    parent[path[-1]] = value
    found = judge_suite_evidence(decode(SuiteEvidence, json.loads(json.dumps(document))), POLICY)
    assert [verdict.outcome for verdict in found] == [Outcome.ERROR, Outcome.ERROR]
    assert all(said in verdict.reason for verdict in found), found[0].reason


def test_answers_that_do_not_fit_each_other_are_no_evidence():
    with pytest.raises(ValueError, match="not asked the same cases"):
        evidence(GOOD, GOOD[1:])
    with pytest.raises(ValueError, match="not all over the same classes"):
        evidence([GOOD[0], turned(GOOD[1])])
    with pytest.raises(ValueError, match="'1': the confidence is not the probability of the label"):
        evidence([GOOD[0], replace(GOOD[1], confidence=0.4)])


SMALL = encode(evidence(GOOD[:40], GOOD[:40]))
STRANGE = st.one_of(
    st.none(), st.integers(-(2**53), 2**53), st.sampled_from([0, 1, -1, 3, PARTS, PARTS + 1, [], [0], [[]]])
)


@settings(max_examples=150, deadline=None)
@given(st.data())
def test_evidence_changed_anywhere_is_refused_or_judged_and_never_made_better(data):
    """Never a crash. What does not fit the types is refused; of the rest, one version's answers say what they say."""
    document = copy.deepcopy(SMALL)
    for _ in range(data.draw(st.integers(1, 3))):
        parent, key = document, data.draw(st.sampled_from(sorted(document)))
        while isinstance(parent[key], dict | list) and parent[key] and data.draw(st.booleans()):
            parent = parent[key]
            keys = sorted(parent) if isinstance(parent, dict) else range(len(parent))
            key = data.draw(st.sampled_from(keys))
        parent[key] = data.draw(STRANGE)
    try:
        changed = decode(SuiteEvidence, document)
    except ValueError:
        return
    found = judge_suite_evidence(changed, POLICY)
    assert [verdict.gate for verdict in found] == ["accuracy.suite", "calibration.suite"]
    assert all(verdict.reason for verdict in found)
    assert combine(verdict.outcome for verdict in found) is not Outcome.PASS  # 40 cases prove nothing
    assert repr(judge_suite_evidence(changed, POLICY)) == repr(found)
