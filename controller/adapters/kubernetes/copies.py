"""The places that replicas send copies to, if the gateway cannot: one ConfigMap for each model, mounted by its pods."""

import json
from collections.abc import Callable
from typing import Final

from controller.adapters.kubernetes.client import KubernetesClient
from controller.adapters.kubernetes.objects.labels import MANAGED_BY
from controller.adapters.kubernetes.objects.site import MIRROR_FILE, SHADOW_PORT
from controller.adapters.kubernetes.resources import CONFIG_MAPS
from controller.core.traffic import TrafficTable

_NO_COPIES: Final = ""

NameOf = Callable[[str, str], str]
ModelNameOf = Callable[[str], str]


def mirror_text(table: TrafficTable, name_of: NameOf) -> str:
    """Return the text of the file that replicas read (`serving.observe.mirror`); empty if nobody copies."""
    if table.mirror is None:
        return _NO_COPIES
    versions = {*table.weights_pct, table.mirror.version}
    to = {version: twin for version in sorted(versions) if (twin := table.copied_to(version)) is not None}
    urls = {version: f"http://{name_of(table.model, twin)}:{SHADOW_PORT}" for version, twin in to.items()}
    return json.dumps({"to": urls, "pct": table.mirror.pct})


class ReplicaCopies:
    """Writes that file. A pod sees a change within a minute or two; no user waits for it."""

    def __init__(self, client: KubernetesClient, name_of: NameOf, model_name_of: ModelNameOf) -> None:
        self._client = client
        self._name_of = name_of
        self._model_name_of = model_name_of

    def end(self, model: str) -> None:
        """Make the model's replicas stop copying, if they were ever told to copy."""
        found = self._client.get(CONFIG_MAPS, self._model_name_of(model))
        if found is not None and found.get("data") != _file(_NO_COPIES):
            self._client.merge(CONFIG_MAPS, found["metadata"]["name"], {"data": _file(_NO_COPIES)})

    def follow(self, table: TrafficTable) -> None:
        """Make the model's replicas copy as the table says. Raises TransientError if the file cannot be written."""
        name, data = self._model_name_of(table.model), _file(mirror_text(table, self._name_of))
        found = self._client.get(CONFIG_MAPS, name)
        if found is None:
            metadata = {"name": name, "labels": {MANAGED_BY: "serin"}}
            body = {"apiVersion": CONFIG_MAPS.api_version, "kind": CONFIG_MAPS.kind, "metadata": metadata, "data": data}
            self._client.create(CONFIG_MAPS, body)
        elif found.get("data") != data:
            self._client.merge(CONFIG_MAPS, name, {"data": data})


def _file(text: str) -> dict[str, str]:
    return {MIRROR_FILE: text}
