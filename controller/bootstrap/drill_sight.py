"""The sights of a drill: the parts of an installation, the alerts of its Prometheus, and its journal; at home, and from
afar."""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from http import HTTPStatus
from typing import Any, Final
from urllib.parse import quote

from controller.adapters.local.loopback import get
from controller.bootstrap.parts import parts_of
from controller.config.settings import Home, Settings
from controller.core.drills import Batches
from controller.core.traffic import TrafficTable
from controller.errors import Source, TransientError
from controller.monitoring.rule import ABOUT_LABEL, About
from controller.overview import Overview
from controller.ports.drills import Seen
from controller.report.chronicle import Happening
from controller.service import Installation, Service
from serving.contract import (
    ACCESS_REFUSED_METRIC,
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
        alerts, told = alerts_of(self._home.load().prometheus, self._model)
        standing = weights_of(self._model, tables)
        if not self._rehearses:
            standing |= newest_of(self._model, self._service)
        happened = self._service.history(self._model, since_s=self._since_s)
        return Seen({**faults, **told}, alerts, standing, in_words(happened))


class AfarLookout:
    """Implements ``controller.ports.drills.Lookout`` on an installation that is asked by its interface. ``prometheus``:
    where its alerts are read; None: they are not. What cannot be asked from here is no fault of anybody's."""

    def __init__(self, installation: Installation, prometheus: str | None, model: str, since_s: float) -> None:
        self._installation = installation
        self._prometheus = prometheus
        self._model = model
        self._since_s = since_s
        self._last = Seen()

    def look(self) -> Seen:
        try:
            self._last = self._looked()
        except TransientError as error:
            return replace(self._last, unseen=str(error))
        return self._last

    def _looked(self) -> Seen:
        overview = self._installation.overview(self._model)
        alerts, told = alerts_of(self._prometheus, self._model) if self._prometheus is not None else ({}, {})
        if told:
            raise TransientError(Source.METRICS, f"{self._prometheus}: {told[_ALERTS]}")
        standing = {**weights_of(self._model, overview.traffic), **newest_of(self._model, self._installation)}
        happened = self._installation.history(self._model, since_s=self._since_s)
        return Seen(faults_of(self._model, overview), alerts, standing, in_words(happened))


def faults_of(model: str, overview: Overview) -> Mapping[str, str]:
    """Return the parts that do not answer, and the versions with users that do not; by name."""
    faults = {part.name: part.fault for part in overview.parts if not part.answers}
    weights = overview.traffic[model].weights_pct if model in overview.traffic else {}
    for version, status in overview.deployments.get(model, {}).items():
        if version in weights and not status.ready:
            faults[f"version {version}"] = status.detail or f"is {status.condition}"
    return faults


def weights_of(model: str, tables: Mapping[str, TrafficTable]) -> dict[str, str]:
    """Return how the model's users are dealt out: what must not change."""
    weights = tables[model].weights_pct if model in tables else {}
    return {f"traffic of {model}": ", ".join(f"{version} {pct:g} %" for version, pct in weights.items())}


def newest_of(model: str, installation: Installation) -> dict[str, str]:
    """Return where the model's newest release stands: what must not change."""
    newest = next(iter(installation.releases(model, limit=1)), None)
    return {f"the newest release of {model}": f"{newest.release_id} {newest.phase}" if newest is not None else ""}


def in_words(happened: Sequence[Happening]) -> tuple[str, ...]:
    return tuple(one.what + (f": {one.why}" if one.why else "") for one in happened)


def alerts_of(prometheus: str, model: str) -> tuple[Mapping[str, str], Mapping[str, str]]:
    """Return the alerts of the model about what its users got and its replicas do: pending, or firing where one of the
    name does. And the fault of who should tell them."""
    about = f"{About.USERS}|{About.REPLICA}"
    query = f'ALERTS{{{MODEL_LABEL}="{model}", {ABOUT_LABEL}=~"{about}"}}'
    found: dict[str, str] = {}
    try:
        for name, state in _told(_asked(prometheus, query)):
            if found.get(name) != "firing":
                found[name] = state
    except (OSError, ValueError, KeyError) as error:
        return {}, {_ALERTS: f"cannot be read: {error}"}
    return found, {}


def batches(prometheus: str, scrape_interval_s: float, model: str) -> Batches | None:
    """Return what Prometheus has of the model's calls and queues lately; None where it does not say."""
    of = f'{{{MODEL_LABEL}="{model}"}}[{max(_LATELY_S, _SCRAPES * scrape_interval_s):.0f}s]'
    calls = f"sum(rate({BATCH_SIZE_METRIC}_sum{of})) / (sum(rate({BATCH_SIZE_METRIC}_count{of})) > 0)"
    try:
        texts, waiting = (
            float(found[0]["value"][1]) if (found := _asked(prometheus, query)) else 0.0
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
        found = _asked(settings.prometheus, f"sum by ({TRAFFIC_LABEL}) (max_over_time({of}))")
        return {one["metric"][TRAFFIC_LABEL]: float(one["value"][1]) for one in found}
    except (OSError, ValueError, KeyError):
        return None


def refused_of(prometheus: str, model: str) -> Mapping[str, float]:
    """Return how many requests the model's replicas have refused, as one count: replicas come and go.

    Raises:
        TransientError: Prometheus cannot be read.
    """
    try:
        found = _asked(prometheus, f'sum({ACCESS_REFUSED_METRIC}{{{MODEL_LABEL}="{model}"}})')
        return {model: sum(float(one["value"][1]) for one in found)}
    except (OSError, ValueError, KeyError) as error:
        raise TransientError(Source.METRICS, f"{prometheus} cannot be read: {error}") from error


def _asked(prometheus: str, query: str) -> list[Any]:
    """Raises OSError, ValueError or KeyError: Prometheus cannot be read."""
    status, body = get(f"{prometheus}/api/v1/query?query={quote(query)}", timeout_s=_WITHIN_S)
    return list(json.loads(body)["data"]["result"]) if status == HTTPStatus.OK else []


def _told(result: list[Mapping[str, Mapping[str, str]]]) -> Iterator[tuple[str, str]]:
    for one in result:
        yield one["metric"]["alertname"], one["metric"]["alertstate"]
