"""Who has no token gets nothing that needs one, and Serin's own processes reach each other all the same."""

import json
import subprocess
import sys
import uuid

import httpx
import pytest

from serving.contract import CONTROLLER_JOB, GATEWAY_JOB, REPLICA_JOB
from tests.e2e.conftest import Site
from tests.patience import eventually

pytestmark = pytest.mark.integration


def token_for(client: str, site: Site) -> dict[str, str]:
    """A new client's token, made while the replicas run, as a header."""
    file = site.serin.home / "tokens.json"
    command = [sys.executable, "-m", "serving.access", "new", "--name", client, "--file", str(file)]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60)
    return {"authorization": f"Bearer {done.stdout.strip()}"}


def test_users_and_sources_of_labels_need_tokens_of_their_own(installed: Site) -> None:
    """Users where the installation asks for tokens; who brings labels everywhere."""
    serin, closed = installed.serin, (installed.serin.home / "serin.token").exists()
    operator = serin.token()
    request_id, asked = str(uuid.uuid4()), {"text": "where is my refund"}
    labels = {"labels": [{"request_id": request_id, "label": "refund_status"}]}
    with httpx.Client(timeout=30, trust_env=False) as client:

        def predict(headers: dict[str, str]) -> int:
            return client.post(f"{serin.gateway}/models/intent/predict", json=asked, headers=headers).status_code

        def label(headers: dict[str, str]) -> int:
            return client.post(f"{serin.api}/v1/labels", json=labels, headers=headers).status_code

        assert [predict({}), predict(operator)] == ([401, 401] if closed else [200, 200])
        shop = token_for("shop", installed) if closed else {}
        named = {**shop, "x-request-id": request_id}
        eventually(lambda: predict(named) == 200, what="the new token is known")
        assert [label({}), label(shop), label(operator)] == [401, 401, 200]


def test_serins_own_processes_reach_each_other(installed: Site) -> None:
    """Suites, probes and copies showed a token, or no version were here; so does scraping."""
    settings = json.loads((installed.serin.home / "settings.json").read_text())
    targets = f"http://127.0.0.1:{settings['prometheus_port']}/api/v1/targets"

    def up() -> list[str]:
        found = httpx.get(targets, timeout=30, trust_env=False).json()["data"]["activeTargets"]
        return sorted(target["labels"]["job"] for target in found if target["health"] == "up")

    wanted = sorted((REPLICA_JOB, REPLICA_JOB, GATEWAY_JOB, CONTROLLER_JOB))
    eventually(lambda: up() == wanted, what="both replicas, the gateway and the controller are scraped")
