"""What happens to a release, and to users, when parts of the installation go away in the middle of it."""

import os
import signal

import httpx
import pytest

from tests.e2e.conftest import Site
from tests.patience import eventually

pytestmark = pytest.mark.integration


def test_a_killed_controller_goes_on_with_the_same_release(site: Site) -> None:
    """kill -9 in the middle of a canary: the same release goes on, and reaches its end once."""
    with site.load() as load:
        site.register("v2")
        eventually(lambda: site.phase("2") == "canary", within_s=90, what="version 2 in canary")
        release_id, before = site.release("2")["release_id"], site.pid("controller")
        os.kill(before, signal.SIGKILL)
        eventually(lambda: site.pid("controller") != before, within_s=30, what="the controller started again")
        eventually(lambda: site.phase("2") == "probation", within_s=150, what="version 2 promoted")
    assert [r["release_id"] for r in site.serin.releases() if r["version"] == "2"] == [release_id]
    entered = [e["payload"]["phase"] for e in site.entries(release_id) if e["kind"] == "PhaseEntered"]
    assert entered.count("promoting") == entered.count("probation") == 1
    assert [e["kind"] for e in site.entries(release_id)].count("ChampionMoved") == 1
    assert site.serin.serving_version() == "2"
    assert load["failed"] == 0


def test_without_prometheus_nothing_is_promoted_and_users_are_served(site: Site) -> None:
    """A source that does not answer is no verdict: the release waits, users get answers, and it goes on afterwards."""
    with site.load() as load:
        site.register("v2")
        eventually(lambda: site.phase("2") == "canary", within_s=90, what="version 2 in canary")
        site.signal("prometheus", signal.SIGSTOP)
        try:
            fault = eventually(lambda: site.release("2")["state"]["faults"].get("metrics"), within_s=30, what="a fault")
            assert "prometheus" in fault.lower() or "metrics" in fault.lower() or "answer" in fault.lower()
            looks = site.release("2")["state"]["looks"]
            eventually(lambda: site.release("2")["state"]["looks"] >= looks + 2, within_s=60, what="two more looks")
            assert site.phase("2") == "canary"
            assert site.serin.serving_version() in {"1", "2"}
        finally:
            site.signal("prometheus", signal.SIGCONT)
        eventually(lambda: site.phase("2") == "probation", within_s=150, what="version 2 promoted after all")
    assert load["failed"] == 0


def test_rollback_needs_nothing_else(site: Site) -> None:
    """With the controller, Prometheus and MLflow stopped, `serin rollback` moves every request; the alias follows."""
    stopped = ("controller", "prometheus", "mlflow")
    with site.load() as load:
        site.register("v2")
        eventually(lambda: site.phase("2") == "probation", within_s=150, what="version 2 promoted")
        for name in stopped:
            site.signal(name, signal.SIGSTOP)
        try:
            said = site.serin.serin("rollback", "intent", "--reason", "wrong refunds")
            assert "all traffic to version 1" in said
            assert {site.serin.serving_version() for _ in range(20)} == {"1"}
        finally:
            for name in stopped:
                site.signal(name, signal.SIGCONT)
        eventually(lambda: site.phase("2") == "rolled_back", within_s=60, what="the controller took it up")
    assert load["failed"] == 0
    assert "wrong refunds" in site.release("2")["state"]["reason"]
    assert _champion(site) == "1"


def _champion(site: Site) -> str:
    import json

    port = json.loads((site.serin.home / "settings.json").read_text())["mlflow_port"]
    answer = httpx.get(
        f"http://127.0.0.1:{port}/api/2.0/mlflow/registered-models/alias",
        params={"name": "intent", "alias": "champion"},
        trust_env=False,
    )
    return str(answer.json()["model_version"]["version"])
