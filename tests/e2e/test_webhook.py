"""MLflow's own webhooks at the controller: signed ones are believed, others are not."""

from pathlib import Path

import pytest

from suites.intents.demo.installation import installation
from tests.e2e.conftest import POLICY

pytestmark = pytest.mark.integration


def test_a_signed_hook_is_taken_and_a_forged_one_is_refused(tmp_path: Path) -> None:
    """A real MLflow signs what it sends; the interface checks signature and time, and answers by it."""
    from mlflow import MlflowClient

    secret = tmp_path / "secret"
    secret.write_text("correct horse\n")
    with installation(tmp_path / "home", POLICY, lambda _: None, "--webhook-secret-file", str(secret)) as serin:
        client = MlflowClient(serin.registry, serin.registry)
        answers = []
        for name, key in (("signed", "correct horse"), ("forged", "battery staple")):
            hook = client.create_webhook(
                name, f"{serin.api}/v1/webhooks/mlflow", ["model_version_alias.created"], secret=key
            )
            answers.append(client.test_webhook(hook.webhook_id).response_status)
    assert answers == [200, 401]
