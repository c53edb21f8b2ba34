"""The sights of a drill: the parts of an installation, the alerts of its Prometheus, and its journal."""

import json
from collections.abc import Iterator, Mapping
from typing import Final
from urllib.parse import quote

from controller.adapters.local.loopback import get
from controller.bootstrap.parts import parts_of
from controller.config.settings import Home
from controller.monitoring.rule import ABOUT_LABEL, About
from controller.ports.drills import Seen
from controller.service import Service
from serving.contract import MODEL_LABEL

_WITHIN_S: Final = 2.0
_ALERTS: Final = "prometheus: alerts"


class HomeLookout:
    """Implements ``controller.ports.drills.Lookout`` on a home whose processes are on this machine."""

    def __init__(self, home: Home, service: Service, model: str, since_s: float) -> None:
        self._home = home
        self._service = service
        self._model = model
        self._since_s = since_s

    def look(self) -> Seen:
        tables = self._service.site.traffic()
        own = {self._model: tables[self._model]} if self._model in tables else {}
        faults = {part.name: part.fault for part in parts_of(self._home, own) if not part.answers}
        alerts: Mapping[str, str] = {}
        try:
            alerts = self._alerts()
        except (OSError, ValueError, KeyError) as error:
            faults[_ALERTS] = f"cannot be read: {error}"
        weights = ", ".join(
            f"{version} {pct:g} %" for table in own.values() for version, pct in table.weights_pct.items()
        )
        newest = next(iter(self._service.releases(self._model, limit=1)), None)
        release = f"{newest.release_id} {newest.phase}" if newest is not None else ""
        happened = self._service.history(self._model, since_s=self._since_s)
        return Seen(
            faults=faults,
            alerts=alerts,
            standing={f"traffic of {self._model}": weights, f"the newest release of {self._model}": release},
            happenings=tuple(one.what + (f": {one.why}" if one.why else "") for one in happened),
        )

    def _alerts(self) -> Mapping[str, str]:
        """The alerts of the model about what its users got and its replicas do: pending, or firing where one of the
        name does."""
        about = f"{About.USERS}|{About.REPLICA}"
        query = quote(f'ALERTS{{{MODEL_LABEL}="{self._model}", {ABOUT_LABEL}=~"{about}"}}')
        settings = self._home.load()
        status, body = get(f"{settings.prometheus}/api/v1/query?query={query}", timeout_s=_WITHIN_S)
        found: dict[str, str] = {}
        for name, state in _told(json.loads(body)["data"]["result"] if status == 200 else []):
            if found.get(name) != "firing":
                found[name] = state
        return found


def _told(result: list[Mapping[str, Mapping[str, str]]]) -> Iterator[tuple[str, str]]:
    for one in result:
        yield one["metric"]["alertname"], one["metric"]["alertstate"]
