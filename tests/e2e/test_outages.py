"""What happens to a release, and to users, when parts of the installation go away in the middle of it."""

import os
import signal

import httpx
import pytest

from tests.e2e.conftest import WITHIN_S, Site
from tests.patience import eventually

pytestmark = pytest.mark.integration


def test_one_release_goes_on_whatever_goes_away(site: Site) -> None:
    """Of one release, in this order: without Prometheus nothing is promoted; kill -9 of the controller, and the same
    release goes on and is promoted once; `serin rollback` needs nothing but Envoy. All the while users are served."""
    with site.load() as load:
        site.register("v2")
        eventually(lambda: site.phase("2") == "canary", within_s=WITHIN_S, what="version 2 in canary")
        release_id = site.release("2")["release_id"]
        with site.stopped("prometheus"):
            _nothing_is_promoted(site)
            _killed(site)
            assert site.phase("2") == "canary"
        eventually(lambda: site.phase("2") == "probation", within_s=WITHIN_S, what="version 2 promoted after all")
        assert site.serin.serving_version() == "2"
        with site.stopped("controller", "prometheus", "mlflow"):
            said = site.serin.serin("rollback", "intent", "--reason", "wrong refunds")
            assert "all traffic to version 1" in said
            assert {site.serin.serving_version() for _ in range(20)} == {"1"}
        eventually(lambda: site.phase("2") == "rolled_back", within_s=WITHIN_S, what="the controller took it up")
    assert load["failed"] == 0
    assert [r["release_id"] for r in site.serin.releases() if r["version"] == "2"] == [release_id]
    entries = site.entries(release_id)
    entered = [e["payload"]["phase"] for e in entries if e["kind"] == "PhaseEntered"]
    assert entered.count("promoting") == entered.count("probation") == 1
    assert [e["payload"]["version"] for e in entries if e["kind"] == "ChampionMoved"] == ["2", "1"]
    assert "wrong refunds" in site.release("2")["state"]["reason"]
    assert _champion(site) == "1"


def _nothing_is_promoted(site: Site) -> None:
    """A source that does not answer is no verdict: the release waits."""
    fault = eventually(lambda: site.release("2")["state"]["faults"].get("metrics"), what="a fault")
    assert "prometheus" in fault.lower() or "metrics" in fault.lower() or "answer" in fault.lower()
    looks = site.release("2")["state"]["looks"]
    eventually(lambda: site.release("2")["state"]["looks"] >= looks + 2, what="two more looks")
    assert site.phase("2") == "canary"
    assert site.serin.serving_version() in {"1", "2"}


def _killed(site: Site) -> None:
    """kill -9, and `serin up` starts it again."""
    before = site.pid("controller")
    os.kill(before, signal.SIGKILL)
    eventually(lambda: site.pid("controller") != before, what="the controller started again")
    eventually(site.serin.releases, what="the controller answers again")


def _champion(site: Site) -> str:
    import json

    port = json.loads((site.serin.home / "settings.json").read_text())["mlflow_port"]
    answer = httpx.get(
        f"http://127.0.0.1:{port}/api/2.0/mlflow/registered-models/alias",
        params={"name": "intent", "alias": "champion"},
        trust_env=False,
    )
    return str(answer.json()["model_version"]["version"])
