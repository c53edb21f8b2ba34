"""Drills on a real installation: refused where they would do harm, seen, answered, undone, and nothing of them left."""

import json
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jsonschema
import psutil
import pytest

from suites.intents.demo.installation import SERIN
from tests.e2e.conftest import Site
from tests.patience import eventually

pytestmark = pytest.mark.integration

SCHEMA = json.loads((Path(__file__).parents[2] / "docs/output.schema.json").read_text(encoding="utf-8"))


@dataclass(frozen=True)
class Ground:
    site: Site
    folder: Path

    def command(self, mode: str, *flags: str) -> list[str]:
        page = str(self.folder / "page.html")
        return [SERIN, "drill", mode, *flags, "--before-s", "2", "--out", page, "--home", str(self.site.serin.home)]

    def refusal(self, mode: str, *flags: str) -> str:
        done = subprocess.run(self.command(mode, *flags), capture_output=True, text=True, check=False, timeout=60)
        assert done.returncode == 2, done.stdout
        return done.stderr

    def played(self, mode: str, *flags: str) -> dict[str, Any]:
        command = [*self.command(mode, *flags), "--freeze", "--reason", "a test", "-o", "json"]
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=300)
        document: dict[str, Any] = json.loads(done.stdout)
        jsonschema.validate(document, SCHEMA)
        assert (document["outcome"], done.returncode) == ("pass", 0), done.stdout + done.stderr
        assert f"Drill {mode} of intent" in (self.folder / "page.html").read_text(encoding="utf-8")
        assert self.freezes() == []
        return document

    def freezes(self) -> list[str]:
        status = [SERIN, "status", "-o", "json", "--home", str(self.site.serin.home)]
        done = subprocess.run(status, capture_output=True, text=True, check=False, timeout=60)
        return [one["reason"] for one in json.loads(done.stdout)["freezes"]]

    def replica(self) -> psutil.Process:
        record = self.site.serin.home / "deployments" / "intent-v1.json"
        return psutil.Process(json.loads(record.read_text(encoding="utf-8"))["pid"])


def test_drills_are_played_and_leave_nothing(site: Site, tmp_path: Path) -> None:
    """A worker and a replica that are killed, an altered package, lists of long texts; and a drill that is killed."""
    ground = Ground(site, tmp_path)
    _refused(ground)
    dry = ground.command("F5", "--users-may-fail", "--dry-run")
    assert "intent-v1" in subprocess.run(dry, capture_output=True, text=True, check=True, timeout=60).stdout
    replica = ground.replica()
    assert ground.played("F4")["users"]["during"]["failed"] == 0
    worker = ground.played("F3", "--users-may-fail")
    assert any("another worker" in one["what"] for one in worker["course"])
    assert ground.replica() == replica, "the replica itself went on"
    lists = ground.played("F8", "--for-s", "6")
    assert [one["what"] for one in lists["course"] if one["by"] == "metrics"], "batches are seen by their size"
    _rehearsed(ground)
    _killed(ground)
    killed = ground.played("F5", "--users-may-fail")
    assert killed["seen_at_s"] >= killed["injected_at_s"]
    assert {one["by"] for one in killed["course"]} >= {"drill", "doctor", "log"}
    assert ground.replica() != replica
    assert "0 requests reached it cold." in [check["found"] for check in killed["checks"]]
    assert not (site.serin.home / "drill").exists()
    assert not [one for one in site.answers() if one.startswith("serin-drill-")], "samples of what no user asked"


def _rehearsed(ground: Ground) -> None:
    """Versions that are worse on purpose: found by the gate that is about it, and no user is answered by them."""
    for version, (mode, gate) in enumerate((("F2", "accuracy."), ("F6", "calibration.")), start=2):
        found = ground.played(mode)
        (seen,) = [one["what"] for one in found["course"] if one["by"] == "gate"]
        assert f"failed intent-v{version}-1" in seen
        assert gate in seen
        assert any(check["found"].startswith("No table of its release sent a user to it") for check in found["checks"])


def _refused(ground: Ground) -> None:
    assert "is not frozen" in ground.refusal("F5")
    assert "add --users-may-fail" in ground.refusal("F5", "--freeze", "--reason", "a test")
    assert "--reason is empty" in ground.refusal("F5", "--freeze")
    assert ground.freezes() == []


def _killed(ground: Ground) -> None:
    """kill -9 in the middle: a replica goes on, a rehearsal is aborted, and the freeze is lifted."""
    with _killed_after(ground, "stopped for", "F1", "--for-s", "600"):
        assert ground.freezes() == ["drill F1: a test"]
    eventually(lambda: ground.freezes() == [], what="the guard lifts the freeze")
    assert ground.replica().status() != psutil.STATUS_STOPPED
    eventually(ground.site.serin.serving_version, what="users are answered")
    with _killed_after(ground, "is being rehearsed", "F2"):
        pass
    eventually(lambda: ground.site.phase("4") == "aborted", what="the guard aborts the rehearsal")
    eventually(lambda: ground.freezes() == [], what="the guard lifts the freeze")


@contextmanager
def _killed_after(ground: Ground, said: str, mode: str, *flags: str) -> Iterator[None]:
    """The drill goes on while the block lasts, which begins once it has said so, and is killed."""
    command = ground.command(mode, *flags, "--freeze", "--reason", "a test")
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as drill:
        assert drill.stdout is not None
        eventually(lambda: said in drill.stdout.readline(), what="it is injected")  # type: ignore[union-attr]
        yield
        drill.send_signal(signal.SIGKILL)
