"""The unit for a team with one machine: systemd takes it, and it shuts the service in."""

import re
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
import typer.main

from controller.cli.app import app
from tests.patience import PATIENCE_S

UNIT = Path(__file__).parents[2] / "deploy/systemd/serin.service"
EXPOSURE_MAX = 2.0  # of 10; a service without any of these settings has 9.6

needs_systemd = pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="there is no systemd-analyze")


def values(key: str) -> list[str]:
    return re.findall(rf"(?m)^{key}=(.*)$", UNIT.read_text())


def analyze(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = ["systemd-analyze", *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE_S, check=False)


@needs_systemd
def test_systemd_takes_the_unit(tmp_path: Path, checked: Callable[..., None]) -> None:
    """Every key and value is one that it knows. The program is another here: that of the unit is not installed."""
    unit = tmp_path / "serin.service"
    unit.write_text(UNIT.read_text().replace(values("ExecStart")[0], "/bin/true"))
    done = analyze("verify", "--man=no", str(unit))
    assert (done.returncode, [line for line in done.stderr.splitlines() if str(unit) in line]) == (0, [])
    checked("units")


@needs_systemd
def test_the_service_is_shut_in() -> None:
    done = analyze("security", "--offline=true", f"--threshold={EXPOSURE_MAX * 10:g}", "--no-pager", str(UNIT))
    assert done.returncode == 0, done.stdout.splitlines()[-1]


def test_a_crash_ends_nothing_that_serves() -> None:
    """The data plane outlives `serin up`, and one worker killed for memory does not end the service."""
    assert (values("KillMode"), values("OOMPolicy"), values("Restart")) == (["process"], ["continue"], ["always"])


def test_replicas_may_set_their_own_limits() -> None:
    """They call setrlimit before they read a graph: a filter of @resources would keep every one from starting."""
    assert not [line for line in values("SystemCallFilter") if "@resources" in line]


def test_the_command_is_one_that_there_is() -> None:
    program, *words = values("ExecStart")[0].split()
    assert Path(program).name == "serin"
    assert words[0] in typer.main.get_command(app).commands  # type: ignore[attr-defined]
