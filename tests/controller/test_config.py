"""Policy documents: what they say, and what is said of one that is wrong: file, line, field and the way out."""

import dataclasses
import re
import typing

import pytest

from controller.config.policy_file import check_suites, json_schema, load_policy, parse_policy
from controller.core.policy import OnDeadline, ReleasePolicy, Step
from controller.errors import UsageError

HEADER = "apiVersion: serin/v1\nkind: ReleasePolicy\n"  # lines 1 and 2
MINIMAL = HEADER + "model: intent\n"  # line 3


def refusal(text):
    with pytest.raises(UsageError) as refused:
        parse_policy(text, name="intent.yaml")
    return str(refused.value)


def test_the_defaults_need_only_the_models_name():
    assert parse_policy(MINIMAL) == ReleasePolicy(model="intent")


def test_every_part_can_be_written():
    policy = parse_policy(
        MINIMAL
        + """
mirror_pct: 50
steps:
  - {weight_pct: 5, min_s: 30, min_requests: 10}
  - weight_pct: 100
on_deadline: roll_back
gates:
  rollback_alpha: 0.005
  accuracy_shadow: {bets: [0.1, 0.2]}
  latency: null
  errors_live: {margin_ratio: 2}
  suite:
    slice_floors: [[short, 0.7]]
"""
    )
    assert policy.steps == (Step(5.0, 30.0, 10), Step(100.0))
    assert (policy.mirror_pct, policy.on_deadline) == (50.0, OnDeadline.ROLL_BACK)
    assert policy.gates.accuracy_shadow.bets == (0.1, 0.2)
    assert (policy.gates.rollback_alpha, policy.gates.latency) == (0.005, None)
    assert policy.gates.errors_live.margin_ratio == 2.0
    assert policy.gates.suite.slice_floors == (("short", 0.7),)


def test_suites_are_found_beside_the_policy(tmp_path):
    (tmp_path / "intent.yaml").write_text(MINIMAL + "suites: [suites/smoke.jsonl]\n", encoding="utf-8")
    assert load_policy(tmp_path / "intent.yaml").suites == (str(tmp_path / "suites" / "smoke.jsonl"),)


def test_a_file_that_is_not_there_is_named(tmp_path):
    with pytest.raises(UsageError, match=r"none\.yaml: cannot be read"):
        load_policy(tmp_path / "none.yaml")


# --- the header -------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("model: intent\n", "intent.yaml: apiVersion must be serin/v1"),
        ("apiVersion: serin/v2\nkind: ReleasePolicy\n", "intent.yaml: apiVersion must be serin/v1"),
        ("apiVersion: serin/v1\nkind: Policy\n", "intent.yaml: kind must be ReleasePolicy"),
        ("", "intent.yaml: expected a mapping that begins with apiVersion: serin/v1"),
        ("- intent\n", "intent.yaml: expected a mapping that begins with apiVersion: serin/v1"),
    ],
)
def test_a_document_of_another_kind_is_refused(text, said):
    assert refusal(text) == said


@pytest.mark.parametrize("text", ["steps: [", "a: b: c", "!!python/object/apply:os.getcwd []"])
def test_what_is_not_plain_yaml_is_refused_and_nothing_of_it_is_run(text):
    assert refusal(text).startswith("intent.yaml: not YAML:")


# --- keys -------------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("more", "said"),
    [
        ("deadlin_s: 60\n", "line 4: unknown key 'deadlin_s'; did you mean 'deadline_s'?"),
        ("steps:\n  - weight_pct: 5\n    min_secs: 3\n", "line 6: unknown key 'min_secs'; did you mean 'min_s'?"),
        ("gates:\n  latency:\n    p95_ms: 3\n", "line 6: unknown key 'p95_ms'; did you mean 'p95_ms_max'?"),
        ("gates:\n  slices:\n    - nome: short\n", "line 6: unknown key 'nome'; did you mean 'name'?"),
        ("steps:\n  - colour: red\n", "line 5: unknown key 'colour'; known keys: min_requests, min_s, weight_pct"),
    ],
)
def test_an_unknown_key_is_refused_with_its_line_and_the_nearest_known_one(more, said):
    assert refusal(MINIMAL + more) == f"intent.yaml, {said}"


