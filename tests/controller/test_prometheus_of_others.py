"""A real Prometheus that is not Serin's own: behind TLS, a token and a path, with two clusters' series in it."""

import json
import ssl
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import pytest
from typer.testing import CliRunner

from controller.adapters.envoy.encoding import RouteOptions
from controller.adapters.envoy.tables import read_routes, write_routes
from controller.adapters.sql.upgrade import upgrade_store
from controller.bootstrap.metrics import metrics_of
from controller.cli.app import app
from controller.config.settings import Home, Settings
from controller.core.traffic import TrafficTable
from controller.errors import TransientError
from controller.files import replace_file
from controller.ports.metrics import CounterCursor, MetricCounts
from controller.ports.runtime import DeploymentStatus
from serving.contract import MODEL_LABEL, VERSION_LABEL, Traffic
from tests.certificates import Authority
from tests.controller.http_support import http_server
from tests.controller.prometheus_support import Exporter, PrometheusServer, exporter
from tests.patience import eventually

pytestmark = pytest.mark.integration

MODEL, VERSION, TOKEN, PREFIX = "intent", "7", "a-token", "/prometheus"
CLUSTERS = ("eu-1", "us-1")


def nobody(_model: str) -> dict[str, DeploymentStatus]:
    return {}


@contextmanager
def behind_tls(prometheus: str, authority: Authority) -> Iterator[str]:
    """What stands before the Prometheus of a team: it ends TLS, and lets in who has the token."""

    class Proxy(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            status, body = 401, b"Unauthorized"
            if self.headers["authorization"] == f"Bearer {TOKEN}" and self.path.startswith(f"{PREFIX}/"):
                found = httpx.get(prometheus + self.path.removeprefix(PREFIX), trust_env=False, timeout=30)
                status, body = found.status_code, found.content
            self.send_response(status)
            self.send_header("content-type", "application/json")
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Quiet."""

    pair = authority.pair()
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(pair.certificate, pair.key)
    with http_server(Proxy, context) as url:
        yield f"{url}{PREFIX}"


def scraped(folder: Path, processes: dict[str, Exporter]) -> None:
    """Each as the target of its cluster; the same version runs in both."""
    own = {MODEL_LABEL: MODEL, VERSION_LABEL: VERSION}
    groups = [
        {"targets": [urlsplit(one.url).netloc], "labels": {**own, "cluster": cluster, "instance": cluster}}
        for cluster, one in processes.items()
    ]
    folder.mkdir(exist_ok=True)
    replace_file(folder / "both.json", json.dumps(groups))


def test_a_real_prometheus_behind_tls_and_a_token_is_read_by_cluster(tmp_path: Path) -> None:
    """Only what our own cluster's processes did; the token, the authority and the doctor by the same settings."""
    authority, token = Authority(tmp_path / "tls"), tmp_path / "token"
    token.touch(mode=0o600)
    token.write_text(TOKEN)
    server = PrometheusServer(tmp_path / "prometheus")
    with exporter(MODEL, VERSION) as eu, exporter(MODEL, VERSION) as us, behind_tls(server.url, authority) as url:
        scraped(tmp_path / "prometheus" / "targets", dict(zip(CLUSTERS, (eu, us), strict=True)))
        server.start()
        try:
            settings = Settings(
                prometheus_url=url,
                prometheus_token_file=str(token),
                prometheus_ca_file=str(authority.file),
                prometheus_matchers={"cluster": CLUSTERS[0]},
                scrape_interval_s=1,
            )

            def look(cursor: CounterCursor | None, chosen: Settings = settings) -> MetricCounts | None:
                try:
                    return metrics_of(chosen, nobody).counts(MODEL, [VERSION], cursor, at_s=time.time())
                except TransientError:
                    return None

            first = eventually(lambda: look(None), what="a look at what was scraped")
            for one, requests in ((eu, 4), (us, 50)):
                with one.lock:
                    one.codes[Traffic.LIVE, 500] = requests

            def live() -> int:
                found = look(first.cursor)
                return found.live[VERSION].requests if found is not None else 0

            eventually(live, what="what was done since")
            assert live() == 4
            _check_refusals(settings, tmp_path)
            _check_doctor(settings, tmp_path)
        finally:
            server.stop()


def _check_refusals(settings: Settings, tmp_path: Path) -> None:
    """No token and another authority: each told with its setting."""
    other = Authority(tmp_path / "other")
    wrong = {
        "prometheus_token_file in the settings": replace(settings, prometheus_token_file=None),
        "prometheus_ca_file in the settings": replace(settings, prometheus_ca_file=str(other.file)),
    }
    for told, chosen in wrong.items():
        with pytest.raises(TransientError, match=told):
            metrics_of(chosen, nobody).counts(MODEL, [VERSION], None, at_s=time.time())


def _check_doctor(settings: Settings, tmp_path: Path) -> None:
    home = Home(tmp_path / "home")
    home.save(settings)
    home.envoy.mkdir()
    upgrade_store(home.database_url(home.load()))
    table = TrafficTable(MODEL, {VERSION: 100.0})
    write_routes(home.envoy, read_routes(home.envoy).with_table(table, RouteOptions()))
    asked = CliRunner().invoke(app, ["doctor", "--home", str(home.path)])
    assert f"{MODEL}, version" not in asked.stdout
    home.save(replace(settings, prometheus_matchers={"cluster": "nowhere"}))
    asked = CliRunner().invoke(app, ["doctor", "--home", str(home.path)])
    assert (asked.exit_code, f"FAULT  {MODEL}, version {VERSION}: no target" in asked.stdout) == (4, True)
