"""Result files of a pipeline: none shows yesterday's green or costs the verdict; what cannot be written is told."""

import json
from pathlib import Path

import pytest
from junitparser import JUnitXml

from tests.controller.test_output_schema import checked as by_schema
from tests.lessons.pipeline import INTENTS, cases, serin, serin_each, started, written
from tests.patience import PATIENCE_S

SUITE = INTENTS / "suite.jsonl"
GREEN = '<testsuites><testsuite name="serin gate" tests="1"><testcase name="accuracy.suite"/></testsuite></testsuites>'


@pytest.fixture
def yesterday(tmp_path: Path) -> Path:
    """A folder with the files of a run that passed."""
    (tmp_path / "junit.xml").write_text(GREEN)
    (tmp_path / "result.json").write_text('{"outcome": "pass", "exit_code": 0}')
    (tmp_path / "summary.md").write_text("# Build\n")
    return tmp_path


def gate(folder: Path, *arguments: object):
    files = ("--junit", folder / "junit.xml", "--json", folder / "result.json", "--summary", folder / "summary.md")
    return serin("gate", *arguments, *files, temporary=folder)


def assert_not_green(folder: Path, said: str) -> None:
    (suite,) = JUnitXml.fromfile(str(folder / "junit.xml"))
    assert (suite.tests, suite.errors) == (1, 1)
    document = json.loads((folder / "result.json").read_text())
    assert (document["outcome"], document["exit_code"]) == ("error", 4)
    assert said in document["result"]["verdicts"][0]["reason"]
    text = (folder / "summary.md").read_text()
    assert text.startswith("# Build\n")
    assert text.count("### ") == 1
    assert "pass" not in text


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (("--model", "models:/intent/7", "--suite", SUITE, "--registry", "http://127.0.0.1:9"), 4, "registry"),
        (("--model", "models:/intent/7", "--suite", "away.jsonl"), 2, "away.jsonl: cannot be read"),
        (("--model", "nonsense", "--suite", SUITE), 2, "neither a folder nor models:/"),
        (("--model", "models:/intent/7", "--suite", SUITE, "--policy", "away.yaml"), 2, "away.yaml"),
    ],
    ids=["registry away", "suite away", "no such model", "policy away"],
)
def test_what_was_not_judged_today_is_not_green_from_yesterday(
    yesterday: Path, arguments: tuple[object, ...], code: int, said: str
) -> None:
    """Whatever kept it from judging: the files say so, and why."""
    done = gate(yesterday, *arguments)
    assert done.returncode == code, done.stderr
    assert_not_green(yesterday, said)
    assert done.stderr.count(b"\n") <= 1


@pytest.mark.integration
def test_a_file_that_cannot_be_written_does_not_cost_the_verdict(intents_package: Path, tmp_path: Path) -> None:
    """Results are printed first; then each file that cannot be written is named, on one line, with exit code 2."""
    suite = written(tmp_path / "suite.jsonl", cases(600))
    arguments = ("--model", intents_package, "--suite", suite, "--json", "/dev/full", "--summary", tmp_path / "s.md")
    done = serin("gate", *arguments, temporary=tmp_path)
    assert done.returncode == 2
    assert b"accuracy.suite: Suite: accuracy 91.0 %" in done.stdout
    assert done.stderr.decode() == "serin: /dev/full: cannot be written: No space left on device\n"
    assert "passed every gate" in (tmp_path / "s.md").read_text()
    assert "could not be judged" not in (tmp_path / "s.md").read_text()


@pytest.mark.integration
def test_what_is_printed_as_json_is_what_the_file_holds_and_what_the_schema_says(
    intents_package: Path, tmp_path: Path
) -> None:
    """And nothing else is on standard output, whatever the verdict."""
    suite = written(tmp_path / "suite.jsonl", cases(20))
    file = tmp_path / "result.json"
    done = serin("gate", "--model", intents_package, "--suite", suite, "-o", "json", "--json", file, temporary=tmp_path)
    document = by_schema(done.stdout.decode())
    assert (done.returncode, document["exit_code"], document["outcome"]) == (3, 3, "inconclusive")
    assert document == json.loads(file.read_text())


