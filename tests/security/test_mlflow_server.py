"""Attacks by way of the MLflow server that `serin up` runs: through its hooks, and by web pages at its interface."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import httpx
import pytest

from controller.adapters.mlflow.server import Hooks
from tests.controller.mlflow_support import mlflow_server

KEY = "c2VyaW4gc2VyaW4gc2VyaW4gc2VyaW4gc2VyaW4gc2U="
HOOK = "/v1/webhooks/mlflow"
ONCE = {"MLFLOW_WEBHOOK_REQUEST_MAX_RETRIES": "0"}  # else each hook is tried four times within seven seconds
MODELS = "/api/2.0/mlflow/registered-models"


@dataclass
class Listening:
    """Some server of this machine, and what was sent to it."""

    port: int = 0
    connections: list[object] = field(default_factory=list)
    paths: list[str] = field(default_factory=list)


@contextmanager
def listening(*, redirect_to: str = "") -> Iterator[Listening]:
    seen = Listening()

    class Handler(BaseHTTPRequestHandler):
        def setup(self) -> None:
            seen.connections.append(self.client_address)
            super().setup()

        def do_POST(self) -> None:
            self.rfile.read(int(self.headers.get("content-length", 0)))
            seen.paths.append(self.path)
            self.send_response(307 if redirect_to and "redirect" in self.path else 200)
            self.send_header("location", redirect_to)
            self.send_header("content-length", "0")
            self.end_headers()

        def log_message(self, *args: object) -> None:
            """Quiet."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        seen.port = server.server_address[1]
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
        thread.start()
        try:
            yield seen
        finally:
            server.shutdown()
            thread.join(5)


@dataclass(frozen=True)
class World:
    mlflow: str
    ours: Listening
    other: Listening

    def deliver(self, url: str) -> int:
        """Register a hook and have it sent; the status that MLflow was answered with, 0 where nobody was reached."""
        from mlflow import MlflowClient
        from mlflow.exceptions import MlflowException

        client = MlflowClient(self.mlflow, self.mlflow)
        try:
            hook = client.create_webhook("hook", url, ["model_version_alias.created"], secret="any")  # noqa: S106
            return client.test_webhook(hook.webhook_id).response_status or 0
        except MlflowException:
            return 0

    def ask(self, method: str, path: str, headers: dict[str, str], body: Any = None) -> httpx.Response:
        return httpx.request(method, self.mlflow + path, headers=headers, json=body, trust_env=False, timeout=30)


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with listening() as other, listening(redirect_to=f"http://127.0.0.1:{other.port}/quitquitquit") as ours:
        hooks = Hooks(KEY, to=f"127.0.0.1:{ours.port}")
        with mlflow_server(tmp_path_factory.mktemp("registry"), hooks=hooks, env=ONCE) as url:
            yield World(url, ours, other)


@pytest.mark.integration
def test_a_hook_reaches_us(world: World) -> None:
    """By either name of this machine: what it is there for."""
    for name in ("127.0.0.1", "localhost"):
        assert world.deliver(f"http://{name}:{world.ours.port}{HOOK}") == 200
    assert world.ours.paths[-2:] == [HOOK, HOOK]


@pytest.mark.integration
@pytest.mark.parametrize(
    "url",
    [
        "http://127.0.0.1:{port}/quitquitquit",
        "http://localhost:{port}/",
        "http://127.1:{port}/",
        "http://2130706433:{port}/",
        "http://0.0.0.0:{port}/",
        "http://127.0.0.2:{port}/",
        "http://[::1]:{port}/",
        "http://[::ffff:127.0.0.1]:{port}/",
        "http://[::]:{port}/",
        "https://127.0.0.1:{port}/",
        "http://user:word@127.0.0.1:{port}/",
    ],
)
def test_a_hook_reaches_no_other_port_of_this_machine(world: World, url: str) -> None:
    """However its address is written: the gateway's, a replica's, Prometheus' and the registry's own are all there."""
    assert world.deliver(url.format(port=world.other.port)) == 0
    assert world.other.connections == []


@pytest.mark.integration
def test_a_redirect_leads_nowhere_else(world: World) -> None:
    """Who answers for us cannot send a hook on."""
    assert world.deliver(f"http://127.0.0.1:{world.ours.port}/redirect") != 200
    assert world.other.connections == []


@pytest.mark.integration
@pytest.mark.parametrize(
    "address", ["10.0.0.1", "192.168.1.1", "169.254.169.254", "[fe80::1]", "[fd00::1]", "100.64.0.1"]
)
def test_a_hook_reaches_no_private_network(world: World, address: str) -> None:
    """Nor what clouds tell their machines in confidence; it fails at once, for nothing is tried."""
    assert world.deliver(f"http://{address}/latest/meta-data") == 0


@pytest.mark.integration
@pytest.mark.parametrize("host", ["evil.test", "evil.test:5000", "127.0.0.1.evil.test"])
def test_the_registry_is_not_read_under_another_name(world: World, host: str) -> None:
    """DNS rebinding: a page whose name was bound to this machine."""
    answer = world.ask("GET", f"{MODELS}/search", {"host": host})
    assert answer.status_code == 403
    assert "registered_models" not in answer.text


@pytest.mark.integration
@pytest.mark.parametrize(
    "origin", ["http://evil.test", "null", "http://127.0.0.1.evil.test", "https://localhost.evil.test"]
)
def test_a_foreign_page_changes_nothing_in_the_registry(world: World, origin: str) -> None:
    """Neither by JSON nor by a form's content type. Pages that this machine itself serves MLflow trusts, whatever their
    port; docs/operations.md says so."""
    for content_type in ("application/json", "text/plain", "application/x-www-form-urlencoded"):
        headers = {"origin": origin, "content-type": content_type}
        answer = world.ask("POST", f"{MODELS}/create", headers, {"name": "planted"})
        assert answer.status_code == 403
        assert answer.headers.get("access-control-allow-origin") not in ("*", origin)
    assert "planted" not in world.ask("GET", f"{MODELS}/search", {}).text