def test_a_key_written_twice_is_refused():
    """YAML takes the last one silently; whoever wrote the first one meant it."""
    assert refusal(MINIMAL + "deadline_s: 60\ndeadline_s: 90\n") == "intent.yaml, line 5: 'deadline_s' occurs twice"


def test_a_policy_without_a_model_is_refused():
    assert refusal(HEADER + "mirror_pct: 50\n") == "intent.yaml, line 1: model: Field required"
    assert refusal(HEADER + "model: ' '\n").startswith("intent.yaml: model: ' ' cannot name a model: use letters")


# --- values -----------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("more", "line_and_field"),
    [
        ("deadline_s: soon\n", "line 4: deadline_s:"),
        ("deadline_s: '60'\n", "line 4: deadline_s:"),
        ("mirror_pct: true\n", "line 4: mirror_pct:"),
        ("suites: smoke.jsonl\n", "line 4: suites:"),
        ("on_deadline: promote\n", "line 4: on_deadline:"),
        ("steps:\n  - weight_pct: 5\n  - weight_pct: many\n", "line 6: steps.1.weight_pct:"),
        ("gates:\n  latency:\n    p95_ms_max: slow\n", "line 6: gates.latency.p95_ms_max:"),
        ("gates:\n", "line 4: gates:"),
        ("gates:\n  accuracy_shadow:\n    bets: [2026-11-23]\n", "line 6: gates.accuracy_shadow.bets.0:"),
    ],
)
def test_a_value_of_the_wrong_type_is_refused_with_its_line_and_field(more, line_and_field):
    assert refusal(MINIMAL + more).startswith(f"intent.yaml, {line_and_field}")


@pytest.mark.parametrize("number", ["-1", "-0.5", ".inf", "-.inf", ".nan"])
def test_no_number_of_a_policy_is_negative_or_endless(number):
    said = refusal(MINIMAL + f"gates:\n  accuracy_live:\n    margin_points: {number}\n")
    assert said == f"intent.yaml, line 6: {number} is not a number from 0 up"


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ("steps: []\n", "steps must name at least one canary step"),
        ("steps: [{weight_pct: 5}, {weight_pct: 5}]\n", "steps: weight_pct must grow from step to step"),
        ("steps: [{weight_pct: 0}]\n", "steps: weight_pct must grow from step to step, above 0"),
        ("steps: [{weight_pct: 101}]\n", "steps: weight_pct must grow from step to step, above 0 and up to 100"),
        ("mirror_pct: 0\n", "mirror_pct must be above 0 and up to 100, got 0"),
        ("mirror_pct: 120\n", "mirror_pct must be above 0 and up to 100, got 120"),
        ("look_every_s: 0\n", "look_every_s must be above 0, got 0"),
        ("deadline_s: 0\n", "deadline_s must be above 0, got 0"),
        ("start_timeout_s: 0\n", "start_timeout_s must be above 0, got 0"),
        ("gates: {rollback_alpha: 1}\n", "gates.rollback_alpha must be between 0 and 1, got 1"),
        ("gates: {promotion_alpha: 0}\n", "gates.promotion_alpha must be between 0 and 1, got 0"),
    ],
)
def test_a_value_out_of_its_range_is_refused_with_the_range(more, said):
    assert refusal(MINIMAL + more).startswith(f"intent.yaml: {said}")


# --- the schema for editors -------------------------------------------------------------------------------------------
def schema_of(kind):
    """The part of the JSON Schema that describes a dataclass, and the dataclass's own fields."""
    schema = json_schema()
    found = schema if kind is ReleasePolicy else schema["$defs"][kind.__name__]
    return found, {field.name: field for field in dataclasses.fields(kind)}


def kinds(kind=ReleasePolicy, found=None):
    """Every dataclass that a policy is made of."""
    found = [] if found is None else found
    if kind in found:
        return found
    found.append(kind)
    for hint in typing.get_type_hints(kind).values():
        for part in (hint, *typing.get_args(hint)):
            if dataclasses.is_dataclass(part):
                kinds(part, found)
    return found


