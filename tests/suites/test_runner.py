"""A suite asked of a model: every case once, in order, and the answer as the gates judge it."""

import pytest

from suites.cases import Case, SuiteError
from suites.runner import BATCH_CASES, check_classes, run

CASES = tuple(Case(f"c{n}", f"text {n}", "track" if n % 2 else "refund", ("odd",) if n % 2 else ()) for n in range(100))


class Model:
    """Says ``track`` to everything, and remembers what it was asked."""

    def __init__(self):
        self.asked = []

    def __call__(self, texts):
        self.asked.append(list(texts))
        return [{"refund": 0.2, "track": 0.7, "cancel": 0.1} for _ in texts]


def test_every_case_is_asked_once_in_order_and_in_batches():
    model = Model()
    results = run(CASES, model)
    assert [text for batch in model.asked for text in batch] == [case.text for case in CASES]
    assert [len(batch) for batch in model.asked] == [BATCH_CASES] * 3 + [100 - 3 * BATCH_CASES]
    assert [result.case_id for result in results] == [case.id for case in CASES]


def test_a_result_holds_what_the_gates_judge():
    result = run(CASES[1:2], Model())[0]
    assert (result.truth, result.label, result.confidence, result.correct) == ("track", "track", 0.7, True)
    assert dict(zip(result.classes, result.probabilities, strict=True)) == {"refund": 0.2, "track": 0.7, "cancel": 0.1}
    assert result.slices == ("odd",)
    assert not run(CASES[0:1], Model())[0].correct
    assert run([Case("x", "t", "track", inclusion_probability=0.5)], Model())[0].inclusion_probability == 0.5


def test_a_label_that_no_version_knows_is_refused_by_its_case():
    """No answer could be right, and that would read as a bad model."""
    case = Case("x", "text", "Track", place="cases.jsonl, line 3")
    said = "cases.jsonl, line 3, case 'x': the label 'Track' is not a class of the version; did you mean 'track'"
    with pytest.raises(SuiteError, match=said):
        check_classes([case], run([case], Model()))
    with pytest.raises(
        SuiteError, match=r"'other' is not a class of either version \(and 1 more cases\); its classes: "
    ):
        check_classes([Case("y", "t", "other"), case], run([case], Model()), run([case], Model()))


def test_a_label_that_one_version_knows_is_a_case_like_any_other():
    """A class that only the candidate has is why it is released; the other is wrong there, and that is told."""
    case = Case("x", "text", "lost")
    old, new = run([case], Model()), run([case], lambda _: [{"lost": 0.9, "track": 0.1}])
    check_classes([case], new, old)
    assert (new[0].correct, old[0].correct) == (True, False)


def test_a_model_that_answers_too_few_texts_is_not_believed():
    with pytest.raises(SuiteError, match="asked about 2 texts, the model answered 1"):
        run(CASES[:2], lambda _: [{"track": 1.0, "refund": 0.0}])


def test_answers_are_kept_in_one_order_of_classes():
    """A replica may name its classes in another order each time: what is judged is in the first one."""
    answers = iter([[{"track": 0.7, "refund": 0.3}, {"refund": 0.4, "track": 0.6}]])
    results = run(CASES[:2], lambda _: next(answers))
    assert [result.classes for result in results] == [("track", "refund")] * 2
    assert [result.probabilities for result in results] == [(0.7, 0.3), (0.6, 0.4)]


@pytest.mark.parametrize("second", [{"track": 1.0}, {"track": 0.5, "refund": 0.3, "cancel": 0.2}])
def test_answers_over_other_classes_than_before_are_refused(second):
    with pytest.raises(SuiteError, match="case 'c1': the model answered with other classes"):
        run(CASES[:2], lambda _: [{"track": 0.7, "refund": 0.3}, second])


def test_no_cases_are_no_results():
    assert run((), Model()) == ()
