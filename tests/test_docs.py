"""The documents say everything that can be set, and name only what there is."""

import dataclasses
import re
import typing
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer.main

from controller.cli.app import app
from controller.core.policy import ReleasePolicy

ROOT = Path(__file__).parents[1]
MARKDOWN = [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")]


def policy_keys(kind: type = ReleasePolicy) -> Iterator[str]:
    for hint in (typing.get_type_hints(kind)[field.name] for field in dataclasses.fields(kind)):
        for part in (hint, *typing.get_args(hint)):
            if dataclasses.is_dataclass(part) and isinstance(part, type):
                yield from policy_keys(part)
    yield from (field.name for field in dataclasses.fields(kind))


def commands(group: Any, path: str = "serin") -> Iterator[str]:
    for name, command in group.commands.items():
        if hasattr(command, "commands"):
            yield from commands(command, f"{path} {name}")
        else:
            yield f"{path} {name}"


def test_every_key_of_a_policy_is_documented() -> None:
    page = (ROOT / "docs/policy.md").read_text()
    assert not [key for key in policy_keys() if f"`{key}`" not in page]


def test_every_command_is_documented_and_has_help() -> None:
    page = (ROOT / "docs/operations.md").read_text() + (ROOT / "README.md").read_text()
    group = typer.main.get_command(app)
    assert not [command for command in commands(group) if command not in page]


def test_documented_installations_give_what_was_tested() -> None:
    """Versions and digests of constraints.txt: without them pip brings whatever is newest, and gigabytes of it."""
    pages = [ROOT / "README.md", *(ROOT / "docs").glob("*.md")]
    asked = [line for page in pages for line in page.read_text().splitlines() if "pip install" in line]
    assert asked
    assert not [line for line in asked if "-c constraints.txt" not in line]


@pytest.mark.parametrize("page", MARKDOWN, ids=lambda path: str(path.relative_to(ROOT)))
def test_links_lead_somewhere(page: Path) -> None:
    links = re.findall(r"\]\((?!https?:|#)([^)#]+)", page.read_text())
    assert not [link for link in links if not (page.parent / link).exists()]
