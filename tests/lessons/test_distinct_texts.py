"""A text that stands in a suite fifty times was seen once: each distinct text counts once, and repeats are told."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from controller.core.release import Phase
from controller.errors import PermanentError, UsageError
from controller.journal.codec import event_of
from controller.loop.questions import ask_candidate
from controller.offline.ci_gate import GateResult, Question, run_gate
from controller.offline.ci_gate_files import summary
from controller.offline.evidence_file import RecordedSuites, line_of, parse_line
from gates.offline.suite import judge_suite
from gates.offline.suite_cases import Reading
from gates.offline.suite_replay import judge_suite_evidence
from gates.outcome import Outcome
from gates.policy import GatePolicy
from gates.stats.exact import share_bounds
from suites.cases import Case, SuiteError, load
from tests.controller.releases import SUITES
from tests.controller.service import GOOD
from tests.controller.test_ci_gate import POLICY, Models
from tests.controller.world import POLICY as RELEASE_POLICY
from tests.controller.world import World, write_suite
from tests.fakes.replicas import FakeReplica, FakeReplicas
from tests.gates.suite_support import results

TEXTS, TIMES = 12, 50


def repeated(path: Path, *, changed: bool = False) -> Path:
    """Twelve texts under fifty ids each; ``changed``: written differently, and the same to the tokenizer."""
    lines = []
    for number in range(TEXTS * TIMES):
        text = f"{number % TEXTS} refund"
        text = text.upper() if changed and number >= TEXTS and number % 2 else text
        lines.append(json.dumps({"id": f"c{number}", "text": text, "label": "refund", "slices": [f"s{number % 2}"]}))
    path.write_text("\n".join(lines))
    return path


class Uncased(Models):
    def _answer(self, url, text):
        return super()._answer(url, text.lower())


def gate(tmp_path: Path, suite: Path) -> GateResult:
    return run_gate(Question("models:/intent/7", (suite,), policy=POLICY), Uncased({"7": 1.0}, tmp_path).world)


@pytest.mark.parametrize("changed", [False, True], ids=["as written", "as the tokenizer reads them"])
def test_twelve_texts_under_fifty_ids_each_are_twelve_cases(tmp_path: Path, changed: bool) -> None:
    """Else they pass as "600 cases, at least 99.2 % for sure"."""
    found = gate(tmp_path, repeated(tmp_path / "suite.jsonl", changed=changed))
    accuracy, calibration = found.verdicts
    assert (accuracy.outcome, accuracy.samples, calibration.samples) == (Outcome.INCONCLUSIVE, TEXTS, TEXTS)
    assert accuracy.interval is not None
    assert accuracy.interval.low == pytest.approx(share_bounds(TEXTS, TEXTS, 0.02)[0])
    assert found.exit_code == 3


def test_repeats_are_told_in_the_verdict_and_the_summary(tmp_path: Path) -> None:
    found = gate(tmp_path, repeated(tmp_path / "suite.jsonl"))
    said = "588 cases repeat a text, and each text counts once: 12 of 600"
    assert said in found.verdicts[0].reason
    assert said in summary(found)
    assert [(part.name, part.cases) for part in found.slices] == [("", 12), ("s0", 6), ("s1", 6)]


def test_a_text_is_in_every_slice_that_one_of_its_cases_is_in() -> None:
    one, other = (replace(result, truth="refund", label="refund") for result in results(2))
    again = replace(other, case_id="again", same_text_as=one.case_id, slices=("late",))
    policy = replace(GatePolicy(), suite=replace(GatePolicy().suite, slice_floors=(("late", 0.5),)))
    accuracy, _ = judge_suite([one, other, again], None, policy)
    assert "no case" not in accuracy.reason
    assert accuracy.samples == 2


@pytest.mark.parametrize("second", ["where is it", "WHERE is it"], ids=["as written", "as the tokenizer reads it"])
def test_one_text_with_two_labels_is_refused_and_both_cases_are_named(tmp_path: Path, second: str) -> None:
    """One of the two is wrong, and nobody can be right."""
    path = tmp_path / "suite.jsonl"
    path.write_text(
        json.dumps({"id": "a", "text": "where is it", "label": "track"})
        + "\n"
        + json.dumps({"id": "b", "text": second, "label": "refund"})
    )
    replicas = FakeReplicas()
    replicas.running["u"] = FakeReplica(
        "f", lambda text: tuple(text.lower().encode()), lambda _: {"track": 0.9, "refund": 0.1}
    )
    with pytest.raises(SuiteError, match=r"line 2, case 'b': its text is that of .*line 1, case 'a', which"):
        ask_candidate(replicas, "u", load(path).cases, None)


def test_texts_that_only_a_poor_tokenizer_takes_for_one_stay_two_cases() -> None:
    """A version whose tokenizer knows no word is wrong by itself: that is not the suite's fault."""
    replicas = FakeReplicas()
    replicas.running["u"] = FakeReplica("f", lambda _: (1, 100, 2), lambda _: {"track": 0.9, "refund": 0.1})
    cases = [Case("a", "où est-il", "track"), Case("b", "money back", "refund"), Case("c", "parcel", "track")]
    found = ask_candidate(replicas, "u", cases, None)
    assert [result.same_text_as for result in found.results] == ["", "", "a"]


