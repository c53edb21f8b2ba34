"""A Prometheus that is not Serin's own: behind TLS and a token, below a path, with the series of others in it."""

import json
import re
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest
from typer.testing import CliRunner, Result

from controller.adapters.envoy.encoding import RouteOptions
from controller.adapters.envoy.tables import read_routes, write_routes
from controller.adapters.sql.upgrade import upgrade_store
from controller.bootstrap.metrics import is_gone, metrics_of
from controller.bootstrap.stores import opened
from controller.cli.app import app
from controller.config.settings import Home, Settings
from controller.core.condition import Condition
from controller.core.release import Phase
from controller.core.traffic import TrafficTable
from controller.errors import TransientError, UsageError
from controller.journal.codec import record_of
from controller.ports.metrics import CounterCursor
from controller.ports.runtime import DeploymentStatus, Endpoint
from tests.certificates import Authority
from tests.controller.http_support import http_server
from tests.controller.releases import release_in

AT_S = 1_800_000_000.0


@dataclass
class Cluster:
    """What a Prometheus was asked, and what it answers."""

    url: str = ""
    series: list[dict[str, object]] = field(default_factory=list)
    status: int = 200
    paths: list[str] = field(default_factory=list)
    queries: list[str] = field(default_factory=list)
    shown: list[str | None] = field(default_factory=list)


@contextmanager
def cluster(authority: Authority | None = None) -> Iterator[Cluster]:
    found = Cluster()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            parts = urlsplit(self.path)
            if not parts.query:  # whoever asks whether it answers at all
                self.send_error(404)
                return
            found.paths.append(parts.path)
            found.queries.append(parse_qs(parts.query)["query"][0])
            found.shown.append(self.headers["authorization"])
            body = json.dumps({"status": "success", "data": {"resultType": "matrix", "result": found.series}}).encode()
            self.send_response(found.status)
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Quiet."""

    context = None
    if authority is not None:
        pair = authority.pair()
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.load_cert_chain(pair.certificate, pair.key)
    with http_server(Handler, context) as found.url:
        yield found


def token_file(folder: Path) -> Path:
    file = folder / "token"
    file.touch(mode=0o600)
    file.write_text("a-token\n")
    return file


def nothing_runs(_model: str) -> dict[str, DeploymentStatus]:
    return {}


def said(settings: Settings) -> str:
    with pytest.raises(TransientError) as told:
        metrics_of(settings, nothing_runs).counts("intent", ["6", "7"], None, at_s=AT_S)
    return str(told.value)


def test_it_is_asked_by_tls_with_the_token_below_its_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever the environment says; the token is read anew for each question."""
    for name in ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"):
        monkeypatch.setenv(name, "/nowhere")
    for name in ("HTTPS_PROXY", "https_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    authority, token = Authority(tmp_path / "tls"), token_file(tmp_path)
    with cluster(authority) as server:
        settings = Settings(
            prometheus_url=f"{server.url}/prometheus/",
            prometheus_token_file=str(token),
            prometheus_ca_file=str(authority.file),
        )
        metrics = metrics_of(settings, nothing_runs)
        for content in ("a-token", "another-token-by-now"):
            token.write_text(content)
            with pytest.raises(TransientError, match="version 6 has no samples"):
                metrics.counts("intent", ["6"], None, at_s=AT_S)
    assert set(server.paths) == {"/prometheus/api/v1/query"}
    assert server.shown == ["Bearer a-token", "Bearer another-token-by-now"]


def test_only_series_with_the_labels_are_read() -> None:
    """Those of the versions as well as the gateway's."""
    with cluster() as server:
        settings = Settings(prometheus_url=server.url, prometheus_matchers={"cluster": 'eu"1', "namespace": "prod"})
        metrics = metrics_of(settings, nothing_runs)
        for look in (metrics.counts, metrics.gateway):
            with pytest.raises(TransientError):
                look("intent", ["6"], None, at_s=AT_S)
        with pytest.raises(TransientError):
            metrics.service_errors("intent", [60.0], at_s=AT_S)
    assert all(',cluster="eu\\"1",namespace="prod"' in query for query in server.queries)
    assert len(server.queries) == 3


def test_a_server_that_lets_nobody_in_is_told_with_the_setting(tmp_path: Path) -> None:
    with cluster() as server:
        for server.status in (401, 403):
            told = said(Settings(prometheus_url=server.url, prometheus_token_file=str(token_file(tmp_path))))
            assert told == (
                f"Prometheus answered status {server.status}: it does not let Serin in; set "
                "prometheus_token_file in the settings to the file of a token that it accepts"
            )
            assert "a-token" not in told


def test_a_certificate_that_is_not_trusted_is_told_with_the_setting(tmp_path: Path) -> None:
    with cluster(Authority(tmp_path / "tls")) as server:
        other = Authority(tmp_path / "other")
        for ca_file in (None, str(other.file)):
            assert "set prometheus_ca_file in the settings to the file of its CA" in said(
                Settings(prometheus_url=server.url, prometheus_ca_file=ca_file)
            )


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        ({"prometheus_token_file": "/t"}, "prometheus_token_file: goes with prometheus_url, which is not given"),
        (
            {"prometheus_url": "http://prometheus:9090", "prometheus_token_file": "/t"},
            "prometheus_token_file: would be sent in the clear to http://prometheus:9090: use https://",
        ),
        ({"prometheus_matchers": {"a-b": "c"}}, "'a-b' is no label of a metric"),
        ({"prometheus_matchers": ["a"]}, "must be labels with their values"),
        ({"prometheus_token_file": "token"}, "is no file's path from the root on"),
    ],
)
def test_settings_that_do_not_fit_are_told(wrong: dict[str, object], told: str) -> None:
    with pytest.raises(ValueError, match=re.escape(told)):
        Settings(**wrong)  # type: ignore[arg-type]


