"""`serin judge`: the verdicts of a release, again, from a file."""

import dataclasses
import json
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from typer.testing import CliRunner, Result

from controller.cli.app import app
from controller.core.events import Judged, Looked
from controller.core.notes import reading
from controller.core.policy import ReleasePolicy
from controller.errors import UsageError
from controller.journal.codec import event_of
from controller.offline.evidence_file import Evidence, Recorded, RecordedLook, RecordedSuites, read_evidence
from controller.offline.replay import as_json, as_text, conclusion, deadline_of, judge, judge_suites, only_release
from gates.evidence import Look
from gates.gate_set import RULES
from gates.outcome import Outcome
from gates.policy import GatePolicy, SuitePolicy
from gates.verdict import Verdict, Window
from tests.controller import report_support as support
from tests.controller.evidence_support import lines_of, recorded, write_evidence, write_policy
from tests.controller.report_support import POLICY, Journal, Scene
from tests.controller.test_evidence_format import ANY_LOOK

SCENES = {
    "promoted": dataclasses.replace(support.PROMOTED, stop_after_s=700.0),
    "less accurate": support.LESS_ACCURATE,
    "slow": support.SLOW,
    "without metrics": support.WITHOUT_METRICS,
    "aborted": Scene(abort_at_s=200.0),
}
WATCHES_ONLY = GatePolicy(
    accuracy_shadow=None, accuracy_slices=None, accuracy_live=None, calibration_shadow=None, errors_shadow=None,
    errors_live=None, latency=None, budget=None,
)  # fmt: skip


@pytest.fixture(scope="module")
def journals() -> dict[str, Journal]:
    return {name: support.play(scene) for name, scene in SCENES.items()}


def looks_recorded(journal: Journal) -> list[Looked]:
    events = [event_of(entry.entry) for entry in journal.entries]
    return [event for event in events if isinstance(event, Looked)]


def suite_verdicts_recorded(journal: Journal) -> list[tuple[Verdict, ...]]:
    events = [event_of(entry.entry) for entry in journal.entries]
    return [event.verdicts for event in events if isinstance(event, Judged) and event.suites is not None]


def invoke(policy: ReleasePolicy, looks: Sequence[Recorded], folder: Path, *options: str) -> Result:
    file, document = write_evidence(folder / "evidence.jsonl", looks), write_policy(folder / "policy.yaml", policy)
    return CliRunner().invoke(app, ["judge", "--policy", str(document), "--evidence", str(file), *options])


@pytest.mark.parametrize("name", SCENES)
def test_a_recorded_release_is_judged_to_exactly_its_recorded_verdicts(
    name: str, journals: dict[str, Journal], tmp_path: Path
) -> None:
    """Every verdict of the suites and of every look, to the last digit, whatever became of the release."""
    journal = journals[name]
    assert journal.release is not None
    found = [judgement.verdicts for judgement in judge(journal.release.policy, recorded(journal))]
    looks = looks_recorded(journal)
    assert len(found) == len(looks) > 0
    for look, verdicts in zip(looks, found, strict=True):
        assert set(look.verdicts) <= set(verdicts)
        assert look.readings == {one.gate: reading(one) for one in verdicts if one.value is not None}
    at_the_end = {one.gate: one for one in found[-1]}
    assert at_the_end == {gate: one for gate, one in journal.release.verdicts.items() if gate in at_the_end}
    evidence = read_evidence(write_evidence(tmp_path / "evidence.jsonl", lines_of(journal)))
    of_suites = [judgement.verdicts for judgement in judge_suites(journal.release.policy, evidence)]
    assert of_suites == suite_verdicts_recorded(journal)
    assert len(of_suites) == 1


def test_reading_a_file_twice_gives_the_same_bytes(journals: dict[str, Journal], tmp_path: Path) -> None:
    for options in ((), ("--json",)):
        first, second = (invoke(POLICY, lines_of(journals["aborted"]), tmp_path, *options) for _ in range(2))
        assert first.stdout_bytes == second.stdout_bytes
        assert first.stdout_bytes


