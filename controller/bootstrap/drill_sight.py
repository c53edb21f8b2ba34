"""The sights of a drill: the parts of an installation, the alerts of its Prometheus, and its journal."""

import json
from collections.abc import Iterator, Mapping
from http import HTTPStatus
from typing import Any, Final
from urllib.parse import quote

from controller.adapters.local.loopback import get
from controller.bootstrap.parts import parts_of
from controller.config.settings import Home, Settings
from controller.core.drills import Batches
from controller.monitoring.rule import ABOUT_LABEL, About
from controller.ports.drills import Seen
from controller.service import Service
from serving.contract import (
    BATCH_SIZE_METRIC,
    MODEL_LABEL,
    QUEUE_DEPTH_METRIC,
    REQUESTS_METRIC,
    TRAFFIC_LABEL,
    VERSION_LABEL,
)

_WITHIN_S: Final = 2.0
_LATELY_S: Final = 10.0
_SCRAPES: Final = 4.0  # a rate wants two of them
_ALERTS: Final = "prometheus: alerts"


class HomeLookout:
    """Implements ``controller.ports.drills.Lookout`` on a home whose processes are on this machine."""

    def __init__(self, home: Home, service: Service, model: str, since_s: float, *, rehearses: bool = False) -> None:
        """``rehearses``: a release of the drill's own comes and goes."""
        self._home = home
        self._service = service
        self._model = model
        self._since_s = since_s
        self._rehearses = rehearses

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
        standing = {f"traffic of {self._model}": weights}
        if not self._rehearses:
            newest = next(iter(self._service.releases(self._model, limit=1)), None)
            release = f"{newest.release_id} {newest.phase}" if newest is not None else ""
            standing[f"the newest release of {self._model}"] = release
        happened = self._service.history(self._model, since_s=self._since_s)
        return Seen(
            faults=faults,
            alerts=alerts,
            standing=standing,
            happenings=tuple(one.what + (f": {one.why}" if one.why else "") for one in happened),
        )

    def _alerts(self) -> Mapping[str, str]:
        """The alerts of the model about what its users got and its replicas do: pending, or firing where one of the
        name does."""
        about = f"{About.USERS}|{About.REPLICA}"
        query = f'ALERTS{{{MODEL_LABEL}="{self._model}", {ABOUT_LABEL}=~"{about}"}}'
        found: dict[str, str] = {}
        for name, state in _told(_asked(self._home.load(), query)):
            if found.get(name) != "firing":
                found[name] = state
        return found


def batches(settings: Settings, model: str) -> Batches | None:
    """Return what Prometheus has of the model's calls and queues lately; None where it does not say."""
    of = f'{{{MODEL_LABEL}="{model}"}}[{max(_LATELY_S, _SCRAPES * settings.scrape_interval_s):.0f}s]'
    calls = f"sum(rate({BATCH_SIZE_METRIC}_sum{of})) / (sum(rate({BATCH_SIZE_METRIC}_count{of})) > 0)"
    try:
        texts, waiting = (
            float(found[0]["value"][1]) if (found := _asked(settings, query)) else 0.0
            for query in (calls, f"max(max_over_time({QUEUE_DEPTH_METRIC}{of}))")
        )
    except (OSError, ValueError, KeyError):
        return None
    return Batches(texts, waiting)


def requests_of(settings: Settings, model: str, within_s: float, version: str) -> Mapping[str, float] | None:
    """Return how many requests the version's replicas had within that time, by traffic; None where Prometheus does not
    say."""
    of = f'{REQUESTS_METRIC}{{{MODEL_LABEL}="{model}", {VERSION_LABEL}="{version}"}}[{within_s:.0f}s]'
    try:
        found = _asked(settings, f"sum by ({TRAFFIC_LABEL}) (max_over_time({of}))")
        return {one["metric"][TRAFFIC_LABEL]: float(one["value"][1]) for one in found}
    except (OSError, ValueError, KeyError):
        return None


def _asked(settings: Settings, query: str) -> list[Any]:
    """Raises OSError, ValueError or KeyError: Prometheus cannot be read."""
    status, body = get(f"{settings.prometheus}/api/v1/query?query={quote(query)}", timeout_s=_WITHIN_S)
    return list(json.loads(body)["data"]["result"]) if status == HTTPStatus.OK else []


def _told(result: list[Mapping[str, Mapping[str, str]]]) -> Iterator[tuple[str, str]]:
    for one in result:
        yield one["metric"]["alertname"], one["metric"]["alertstate"]
