"""Policies to begin with: valid, with nothing in them that the defaults say, and good for what they are for."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from typer.testing import CliRunner

from controller.cli.app import app
from controller.config.policy_file import parse_policy
from controller.config.presets import Preset, preset_text
from controller.errors import UsageError
from tests.reference.needs import DEFAULT, LABELS, plan

MANY = LABELS["many labels"]


@pytest.fixture
def low_traffic(tmp_path: Path) -> Path:
    file = tmp_path / "low-traffic.yaml"
    told = CliRunner().invoke(app, ["policy", "preset", "low-traffic", "--model", "intent"])
    assert told.exit_code == 0, told.output
    file.write_text(told.stdout, encoding="utf-8")
    return file


@pytest.mark.parametrize("preset", Preset)
def test_a_preset_is_a_policy_of_the_model_that_is_named(preset: Preset, tmp_path: Path) -> None:
    file = tmp_path / "policy.yaml"
    file.write_text(preset_text(preset, "tickets"), encoding="utf-8")
    checked = CliRunner().invoke(app, ["policy", "check", str(file), "--home", str(tmp_path / "none")])
    assert (checked.exit_code, checked.stderr) == (0, ""), checked.output
    assert "valid. Model tickets" in checked.stdout
    with pytest.raises(UsageError, match="cannot name a model"):
        preset_text(preset, "a: b")


def leaves(document: dict[str, Any], path: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in document.items():
        if isinstance(value, dict):
            yield from leaves(value, f"{path}{key}.")
        else:
            yield f"{path}{key}", value


@pytest.mark.parametrize("preset", Preset)
def test_a_preset_says_nothing_that_the_defaults_say(preset: Preset) -> None:
    text = preset_text(preset, "intent")
    written = yaml.safe_load(text)
    default = parse_policy(DEFAULT)
    for path, value in leaves(
        {key: part for key, part in written.items() if key not in ("apiVersion", "kind", "model")}
    ):
        at: Any = default
        for name in path.split("."):
            at = getattr(at, name)
        assert at != value, path


@pytest.mark.parametrize("per_s", [0.05, 0.2, 1.0])
def test_few_requests_are_enough_for_an_equal_version_and_against_a_worse_one(low_traffic: Path, per_s: float) -> None:
    """Where the defaults hold every release. What is as bad as a margin is not promoted, and mostly rolled back."""
    found = plan(low_traffic, per_s, *MANY)
    equal, *worse = found["ends"]
    assert (equal["candidate"], equal["promoted"] > 0.95) == ("no change", True)
    assert found["promoted_s"] < found["deadline_s"]
    assert max(one["promoted"] for one in worse) < 0.05
    known = [one for one in worse if "accuracy.shadow" in one["candidate"] or "latency" in one["candidate"]]
    assert len(known) == 3
    assert min(one["rolled_back"] for one in known) > 0.95


def test_few_requests_are_too_few_for_the_defaults(tmp_path: Path) -> None:
    file = tmp_path / "default.yaml"
    file.write_text(DEFAULT, encoding="utf-8")
    assert plan(file, 1.0, *MANY)["ends"][0]["promoted"] < 0.5