def test_json_is_one_object_for_the_suites_and_one_a_look(journals: dict[str, Journal], tmp_path: Path) -> None:
    looks = recorded(journals["slow"])
    suites, *rows = map(json.loads, invoke(POLICY, lines_of(journals["slow"]), tmp_path, "--json").stdout.splitlines())
    assert (suites["schema"], suites["run"], suites["outcome"]) == ("serin.judgement.suites/v1", 1, "pass")
    assert suites["files"] == [{"name": "suite.jsonl", "sha256": "5a1e" * 16, "cases": 2_000}]
    assert [row["sequence"] for row in rows] == [line.look.sequence for line in looks]
    assert {row["schema"] for row in rows} == {"serin.judgement/v1"}
    assert {row["rules"] for row in (suites, *rows)} == {RULES}
    assert rows[-1]["outcome"] == "fail"
    assert {v["gate"] for v in rows[-1]["verdicts"] if v["outcome"] == "fail"} >= {"latency.p95"}


@pytest.mark.parametrize(
    ("name", "code", "said"),
    [
        ("promoted", 0, "pass, every required gate passed."),
        ("slow", 1, "fail, failed by latency.p95"),
        ("aborted", 3, "inconclusive, not settled: "),
        ("without metrics", 4, "error, could not be judged by "),
    ],
)
def test_the_exit_code_is_the_outcome_after_the_last_look(
    name: str, code: int, said: str, journals: dict[str, Journal], tmp_path: Path
) -> None:
    """0 pass, 1 fail, 3 inconclusive, 4 could not judge: a pipeline goes on only where everything passed."""
    result = invoke(POLICY if name != "without metrics" else SCENES[name].policy, lines_of(journals[name]), tmp_path)
    assert (result.exit_code, said in result.stdout.splitlines()[-1]) == (code, True)


def test_no_look_is_no_pass(tmp_path: Path) -> None:
    """Nothing measured is its own state (argo 1329: nothing measured, then terminated, was success)."""
    result = invoke(POLICY, (), tmp_path)
    assert result.exit_code == 3
    assert result.stdout == "No look: nothing was judged.\n"


def test_a_policy_without_gates_on_traffic_is_no_pass() -> None:
    look = RecordedLook(Look(1, Window(0, 10), 0.0))
    policy = ReleasePolicy("intent", gates=WATCHES_ONLY)
    outcome, _ = conclusion(None, list(judge(policy, (look,)))[-1])
    assert outcome is Outcome.INCONCLUSIVE


def test_the_looks_of_two_releases_are_not_judged_as_one(journals: dict[str, Journal]) -> None:
    looks = [*recorded(journals["slow"]), RecordedLook(Look(1, Window(0, 1), 0.0), "intent-v8-1")]
    with pytest.raises(UsageError, match="2 releases, intent-v7-1 and intent-v8-1: judge one at a time"):
        judge(POLICY, looks)


def test_a_look_that_overlaps_the_one_before_is_an_error_and_not_a_pass(journals: dict[str, Journal]) -> None:
    """Evidence of the right shape may still be impossible: it is judged to an error that names the field."""
    looks = list(recorded(journals["promoted"]))
    twice = list(judge(POLICY, [*looks, looks[-1]]))[-1]
    assert twice.outcome is Outcome.ERROR
    assert any("sequence" in verdict.reason for verdict in twice.verdicts)


def test_the_deadline_is_as_asked_else_as_recorded_else_the_policys() -> None:
    """The gates keep a part of their level for one test at the deadline; which look that is, is fixed beforehand."""
    first = RecordedLook(Look(1, Window(100.0, 110.0), 0.0), "r", deadline_s=500.0)
    assert deadline_of(POLICY, first, 60.0) == 160.0
    assert deadline_of(POLICY, first, None) == 500.0
    assert deadline_of(POLICY, dataclasses.replace(first, deadline_s=None), None) == 100.0 + POLICY.deadline_s


@given(st.lists(ANY_LOOK, min_size=1, max_size=3))
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_whatever_a_look_holds_it_is_judged_and_told(looks: list[RecordedLook]) -> None:
    """Never a crash, and never a sentence missing."""
    one_release = [dataclasses.replace(line, release="r") for line in looks]
    for judgement in judge(POLICY, one_release):
        assert json.loads(as_json(judgement))["outcome"] == judgement.outcome
        assert len(as_text(judgement)) > 100


def test_a_damaged_file_is_one_line_with_file_and_line(tmp_path: Path) -> None:
    (tmp_path / "policy.yaml").write_text("apiVersion: serin/v1\nkind: ReleasePolicy\nmodel: intent\n")
    (tmp_path / "bad.jsonl").write_text('{"schema": "serin.evidence/v1"}\n')
    arguments = ["judge", "--policy", str(tmp_path / "policy.yaml"), "--evidence", str(tmp_path / "bad.jsonl")]
    result = CliRunner().invoke(app, arguments)
    assert isinstance(result.exception, UsageError)
    assert str(result.exception).endswith("bad.jsonl, line 1: sequence: is missing")


