"""The pages that people read at night: one an alert and a failure mode, with commands that there are."""

import contextlib
import io
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
import typer.main

from controller.cli.app import app
from controller.cli.rollback import rollback
from controller.core.policy import ReleasePolicy
from controller.monitoring.rule import RUNBOOKS
from controller.monitoring.rules import alerts_of, groups_of

ROOT = Path(__file__).parents[2]
PAGES = sorted(path for path in (ROOT / RUNBOOKS).glob("*.md") if path.name != "README.md")
ALERTS = {alert.name: alert.runbook for alert in alerts_of(groups_of({"intent": ReleasePolicy("intent")}))}
HEADINGS = ["What you see", "What Serin has done", "What you do"]


@pytest.mark.parametrize("name", ALERTS)
def test_every_alert_has_its_page(name: str) -> None:
    assert (ROOT / ALERTS[name]).read_text().splitlines()[0] == f"# {name}"


def test_every_failure_mode_has_its_page_and_no_page_is_left_over() -> None:
    modes = {path.name for path in PAGES if re.match(r"f\d-", path.name)}
    assert {name[:2] for name in modes} == {f"f{number}" for number in range(1, 10)}
    assert {path.name for path in PAGES} - modes == {Path(runbook).name for runbook in ALERTS.values()}


@pytest.mark.parametrize("page", PAGES, ids=lambda path: path.stem)
def test_a_page_says_three_things_with_commands_that_there_are(page: Path, checked: Callable[..., None]) -> None:
    """What one sees, what was done already, what to do."""
    text = page.read_text()
    assert re.findall(r"(?m)^## (.+)$", text) == HEADINGS
    assert all(part.strip() for part in re.split(r"(?m)^## .+$", text)[1:])
    named = [part.split() for part in re.findall(r"`(serin [^`]+)`", text)]
    assert not [told for words in named if (told := unknown_in(words))]
    checked("runbooks")


def options_of(name: str, command: Any) -> set[str]:
    if name != "rollback":
        return {option for one in command.params for option in one.opts}
    with contextlib.redirect_stdout(io.StringIO()) as told, contextlib.suppress(SystemExit):
        rollback(["--help"])  # its own parser reads the arguments
    return set(re.findall(r"--[a-z-]+", told.getvalue()))


def unknown_in(words: Sequence[str]) -> str:
    """The word of a command line that `serin` does not know, with all before it; nothing where it knows them all."""
    command: Any = typer.main.get_command(app)
    for place, word in enumerate(words[1:], 1):
        if hasattr(command, "commands"):
            if word not in command.commands:
                return " ".join(words[: place + 1])
            command = command.commands[word]
        elif word.startswith("-") and word not in options_of(" ".join(words[1:2]), command):
            return " ".join(words[: place + 1])
    return ""


def test_a_slip_in_a_page_would_be_found() -> None:
    assert unknown_in(["serin", "rolback", "MODEL"]) == "serin rolback"
    assert unknown_in(["serin", "rollback", "MODEL", "--why", "x"]) == "serin rollback MODEL --why"
    assert unknown_in(["serin", "policy", "check", "FILE"]) == ""


def test_links_of_the_pages_lead_somewhere() -> None:
    for page in (*PAGES, ROOT / RUNBOOKS / "README.md"):
        links = re.findall(r"\]\((?!https?:|#)([^)#]+)", page.read_text())
        assert not [link for link in links if not (page.parent / link).exists()], page.name


def test_every_page_is_listed() -> None:
    index = (ROOT / RUNBOOKS / "README.md").read_text()
    assert not [page.name for page in PAGES if f"({page.name})" not in index]
