"""Who is told of an alert, and what holds it back: by amtool, and by real ones that deliver one."""

import json
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

import httpx
import pytest

from controller.adapters.local.loopback import free_ports
from controller.adapters.prometheus.alertmanager import (
    alertmanager_command,
    alertmanager_program,
    alertmanager_ready_url,
)
from controller.adapters.prometheus.server import (
    Alerting,
    ControllerTarget,
    prometheus_command,
    prometheus_config,
    prometheus_ready_url,
)
from controller.bootstrap.alerting import as_yaml, write_routing, write_rules
from controller.config.settings import Home, Settings
from controller.core.policy import ReleasePolicy
from controller.monitoring.routing import Receivers, alertmanager_config
from controller.monitoring.rules import alerts_of, groups_of
from serving import contract as names
from tests.controller.http_support import http_server
from tests.patience import PATIENCE_S, eventually

needs_amtool = pytest.mark.skipif(shutil.which("amtool") is None, reason="amtool is not on PATH: make setup brings it")
needs_alertmanager = pytest.mark.skipif(
    alertmanager_program() is None, reason="there is no Alertmanager: make setup brings it"
)


def amtool(folder: Path, receivers: Receivers, *command: str) -> subprocess.CompletedProcess[str]:
    file = folder / "alertmanager.yml"
    file.write_text(as_yaml(alertmanager_config(receivers)))
    return subprocess.run(
        ["amtool", *command], cwd=folder, capture_output=True, text=True, timeout=PATIENCE_S, check=False
    )


@needs_amtool
@pytest.mark.parametrize(
    "receivers",
    [
        Receivers(),
        Receivers("http://127.0.0.1:9/page"),
        Receivers("https://a.example/p?x=1&y='2'", "http://b.example/t"),
    ],
)
def test_alertmanager_takes_the_configuration(tmp_path: Path, receivers: Receivers) -> None:
    done = amtool(tmp_path, receivers, "check-config", "alertmanager.yml")
    assert done.returncode == 0, done.stdout + done.stderr


@needs_amtool
@pytest.mark.parametrize("severity", ["page", "ticket", "info", "none"])
def test_each_severity_has_its_receiver(tmp_path: Path, severity: str, checked: Callable[..., None]) -> None:
    command = ("config", "routes", "test", "--config.file=alertmanager.yml", f"--verify.receivers={severity}")
    done = amtool(tmp_path, Receivers(), *command, f"severity={severity}", "alertname=SerinSlowP95", "model=intent")
    assert done.returncode == 0, done.stdout + done.stderr
    checked("routes of alerts")


@needs_amtool
def test_an_alert_of_others_is_a_ticket(tmp_path: Path) -> None:
    command = ("config", "routes", "test", "--config.file=alertmanager.yml", "--verify.receivers=ticket")
    done = amtool(tmp_path, Receivers(), *command, "alertname=DiskFull")
    assert done.returncode == 0, done.stdout + done.stderr


def urls_of(receivers: Receivers) -> Mapping[str, Sequence[str]]:
    found = alertmanager_config(receivers)["receivers"]
    return {one["name"]: [hook["url"] for hook in one.get("webhook_configs", ())] for one in found}


def test_tickets_go_where_pages_go_unless_told_otherwise() -> None:
    assert urls_of(Receivers("p")) == {"page": ["p"], "ticket": ["p"], "info": ["p"], "none": []}
    assert urls_of(Receivers("p", "t")) == {"page": ["p"], "ticket": ["t"], "info": ["t"], "none": []}
    assert urls_of(Receivers()) == {"page": [], "ticket": [], "info": [], "none": []}


def test_what_holds_others_back_are_alerts_that_there_are() -> None:
    """A name that no rule has would hold back nothing, and nobody would know."""
    known = {alert.name for alert in alerts_of(groups_of({"intent": ReleasePolicy("intent")}))}
    named = set()
    for rule in alertmanager_config(Receivers())["inhibit_rules"]:
        for matcher in (*rule["source_matchers"], *rule["target_matchers"]):
            if matcher.startswith("alertname"):
                named |= set(matcher.partition('"')[2].rstrip('"').split("|"))
    assert named
    assert named <= known


# --- the real ones ----------------------------------------------------------------------------------------------------
class Receiver:
    """A webhook on loopback, and the alerts that were posted to it, by path."""

    def __init__(self) -> None:
        self.got: list[tuple[str, Mapping[str, Any]]] = []

    @contextmanager
    def listening(self) -> Iterator[str]:
        got = self.got

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["content-length"])))
                got.extend((self.path, alert) for alert in body["alerts"])
                self.send_response(200)
                self.end_headers()

            def log_message(self, *_: object) -> None:
                """Quiet."""

        with http_server(Handler) as url:
            yield url

    def alerts(self, path: str) -> set[str]:
        return {alert["labels"]["alertname"] for where, alert in list(self.got) if where == path}


