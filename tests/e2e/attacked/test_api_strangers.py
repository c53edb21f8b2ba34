"""A web page or a process without a token asks the control interface."""

import itertools
import json
import stat
import time
from pathlib import Path

import httpx
import pytest

from tests.e2e.conftest import Site
from tests.patience import eventually

pytestmark = pytest.mark.integration

WRITES = [
    ("POST", "/v1/releases", {"model": "intent", "version": "1", "reason": "x", "by": "y"}),
    ("POST", "/v1/models/intent/abort", {"reason": "x", "by": "y"}),
    ("POST", "/v1/models/intent/rollback", {"reason": "x", "by": "y"}),
    ("POST", "/v1/models/intent/resume", {"reason": "x", "by": "y"}),
    ("POST", "/v1/freezes", {"model": "*", "reason": "x", "by": "y"}),
    ("DELETE", "/v1/freezes/*?reason=x&by=y", None),
]


def ask(site: Site, method: str, path: str, body: object = None, **headers: str) -> httpx.Response:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return httpx.request(method, site.serin.api + path, json=body, headers=named, timeout=10, trust_env=False)


def frozen(site: Site) -> list[object]:
    return list(ask(site, "GET", "/v1/freezes", **site.serin.token()).json()["freezes"])


@pytest.mark.parametrize(("method", "path", "body"), WRITES, ids=lambda value: str(value)[:24])
def test_a_process_without_a_token_commands_nothing(installed: Site, method: str, path: str, body: object) -> None:
    """Neither a release, nor its end, nor a freeze; the answer names the way to a token."""
    response = ask(installed, method, path, body)
    assert response.status_code == 401
    assert response.headers["www-authenticate"].startswith("Bearer")
    assert "serin token create --role" in response.json()["error"]["message"]
    assert (installed.phase("2"), frozen(installed)) == ("shadow", [])


@pytest.mark.parametrize(("method", "path", "body"), WRITES, ids=lambda value: str(value)[:24])
def test_a_foreign_page_commands_nothing(installed: Site, method: str, path: str, body: object) -> None:
    """Not even with a token that it got hold of; nor as a form, whose type no route takes."""
    shown = installed.serin.token()
    assert ask(installed, method, path, body, origin="http://evil.example", **shown).status_code == 403
    form = httpx.request(method, installed.serin.api + path, data={"reason": "x"}, timeout=10, trust_env=False)
    assert form.status_code in (401, 415)
    assert (installed.phase("2"), frozen(installed)) == ("shadow", [])


@pytest.mark.parametrize("path", ["/v1/releases", "/v1/freezes", "/v1/label-requests?model=intent"])
def test_a_rebound_name_reads_nothing(installed: Site, path: str) -> None:
    """A page at rebound.example whose name leads to 127.0.0.1 is of that origin for the browser, and not for us."""
    for token in ({}, installed.serin.token()):
        response = ask(installed, "GET", path, host="rebound.example:8081", **token)
        assert (response.status_code, response.json()["error"]["code"]) == (421, "host")


def test_texts_are_never_open(installed: Site) -> None:
    """Reading releases may be; what users wrote is not."""
    assert ask(installed, "GET", "/v1/label-requests?model=intent").status_code == 401


def test_captured_texts_lie_nowhere_in_the_clear(installed: Site) -> None:
    """Who may label is shown them; a copy of all files of the home, keys aside, shows none."""
    home, numbers = installed.serin.home, itertools.count()
    client = home / "serin.token"  # there where clients need tokens
    shown = {"authorization": f"Bearer {client.read_text().strip()}"} if client.exists() else {}
    labeller = {"authorization": f"Bearer {installed.serin.label_token_file.read_text().strip()}"}

    def asked() -> bool:
        """Of texts that the versions agree on, one in ten is asked for."""
        predict = f"{installed.serin.gateway}/models/intent/predict"
        text = f"where is the money of Ursula Quixote {next(numbers)}"
        httpx.post(predict, json={"text": text}, headers=shown, timeout=10, trust_env=False)
        found = ask(installed, "GET", "/v1/label-requests?model=intent&limit=1000", **labeller)
        return any("Quixote" in (one["text"] or "") for one in found.json()["label_requests"])

    eventually(asked, within_s=60, what="a request to label, with its text")
    files = [path for path in home.rglob("*") if path.is_file() and not path.is_symlink()]
    assert [str(path) for path in files if b"Quixote" in path.read_bytes()] == []


def test_guessing_a_token_gets_nowhere_and_fills_no_disk(installed: Site) -> None:
    """Every guess is refused alike, with the id of a token that exists or without; a flood leaves few lines."""
    (known,) = [one for one in _tokens(installed) if one["name"] == "demo"]
    log = installed.serin.home / "logs" / "api-access.log"
    stranger = '"client": null'  # and not Prometheus or a replica
    before, began_s = log.read_text().count(stranger), time.monotonic()
    with httpx.Client(base_url=installed.serin.api, timeout=30, trust_env=False) as client:
        statuses = set()
        for number in range(1_000):
            guess = f"serin_{known['id']}_{number:043d}" if number % 2 else f"serin_{number:012x}_{number:043d}"
            headers = {"authorization": f"Bearer {guess}"}
            statuses.add(client.post("/v1/labels", json={"labels": []}, headers=headers).status_code)
    assert statuses == {401}
    elapsed_s = time.monotonic() - began_s
    assert 0 < log.read_text().count(stranger) - before <= 20 * (int(elapsed_s) + 2)
    assert "0000000000" not in log.read_text()


def test_a_revoked_token_is_refused_within_seconds(installed: Site) -> None:
    """Without a restart."""
    token = installed.serin.serin("token", "create", "--role", "labels", "--name", "former")
    shown = {"authorization": f"Bearer {token}"}

    def status() -> int:
        return ask(installed, "POST", "/v1/labels", {"labels": []}, **shown).status_code

    eventually(lambda: status() == 200, within_s=20, what="the new token is known")
    installed.serin.serin("token", "revoke", "--name", "former")
    eventually(lambda: status() == 401, within_s=20, what="the revoked token is refused")


def test_everything_of_the_home_is_its_owners_alone(installed: Site) -> None:
    """All of the home is, whatever umask it was started under: data of MLflow and Prometheus, the database, logs,
    packages; and no file holds a token that only its holder should have."""
    home = installed.serin.home
    made = [home, *(path for path in home.rglob("*") if not path.is_symlink() and not path.is_socket())]
    assert {path.name for path in made} >= {"api.token", "serin.db", "mlflow.db", "model.onnx", "controller.log"}
    assert [str(path) for path in made if stat.S_IMODE(path.lstat().st_mode) & 0o077] == []
    labels = installed.serin.label_token_file.read_text().strip()
    assert labels not in (home / "api-tokens.json").read_text()


def _tokens(site: Site) -> list[dict[str, str]]:
    file: Path = site.serin.home / "api-tokens.json"
    return list(json.loads(file.read_text())["tokens"])
