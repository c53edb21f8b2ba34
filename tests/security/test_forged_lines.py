"""What somebody wrote into a suite, a model or a reason forges no line and commands no CI system, terminal or page.

Real processes: `serin gate` judges a suite whose names are attacks, as a CI system would run it.
"""

import json
import re
import subprocess
from dataclasses import dataclass
from pathlib import Path

import pytest
from junitparser import JUnitXml

from serving.packaging.build import build_package
from tests.lessons.pipeline import INTENTS, cases, serin, serin_each, written

pytestmark = pytest.mark.integration

ATTACKS = (
    "x\n::error::forged annotation",
    "::add-mask::everything",
    " ::set-output name=passed::true",
    "x ##[error]forged ##vso[task.complete result=Succeeded]done ##teamcity[buildStatus status='SUCCESS']",
    "x\r\npromoted",
    "x\x1b]0;title\x07\x1b[2J\x1b[31mred\x9b31m",
    "x\u202egnp.exe\u2066\u200b\u2028next\u0085next",
    "[red]x[/red] [link=http://e.invalid]y[/link] :boom:",
    "a|b `c` <img src=x onerror=alert(1)> [x](http://e.invalid) **b** ![i](http://e.invalid) http://e.invalid $x$",
    "]]><failure/>\x00\x01\ufffe</testcase>",
    "</script><script>alert(1)</script>",
)
_COMMANDS = re.compile(r"(?m)^\s*::|##\[|##vso\[|##teamcity\[|^promoted|^next")


@dataclass(frozen=True)
class Run:
    done: subprocess.CompletedProcess[bytes]
    folder: Path

    def text(self, name: str) -> str:
        return (self.folder / name).read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def intents_package(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("intents") / "v1"
    build_package(INTENTS / "checkpoints" / "v1", directory)
    return directory


@pytest.fixture(scope="module")
def run(intents_package: Path, tmp_path_factory: pytest.TempPathFactory) -> Run:
    """Every case and every slice is named by an attack, and enough are wrong to be named."""
    folder = tmp_path_factory.mktemp("forged")
    documents = cases(600)
    for number, document in enumerate(documents):
        document["slices"] = [ATTACKS[number % len(ATTACKS)]]
        document["id"] = f"{ATTACKS[number % len(ATTACKS)]}{number}"
        document["label"] = "out_of_scope"
    suite = written(folder / "suite.jsonl", documents)
    files = ("--junit", folder / "junit.xml", "--summary", folder / "summary.md", "--json", folder / "result.json")
    policy = folder / "policy.yaml"
    floors = "".join(f"\n      - [{json.dumps(attack)}, 0.9]" for attack in ATTACKS)
    policy.write_text(
        "apiVersion: serin/v1\nkind: ReleasePolicy\nmodel: intent\ngates:\n  suite:\n"
        f"    accuracy_min: 0.01\n    slice_floors:{floors}\n"
    )
    arguments = ("--model", intents_package, "--suite", suite, "--policy", policy)
    return Run(serin("gate", *arguments, *files, temporary=folder), folder)


def assert_harmless(text: str) -> None:
    assert not _COMMANDS.search(text), text
    assert not [letter for letter in text if not letter.isprintable() and letter not in "\n\t"]


def test_the_log_of_a_pipeline_holds_no_command_and_no_forged_line(run: Run) -> None:
    assert run.done.returncode == 1, run.done.stderr
    said = run.done.stdout.decode()
    assert len(said.splitlines()) == 3
    assert "slice" in said
    assert_harmless(said)
    assert run.done.stderr == b""


def test_a_junit_file_is_whole_and_holds_no_command(run: Run) -> None:
    (suite,) = JUnitXml.fromfile(str(run.folder / "junit.xml"))
    failed = [result for case in suite for result in case.result]
    assert failed
    assert suite.tests == 2
    for result in failed:
        assert_harmless(result.message)
        assert_harmless(result.text or "")


def test_a_summary_holds_no_markup_of_others(run: Run) -> None:
    text = run.text("summary.md")
    assert_harmless(text)
    for markup in (r"(?<!\\)`c", "<img", "<script", r"(?<!\\)\[x", r"(?<!\\)\*\*b", r"http://", r"(?<!\\)\$x"):
        assert not re.search(markup, text), markup
    rows = [line for line in text.splitlines() if line.startswith("|")]
    assert {len(re.findall(r"(?<!\\)\|", row)) for row in rows} == {7, 5}


def test_the_json_keeps_what_was_written(run: Run) -> None:
    """For a machine: JSON escapes by itself what would be a line."""
    document = json.loads(run.text("result.json"))
    assert {part["name"] for part in document["result"]["slices"][1:]} == set(ATTACKS)


def test_a_refused_line_is_told_on_one_line(tmp_path: Path) -> None:
    """An error repeats what it is about; it is as harmless."""
    suites = [
        written(tmp_path / f"{number}.jsonl", [{"id": "1", "text": "x", "label": "a", attack: 1}])
        for number, attack in enumerate(ATTACKS)
    ]
    calls = [("gate", "--model", tmp_path, "--suite", suite) for suite in suites]
    for done in serin_each(calls, temporary=tmp_path, folder=tmp_path / "said"):
        assert done.returncode == 2
        assert_harmless(done.stderr.decode())
        assert done.stderr.count(b"\n") == 1


@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "cp1252", "cp437", "utf-8"])
def test_a_terminal_of_any_encoding_shows_the_result(intents_package: Path, tmp_path: Path, encoding: str) -> None:
    """No UnicodeEncodeError, whatever the names: what it cannot show stands as its escape."""
    suite = written(tmp_path / "suite.jsonl", cases(120, label="où → 你好"))
    done = serin("gate", "--model", tmp_path / "é→你", "--suite", suite, temporary=tmp_path, PYTHONIOENCODING=encoding)
    assert done.returncode == 2
    assert b"neither a folder nor models:/" in done.stderr
    done = serin("gate", "--model", intents_package, "--suite", suite, temporary=tmp_path, PYTHONIOENCODING=encoding)
    assert done.returncode == 2
    assert b"Traceback" not in done.stderr
    done.stderr.decode(encoding)
    for arguments in (("policy", "schema"), ("evidence", "x", "--schema")):
        done = serin(*arguments, temporary=tmp_path, PYTHONIOENCODING=encoding)
        assert json.loads(done.stdout.decode(encoding))


def test_a_package_that_names_its_classes_so_is_judged_and_told_harmlessly(tmp_path: Path) -> None:
    """A model's config.json comes from outside as well. A line break in a name is refused when the package is made."""
    checkpoint = tmp_path / "checkpoint"
    checkpoint.mkdir()
    for file in (INTENTS / "checkpoints" / "v1").iterdir():
        (checkpoint / file.name).write_bytes(file.read_bytes())
    config = json.loads((checkpoint / "config.json").read_text())
    names = {key: f"::error::{name}" for key, name in config["id2label"].items()}
    config["id2label"], config["label2id"] = names, {name: int(key) for key, name in names.items()}
    (checkpoint / "config.json").write_text(json.dumps(config))
    build_package(checkpoint, tmp_path / "package")
    suite = written(tmp_path / "suite.jsonl", cases(10))
    done = serin("gate", "--model", tmp_path / "package", "--suite", suite, temporary=tmp_path)
    assert done.returncode == 2
    assert b"is not a class of the version" in done.stderr
    assert_harmless(done.stderr.decode())
