"""Recorded evidence: what is written reads back equal, and what is wrong is refused with its line and field."""

import dataclasses
import json
import math
import re
from pathlib import Path
from typing import Any, get_args, get_origin, get_type_hints

import jsonschema
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from controller.core.events import Judged, Looked, PhaseEntered, Started, Verified
from controller.core.origin import Origin
from controller.core.release import Phase, Purpose
from controller.errors import UsageError
from controller.journal.codec import entry_of, event_of
from controller.offline.evidence_file import (
    SCHEMA,
    Recorded,
    RecordedLook,
    RecordedSuites,
    evidence_of,
    json_schema,
    line_of,
    looks_of,
    parse_line,
    read_evidence,
)
from controller.offline.replay import SuitesJudgement
from gates import evidence
from gates.evidence import ArmCounts, Look
from gates.offline.suite_replay import judge_suite_evidence
from gates.outcome import Outcome
from gates.policy import GatePolicy
from gates.suite_evidence import SuiteAnswers, SuiteEvidence, SuiteFile
from gates.verdict import Window
from tests.controller import report_support as support
from tests.controller.releases import CANDIDATE, POLICY, STABLE, SUITES
from tests.controller.report_support import Journal
from tests.fakes.journal import FakeJournal

DOCS = Path(__file__).parents[2] / "docs"
PLAIN = RecordedLook(Look(1, Window(0.0, 10.0), 0.0), "intent-v7-1", 3_600.0)


def anything(hint: Any) -> st.SearchStrategy[Any]:
    """Any value that a type of the evidence allows, as evidence that nobody checked may hold it."""
    if hint is Window:
        return st.tuples(st.floats(0, 2e9), st.floats(0, 1e9)).map(lambda pair: Window(pair[0], sum(pair)))
    if dataclasses.is_dataclass(hint) and isinstance(hint, type):
        return st.builds(hint, **{name: anything(inner) for name, inner in get_type_hints(hint).items()})
    inner = [option for option in get_args(hint) if option not in (type(None), Ellipsis)]
    if get_origin(hint) is tuple:
        return st.lists(anything(inner[0]), max_size=2).map(tuple)
    if inner:
        return st.none() | anything(inner[0])
    plain = {int: st.integers(-(2**53), 2**53), float: st.floats(), str: st.text(max_size=5), bool: st.booleans()}
    return plain[hint]


ANY_LOOK = st.builds(RecordedLook, anything(Look), st.text(max_size=5), st.none() | st.floats(0, 3e9))
ANY_SUITES = st.builds(
    RecordedSuites,
    anything(SuiteEvidence),
    st.text(max_size=5),
    st.integers(1, 2**53),
    st.none() | st.floats(0, 3e9),
    st.none() | anything(Origin),
)


@pytest.fixture(scope="module")
def journal() -> Journal:
    return support.play(dataclasses.replace(support.PROMOTED, stop_after_s=600.0, faulty_looks=range(3, 5)))


@pytest.fixture(scope="module")
def validator() -> jsonschema.Draft202012Validator:
    jsonschema.Draft202012Validator.check_schema(json_schema())
    return jsonschema.Draft202012Validator(json_schema())


def line(**changes: Any) -> str:
    return json.dumps(json.loads(line_of(PLAIN)) | changes)


def suites_line(**changes: Any) -> str:
    return json.dumps(json.loads(line_of(RecordedSuites(SUITES, "intent-v7-1"))) | changes)


def same(one: object, other: object) -> bool:
    """Equal, where NaN is equal to NaN."""
    return repr(one) == repr(other)


