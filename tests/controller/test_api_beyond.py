"""The controller's interface as its settings have it: plain on loopback, beyond it by TLS and for tokens alone."""

import ssl
from pathlib import Path

import httpx
import pytest

from controller.adapters.local.loopback import free_ports
from controller.bootstrap.controller import build, serve_api
from controller.bootstrap.stores import upgrade_schema
from controller.config.settings import Home, Settings
from tests.certificates import Authority


def test_beyond_loopback_everything_needs_a_token_and_an_end_is_told_before(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    authority = Authority(tmp_path / "tls")
    pair = authority.pair()
    home, (port, beyond) = Home(tmp_path / "home"), free_ports(2)
    home.save(
        Settings(
            api_port=port,
            api_listen=f"127.0.0.1:{beyond}",
            api_cert_file=str(pair.certificate),
            api_key_file=str(pair.key),
            api_drain_s=7.0,
        )
    )
    upgrade_schema(home)
    here, there = f"http://127.0.0.1:{port}", f"https://127.0.0.1:{beyond}"
    trust = ssl.create_default_context(cafile=str(authority.file))
    client = httpx.Client(verify=trust, trust_env=False, limits=httpx.Limits(max_keepalive_connections=0))
    waited: list[float] = []

    def drain(seconds: float) -> None:
        waited.append(seconds)
        assert client.get(f"{there}/ready").status_code == 503
        assert client.get(f"{there}/health").status_code == 200
        assert client.get(f"{here}/v1/releases").status_code == 200

    monkeypatch.setattr("controller.bootstrap.controller.time.sleep", drain)
    controller = build(home, "test")
    with serve_api(controller, wake=lambda: None):
        assert client.get(f"{there}/ready").json() == {"status": "ready"}
        assert client.get(f"{here}/v1/releases").status_code == 200
        for path in ("/v1/releases", "/v1/status", "/v1/journal", "/v1/freezes"):
            assert client.get(f"{there}{path}").status_code == 401, path
        assert client.get(f"{here}/web/").status_code == 200  # the page, as everything else
        assert client.get(f"{there}/web/").headers["location"] == "/web/session?wanted=%2Fweb%2F"
        assert client.get(f"{there}/web/events?topic=overview/1").status_code == 401
        shown = {"authorization": f"Bearer {home.api_token.read_text().strip()}"}
        assert client.get(f"{there}/v1/status", headers=shown).json()["releases"] == []
        assert client.get(f"{there}/v1/releases", headers={**shown, "host": "elsewhere"}).status_code == 421
    controller.close()
    client.close()
    assert waited == [7.0]
