"""Recorded evidence under attack: whole lines mutated at random, on the whole way from the file to the verdict.

Whatever stands in a file, either the reader refuses it, naming the field, or the judge gives verdicts: one of each gate
with a reason, where what is unusable is an error that names its field, leaves the gate's state as it was, and makes no
release pass.
"""

import copy
import dataclasses
import functools
import json
import math
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from controller.errors import UsageError
from controller.offline.evidence_file import Evidence, Recorded, RecordedLook, RecordedSuites, line_of, parse_line
from controller.offline.replay import as_json, as_text, judge, judge_suites
from gates.evidence import Look
from gates.gate_set import GateSet, GateSetState, state_from_json, state_to_json
from gates.offline.suite_replay import as_evidence
from gates.outcome import Outcome, combine
from gates.suite_evidence import SuiteAnswers, SuiteEvidence, SuiteFile
from tests.controller import report_support as support
from tests.controller.evidence_support import recorded
from tests.gates.suite_support import results

POLICY = support.POLICY
RANDOM = {"deadline": None, "suppress_health_check": [HealthCheck.too_slow, HealthCheck.data_too_large]}


@functools.cache
def release() -> tuple[RecordedLook, ...]:
    """Ten looks of a good candidate, two of them without metrics; few pairs of each, to be quick."""
    looks = recorded(support.play(replace(support.PROMOTED, stop_after_s=130.0, faulty_looks=range(3, 5))))
    assert len(looks) >= 10
    return tuple(replace(line, look=replace(line.look, pairs=line.look.pairs[:6])) for line in looks[:10])


@functools.cache
def documents() -> tuple[str, ...]:
    return tuple(line_of(look) for look in release())


@functools.cache
def state_before(number: int) -> GateSetState:
    """The gate set's state before that look of the release."""
    gate_set = GateSet(POLICY.gates)
    if not number:
        return gate_set.start(deadline_s=release()[0].deadline_s)
    state, _ = gate_set.look(state_before(number - 1), release()[number - 1].look)
    return state


STRANGE = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**53), 2**53),
    st.floats(-1e12, 1e12),
    st.sampled_from(
        ["nan", "inf", "-inf", "", "yes", "\N{SNOWMAN}", -1, 0, 1, 2**53, -0.0, 1e300, 5e-324, [], {}, [[]]]
    ),
)


