"""A feed of labels as real sources write it: one wrong label costs one label, repeats are free, corrections count."""

import json
import time
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from controller.cli.app import app
from controller.config.settings import Home, Settings
from controller.errors import UsageError
from controller.ports.samples import SampleCursor
from tests.contracts.samples import live, shadow
from tests.controller.exchanges import argilla
from tests.controller.exchanges import label_studio as sent
from tests.stores import new_store


@pytest.fixture
def home(tmp_path: Path) -> Home:
    """An installation that has sampled three requests, with a policy that gives one name a meaning."""
    place = Home(tmp_path / "home")
    place.save(Settings())
    place.policies.mkdir()
    policy = "apiVersion: serin/v1\nkind: ReleasePolicy\nmodel: intent\nlabel_names: {Rechnung: invoice}\n"
    (place.policies / "intent.yaml").write_text(policy, encoding="utf-8")
    store = new_store(place.database_url(Settings()))
    now_s = time.time()
    for request in "abc":
        store.samples.add_predictions([live(request, at_s=now_s), shadow(request, "invoice", at_s=now_s)])
    store.close()
    return place


def labels(home: Home, content: bytes | str, *options: str) -> Result:
    file = home.path / "truth.jsonl"
    file.write_bytes(content if isinstance(content, bytes) else content.encode())
    return CliRunner().invoke(app, ["labels", str(file), *options, "--home", str(home.path)])


def label(request: str, name: str, **more: object) -> str:
    return json.dumps({"request_id": request, "label": name, **more}, ensure_ascii=False) + "\n"


def test_all_that_is_right_is_taken_and_known_again(home: Home) -> None:
    """Exit code 0, the second time too: whoever sends a file twice has done nothing wrong."""
    content = label("a", "refund") + label("b", "Rechnung")
    first, second = labels(home, content), labels(home, content)
    assert (first.exit_code, second.exit_code) == (0, 0)
    assert "2 labels; 2 taken; 0 known before; 0 refused; 0 name no class; 0 match no sampled request." in first.output
    assert "2 labels; 0 taken; 2 known before" in second.output


def test_one_wrong_label_does_not_refuse_its_file(home: Home) -> None:
    """It is told with its line, its field and the reason; exit code 1 says that something was left out."""
    wrong = [
        label("b", "refund", at_s=1_795_000_000_000),
        label("b", "refund", at_s=time.time() + 200_000),
        '{"request_id": "b", "label": "refund", "label": "invoice"}\n',
        "not json\n",
    ]
    result = labels(home, label("a", "refund") + "".join(wrong) + label("c", "refund"))
    assert result.exit_code == 1
    assert "6 labels; 2 taken; 0 known before; 4 refused" in result.output
    assert "line 2: at_s: 1795000000000 can only be milliseconds" in result.output
    assert "line 3: at_s: " in result.output
    assert "days in the future" in result.output
    assert "line 4: label: occurs twice" in result.output
    assert "line 5: not JSON" in result.output


@pytest.mark.parametrize("field", ["label", "request_id"])
def test_a_blank_name_is_refused(home: Home, field: str) -> None:
    """It would be the truth of its request, and the right label of the same source, later, a contradiction."""
    blank = json.dumps({"request_id": "b", "label": "refund", field: "  "})
    result = labels(home, label("a", "refund") + blank)
    assert result.exit_code == 1
    assert f"{field}: '  ' is blank" in result.output


def test_nothing_that_is_a_label_is_a_usage_error(home: Home) -> None:
    result = labels(home, "request_id,label\na,refund\n")
    assert isinstance(result.exception, UsageError)
    assert "truth.jsonl: line 1: not JSON" in str(result.exception)


def test_a_byte_order_mark_foreign_line_ends_and_separators_within_texts_are_read(home: Home) -> None:
    """What spreadsheets and other systems put into a file."""
    content = b"\xef\xbb\xbf" + label("a", "refund").replace("\n", "\r\n").encode() + b"\r\n"
    content += label("b", "refund", source="desk\u2028two").encode() + label("c", "refund", source="a\u0085b").encode()
    result = labels(home, content)
    assert (result.exit_code, "3 labels; 3 taken" in result.output) == (0, True)


