"""The places that replicas send copies to, where the gateway cannot: a ConfigMap of each model, mounted by its pods."""

import json
from collections.abc import Callable
from typing import Any, Final

from controller.adapters.kubernetes.client import KubernetesClient
from controller.adapters.kubernetes.objects.labels import MANAGED_BY
from controller.adapters.kubernetes.objects.site import MIRROR_FILE, SHADOW_PORT
from controller.adapters.kubernetes.resources import CONFIG_MAPS
from controller.core.traffic import TrafficTable

_NO_COPIES: Final = ""

NameOf = Callable[[str, str], str]
ModelNameOf = Callable[[str], str]


def mirror_text(table: TrafficTable, name_of: NameOf) -> str:
    """Return the file that replicas read (`serving.observe.mirror`): empty where nobody copies."""
    if table.mirror is None:
        return _NO_COPIES
    versions = {*table.weights_pct, table.mirror.version}
    to = {version: twin for version in sorted(versions) if (twin := table.copied_to(version)) is not None}
    urls = {version: f"http://{name_of(table.model, twin)}:{SHADOW_PORT}" for version, twin in to.items()}
    return json.dumps({"to": urls, "pct": table.mirror.pct})


class ReplicaCopies:
    """Writes that file. A pod sees a change within a minute or two: no user waits for it."""

    def __init__(self, client: KubernetesClient, name_of: NameOf, model_name_of: ModelNameOf) -> None:
        self._client = client
        self._name_of = name_of
        self._model_name_of = model_name_of
        self._written: dict[str, str] = {}

    def end(self, model: str) -> None:
        """Let the model's replicas copy nothing, where they were ever told to."""
        if self._client.get(CONFIG_MAPS, self._model_name_of(model)) is not None:
            self._put(model, _NO_COPIES)

    def follow(self, table: TrafficTable) -> None:
        """Let the model's replicas copy as the table says. Raises TransientError where it cannot be written."""
        self._put(table.model, mirror_text(table, self._name_of))

    def _put(self, model: str, text: str) -> None:
        if self._written.get(model) == text:
            return
        body: dict[str, Any] = {"metadata": {"labels": {MANAGED_BY: "serin"}}, "data": {MIRROR_FILE: text}}
        self._client.apply(CONFIG_MAPS, self._model_name_of(model), body, force=True)
        self._written[model] = text