def places(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Where something stands in a document, at most a few of each array."""
    found = [path] if path else []
    inner = value.items() if isinstance(value, dict) else enumerate(value[:3]) if isinstance(value, list) else ()
    for key, item in inner:
        found += places(item, (*path, key))
    return found


def changed(document: Any, path: tuple[Any, ...], kind: str, value: Any) -> Any:
    """The document with what stands at ``path`` replaced, left out, doubled, or moved by its own negative."""
    document = copy.deepcopy(document)
    parent = functools.reduce(lambda outer, key: outer[key], path[:-1], document)
    key = path[-1]
    if kind == "leave out":
        del parent[key]
    elif kind == "double" and isinstance(parent, list):
        parent.insert(key, copy.deepcopy(parent[key]))
    elif kind == "negate" and isinstance(parent[key], int | float):
        parent[key] = -parent[key]
    else:
        parent[key] = value
    return document


@st.composite
def mutated(draw: st.DrawFn) -> tuple[int, str]:
    """The number of a look of the release, and its line with one to four changes anywhere in it."""
    number = draw(st.integers(0, len(documents()) - 1))
    document = json.loads(documents()[number])
    for _ in range(draw(st.integers(1, 4))):
        path = draw(st.sampled_from(places(document)))
        document = changed(
            document, path, draw(st.sampled_from(["set", "leave out", "double", "negate"])), draw(STRANGE)
        )
    return number, json.dumps(document)


def read_or_refused(text: str) -> Recorded | None:
    """What the line stands for; None where it is refused, in one line that names the place."""
    try:
        return parse_line(text, "evidence.jsonl, line 1")
    except UsageError as refused:
        assert str(refused).startswith("evidence.jsonl, line 1: ")  # noqa: PT017 - either of the two is right
        assert "\n" not in str(refused)  # noqa: PT017
        return None


@settings(max_examples=200, **RANDOM)
@given(mutated())
def test_a_line_changed_anywhere_is_refused_or_judged(case: tuple[int, str]) -> None:
    """Never a crash; an error leaves its gate's state, names what is wrong, and keeps the release from passing."""
    number, text = case
    found = read_or_refused(text)
    if found is None:
        return
    assert isinstance(found, RecordedLook)
    before = state_before(number)
    after, verdicts = GateSet(POLICY.gates).look(before, found.look)
    assert [verdict.gate for verdict in verdicts] == list(GateSet(POLICY.gates).names)
    errors = [verdict for verdict in verdicts if verdict.outcome is Outcome.ERROR]
    for verdict in errors:
        assert dict(after.gates)[verdict.gate] == dict(before.gates)[verdict.gate]
        assert any(named in verdict.reason for named in NAMES), verdict.reason
    if any(not verdict.advisory for verdict in errors):
        assert combine(verdict.outcome for verdict in verdicts if not verdict.advisory) is not Outcome.PASS
    json.dumps(state_to_json(after), allow_nan=False)
    assert state_from_json(json.loads(json.dumps(state_to_json(after)))) == after


@functools.cache
def suites_document() -> str:
    """Forty answers of either version: too few to pass, whatever they say."""
    answers = [
        replace(answer, confidence=max(row), probabilities=row)
        for answer in results(40)
        for row in [tuple(round(probability, 7) for probability in answer.probabilities)]
    ]
    evidence = as_evidence([SuiteFile("suite.jsonl", "ab" * 32, 40)], answers, answers)
    return line_of(RecordedSuites(evidence, "intent-v7-1", 1, 1_795_000_000.0))


@st.composite
def mutated_suites(draw: st.DrawFn) -> str:
    """The line of the suites with one to four changes anywhere in it."""
    document = json.loads(suites_document())
    for _ in range(draw(st.integers(1, 4))):
        path = draw(st.sampled_from(places(document)))
        kind = draw(st.sampled_from(["set", "leave out", "double", "negate"]))
        document = changed(document, path, kind, draw(STRANGE))
    return json.dumps(document)


@settings(max_examples=200, **RANDOM)
@given(mutated_suites())
def test_a_line_of_suites_changed_anywhere_is_refused_or_judged(text: str) -> None:
    """Never a crash, never a pass; an error of both gates names what is wrong; told in three lines, the same twice."""
    found = read_or_refused(text)
    if found is None:
        return
    assert isinstance(found, RecordedSuites)
    (once,), (again,) = (list(judge_suites(POLICY, Evidence((), (found,)))) for _ in range(2))
    assert [verdict.gate for verdict in once.verdicts] == ["accuracy.suite", "calibration.suite"]
    assert once.outcome is not Outcome.PASS
    for verdict in once.verdicts:
        if verdict.outcome is Outcome.ERROR:
            assert any(named in verdict.reason for named in SUITE_NAMES), verdict.reason
    assert as_json(once) + as_text(once) == as_json(again) + as_text(again)
    assert len(as_text(once).splitlines()) == 3
    json.loads(as_json(once))


SUITE_NAMES = {field.name for kind in (SuiteEvidence, SuiteAnswers) for field in dataclasses.fields(kind)} | {
    "probabilities:",
    "inclusion_probability:",
    "run:",
}


NAMES = {field.name for field in dataclasses.fields(Look)} | {"metrics", "labels", "predictions"}


@settings(max_examples=40, **RANDOM)
@given(st.data())
def test_looks_in_any_order_twice_or_left_out_are_judged_once_each(data: st.DataObject) -> None:
    """Duplicates and looks that come late are errors of every gate and change nothing; gaps are allowed."""
    order = data.draw(st.lists(st.integers(0, len(release()) - 1), min_size=1, max_size=14))
    judged = list(judge(POLICY, [release()[place] for place in order]))
    highest = -1
    gate_set = GateSet(POLICY.gates)
    state = gate_set.start(deadline_s=release()[0].deadline_s)
    for place, judgement in zip(order, judged, strict=True):
        following, verdicts = gate_set.look(state, release()[place].look)
        assert verdicts == judgement.verdicts
        if place <= highest:
            assert {verdict.outcome for verdict in verdicts} <= {Outcome.ERROR, Outcome.FAIL}
            assert all("sequence" in v.reason for v in verdicts if v.outcome is Outcome.ERROR)
            assert following.gates == state.gates
        highest, state = max(highest, place), following


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"window": {"start_s": 4e9, "end_s": 4e9 + 10}}, None),
        ({"window": {"start_s": 0.0, "end_s": 10.0}}, "window"),
        ({"sequence": 1}, "sequence"),
        ({"sequence": 2**53}, None),
    ],
)
def test_a_look_from_the_future_is_evidence_and_what_comes_after_it_is_out_of_order(
    change: dict[str, Any], field: str | None
) -> None:
    """A file has no clock to compare with: a window far ahead counts, and the looks that it overtook are errors."""
    odd = parse_line(json.dumps(json.loads(documents()[6]) | change))
    *_, there, back = judge(POLICY, [*release()[:6], odd, release()[7]])
    if field is None:
        assert there.outcome is not Outcome.ERROR
        assert back.outcome is Outcome.ERROR
        assert all("sequence" in v.reason or "window" in v.reason for v in back.verdicts)
    else:
        assert there.outcome is Outcome.ERROR
        assert all(field in v.reason for v in there.verdicts if not v.advisory)
        assert back.outcome is not Outcome.ERROR


@settings(max_examples=25, **RANDOM)
@given(st.lists(mutated(), min_size=1, max_size=5), st.lists(st.booleans(), min_size=10, max_size=10))
def test_a_restart_at_any_look_changes_no_bit(cases: list[tuple[int, str]], restarts: list[bool]) -> None:
    """With good and bad looks mixed, through JSON or not: the same verdicts, the same bytes."""
    looks = [recorded_look.look for recorded_look in release()]
    for number, text in cases:
        try:
            looks[number] = parse_line(text).look
        except UsageError:
            continue
    gate_set = GateSet(POLICY.gates)
    straight = restarted = gate_set.start(deadline_s=release()[0].deadline_s)
    for look, restart in zip(looks, restarts, strict=True):
        if restart:
            restarted = state_from_json(json.loads(json.dumps(state_to_json(restarted), sort_keys=True)))
        straight, expected = gate_set.look(straight, look)
        restarted, found = gate_set.look(restarted, look)
        assert repr(found) == repr(expected)
    assert json.dumps(state_to_json(restarted)) == json.dumps(state_to_json(straight))


@settings(max_examples=40, **RANDOM)
@given(st.lists(mutated(), min_size=1, max_size=3))
def test_what_can_be_read_is_judged_to_the_same_bytes_twice(cases: list[tuple[int, str]]) -> None:
    """As text and as JSON; numbers that are not finite have names."""
    lines = list(documents())
    for number, text in cases:
        lines[number] = text
    try:
        looks = [replace(parse_line(text), release="one") for text in lines]
    except UsageError:
        return
    once, again = ([as_json(found) + as_text(found) for found in judge(POLICY, looks)] for _ in range(2))
    assert once == again
    for found in judge(POLICY, looks):
        assert math.isfinite(json.loads(as_json(found))["window"]["end_s"])