# --- nothing is lost --------------------------------------------------------------------------------------------------
@given(ANY_LOOK | ANY_SUITES)
@settings(max_examples=90, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_what_is_written_reads_back_the_same(recorded: Recorded) -> None:
    """Any look and any suites that the types allow, with NaN and infinity in it, float for float, on one line."""
    written = line_of(recorded)
    assert "\n" not in written
    assert same(parse_line(written.encode()), recorded)


@given(ANY_LOOK | ANY_SUITES)
@settings(max_examples=45, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_whatever_is_written_fits_the_schema(recorded: Recorded) -> None:
    jsonschema.Draft202012Validator(json_schema()).validate(json.loads(line_of(recorded)))


def test_a_file_of_the_first_version_reads_as_it_did() -> None:
    """Written by an older Serin: what it did not know of is not measured."""
    old = {
        "schema": "serin.evidence/v1", "release": "intent-v7-1", "deadline_s": 9.0, "sequence": 1,
        "window": {"start_s": 1.0, "end_s": 2.0}, "candidate_share": 0.0, "latency_edges_ms": [20.0],
        "stable": {"requests": 3, "errors": 1, "latency_counts": [2, 0], "error_clusters": None},
        "stable_profile": {"token_counts": [], "class_counts": [], "confidence_counts": [], "tokens": 0,
                           "unknown_tokens": 0, "truncated": 0, "requests": 0, "tokenizer": ""},
        "faults": [],
    }  # fmt: skip
    recorded = parse_line(json.dumps(old))
    assert (recorded.look.stable, recorded.look.reference) == (ArmCounts(3, 1, (2, 0)), ())
    assert parse_line(line_of(recorded)) == recorded


def test_a_line_is_what_the_journal_stores(journal: Journal) -> None:
    """Beside the fields of the look there are three: format, release and deadline."""
    stored = [entry.entry.payload["look"] for entry in journal.entries if entry.entry.kind == Looked.__name__]
    written = [json.loads(line_of(recorded)) for recorded in looks_of(journal.entries)]
    assert [{k: v for k, v in row.items() if k not in ("schema", "release", "deadline_s")} for row in written] == stored
    assert {(row["schema"], row["release"]) for row in written} == {(SCHEMA, "intent-v7-1")}


def test_an_exported_release_reads_back_as_its_looks(
    journal: Journal, validator: jsonschema.Draft202012Validator, tmp_path: Path
) -> None:
    """Export, then read: the looks and the deadline that the journal holds, in order; each line fits the schema."""
    file = tmp_path / "evidence.jsonl"
    file.write_text("".join(line_of(recorded) + "\n" for recorded in looks_of(journal.entries)), encoding="utf-8")
    events = [event_of(entry.entry) for entry in journal.entries]
    looks = [event.look for event in events if isinstance(event, Looked)]
    found = read_evidence(file)
    assert [recorded.look for recorded in found.looks] == looks
    shadowed = next(event for event in events if isinstance(event, PhaseEntered) and event.phase is Phase.SHADOW)
    assert {recorded.deadline_s for recorded in found.looks} == {shadowed.deadline_at_s}
    for row in file.read_text(encoding="utf-8").splitlines()[:5]:  # two of them without metrics
        validator.validate(json.loads(row))


# --- what is wrong is said --------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("{", "not JSON: Expecting property name"),
        ("[]", "expected an object, found an array"),
        ("7", "expected an object, found 7"),
        ("{}", 'schema: expected one of "serin.evidence/v1", "serin.evidence/v2"'),
        (line(schema="serin.evidence/v3"), 'schema: expected one of "serin.evidence/v1", "serin.evidence/v2"'),
        ('{"schema": "serin.evidence/v1"}', "sequence: is missing"),
        (line(window={"start_s": 1.0}), "window.end_s: is missing"),
        (line(window={"start_s": 2.0, "end_s": 1.0}), "window: window: start_s 2.0 must be finite"),
        (line(window={"start_s": "nan", "end_s": 1.0}), "must be finite"),
        (line(pairs_agred=3), "pairs_agred: unknown key; did you mean 'pairs_agreed'?"),
        (line(zzz=3), "zzz: unknown key; known keys: candidate, "),
        (line(stable={"requests": "many", "errors": 0, "latency_counts": []}), "stable.requests: expected a whole"),
        (line(stable={"requests": 1.0, "errors": 0, "latency_counts": []}), "expected a whole number, found 1.0"),
        (line(stable={"requests": True, "errors": 0, "latency_counts": []}), "expected a whole number, found true"),
        (line(sequence=None), "sequence: expected a whole number, found null"),
        (line(pairs=[{"truth": "a", "stable": {}}]), "pairs[0].stable.label: is missing"),
        (line(faults={}), "faults: expected an array, found an object"),
        (line(release=7), "release: expected a string, found 7"),
        (line(classes=["a", "\ud800"]), "classes[1]: is no text"),
        (line().replace('"candidate_share": 0.0', '"candidate_share": NaN'), "candidate_share: expected a number"),
        (line().replace('"candidate_share": 0.0', '"candidate_share": 1e999'), "found 1e999, which is too large"),
        (line(sequence=2**53 + 1), "sequence: expected a whole number, found 9007199254740993, which is too large"),
        (line().replace('"sequence": 1', '"sequence": 1' + "0" * 5_000), "which is too large"),
        ('{"schema": 1, "schema": 2}', "schema: occurs twice"),
        (
            '{"schema": "serin.evidence/v9"}',
            '"serin.evidence/v2", "serin.evidence.suites/v1", "serin.evidence.suites/v2"',
        ),
        ('{"schema": "serin.evidence/v2", "a\\nb\\u001b": 1}', "a\\nb\\x1b: unknown key"),
        (line(deadlines=1), "deadlines: unknown key; did you mean 'deadline_s'?"),
        (suites_line(sequence=1), "sequence: unknown key; known keys: at_s, candidate,"),
        (suites_line(run="1"), "run: expected a whole number, found the string '1'"),
        (suites_line(relase="r"), "relase: unknown key; did you mean 'release'?"),
        (suites_line(case_ids=None), "case_ids: expected an array, found null"),
        (suites_line(truths=[0, 0.5]), "truths[1]: expected a whole number, found 0.5"),
        (suites_line(candidate={"classes": [], "labels": []}), "candidate.probabilities_e7: is missing"),
        (
            suites_line(stable={"classes": [0], "labels": [0], "probabilities_e7": [[1, "x"]]}),
            "stable.probabilities_e7[0][1]: expected a whole number, found the string 'x'",
        ),
        (suites_line(files=[{"name": "a", "sha256": "b", "cases": True}]), "files[0].cases: expected a whole number"),
        ("[" * 100_000, "nested too deeply"),
    ],
)
def test_a_line_that_is_wrong_is_refused_with_its_field(text: str, said: str) -> None:
    with pytest.raises(UsageError, match=re.escape(said)) as refused:
        parse_line(text, "file.jsonl, line 3")
    assert str(refused.value).startswith("file.jsonl, line 3: ")
    assert "\n" not in str(refused.value)