def test_without_a_tokenizer_texts_are_told_apart_as_they_are_written_and_that_is_said() -> None:
    class Untold(FakeReplicas):
        def token_ids(self, url, texts):
            raise PermanentError(f"{url} has no such route for {len(texts)} texts")

    replicas = Untold()
    replicas.running["u"] = FakeReplica("f", lambda _: (), lambda _: {"track": 0.9, "refund": 0.1})
    cases = [Case("a", "x", "track"), Case("b", "x", "track"), Case("c", "X", "track")]
    found = ask_candidate(replicas, "u", cases, None)
    assert [result.same_text_as for result in found.results] == ["", "a", ""]
    accuracy, _ = judge_suite(found.results, None, GatePolicy(), reading=found.reading)
    assert "1 case repeats a text (as written: no tokenizer was available)" in accuracy.reason
    accuracy, _ = judge_suite(found.results[:1], None, GatePolicy(), reading=Reading.TEXT)
    assert "told apart as written" in accuracy.reason


def test_a_release_counts_each_text_once_and_its_evidence_is_judged_again_the_same(tmp_path: Path) -> None:
    """The first version would be promoted by its suite alone."""
    suite = write_suite(tmp_path / "suite.jsonl", cases=12)
    lines = [json.loads(line) for line in suite.read_text().splitlines()]
    suite.write_text("\n".join(json.dumps(line | {"id": f"{n}-{line['id']}"}) for n in range(50) for line in lines))
    policy = replace(RELEASE_POLICY, suites=(str(suite),))
    world = World(tmp_path, policy=policy).given(stable=None, candidate=GOOD).when_settled()
    assert world.release.phase is Phase.HELD
    assert "588 cases repeat a text" in world.release.reason
    entries = world.journal.entries(world.release.id)
    (judged,) = [event for event in map(event_of, (one.entry for one in entries)) if getattr(event, "suites", None)]
    assert judged.suites.texts[:14] == (*range(12), 0, 1)
    assert judged.suites.reading == "tokens"
    assert repr(judge_suite_evidence(judged.suites, policy.gates)) == repr(judged.verdicts)


def test_evidence_of_an_older_serin_is_judged_as_it_was() -> None:
    """It does not know of repeats: a case is a case, and nothing is said of how texts were told apart."""
    document = json.loads(line_of(RecordedSuites(SUITES, "intent-v7-1")))
    for field in ("texts", "reading"):
        del document[field]
    found = parse_line(json.dumps(document | {"schema": "serin.evidence.suites/v1"}))
    assert found == RecordedSuites(replace(SUITES, texts=(), reading=""), "intent-v7-1")


def test_evidence_that_says_odd_things_of_repeats_is_an_error_that_names_them() -> None:
    """A repeat of a repeat, of nothing, or of another label: evidence is not believed unread."""
    one, other, third = results(3)
    for odd, said in {
        replace(other, same_text_as="none"): "no first case of a text",
        replace(other, same_text_as=other.case_id): "no first case of a text",
        replace(other, same_text_as=one.case_id, truth="refund" if one.truth != "refund" else "cancel"): "same text",
    }.items():
        accuracy, _ = judge_suite([one, odd, third], None, GatePolicy())
        assert accuracy.outcome is Outcome.ERROR
        assert said in accuracy.reason


def test_two_labels_are_a_usage_error_of_the_gate(tmp_path: Path) -> None:
    path = tmp_path / "suite.jsonl"
    lines = [{"id": str(n), "text": "1 refund", "label": label} for n, label in enumerate(("refund", "login"))]
    path.write_text("\n".join(map(json.dumps, lines)))
    with pytest.raises(UsageError, match="one text has one true label"):
        gate(tmp_path, path)
