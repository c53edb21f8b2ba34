"""`serin evidence`, and what the commands on recorded evidence have in common: one line for an error, and help."""

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from typer.testing import CliRunner

from controller.cli.app import app
from controller.config.settings import Home, Settings
from controller.errors import UsageError
from controller.offline.evidence_file import RecordedSuites, json_schema, line_of, parse_line
from tests.controller import report_support as support
from tests.controller.evidence_support import lines_of, recorded, write_evidence, write_policy
from tests.controller.report_support import Journal
from tests.controller.test_output_schema import checked
from tests.stores import new_store


@pytest.fixture(scope="module")
def journal() -> Journal:
    return support.play(replace(support.PROMOTED, stop_after_s=60.0))


@pytest.fixture
def home(journal: Journal, tmp_path: Path) -> Path:
    """An installation whose journal holds one release; nothing of it runs."""
    place = Home(tmp_path / "home")
    place.save(Settings())
    store = new_store(place.database_url(Settings()))
    store.journal.append(journal.record, [entry.entry for entry in journal.entries])
    store.close()
    return place.path


def test_a_release_is_printed_suites_first_then_look_by_look(home: Path, journal: Journal) -> None:
    result = CliRunner().invoke(app, ["evidence", "intent-v7-1", "--home", str(home)])
    assert result.stdout.splitlines() == [line_of(line) for line in lines_of(journal)]
    suites, *looks = [parse_line(line) for line in result.stdout.splitlines()]
    assert isinstance(suites, RecordedSuites)
    assert (suites.release, suites.run, suites.suites) == ("intent-v7-1", 1, support.suites())
    assert looks == list(recorded(journal))


def test_a_release_that_is_not_there_is_told_with_those_that_are(home: Path) -> None:
    result = CliRunner().invoke(app, ["evidence", "intent-v9-1", "--home", str(home)])
    assert isinstance(result.exception, UsageError)
    assert str(result.exception) == "there is no release 'intent-v9-1'; the latest are: intent-v7-1"


def test_a_plan_takes_its_traffic_from_a_release(home: Path, tmp_path: Path) -> None:
    policy = write_policy(tmp_path / "policy.yaml", support.POLICY)
    arguments = ["plan", "--policy", str(policy), "--release", "intent-v7-1", "--home", str(home), "--json"]
    traffic = json.loads(CliRunner().invoke(app, arguments).stdout)["traffic"]
    assert traffic[0] == {"name": "requests_per_s", "value": pytest.approx(60, rel=0.1), "source": "observed"}


@pytest.mark.parametrize("command", [["plan"], ["backtest", "--runs", "2", "--jobs", "1", "--accuracy-points", "5"]])
def test_suites_are_no_traffic_to_plan_or_to_resample(command: list[str], tmp_path: Path) -> None:
    """A file with their line is read as one without it."""
    journal = support.play(replace(support.PROMOTED, stop_after_s=300.0))
    policy = write_policy(tmp_path / "policy.yaml", support.POLICY)
    told = []
    for lines in (lines_of(journal), recorded(journal)):
        file = write_evidence(tmp_path / "evidence.jsonl", lines)
        arguments = [*command, "--policy", str(policy), "--evidence", str(file), "--json"]
        told.append(CliRunner().invoke(app, arguments))
    assert [result.exit_code for result in told] == [0, 0]
    assert told[0].stdout == told[1].stdout


@pytest.mark.parametrize("command", [["judge"], ["backtest", "--runs", "2", "--jobs", "1", "--accuracy-points", "5"]])
def test_output_json_is_what_the_flag_json_prints(command: list[str], tmp_path: Path) -> None:
    journal = support.play(replace(support.PROMOTED, stop_after_s=60.0))
    policy = write_policy(tmp_path / "policy.yaml", support.POLICY)
    file = write_evidence(tmp_path / "evidence.jsonl", lines_of(journal))
    arguments = [*command, "--policy", str(policy), "--evidence", str(file)]
    one, other = (CliRunner().invoke(app, [*arguments, *flag]) for flag in (["--json"], ["-o", "json"]))
    assert (one.stdout, one.exit_code) == (other.stdout, other.exit_code)
    documents = one.stdout.splitlines() if command == ["judge"] else [one.stdout]
    assert documents
    for document in documents:
        checked(document)


def test_the_schema_is_printed_without_an_installation() -> None:
    result = CliRunner().invoke(app, ["evidence", "--schema"])
    assert result.exit_code == 0
    assert json.loads(result.stdout) == json_schema()


@pytest.mark.parametrize("command", ["judge", "backtest", "plan", "evidence"])
def test_every_command_is_documented_with_an_example(command: str) -> None:
    result = CliRunner().invoke(app, [command, "--help"], env={"COLUMNS": "100"})
    assert f"Example: serin {command} " in result.stdout


def test_an_error_is_one_line_and_exit_code_2(tmp_path: Path) -> None:
    """As a user's shell sees it: nothing but what is wrong, on standard error."""
    policy = write_policy(tmp_path / "policy.yaml", support.POLICY)
    (tmp_path / "evidence.jsonl").write_text('{"schema": "serin.evidence/v1", "seqence": 1}\n')
    script = "from controller.cli import main; main()"
    arguments = ["judge", "--policy", str(policy), "--evidence", str(tmp_path / "evidence.jsonl")]
    done = subprocess.run([sys.executable, "-c", script, *arguments], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.endswith("evidence.jsonl, line 1: seqence: unknown key; did you mean 'sequence'?\n")
    assert done.stderr.count("\n") == 1


def test_standard_input_is_read_where_the_file_is_a_dash(journal: Journal, tmp_path: Path) -> None:
    """`serin evidence R | serin judge --policy P --evidence -`"""
    policy = write_policy(tmp_path / "policy.yaml", support.POLICY)
    lines = "".join(line_of(look) + "\n" for look in recorded(journal))
    result = CliRunner().invoke(app, ["judge", "--policy", str(policy), "--evidence", "-"], input=lines)
    assert result.stdout.splitlines()[-1].startswith(f"After look {len(recorded(journal))}: ")