@pytest.mark.parametrize("kind", kinds(), ids=lambda kind: kind.__name__)
def test_the_schema_knows_every_field_and_refuses_every_other(kind):
    schema, fields = schema_of(kind)
    header = {"apiVersion", "kind"} if kind is ReleasePolicy else set()
    assert set(schema["properties"]) == set(fields) | header
    assert schema["additionalProperties"] is False


@pytest.mark.parametrize("kind", kinds(), ids=lambda kind: kind.__name__)
def test_the_schema_gives_the_defaults_that_are_used(kind):
    schema, fields = schema_of(kind)
    for name, field in fields.items():
        if isinstance(field.default, int | float | str):
            assert schema["properties"][name]["default"] == field.default


def test_the_schema_asks_for_the_header_and_the_model():
    schema = json_schema()
    assert set(schema["required"]) == {"apiVersion", "kind", "model"}
    assert schema["properties"]["apiVersion"] == {"const": "serin/v1"}
    assert (schema["title"], schema["$schema"]) == (
        "Serin release policy",
        "https://json-schema.org/draft/2020-12/schema",
    )


def test_a_suite_that_cannot_be_read_is_found_before_a_release(tmp_path):
    """A missing or broken file of ours is told when the policy is checked, not when a candidate waits for it."""
    with pytest.raises(UsageError, match=r"gone\.jsonl: cannot be read"):
        check_suites(ReleasePolicy("intent", suites=(str(tmp_path / "gone.jsonl"),)))
    broken = tmp_path / "broken.jsonl"
    broken.write_text('{"id": "1", "text": "x"}', encoding="utf-8")
    with pytest.raises(UsageError, match="line 1: label"):
        check_suites(ReleasePolicy("intent", suites=(str(broken),)))


# --- names of labels --------------------------------------------------------------------------------------------------
def test_names_of_labels_are_texts_or_whole_numbers():
    """A number is the name that it is written as, whichever way it is quoted."""
    policy = parse_policy(MINIMAL + "label_names:\n  Login Problem: login\n  10: login\n  '7': refund\n")
    assert policy.label_names == {"Login Problem": "login", "10": "login", "7": "refund"}
    assert parse_policy(MINIMAL).label_names == {}


@pytest.mark.parametrize("name", ["yes", "010", "1.0", "null", "0x1F", "2026-11-23"])
def test_a_name_that_yaml_would_read_as_something_else_is_refused(name):
    """Taken as read it would be another name, and no label would ever match it."""
    assert refusal(MINIMAL + f"label_names:\n  {name}: login\n") == (
        f"intent.yaml, line 5: label_names: write {name!r} in quotes"
    )


@pytest.mark.parametrize("line", ["Login: ''", "'': login", "Login: ' '"])
def test_no_name_is_empty(line):
    assert re.fullmatch(
        r"intent\.yaml, line 5: label_names: '(Login)?': a name is empty",
        refusal(MINIMAL + f"label_names:\n  {line}\n"),
    )


@pytest.mark.parametrize("written", ["1:30", "1:30.5", "010", "0x1F", "0b11"])
def test_a_number_to_another_base_is_refused(written):
    """1:30 was taken for 90 without a word, and 010 for 8."""
    problem = f"YAML reads {written} to another base than ten: write a plain number, or quote it"
    assert refusal(MINIMAL + f"deadline_s: {written}\n") == f"intent.yaml, line 4: {problem}"


@pytest.mark.parametrize(("written", "value"), [("90", 90), ("0.5", 0.5), ("1_000", 1000), ("1.5e+3", 1500)])
def test_a_plain_number_is_one(written, value):
    assert parse_policy(MINIMAL + f"deadline_s: {written}\n").deadline_s == value


@pytest.mark.parametrize("meant", ["10", "yes", "[login]", ""])
def test_a_name_means_a_class(meant):
    assert refusal(MINIMAL + f"label_names:\n  Login: {meant}\n").startswith("intent.yaml, line 5: label_names.Login:")