@pytest.mark.parametrize("option", ["--junit", "--json", "--summary"])
def test_a_file_that_never_can_be_written_is_told_before_anything_is_judged(tmp_path: Path, option: str) -> None:
    (tmp_path / "file").touch()
    paths = (tmp_path / "file" / "below.xml", tmp_path, Path("/proc/none/here.xml"))
    calls = [("gate", "--model", "nonsense", "--suite", SUITE, option, path) for path in paths]
    for path, done in zip(paths, serin_each(calls, temporary=tmp_path, folder=tmp_path / "said"), strict=True):
        assert done.returncode == 2
        assert done.stderr.decode().startswith(f"serin: {path}: cannot be written: ")
        assert (done.stdout, done.stderr.count(b"\n")) == (b"", 1)


@pytest.mark.parametrize("option", ["--junit", "--json", "--summary"])
def test_no_result_is_written_over_what_the_step_reads(tmp_path: Path, option: str) -> None:
    """A slip of the hand must not cost a suite."""
    suite = written(tmp_path / "suite.jsonl", cases(3))
    before = suite.read_bytes()
    (tmp_path / "link").symlink_to(suite)
    same = tmp_path / "same"
    same.touch()
    calls = (
        ("gate", "--model", "nonsense", "--suite", suite, option, tmp_path / "link"),
        ("gate", "--model", "x", "--suite", suite, "--junit", same, "--json", same),
    )
    over, twice = serin_each(calls, temporary=tmp_path, folder=tmp_path / "said")
    assert (over.returncode, suite.read_bytes()) == (2, before)
    assert b"is read by this very step" in over.stderr
    assert b"is the file of --junit, too" in twice.stderr


@pytest.mark.integration
def test_whoever_stops_reading_costs_neither_files_nor_exit_code(intents_package: Path, tmp_path: Path) -> None:
    """`serin gate ... | head -1`: the pipe is closed, the verdict stands."""
    arguments = ("--model", intents_package, "--suite", SUITE, "--json", tmp_path / "result.json")
    running = started("gate", *arguments, temporary=tmp_path, stdout=-1, stderr=-1)
    assert running.stdout is not None
    assert running.stderr is not None
    running.stdout.close()
    assert running.stderr.read() == b""
    assert running.wait(PATIENCE_S) == 0
    assert json.loads((tmp_path / "result.json").read_text())["outcome"] == "pass"
    running.stderr.close()


@pytest.mark.integration
def test_a_log_that_takes_no_more_costs_no_file(intents_package: Path, tmp_path: Path) -> None:
    """Standard output on a full disk: one line, 2, and the results are where they were asked for."""
    arguments = ("--model", intents_package, "--suite", SUITE, "--json", tmp_path / "result.json")
    with Path("/dev/full").open("wb") as full:
        running = started("gate", *arguments, temporary=tmp_path, stdout=full, stderr=-1)
        _, said = running.communicate(timeout=PATIENCE_S)
    assert (running.returncode, said) == (2, b"serin: standard output cannot be written: No space left on device\n")
    assert json.loads((tmp_path / "result.json").read_text())["outcome"] == "pass"


def test_a_path_that_is_no_text_is_written_all_the_same(tmp_path: Path) -> None:
    """File names are bytes; what is none of UTF-8 is shown as its escape."""
    odd = Path(f"{tmp_path}/caf\udce9.jsonl")
    done = gate(tmp_path, "--model", "nonsense", "--suite", odd)
    assert done.returncode == 2
    assert b"caf\\udce9.jsonl: cannot be read" in done.stderr
    json.loads((tmp_path / "result.json").read_text())
    JUnitXml.fromfile(str(tmp_path / "junit.xml"))