@given(st.binary(max_size=60) | st.recursive(st.none() | st.integers() | st.text(), st.lists).map(json.dumps))
def test_a_bad_line_never_crashes(text: bytes | str) -> None:
    with pytest.raises(UsageError):
        parse_line(text)


@given(
    ANY_LOOK,
    st.sampled_from(sorted(field.name for field in dataclasses.fields(Look))),
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
        lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(), inner, max_size=2),
        max_leaves=4,
    ),
)
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_a_field_of_another_kind_is_refused_or_is_of_its_type(recorded: RecordedLook, field: str, value: Any) -> None:
    """Whatever stands in a field: it reads back equal when written again, or it is refused by name."""
    document = json.loads(line_of(recorded)) | {field: value}
    try:
        found = parse_line(json.dumps(document))
    except UsageError as error:
        assert field in str(error)  # noqa: PT017 - either of the two is right
    else:
        assert same(parse_line(line_of(found)), found)


def test_the_line_and_the_file_are_named(tmp_path: Path) -> None:
    file = tmp_path / "evidence.jsonl"
    file.write_bytes(f"{line()}\n\n{line(sequence=2)}\nnot a look\n".encode())
    with pytest.raises(UsageError, match=r"evidence\.jsonl, line 4: not JSON"):
        read_evidence(file)
    file.write_bytes(b"\xff\n")
    with pytest.raises(UsageError, match=r"line 1: not UTF-8 at byte 1"):
        read_evidence(file)
    with pytest.raises(UsageError, match="cannot be read: No such file"):
        read_evidence(tmp_path / "nowhere.jsonl")