# --- suites -----------------------------------------------------------------------------------------------------------
def suites_of(journal: Journal, **changes: object) -> RecordedSuites:
    """What the suites of the release were judged by."""
    (found,) = [line for line in lines_of(journal) if isinstance(line, RecordedSuites)]
    return dataclasses.replace(found, **changes)  # type: ignore[arg-type]


def told(policy: ReleasePolicy, lines: Sequence[Recorded], folder: Path) -> tuple[int, str]:
    """Exit code and last line."""
    result = invoke(policy, lines, folder)
    return result.exit_code, result.stdout.splitlines()[-1]


def test_suites_are_told_before_the_looks_wherever_their_line_stands(
    journals: dict[str, Journal], tmp_path: Path
) -> None:
    suites, *looks = lines_of(journals["slow"])
    first, last = (invoke(POLICY, lines, tmp_path).stdout for lines in ((suites, *looks), (*looks, suites)))
    assert first == last
    head, accuracy, calibration, look, *_ = first.splitlines()
    assert head == "suites  2026-11-18 11:07:04 UTC  suite.jsonl (2,000 cases, 5a1e5a1e5a1e)  beside stable  pass"
    assert accuracy.startswith("  pass            accuracy.suite: Suite: ")
    assert calibration.startswith("  pass            calibration.suite: Suite: ")
    assert look.startswith("look 1  ")


def test_a_suite_that_fails_fails_the_evidence_whatever_the_looks_say(
    journals: dict[str, Journal], tmp_path: Path
) -> None:
    """Under a policy that asks more of its suites, the recorded answers are too few right ones."""
    strict = dataclasses.replace(POLICY, gates=dataclasses.replace(POLICY.gates, suite=SuitePolicy(accuracy_min=0.99)))
    code, sentence = told(strict, lines_of(journals["promoted"]), tmp_path)
    assert code == 1
    assert sentence.endswith(": fail, failed by accuracy.suite.")


def test_suites_that_the_policy_names_and_nobody_recorded_are_no_pass(
    journals: dict[str, Journal], tmp_path: Path
) -> None:
    """A file of an older Serin, or one that was cut: the looks are judged as ever, and what is missing is open."""
    result = invoke(POLICY, recorded(journals["promoted"]), tmp_path)
    assert result.stdout.splitlines()[0] == "suites  not recorded  inconclusive"
    assert "no answers to the suites that the policy names (suite.jsonl)" in result.stdout
    assert result.exit_code == 3
    assert result.stdout.splitlines()[-1].endswith("inconclusive, not settled: accuracy.suite and calibration.suite.")
    without = dataclasses.replace(POLICY, suites=())
    assert invoke(without, recorded(journals["promoted"]), tmp_path).exit_code == 0


def test_a_first_version_passes_by_its_suites_and_a_later_one_needs_looks(
    journals: dict[str, Journal], tmp_path: Path
) -> None:
    suites = suites_of(journals["promoted"])
    alone = dataclasses.replace(suites, suites=dataclasses.replace(suites.suites, stable=None))
    assert told(POLICY, [alone], tmp_path) == (0, "After the suites: pass, every required gate passed.")
    sentence = "After the suites: inconclusive, they passed, and no look at traffic is recorded."
    assert told(POLICY, [suites], tmp_path) == (3, sentence)


@pytest.mark.parametrize(
    ("runs", "said"),
    [
        ((1, 1), "run: run 1 was judged already"),
        ((2, 1), "run: run 1 comes after run 2"),
        ((0,), "run: 0 is not a whole number from 1"),
    ],
)
def test_a_run_of_the_suites_counts_once_and_in_order(
    runs: tuple[int, ...], said: str, journals: dict[str, Journal], tmp_path: Path
) -> None:
    """The same line twice, as of files put together, is an error and no second opinion."""
    lines = [suites_of(journals["promoted"], run=run) for run in runs]
    result = invoke(POLICY, [*lines, *recorded(journals["promoted"])], tmp_path)
    assert (result.exit_code, said in result.stdout) == (4, True)


