"""`serin help TOPIC`: what it says is what the code has, and can be read in a narrow terminal."""

import re
from pathlib import Path

import pytest
from typer.testing import CliRunner

from controller import exit_codes
from controller.cli.app import app
from controller.cli.topic_texts import TOPICS, Part
from controller.cli.topics import drawn
from controller.config.settings import Home
from controller.roles import MAY, Role
from gates.policy import GatePolicy
from gates.table import kinds
from tests.reference.commands import parsed

DOCS = Path(__file__).parents[2] / "docs"


def rows(topic: str) -> dict[str, str]:
    found: dict[str, str] = {}
    for part in TOPICS[topic][1]():
        found |= {} if isinstance(part, str) else part
    return found


@pytest.mark.parametrize("columns", [60, 80, 200])
@pytest.mark.parametrize("topic", ["", *TOPICS])
def test_a_topic_fits_the_terminal(topic: str, columns: int) -> None:
    told = CliRunner(env={"COLUMNS": str(columns)}).invoke(app, ["help", *([topic] if topic else [])])
    assert told.exit_code == 0, told.output
    lines = told.stdout.splitlines()
    assert [line for line in lines if len(line) > min(columns, 100) or line != line.rstrip()] == []
    assert len(lines) <= 100


def test_names_stand_beside_what_they_mean_or_above_it() -> None:
    parts: list[Part] = ["All   of\n it:", {"a": "one two three four", "a long name": "five"}]
    assert drawn(parts, 20).splitlines() == [
        "All of it:",
        "",
        "  a",
        "      one two three",
        "      four",
        "  a long name",
        "      five",
    ]
    short = drawn([{"a": "one two three four", "b": "five"}], 20)
    assert short.splitlines() == [
        "  a  one two three",
        "     four",
        "  b  five",
    ]


def test_a_topic_that_there_is_not_names_those_that_there_are() -> None:
    told = CliRunner().invoke(app, ["help", "oncall"])
    assert "topics are on-call, phases" in str(told.exception)


def test_the_commands_of_a_night_are_commands() -> None:
    night = list(rows("on-call"))
    assert [parsed(line).split()[1] for line in night] == ["status", "why", "rollback", "freeze", "history"]


def test_every_gate_that_watches_a_release_is_named() -> None:
    names = set(re.split(r", ", ", ".join(rows("gates"))))
    asked = {
        name for _, kind in kinds(GatePolicy) for name in (kind.doc.gates or kind.name).replace("`", "").split(", ")
    }
    assert asked <= names
    assert {"preflight.*", "accuracy.suite", "calibration.suite"} == names - asked


def test_every_place_of_a_home_says_what_it_holds(tmp_path: Path) -> None:
    """Those that are made later, too."""
    told = rows("files")
    home = Home(tmp_path)
    for name in ("serin.db", "a.token", "digest.key", "tokens.json", "controller.lock", "reserve"):
        (tmp_path / name).touch()
    places = {path.name for path in home.contents} - {"a.token"}
    assert places <= {name.rstrip("/") for name in told}
    assert all(told.values())


def test_a_role_is_told_by_what_it_may() -> None:
    told = rows("roles")
    assert told.keys() == {*Role, "replica"}
    for deed, may in MAY.items():
        assert {role for role, deeds in told.items() if deed in deeds.split("; ")} == set(may)


def test_every_exit_code_is_told() -> None:
    codes = {str(value) for name, value in vars(exit_codes).items() if name.startswith("EXIT_")}
    assert rows("exit-codes").keys() == codes - {str(exit_codes.EXIT_PIPE_CLOSED)}


def test_schemas_are_those_of_the_documents() -> None:
    page = (DOCS / "output.md").read_text(encoding="utf-8")
    assert not [name for name in rows("output") if f"`{name}`" not in page]
