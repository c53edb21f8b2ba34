"""Every gate of the default policy is fed by what a real installation measures."""

import json
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from suites.intents.demo.installation import SERIN
from tests.e2e.conftest import WITHIN_S, Site
from tests.patience import eventually

pytestmark = pytest.mark.integration

POLICY = Path(__file__).with_name("policy-evidence.yaml")
NOT_HERE = {"resources.gpu", "resources.gpu_idle"}  # there is no such thing in these machines
UNFED = (
    "not measured",
    "too little to compare",
    "not compared",
    "compared with those",
    "cannot be compared",
    "no fingerprint",
    "not checked yet",
    "No live traffic yet",
    "No labelled pair yet",
    "no live text",
)


def test_no_gate_lacks_its_evidence(site: Site, tmp_path: Path) -> None:
    """All that the default policy asks about, in one release; and `serin judge` says of the recorded evidence what the
    controller said, of the suites and of every look, number for number."""
    with site.load():
        eventually(lambda: len(site.answers()) > 600, what="traffic for a reference")
        site.register("v2")
        eventually(lambda: site.phase("2") == "canary", within_s=WITHIN_S, what="version 2 in canary")
        eventually(lambda: not _unfed(site), within_s=WITHIN_S, what="evidence for every gate")
    verdicts = site.release("2")["state"]["verdicts"]
    assert verdicts["tokenization.fingerprint"]["outcome"] == "pass"
    assert verdicts["resources.restarts"]["outcome"] == "pass"
    assert verdicts["accuracy.shadow[channel:app]"]["samples"] > 0
    assert verdicts["accuracy.shadow[tokens:1-12]"]["samples"] > 0
    _judged_again(site, tmp_path)


def _unfed(site: Site) -> Mapping[str, str]:
    """The gates that say they do not know, and how."""
    verdicts: dict[str, Any] = site.release("2")["state"]["verdicts"]
    return {
        name: verdict["reason"]
        for name, verdict in verdicts.items()
        if name not in NOT_HERE and any(words in verdict["reason"] for words in UNFED)
    }


def _judged_again(site: Site, directory: Path) -> None:
    site.serin.serin("abort", "intent", "--reason", "the evidence is gathered")
    eventually(lambda: site.phase("2") == "aborted", what="the end of the release")
    entries = site.entries("intent-v2-1")
    of_suites = [e["payload"] for e in entries if e["kind"] == "Judged" and e["payload"]["suites"] is not None]
    assert len(of_suites) == 1
    looks = [entry["payload"] for entry in entries if entry["kind"] == "Looked"]
    said = [
        json.loads(line)["verdicts"] for line in _judge(site, "intent-v2-1", directory, "--json").stdout.splitlines()
    ]
    assert said[0] == of_suites[0]["verdicts"]
    assert len(said) == 1 + len(looks)
    for look, verdicts in zip(looks, said[1:], strict=True):
        assert all(verdict in verdicts for verdict in look["verdicts"])
        assert look["readings"] == {one["gate"]: _reading(one) for one in verdicts if one["value"] is not None}
    first = _judge(site, "intent-v1-1", directory)
    assert (first.returncode, first.stdout.splitlines()[-1]) == (
        0,
        "After the suites: pass, every required gate passed.",
    )


def _reading(verdict: dict[str, Any]) -> list[float | None]:
    interval = verdict["interval"] or {"low": None, "high": None}
    return [verdict["value"], interval["low"], interval["high"]]


def _judge(site: Site, release: str, directory: Path, *options: str) -> subprocess.CompletedProcess[str]:
    """What `serin judge` says of the evidence that `serin evidence` prints."""
    path = directory / f"{release}.jsonl"
    path.write_text(site.serin.serin("evidence", release), encoding="utf-8")
    command = [SERIN, "judge", "--policy", str(POLICY), "--evidence", str(path), *options]
    return subprocess.run(command, capture_output=True, text=True, check=False)
