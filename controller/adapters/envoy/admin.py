"""The running Envoy as it describes itself at its admin socket, which only this user may open."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self
from urllib.parse import quote, urlencode

from controller.adapters.envoy.clusters import ClusterDocument
from controller.adapters.local.loopback import ask_at_socket
from controller.errors import PermanentError, Source, TransientError, in_words

BOOTSTRAP_FILE = "bootstrap.json"
_ANSWER_WITHIN_S = 0.5
_READY_PATH = "/ready"


@dataclass(frozen=True, slots=True)
class LiveRoutes:
    """A RouteConfiguration in force, and which revision of its file it was."""

    configuration: Mapping[str, Any]
    revision: int


class EnvoyAdmin:
    """Every method raises TransientError if nothing answers, and PermanentError if something else than Envoy does. All
    are read-only except ``remember``."""

    def __init__(self, socket: Path) -> None:
        self._socket = socket

    @classmethod
    def beside(cls, directory: Path) -> Self:
        """The admin interface named in the directory's bootstrap file.

        Raises:
            PermanentError: there is no bootstrap file, or not one of ours.
            TransientError: an earlier version of Serin started Envoy, whose interface was no socket then.
        """
        path = directory / BOOTSTRAP_FILE
        try:
            address = json.loads(path.read_text(encoding="utf-8"))["admin"]["address"]
            if "socket_address" in address:
                raise TransientError(
                    Source.TRAFFIC,
                    "an earlier version of Serin started Envoy: restart it with `serin down` and `serin up`",
                )
            return cls(Path(address["pipe"]["path"]))
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise PermanentError(f"{path} does not say where Envoy's admin interface is: {error!r}") from error

    def is_ready(self) -> bool:
        """Return whether Envoy has read its files and listens; False if nothing answers."""
        try:
            return ask_at_socket(self._socket, _READY_PATH, timeout_s=_ANSWER_WITHIN_S)[0] == 200
        except OSError:
            return False

    def route_configuration(self, name: str) -> LiveRoutes | None:
        """Return what Envoy routes by; None if it has not accepted anything yet."""
        for config in self._dump("dynamic_route_configs"):
            if config.get("route_config", {}).get("name") == name:
                told = str(config.get("version_info", ""))
                return LiveRoutes(dict(config["route_config"]), int(told) if told.isdecimal() else 0)
        return None

    def route_revision(self, name: str) -> int:
        """Return the revision of the routes of this name that Envoy has taken over; 0 where there are none yet. Of the
        dump, whatever its size, only that is sent."""
        found = self._dump("dynamic_route_configs", "mask=version_info,route_config.name&")
        told = (str(one.get("version_info", "")) for one in found if one.get("route_config", {}).get("name") == name)
        return next((int(revision) for revision in told if revision.isdecimal()), 0)

    def clusters(self) -> ClusterDocument:
        """Clusters that Envoy can route to now, with the replicas that answer in them."""
        told = self._dump("dynamic_endpoint_configs", "include_eds&")
        return ClusterDocument.of_assignments(one["endpoint_config"] for one in told)

    def remembered(self, prefix: str) -> dict[str, str]:
        """Return what Envoy was told to remember under names with this prefix."""
        entries = self._document("/runtime").get("entries", {})
        return {name: entry["final_value"] for name, entry in entries.items() if name.startswith(prefix)}

    def remember(self, values: Mapping[str, str]) -> None:
        """Have Envoy hold the values in memory, for as long as it runs; an empty one is forgotten."""
        status, body = self._asked(f"/runtime_modify?{urlencode(values, quote_via=quote)}", "POST")
        if status != 200:
            raise TransientError(
                Source.TRAFFIC, f"Envoy does not accept it into its memory: {body.decode(errors='replace')}"
            )

    def _dump(self, resource: str, flags: str = "") -> list[Any]:
        return list(
            self._document(f"/config_dump?{flags}resource={resource}").get("configs", ())
        )  # of none, Envoy says {}

    def _document(self, target: str) -> dict[str, Any]:
        status, body = self._asked(target, "GET")
        try:
            if status == 200:
                return dict(json.loads(body))
            answer = f"status {status}"
        except (ValueError, TypeError) as error:
            answer = repr(error)
        raise PermanentError(f"what answers at {self._socket} is not Envoy's admin interface: {answer}")

    def _asked(self, target: str, method: str) -> tuple[int, bytes]:
        try:
            return ask_at_socket(self._socket, target, timeout_s=_ANSWER_WITHIN_S, method=method)
        except OSError as error:
            raise TransientError(
                Source.TRAFFIC, f"Envoy's admin interface at {self._socket} does not answer: {in_words(error)}"
            ) from error
