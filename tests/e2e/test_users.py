"""What users got decides, with every process real: a replica that is killed under load counts none of their errors."""

import itertools
import json
import os
import signal
from collections.abc import Mapping
from typing import Any

import psutil
import pytest

from controller.adapters.prometheus.metrics import PrometheusMetrics
from tests.e2e.conftest import WITHIN_S, Site
from tests.patience import eventually

pytestmark = pytest.mark.integration
KILLS = 3


def replica(site: Site, version: str) -> psutil.Process | None:
    """The process that serves the version now, the supervisor of its others."""
    found = [
        process
        for process in psutil.process_iter(["pid", "cmdline"])
        if str(site.serin.home) in " ".join(process.info["cmdline"] or [])
        and ["--version", version] in zip_pairs(process.info["cmdline"] or [])
    ]
    return min(found, key=lambda process: process.create_time(), default=None)


def zip_pairs(words: list[str]) -> list[list[str]]:
    return [list(pair) for pair in itertools.pairwise(words)]


def looks(site: Site) -> list[Mapping[str, Any]]:
    entries = site.entries(site.release("2")["release_id"])
    return [entry["payload"]["look"] for entry in entries if entry["kind"] == "Looked"]


def errors(found: list[Mapping[str, Any]], version: str, *, of_users: bool) -> int:
    arms = [(look["users"] or {}).get(version) if of_users else look[version] for look in found]
    return sum(arm["errors"] for arm in arms if arm is not None)


def test_stables_death_is_what_users_got_and_not_the_candidates_failure(site: Site) -> None:
    """Its users got errors from the gateway: the release's evidence and the service's burn show them all, no replica
    does, and the candidate, which never failed, is not blamed. A service that burns gets no new version meanwhile."""
    with site.load() as load:
        site.register("v2")
        eventually(lambda: site.phase("2") == "canary", within_s=WITHIN_S, what="version 2 in canary")
        eventually(lambda: any(look["users"] for look in looks(site)), what="users' counts")
        for _ in range(KILLS):
            before = eventually(lambda: replica(site, "1"), what="a replica of stable")
            os.kill(before.pid, signal.SIGKILL)
            eventually(lambda: not before.is_running(), what="its end")  # noqa: B023
            eventually(lambda: replica(site, "1"), what="stable's replica started again")
        eventually(lambda: errors(looks(site), "stable", of_users=True) > 0, what="users' errors")
        burns = "burns its error budget"
        eventually(lambda: burns in site.release("2")["state"]["faults"].get("error budget", ""), what="the burn")
        metrics_gone = lambda: "metrics" not in site.release("2")["state"]["faults"]  # noqa: E731
        eventually(metrics_gone, what="stable's replica scraped again")
    found = looks(site)
    counted = errors(found, "stable", of_users=True)
    assert load["failed"] > 0
    assert counted == pytest.approx(load["failed"], rel=0.15, abs=5), "what the users say, the gateway counted"
    assert errors(found, "stable", of_users=False) < 0.2 * counted, "no replica that is dead counts"
    assert errors(found, "candidate", of_users=True) == 0
    state = site.release("2")["state"]
    assert (site.phase("2"), state["blamed"]) == ("canary", [])
    assert "stable 0 of" not in state["verdicts"]["errors.live"]["reason"]
    port = json.loads((site.serin.home / "settings.json").read_text())["prometheus_port"]
    metrics = PrometheusMetrics(f"http://127.0.0.1:{port}", scrape_interval_s=1.0)
    at_s = max(look["window"]["end_s"] for look in found)
    failed, requests = metrics.service_errors("intent", (300.0,), at_s=at_s)[300.0]
    assert failed / requests > 0.5 * counted / max(load["sent"], 1), "the service's own table shows it, too"
