"""The attack: a model called `../../escaped` is written outside the home."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from controller.config.settings import Home, Settings
from tests.patience import PATIENCE_S

CASES = {"escapes": "../../escaped", "slash": "intent/eu", "space": "Intent Classifier"}


def serin(*arguments: str, within: Path) -> subprocess.CompletedProcess[str]:
    program = Path(sys.executable).with_name("serin")
    return subprocess.run(
        [program, *arguments], cwd=within, capture_output=True, text=True, timeout=PATIENCE_S, check=False,
        env={**os.environ, "SERIN_HOME": str(within / "deep" / "er" / "home")},
    )  # fmt: skip


@pytest.mark.integration
@pytest.mark.parametrize("name", CASES.values(), ids=CASES)
@pytest.mark.parametrize("command", ["check", "up", "register", "start", "freeze", "rollback", "gate"])
def test_no_command_writes_anything_for_such_a_name(command: str, name: str, tmp_path: Path) -> None:
    """One line that says why and what to do, exit code 2, and not one file more than before."""
    home = Home(tmp_path / "deep" / "er" / "home")
    if command != "up":
        home.save(Settings(registry_url="http://127.0.0.1:9"))
    policy = tmp_path / "policy.yaml"
    policy.write_text(f"apiVersion: serin/v1\nkind: ReleasePolicy\nmodel: '{name}'\n", encoding="utf-8")
    before = sorted(path for path in tmp_path.rglob("*") if path.name != "serin.db")
    arguments = {
        "check": ("policy", "check", str(policy)),
        "up": ("up", "--policy", str(policy), "--free-ports"),
        "register": ("register", str(tmp_path), "--model", name),
        "start": ("release", "start", name, "1"),
        "freeze": ("freeze", name, "--reason", "why"),
        "rollback": ("rollback", name, "--reason", "why"),
        "gate": ("gate", "--model", f"models:/{name}/1", "--suite", str(policy)),
    }[command]
    answer = serin(*arguments, within=tmp_path)
    assert answer.returncode == 2, answer.stderr
    assert len(answer.stderr.strip().splitlines()) == 1, answer.stderr
    if command != "gate":  # whose suite is looked at first
        assert "cannot name a model" in answer.stderr
    left = sorted(path for path in tmp_path.rglob("*") if not path.name.startswith("serin.db"))
    assert [path for path in left if path not in before] == []
