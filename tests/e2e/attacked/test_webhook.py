"""MLflow's own webhooks at the controller: signed ones are believed, others are not."""

import pytest

from tests.e2e.attacked.conftest import HOOK_KEY
from tests.e2e.conftest import Site

pytestmark = pytest.mark.integration


@pytest.mark.parametrize(("key", "status"), [(HOOK_KEY, 200), ("battery staple", 401)], ids=["signed", "forged"])
def test_a_signed_hook_is_taken_and_a_forged_one_is_refused(installed: Site, key: str, status: int) -> None:
    """A real MLflow signs what it sends; the interface checks signature and time, and answers by it."""
    from mlflow import MlflowClient

    serin = installed.serin
    client = MlflowClient(serin.registry, serin.registry)
    to = f"{serin.api}/v1/webhooks/mlflow"
    hook = client.create_webhook("hook", to, ["model_version_alias.created"], secret=key)
    try:
        assert client.test_webhook(hook.webhook_id).response_status == status
    finally:
        client.delete_webhook(hook.webhook_id)
