"""Several replicas of a version, and a release of the version that serves with other settings."""

import json
import os
import signal
from pathlib import Path

import httpx
import pytest

from serving.contract import INFO_ROUTE
from tests.e2e.conftest import WITHIN_S, Site
from tests.patience import eventually

pytestmark = pytest.mark.integration
POLICY = Path(__file__).with_name("policy-restart.yaml")


def test_other_settings_go_through_the_gates_and_a_lost_replica_of_two_ends_nothing(site: Site) -> None:
    """The files that serve get the next number and two replicas; one of them is killed while users get its answers."""
    policy = site.serin.home / "policies" / "intent.yaml"
    policy.write_text(f"{policy.read_text()}\nserving: {{replicas: 2, batch: {{texts_max: 8}}}}\n")
    assert "batch.texts_max 16 → 8, with the next release" in site.serin.status()
    with site.load() as load:
        site.serin.serin("release", "again", "intent", "--reason", "two of them")
        eventually(lambda: site.phase("2") == "canary", within_s=WITHIN_S, what="version 2 in canary")
        record = json.loads((site.serin.home / "deployments" / "intent-v2-2.json").read_text())
        about = httpx.get(f"http://127.0.0.1:{record['port']}{INFO_ROUTE}", trust_env=False).json()
        assert (about["model_version"], about["serving"]["batch"]["texts_max"]) == ("2", 8)
        os.kill(record["pid"], signal.SIGKILL)
        eventually(lambda: site.phase("2") == "probation", within_s=WITHIN_S, what="version 2 promoted")
    assert load["failed"] <= 2, load["failures"]  # what was under way on the one that was killed
    release = site.release("2")["state"]
    assert (release["serving"]["1"]["replicas"], release["serving"]["2"]["replicas"]) == (1, 2)
    assert site.serin.serving_version() == "2"