@contextmanager
def telling(page: str) -> Iterator[int]:
    """A controller whose metrics are this page; its port."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("content-type", "text/plain; version=0.0.4")
            self.end_headers()
            self.wfile.write(page.encode())

        def log_message(self, *_: object) -> None:
            """Quiet."""

    with http_server(Handler) as url:
        yield int(url.rpartition(":")[2])


@contextmanager
def running(command: Sequence[str], ready: str, log: Path) -> Iterator[None]:
    with log.open("ab") as file, subprocess.Popen(command, stdout=file, stderr=file, start_new_session=True) as process:
        try:
            eventually(lambda: _answers(ready), what=f"{command[0]} to be ready, log in {log}")
            yield
        finally:
            os.killpg(process.pid, signal.SIGTERM)


def _answers(url: str) -> bool:
    try:
        return httpx.get(url, trust_env=False).status_code == 200
    except httpx.TransportError:
        return False


@needs_alertmanager
@pytest.mark.integration
def test_a_rollback_pages_and_a_freeze_holds_back_what_waits(tmp_path: Path) -> None:
    """Files, commands and names are those of `serin up`; the alert comes with its region, words and page to read."""
    now_s, receiver = time.time(), Receiver()
    phase = names.PHASE_TIME_METRIC
    page = "\n".join([
        f'{phase}{{model="intent",model_version="7",phase="rolled_back"}} {now_s}',
        f'{names.BLAMED_METRIC}{{model="intent",model_version="7",gate="accuracy.live"}} 1',
        f'{phase}{{model="tone",model_version="3",phase="held"}} {now_s - 7_200}',
        f'{names.FROZEN_METRIC}{{model="tone"}} 1',
        "",
    ])  # fmt: skip
    home, token = Home(tmp_path / "home"), tmp_path / "token"
    token.write_text("secret\n")
    with ExitStack() as stack:
        hook = stack.enter_context(receiver.listening())
        controller_port = stack.enter_context(telling(page))
        prometheus_port, alertmanager_port = free_ports(2)
        settings = Settings(
            prometheus_port=prometheus_port,
            alertmanager_port=alertmanager_port,
            alert_page_url=f"{hook}/page",
            alert_ticket_url=f"{hook}/ticket",
            region="eu-1",
        )
        write_rules(home, {model: ReleasePolicy(model) for model in ("intent", "tone")})
        write_routing(home, settings)
        prometheus_config(
            home.prometheus,
            home.targets,
            controller=ControllerTarget(controller_port, token),
            alerting=Alerting(home.rules, settings.region, settings.alertmanager_port),
        )
        program = alertmanager_program()
        assert program is not None
        port = settings.alertmanager_port
        stack.enter_context(
            running(
                alertmanager_command(program, home.alertmanager, port), alertmanager_ready_url(port), tmp_path / "a"
            )
        )
        port = settings.prometheus_port
        command = prometheus_command(home.prometheus, port)
        stack.enter_context(running(command, prometheus_ready_url(port), tmp_path / "p"))
        eventually(lambda: "SerinReleaseRolledBack" in receiver.alerts("/page"), what="the page")
        url = f"http://127.0.0.1:{settings.alertmanager_port}/api/v2/alerts"
        held = eventually(lambda: _alert(url, "SerinReleaseHeld"), what="the ticket of the held release")
        eventually(
            lambda: _alert(url, "SerinReleaseHeld")["status"]["state"] == "suppressed", what="it to be held back"
        )
    told = next(alert for _, alert in receiver.got if alert["labels"]["alertname"] == "SerinReleaseRolledBack")
    assert told["labels"] | {"model": "intent", "model_version": "7", "region": "eu-1"} == told["labels"]
    assert told["annotations"]["summary"] == (
        "intent version 7 was rolled back: accuracy.live failed. The former version serves"
    )
    assert held["labels"]["model"] == "tone"
    assert "SerinReleaseHeld" not in receiver.alerts("/ticket")
    assert "SerinWatchdog" not in receiver.alerts("/page") | receiver.alerts("/ticket")


def _alert(url: str, name: str) -> Mapping[str, Any]:
    found = httpx.get(url, trust_env=False).json()
    return next((alert for alert in found if alert["labels"]["alertname"] == name), {})
