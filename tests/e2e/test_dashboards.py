"""Every query of the dashboards and of the release events, put to the Prometheus of a real installation that served and
released: none is empty but for a reason that is told."""

import json
import time
from collections.abc import Mapping, Sequence
from typing import Any

import httpx
import pytest

from controller.core.policy import ReleasePolicy
from controller.monitoring.dashboards.boards import dashboards
from controller.monitoring.dashboards.panel import release_events
from serving.contract import CAPTURE_DROPPED_METRIC, METRICS_ROUTE, PREDICT_ROUTE
from tests.e2e.conftest import WITHIN_S, Site
from tests.patience import eventually

pytestmark = pytest.mark.integration

EMPTY = {
    "Drift": "whole days are compared, of the version that serves",
    "GPU": "this machine has none",
    "Throttled": "told where a quota is",
}
"""Panels that may be empty here, and why."""


class Prometheus:
    """The one of an installation, asked as Grafana does."""

    def __init__(self, url: str) -> None:
        self._url = url

    def over(self, query: str, last_s: float = 300.0) -> Sequence[Mapping[str, Any]]:
        """The series of the last minutes; fails where the query is none."""
        query = query.replace("$model", ".*").replace("$__rate_interval", "1m")
        now_s = time.time()
        asked = {"query": query, "start": now_s - last_s, "end": now_s, "step": 5}
        answer = httpx.get(f"{self._url}/api/v1/query_range", params=asked, trust_env=False, timeout=60)
        assert answer.status_code == 200, f"{query}: {answer.text}"
        return list(answer.json()["data"]["result"])

    def rules(self) -> Sequence[Mapping[str, Any]]:
        """The groups that it evaluates."""
        return list(httpx.get(f"{self._url}/api/v1/rules", trust_env=False, timeout=60).json()["data"]["groups"])

    def holds_numbers(self, query: str) -> bool:
        return any(value != "NaN" for series in self.over(query) for _, value in series["values"])


def test_no_panel_is_empty(site: Site) -> None:
    settings = json.loads((site.serin.home / "settings.json").read_text())
    prometheus = Prometheus(f"http://127.0.0.1:{settings['prometheus_port']}")
    queries = {
        panel.title: [query.text for query in panel.queries]
        for board in dashboards({"intent": ReleasePolicy("intent")})
        for panel in board.panels
    }
    assert len(queries) == sum(len(board.panels) for board in dashboards({})), "two panels bear one title"
    asked = {"json": {"text": "where is my order"}, "headers": {"origin": "https://elsewhere.example"}}
    assert httpx.post(f"{_replica(site, '1')}{PREDICT_ROUTE}", trust_env=False, **asked).status_code == 403
    with site.load():
        site.register("v2")
        eventually(lambda: site.phase("2") in ("probation", "promoted"), what="version 2 promoted", within_s=WITHIN_S)
        with site.stopped("controller"):  # which then takes no samples
            eventually(lambda: _has_lost(site, "2"), what="samples that were lost")
        missing = eventually(
            lambda: _only_told(title for title, of in queries.items() if not all(map(prometheus.holds_numbers, of))),
            what="every panel to have numbers",
        )
    phases = {series["metric"]["phase"] for series in prometheus.over(release_events(), last_s=600)}
    assert "canary" in phases, "a release's events are shown"
    rules = prometheus.rules()
    assert {"serin-installation", "serin-model-intent"} <= {group["name"] for group in rules}
    assert not [rule["name"] for group in rules for rule in group["rules"] if rule["health"] == "err"]
    print(f"empty, as told: {', '.join(missing)}")


def _replica(site: Site, version: str) -> str:
    """Where the version answers itself, past the gateway."""
    record = json.loads((site.serin.home / "deployments" / f"intent-v{version}.json").read_text())
    return f"http://127.0.0.1:{record['port']}"


def _has_lost(site: Site, version: str) -> bool:
    told = httpx.get(f"{_replica(site, version)}{METRICS_ROUTE}", trust_env=False, timeout=60).text
    return f"{CAPTURE_DROPPED_METRIC}{{" in told


def _only_told(missing: Any) -> list[str] | None:
    """The panels without numbers, once these are only such as may be; a name in brackets where there is none."""
    found = sorted(missing)
    return (found or ["(none)"]) if set(found) <= EMPTY.keys() else None