def test_names_of_no_class_are_told_with_the_nearest_and_by_an_exit_code_of_their_own(home: Home) -> None:
    """They are kept, and are no evidence; a step of a pipeline must not go on as if they were."""
    result = labels(home, label("a", "Refund") + label("b", "REFUND") + label("c", "\x1b[2J") + label("x", "refund"))
    assert result.exit_code == 3
    assert "4 taken" in result.output
    assert "3 name no class" in result.output
    assert "'Refund' 1 time, perhaps 'refund'" in result.output
    assert "1 matches no sampled request" in result.output
    assert "\x1b" not in result.output


def test_a_correction_needs_to_say_that_it_is_one(home: Home) -> None:
    """A second label for a request may be a mistake of the second time."""
    labels(home, label("a", "refund"))
    refused = labels(home, label("a", "invoice"))
    assert refused.exit_code == 1
    assert "said 'refund' before and says 'invoice' now; to correct it, send it with corrects: true" in refused.output
    assert labels(home, label("a", "invoice", corrects=True)).exit_code == 0
    store = new_store(home.database_url(Settings()))
    (pair,) = store.samples.since("intent", "6", "7", SampleCursor()).pairs
    store.close()
    assert pair.truth == "invoice"


def test_a_correction_after_the_look_is_kept_on_record_and_changes_nothing(home: Home) -> None:
    """What was judged stays judged; who reads the report learns that the source thought better of it."""
    labels(home, label("a", "refund"))
    store = new_store(home.database_url(Settings()))
    first = store.samples.since("intent", "6", "7", SampleCursor())
    result = labels(home, label("a", "invoice", corrects=True))
    second = store.samples.since("intent", "6", "7", first.cursor)
    store.close()
    assert (result.exit_code, "1 correction too late, kept on record" in result.output) == (0, True)
    assert (second.pairs, second.stable_labels.labelled) == ((), 0)
    assert [source.corrected_late for source in second.label_sources] == [1]


def test_an_export_of_label_studio_is_such_a_file(home: Home) -> None:
    """Taken once and known again; an annotation that cannot be read, and a request that is not known, are named."""
    two = (sent.task("a"), sent.annotation("refund")), (sent.task("elsewhere"), sent.annotation("refund"))
    wrong = sent.task("b"), sent.annotation("refund", "invoice")
    content = json.dumps(sent.export(*two, wrong))
    first, second = (labels(home, content, "--format", "label-studio") for _ in range(2))
    assert (first.exit_code, second.exit_code) == (1, 1)
    assert "3 labels; 2 taken; 0 known before; 1 refused" in first.output
    assert "1 matches no sampled request ('elsewhere')" in " ".join(first.output.split())
    assert "0 taken; 2 known before" in second.output
    assert "annotation 2: annotation.result.value.choices: must be one class, and is 2" in first.output


def test_an_export_of_argilla_is_such_a_file(home: Home) -> None:
    """Likewise, as it is written flat."""
    two = argilla.flat("a", ("refund", "ann", "submitted")), argilla.flat("elsewhere", ("refund", "ann", "submitted"))
    content = json.dumps([*two, argilla.flat("b", (["refund", "invoice"], "ann", "submitted")), argilla.flat("c")])
    first, second = (labels(home, content, "--format", "argilla") for _ in range(2))
    assert (first.exit_code, second.exit_code) == (1, 1)
    assert "3 labels; 2 taken; 0 known before; 1 refused" in first.output
    assert "0 taken; 2 known before" in second.output
    assert "response 2: label: must be one class, and is 2" in first.output


@pytest.mark.parametrize("tool", ["label-studio", "argilla"])
@pytest.mark.parametrize("content", ["{}", "[1]", "[{}]", "not json"])
def test_what_is_no_export_is_told(home: Home, content: str, tool: str) -> None:
    """Usage: nothing was taken."""
    assert isinstance(labels(home, content, "--format", tool).exception, UsageError)
