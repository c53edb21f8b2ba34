"""`serin up --require-tokens`: nothing answers a stranger, and Serin's own processes reach each other."""

import json
import subprocess
import sys
import uuid
from pathlib import Path

import httpx
import pytest

from suites.intents.demo.installation import Installation, installation
from tests.e2e.conftest import CHECKPOINTS, POLICY
from tests.patience import eventually

pytestmark = pytest.mark.integration


def token_for(client: str, home: Path) -> dict[str, str]:
    """A new client's token, made while the replicas run, as a header."""
    command = [sys.executable, "-m", "serving.access", "new", "--name", client, "--file", str(home / "tokens.json")]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60)
    return {"authorization": f"Bearer {done.stdout.strip()}"}


def is_promoted(serin: Installation) -> bool:
    return any(release["phase"] == "promoted" for release in serin.releases())


def test_a_first_version_goes_through_behind_tokens(tmp_path: Path) -> None:
    """Suites, probes and scraping show Serin's own token; users and who brings labels need theirs."""
    with installation(tmp_path / "home", POLICY, lambda _: None, "--require-tokens") as serin:
        serin.serin("register", str(CHECKPOINTS / "v1"), "--model", "intent", "--candidate")
        eventually(lambda: is_promoted(serin), within_s=60, what="version 1 in production")
        shop = token_for("shop", serin.home)
        operator = {"authorization": f"Bearer {(serin.home / 'api.token').read_text().strip()}"}
        request_id, asked = str(uuid.uuid4()), {"text": "where is my refund"}
        labels = {"labels": [{"request_id": request_id, "label": "refund_status"}]}
        with httpx.Client(timeout=10, trust_env=False) as client:

            def predict(headers: dict[str, str]) -> int:
                return client.post(f"{serin.gateway}/models/intent/predict", json=asked, headers=headers).status_code

            def label(headers: dict[str, str]) -> int:
                return client.post(f"{serin.api}/v1/labels", json=labels, headers=headers).status_code

            assert [predict({}), predict(operator)] == [401, 401]
            named = {**shop, "x-request-id": request_id}
            eventually(lambda: predict(named) == 200, within_s=20, what="the new token is known")
            assert [label({}), label(shop), label(operator)] == [401, 401, 200]
            settings = json.loads((serin.home / "settings.json").read_text())
            targets = f"http://127.0.0.1:{settings['prometheus_port']}/api/v1/targets"

            def health() -> list[str]:
                return [target["health"] for target in client.get(targets).json()["data"]["activeTargets"]]

            eventually(lambda: health() == ["up", "up"], within_s=30, what="the replica and the gateway are scraped")
