"""The file format of a suite: one labelled case a line, and what is said of a line that is none."""

import hashlib
from dataclasses import replace

import pytest

from suites.cases import Case, SuiteError, cases_of, load

GOOD_LINE = '{"id": "1", "text": "where is my parcel", "label": "track"}'


@pytest.fixture
def suite(tmp_path):
    """Writes the lines as a suite file."""

    def write(*lines):
        path = tmp_path / "smoke.jsonl"
        path.write_text("\n".join(lines), encoding="utf-8")
        return path

    return write


def test_cases_are_read_in_order_with_their_slices(suite):
    path = suite(GOOD_LINE, '{"id": "2", "text": "Geld zurück", "label": "refund", "slices": ["german", "short"]}')
    assert load(path).cases == (
        Case("1", "where is my parcel", "track"),
        Case("2", "Geld zurück", "refund", ("german", "short")),
    )


def test_a_case_says_how_likely_it_was_to_be_in_the_suite(suite):
    other = GOOD_LINE.replace('"1"', '"2"').replace("where", "when")
    path = suite(GOOD_LINE, other[:-1] + ', "inclusion_probability": 0.25}')
    assert [case.inclusion_probability for case in load(path).cases] == [1.0, 0.25]


@pytest.mark.parametrize("chance", ["0", "-0.5", "1.5", '"0.5"', "true", "null"])
def test_a_chance_that_is_none_is_refused(suite, chance):
    with pytest.raises(SuiteError, match="line 1: inclusion_probability must be a number above 0 and up to 1"):
        load(suite(GOOD_LINE[:-1] + f', "inclusion_probability": {chance}}}'))


def test_a_suite_knows_its_file_by_name_and_digest(suite):
    """The evidence of a release names what was asked, so that nobody takes another file for it later."""
    path = suite(GOOD_LINE)
    found = load(path)
    assert (found.name, found.sha256) == ("smoke.jsonl", hashlib.sha256(path.read_bytes()).hexdigest())


def test_two_suites_may_use_the_same_ids(suite):
    """Ids differ within a file; of several files, the name goes before."""
    one = load(suite(GOOD_LINE))
    assert cases_of([one]) == one.cases
    assert [case.id for case in cases_of([one, replace(one, name="other.jsonl")])] == ["smoke.jsonl:1", "other.jsonl:1"]
    assert [case.id for case in cases_of([one, one])] == ["smoke.jsonl#1:1", "smoke.jsonl#2:1"]


def test_a_label_that_is_a_whole_number_is_its_text(suite):
    """Classes may be called 0 and 1, and the library writes them so; labels of live requests are read the same way."""
    assert [case.label for case in load(suite('{"id": "1", "text": "x", "label": 10}')).cases] == ["10"]


def test_empty_lines_are_passed_over(suite):
    assert len(load(suite("", GOOD_LINE, "   ", "")).cases) == 1


@pytest.mark.parametrize("lines", [[], ["", "  "]])
def test_a_suite_without_a_case_is_refused(suite, lines):
    """Nothing judged is no pass."""
    with pytest.raises(SuiteError, match="holds no case; write one JSON object per line with id, text, label"):
        load(suite(*lines))


def test_a_file_that_is_not_there_is_named(tmp_path):
    with pytest.raises(SuiteError, match=r"none\.jsonl: cannot be read"):
        load(tmp_path / "none.jsonl")


def test_a_file_that_is_not_utf_8_is_refused(tmp_path):
    (tmp_path / "latin.jsonl").write_bytes(b'{"id": "1", "text": "zur\xfcck", "label": "refund"}')
    with pytest.raises(SuiteError, match=r"latin\.jsonl, line 1: not UTF-8 at byte 25"):
        load(tmp_path / "latin.jsonl")


def test_two_cases_with_one_id_are_refused(suite):
    with pytest.raises(SuiteError, match=r"line 2: two cases have the id '1', see .*line 1"):
        load(suite(GOOD_LINE, GOOD_LINE))


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("{", "not JSON"),
        ('["1", "text", "label"]', "expected an object with id, text, label"),
        ('{"id": "1", "text": "x"}', "label must be a text that is not empty"),
        ('{"id": "1", "text": " ", "label": "a"}', "text must be a text that is not empty"),
        ('{"id": "1", "text": "x", "label": 1.0}', "label must be a text that is not empty"),
        ('{"id": "1", "text": "x", "label": true}', "label must be a text that is not empty"),
        ('{"id": 1, "text": "x", "label": "a"}', "id must be a text that is not empty"),
        (
            '{"id": "1", "text": "x", "label": "a", "lable": "b"}',
            "unknown field 'lable'; a case has id, inclusion_probability, label, slices",
        ),
        ('{"id": "1", "text": "x", "label": "a", "slices": "short"}', "slices must be a list of names"),
        ('{"id": "1", "text": "x", "label": "a", "slices": [1]}', "slices must be a list of names"),
        ('{"id": "\\ud800", "text": "x", "label": "a"}', "half of a surrogate pair stands alone"),
        ('{"id": "1", "text": "x", "label": "a", "slices": ["b", "b"]}', "slices must name each slice once"),
    ],
)
def test_a_line_that_is_no_case_is_refused_with_file_line_and_field(suite, line, said):
    with pytest.raises(SuiteError, match=r"smoke\.jsonl, line 2: ") as refused:
        load(suite('{"id": "0", "text": "x", "label": "a"}', line))
    assert said in str(refused.value)