def test_files_that_are_not_there_are_told_at_the_start(tmp_path: Path) -> None:
    settings = Settings(prometheus_url="https://prometheus", prometheus_ca_file=f"{tmp_path}/ca")
    with pytest.raises(UsageError, match="there is no such file"):
        metrics_of(settings, nothing_runs)
    with pytest.raises(UsageError, match=r"prometheus_token_file .*: cannot be read"):
        metrics_of(replace(settings, prometheus_ca_file=None, prometheus_token_file=f"{tmp_path}/token"), nothing_runs)


# --- what is scraped --------------------------------------------------------------------------------------------------
def up(instance: str, *values: str) -> dict[str, object]:
    labels = {"__name__": "up", "model": "intent", "model_version": "7", "instance": instance}
    return {"metric": labels, "values": [[AT_S - len(values) + place, one] for place, one in enumerate(values)]}


def running(*urls: str | None) -> dict[str, DeploymentStatus]:
    return {"7": DeploymentStatus("7", tuple(Endpoint(Condition.READY, url) for url in urls))}


def test_a_dead_target_that_is_known_to_be_gone_is_tolerated(caplog: pytest.LogCaptureFixture) -> None:
    """As after a pod was replaced, while its target lingers. One that should be there is not, nor are all of them."""
    with cluster() as server:
        server.series = [up("10.0.0.1:8080", "1", "1"), up("10.0.0.2:8080", "1", "0")]
        settings = Settings(prometheus_url=server.url)
        cases = {
            ("http://10.0.0.1:8080",): "does not export serin_requests_total",  # that of the living is asked next
            ("http://10.0.0.1:8080", "http://10.0.0.2:8080"): "up is 0 for instance=10.0.0.2:8080",
            ("http://10.0.0.1:8080", None): "up is 0 for instance=10.0.0.2:8080",
            ("http://10.0.0.9:8080",): "does not export serin_requests_total",
        }
        for urls, told in cases.items():
            metrics = metrics_of(settings, lambda _, urls=urls: running(*urls))
            with caplog.at_level("INFO"), pytest.raises(TransientError) as error:
                metrics.counts("intent", ["7"], None, at_s=AT_S)
            assert told in str(error.value), urls
        assert "instance=10.0.0.2:8080,model=intent,model_version=7 has gone, but is still scraped" in caplog.text
        server.series = [up("10.0.0.2:8080", "1", "0")]
        assert "up is 0 for" in said_of(settings, running("http://10.0.0.1:8080"))


def said_of(settings: Settings, status: dict[str, DeploymentStatus]) -> str:
    with pytest.raises(TransientError) as told:
        metrics_of(settings, lambda _: status).counts("intent", ["7"], None, at_s=AT_S)
    return str(told.value)


