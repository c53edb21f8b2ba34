"""What the running Envoy says of itself, asked at its loopback admin interface."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Self

from controller.adapters.envoy_clusters import Address, address_of
from controller.adapters.loopback import get
from controller.errors import PermanentError, TransientError

BOOTSTRAP_FILE = "bootstrap.json"
_ANSWER_WITHIN_S = 0.5


class EnvoyAdmin:
    """Reads only. Every method raises TransientError where nobody answers, PermanentError where somebody else does."""

    def __init__(self, host: str, port: int) -> None:
        self.url = f"http://{host}:{port}"

    @classmethod
    def beside(cls, directory: Path) -> Self:
        """The admin interface named in the directory's bootstrap file.

        Raises:
            PermanentError: there is no bootstrap file, or not one of ours.
        """
        path = directory / BOOTSTRAP_FILE
        try:
            address = json.loads(path.read_text(encoding="utf-8"))["admin"]["address"]["socket_address"]
            return cls(address["address"], address["port_value"])
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise PermanentError(f"{path} does not say where Envoy's admin interface is: {error!r}") from error

    def route_configuration(self, name: str) -> Mapping[str, Any] | None:
        """The RouteConfiguration that Envoy routes by; None where it has not taken one in yet."""
        for config in self._dump("dynamic_route_configs"):
            if config.get("route_config", {}).get("name") == name:
                return dict(config["route_config"])
        return None

    def clusters(self) -> dict[str, Address]:
        """Clusters that Envoy can route to now, with their addresses."""
        return {
            config["cluster"]["name"]: address_of(config["cluster"]) for config in self._dump("dynamic_active_clusters")
        }

    def _dump(self, resource: str) -> list[Any]:
        url = f"{self.url}/config_dump?resource={resource}"
        try:
            status, body = get(url, timeout_s=_ANSWER_WITHIN_S)
        except OSError as error:
            raise TransientError(
                "traffic", f"Envoy's admin interface at {self.url} does not answer: {error}"
            ) from error
        try:
            if status == 200:
                return list(json.loads(body).get("configs", ()))  # of none, Envoy says {}
            answer = f"status {status}"
        except (ValueError, AttributeError) as error:
            answer = repr(error)
        raise PermanentError(f"what answers at {self.url} is not Envoy's admin interface: {answer}")
