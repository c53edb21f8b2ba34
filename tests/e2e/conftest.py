"""Installations in which every process is the real one: MLflow, Prometheus, Envoy, the controller, LitServe."""

import fcntl
import json
import os
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
import pytest

from suites.intents.demo.installation import Installation, installation
from tests.patience import eventually

CHECKPOINTS = Path(__file__).parents[2] / "suites/intents/checkpoints"
POLICY = Path(__file__).with_name("policy.yaml")
WITHIN_S = 600.0  # what a release takes that is decided within a minute, on a machine ten times slower


@dataclass(frozen=True, slots=True)
class Site:
    """An installation under test, and what a test does to it and asks of it."""

    serin: Installation

    def register(self, checkpoint: str, *flags: str) -> None:
        path = str(CHECKPOINTS / checkpoint)
        self.serin.serin("register", path, "--model", "intent", "--candidate", *flags)

    def release(self, version: str) -> Mapping[str, Any]:
        """The newest release of the version, with its state."""
        found = next(r for r in self.serin.releases() if r["version"] == version)
        release = self.serin.release(found["release_id"])
        assert release is not None
        return release

    def phase(self, version: str) -> str | None:
        return next((r["phase"] for r in self.serin.releases() if r["version"] == version), None)

    def entries(self, release_id: str) -> list[Mapping[str, Any]]:
        """The release's journal, its chain checked by the controller that answers."""
        import httpx

        headers = {"accept": "application/x-ndjson", **self.serin.token()}
        url = f"{self.serin.api}/v1/releases/{release_id}/entries"
        answer = httpx.get(url, headers=headers, timeout=30, trust_env=False)
        answer.raise_for_status()
        return [json.loads(line) for line in answer.content.split(b"\n") if line]

    def answers(self) -> list[str]:
        """Request ids of what was answered to users and sampled; read where the controller keeps it."""
        with sqlite3.connect(f"file:{self.serin.home / 'serin.db'}?mode=ro", uri=True) as database:
            return [row[0] for row in database.execute("SELECT request_id FROM predictions WHERE traffic = 'live'")]

    def pid(self, name: str) -> int:
        """The process that `serin up` runs under this name."""
        recorded = json.loads((self.serin.home / "processes.json").read_text())
        return int(recorded[name]["pid"])

    def signal(self, name: str, number: int) -> None:
        os.kill(self.pid(name), number)

    @contextmanager
    def stopped(self, *names: str) -> Iterator[None]:
        """The processes stand still while the block lasts: whoever asks them waits."""
        for name in names:
            self.signal(name, signal.SIGSTOP)
        try:
            yield
        finally:
            for name in names:
                self.signal(name, signal.SIGCONT)

    @contextmanager
    def load(self, *more: str, rate_per_s: float = 50.0, for_s: float = 600.0) -> Iterator[dict[str, Any]]:
        """Steady, bounded traffic with late labels while the block lasts; its summary is filled in at the end. ``more``
        are further flags of the load."""
        flags = ["--gateway", self.serin.gateway, "--api", self.serin.api, "--rate-per-s", f"{rate_per_s:g}"]
        flags += ["--label-token-file", str(self.serin.label_token_file)]
        flags += ["--label-delay-s", "2", "--for-s", f"{for_s:g}"]
        command = [sys.executable, "-m", "suites.intents.demo.load", *flags, *more]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, start_new_session=True)
        summary: dict[str, Any] = {}
        try:
            yield summary
        finally:
            process.terminate()
            output, _ = process.communicate(timeout=60)
            summary.update(json.loads(output.splitlines()[-1]))


@contextmanager
def alone(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """One installation at a time, whatever number of tests run: each has a service's load of its own. Nobody waits
    where ``tests/conftest.py`` gives them all to one process."""
    base = tmp_path_factory.getbasetemp()
    shared = base.parent if "PYTEST_XDIST_WORKER" in os.environ else base
    with (shared / "installation.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


@pytest.fixture
def site(tmp_path_factory: pytest.TempPathFactory, tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Site]:
    """An installation with v1 in production, by the ``POLICY`` of the test's module if it has one. Afterwards nothing
    of it may be left running."""
    home, policy = tmp_path / "home", getattr(request.module, "POLICY", POLICY)
    with alone(tmp_path_factory), installation(home, policy, lambda _: None) as serin:
        place = Site(serin)
        place.register("v1")
        eventually(lambda: place.phase("1") == "promoted", what="version 1 in production")
        yield place
        print(serin.status())  # shown with a test that failed
    left = [
        p.info["pid"] for p in psutil.process_iter(["pid", "cmdline"]) if str(home) in " ".join(p.info["cmdline"] or [])
    ]
    assert not left, f"still running: {left}"