def test_labels_that_prometheus_renamed_are_told_with_the_setting() -> None:
    """Without honor_labels the target's own `model` stands in the way of that which the process tells."""
    with cluster() as server:
        counted = {
            "metric": {
                "__name__": "serin_requests_total",
                "model": "intent",
                "model_version": "7",
                "instance": "10.0.0.1:8080",
                "exported_model": "intent",
                "exported_model_version": "7",
                "traffic": "live",
                "code": "200",
            },
            "values": [[AT_S - 1, "5"]],
        }
        server.series = [up("10.0.0.1:8080", "1"), counted]
        told = said_of(Settings(prometheus_url=server.url), {})
    assert told == (
        "Prometheus renamed labels that a process exports about itself (exported_model, exported_model_version): "
        "set honor_labels "
        "(honorLabels of a PodMonitor or ServiceMonitor) to true for it"
    )


def test_of_processes_on_one_host_the_port_tells() -> None:
    local = running("http://127.0.0.1:8001", "http://127.0.0.1:8002")["7"]
    assert not is_gone(local, {"instance": "127.0.0.1:8002"})
    assert is_gone(local, {"instance": "127.0.0.1:8003"})
    assert not is_gone(running("http://10.0.0.1:8080")["7"], {"instance": "10.0.0.1:9464"})  # its port of metrics
    assert not is_gone(local, {"pod": "a"})


def counted(instance: str, started_s: float, requests: int) -> list[dict[str, object]]:
    labels = {"model": "intent", "model_version": "7", "instance": instance}
    return [
        up(instance, "1"),
        {"metric": {**labels, "__name__": "serin_start_time_seconds"}, "values": [[AT_S - 1, str(started_s)]]},
        {
            "metric": {**labels, "__name__": "serin_requests_total", "traffic": "live", "code": "500"},
            "values": [[AT_S - 1, str(requests)]],
        },
    ]


def test_marks_of_processes_that_are_long_gone_are_forgotten() -> None:
    """A look keeps where each was left; of those that began anew each day there would be no end. One that comes back is
    counted from where it is seen again, since it says when it began."""
    with cluster() as server:
        metrics = metrics_of(Settings(prometheus_url=server.url), nothing_runs)
        values = {"instance=10.0.0.1:8080,model=intent,model_version=7||": 0.0}
        for number, ago_s in ((2, 60.0), (3, 7_200.0)):
            key = f"instance=10.0.0.{number}:8080,model=intent,model_version=7"
            values |= {f"{key}||": AT_S - ago_s, f"{key}||start=": AT_S - 90_000 - number, f"{key}|live|code=500": 5.0}
        server.series = counted("10.0.0.1:8080", AT_S - 50_000, 8)
        cursor = CounterCursor(values, AT_S - 10)
        found = metrics.counts("intent", ["7"], cursor, at_s=AT_S)
        kept = {key.partition(":8080")[0] for key in found.cursor.values}
        assert kept == {"instance=10.0.0.1", "instance=10.0.0.2"}
        server.series += counted("10.0.0.3:8080", AT_S - 90_003, 400)
        assert metrics.counts("intent", ["7"], found.cursor, at_s=AT_S).live["7"].requests == 0


def faults(result: Result) -> list[str]:
    """What the doctor found besides parts that do not answer: none of them runs here."""
    told = [line.partition("FAULT  ")[2] for line in result.stdout.splitlines()]
    return [one for one in told if one and "does not answer" not in one and "not running" not in one]


def test_doctor_names_the_broken_link_of_each_version_that_has_traffic(tmp_path: Path) -> None:
    """And says so where there is none; its exit code is no verdict."""
    home = Home(tmp_path / "home")
    with cluster() as server:
        home.save(Settings(prometheus_url=server.url))
        home.envoy.mkdir()
        upgrade_store(home.database_url(home.load()))
        document = read_routes(home.envoy).with_table(TrafficTable("intent", {"7": 100.0}), RouteOptions())
        write_routes(home.envoy, document)
        result = CliRunner().invoke(app, ["doctor", "--home", str(home.path)])
        assert (result.exit_code, faults(result)[0].partition(": ")[0]) == (4, "intent, version 7")
        assert faults(result)[0].startswith("intent, version 7: no target")
        server.series = [up("10.0.0.1:8080", "1", "1")]
        result = CliRunner().invoke(app, ["doctor", "intent", "--home", str(home.path)])
        assert faults(result) == []
        with opened(home) as store:
            damaged = replace(record_of(release_in(Phase.CANARY), 0), state="{}")
            store.journal.append(damaged, [])
        result = CliRunner().invoke(app, ["doctor", "--home", str(home.path)])
        assert result.exit_code == 4
        (fault,) = faults(result)
        assert fault.startswith("release intent-v7-1 of intent was recorded by another version of Serin")