def test_a_number_that_was_not_finite_keeps_its_name() -> None:
    recorded = dataclasses.replace(PLAIN, look=dataclasses.replace(PLAIN.look, candidate_share=math.nan))
    assert json.loads(line_of(recorded))["candidate_share"] == "nan"
    assert math.isnan(parse_line(line_of(recorded)).look.candidate_share)


# --- the documents ----------------------------------------------------------------------------------------------------
def test_the_published_schema_is_that_of_the_code() -> None:
    """Mend it with: make docs"""
    assert json.loads((DOCS / "evidence.schema.json").read_text(encoding="utf-8")) == json_schema()


def test_the_documents_example_reads_and_fits_the_schema(validator: jsonschema.Draft202012Validator) -> None:
    examples = re.findall(r"```json\n(.*?)```", (DOCS / "evidence.md").read_text(encoding="utf-8"), re.DOTALL)
    for example in examples:
        validator.validate(json.loads(example))
    recorded, suites = map(parse_line, examples)
    assert isinstance(recorded, RecordedLook)
    assert isinstance(suites, RecordedSuites)
    verdicts = judge_suite_evidence(suites.suites, GatePolicy())
    assert {verdict.outcome for verdict in verdicts} == {Outcome.INCONCLUSIVE}
    look = recorded.look
    assert look.pairs[0].directed
    assert look.stable is not None
    assert len(look.stable.latency_counts) == len(look.latency_edges_ms) + 1


@pytest.mark.parametrize("kind", [Look, ArmCounts, evidence.LabelledPair, evidence.Answer, evidence.SlicePairs,
                                  evidence.LabelCounts, evidence.Profile, evidence.Resources, evidence.Fault,
                                  SuiteEvidence, SuiteAnswers, SuiteFile, SuitesJudgement])  # fmt: skip
def test_every_field_is_documented(kind: type) -> None:
    page = (DOCS / "evidence.md").read_text(encoding="utf-8")
    for field in dataclasses.fields(kind):
        assert f"`{field.name}`" in page


@pytest.mark.parametrize("change", [{"pairs_agred": 3}, {"sequence": "one"}, {"sequence": None}, {"faults": {}}])
def test_the_schema_refuses_what_the_reader_refuses(
    change: dict[str, Any], validator: jsonschema.Draft202012Validator
) -> None:
    assert validator.is_valid(json.loads(line()))
    assert validator.is_valid(json.loads(suites_line()))
    assert not validator.is_valid(json.loads(suites_line(candidate=None)))
    assert not validator.is_valid(json.loads(line(**change)))


def test_suites_tell_where_the_candidate_comes_from() -> None:
    """Run, commit, parameters and data stand beside what was judged; where nothing is known the line is as before."""
    origin = Origin("0a1b", "c0ffee", (("epochs", "3"),), ("tickets (ab12) for training",), 1.4, "held-out.jsonl")
    told = line_of(RecordedSuites(SUITES, "intent-v7-1", origin=origin))
    assert json.loads(told)["origin"]["parameters"] == [["epochs", "3"]]
    assert parse_line(told) == RecordedSuites(SUITES, "intent-v7-1", origin=origin)
    assert "origin" not in json.loads(line_of(RecordedSuites(SUITES, "intent-v7-1")))
    events = (
        Started("r", "intent", Purpose.PROMOTE, CANDIDATE, STABLE, None, POLICY, "ana", "why"),
        Verified(CANDIDATE, origin),
        Judged((), SUITES),
    )
    journal = FakeJournal()
    journal.note("release:r", [entry_of(event, 1.0) for event in events])
    (found,) = evidence_of(journal.stream_page("release:r", after=0, limit=10))
    assert isinstance(found, RecordedSuites)
    assert found.origin == origin