def test_of_several_runs_of_the_suites_the_last_counts(journals: dict[str, Journal], tmp_path: Path) -> None:
    """A release that was held and resumed ran them again: the journal keeps both, and the later verdicts stand."""
    good = suites_of(journals["promoted"], run=2)
    odd = dataclasses.replace(good, run=1, suites=dataclasses.replace(good.suites, truths=()))
    lines = [odd, good, *recorded(journals["promoted"])]
    assert told(POLICY, lines, tmp_path)[0] == 0
    assert told(POLICY, [dataclasses.replace(good, run=1), dataclasses.replace(odd, run=2)], tmp_path)[0] == 4


def test_suites_and_looks_of_two_releases_are_not_judged_as_one(journals: dict[str, Journal]) -> None:
    looks = recorded(journals["promoted"])
    with pytest.raises(UsageError, match="2 releases, intent-v8-1 and intent-v7-1: judge one at a time"):
        list(judge_suites(POLICY, Evidence(looks, (suites_of(journals["promoted"], release="intent-v8-1"),))))


def test_names_from_a_file_reach_a_terminal_as_plain_text(journals: dict[str, Journal], tmp_path: Path) -> None:
    """Evidence may come from anywhere: no escape sequence and no line break of it is printed."""
    suites = suites_of(journals["promoted"])
    ids = ("one\x1b[2J", "one\x1b[2J", *suites.suites.case_ids[2:])
    files = (dataclasses.replace(suites.suites.files[0], name="a\nlook 9"),)
    for odd, said in (({"case_ids": ids}, "appears twice"), ({"files": files}, "answers to")):
        line = dataclasses.replace(suites, suites=dataclasses.replace(suites.suites, **odd))
        text = invoke(POLICY, [line], tmp_path).stdout
        assert "\x1b" not in text
        assert not any(line.startswith("look 9") for line in text.splitlines())
        assert said in text
    several = [dataclasses.replace(suites, release=name) for name in ("\x1b[2J", "b\nlook 9")]
    with pytest.raises(UsageError) as raised:
        only_release(Evidence((), tuple(several)))
    assert not {"\x1b", "\n"} & set(str(raised.value))


@pytest.mark.parametrize("names", [("other.jsonl",), ("suite.jsonl", "more.jsonl"), ()])
def test_answers_to_other_suites_than_the_policys_settle_nothing(
    names: tuple[str, ...], journals: dict[str, Journal], tmp_path: Path
) -> None:
    """A file that the policy does not name, one that is missing, or a policy without any: open, and both are named."""
    lines = [suites_of(journals["promoted"]), *recorded(journals["promoted"])]
    result = invoke(dataclasses.replace(POLICY, suites=names), lines, tmp_path)
    assert result.exit_code == 3
    assert "These are answers to suite.jsonl, and the policy names " in result.stdout


@pytest.mark.parametrize(
    ("kept", "said"),
    [
        (lambda number: not 3 <= number <= 5, "Looks are missing from this evidence: 3 to 5."),
        (lambda number: number > 2, "Looks are missing from this evidence: 1 to 2."),
        (lambda number: number not in (2, 4), "Looks are missing from this evidence: 2 and 4."),
    ],
)
def test_evidence_out_of_which_looks_were_cut_passes_nothing(
    kept: Callable[[int], bool], said: str, journals: dict[str, Journal], tmp_path: Path
) -> None:
    """A promoted release, without the looks in which harm may have been; they are named."""
    looks = [line for line in recorded(journals["promoted"]) if kept(line.look.sequence)]
    code, sentence = told(POLICY, [suites_of(journals["promoted"]), *looks], tmp_path)
    assert (code, sentence.endswith(said)) == (3, True)


def test_a_failure_stays_one_when_looks_are_missing(journals: dict[str, Journal], tmp_path: Path) -> None:
    looks = recorded(journals["less accurate"])
    code, sentence = told(POLICY, [suites_of(journals["less accurate"]), *looks[1:]], tmp_path)
    assert code == 1
    assert "Looks are missing" in sentence


@pytest.mark.parametrize("field", ["deadline_s", "at_s"])
@pytest.mark.parametrize("number", ["nan", "inf", "-inf"])
def test_times_that_are_not_finite_are_refused_by_name(
    field: str, number: str, journals: dict[str, Journal], tmp_path: Path
) -> None:
    line = suites_of(journals["promoted"]) if field == "at_s" else recorded(journals["promoted"])[0]
    odd = dataclasses.replace(line, **{field: float(number)})
    with pytest.raises(UsageError, match=f"line 1: {field}: expected a finite number"):
        read_evidence(write_evidence(tmp_path / "evidence.jsonl", [odd]))
