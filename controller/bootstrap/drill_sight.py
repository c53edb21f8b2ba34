"""The sights of a drill: the parts of an installation, the alerts of its Prometheus, and its journal; at home, and from
afar."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

from controller.bootstrap.drill_metrics import ALERTS, alerts_of
from controller.bootstrap.parts import parts_of
from controller.config.settings import Home
from controller.core.traffic import TrafficTable
from controller.errors import Source, TransientError
from controller.overview import Overview
from controller.ports.drills import Seen
from controller.report.chronicle import Happening
from controller.service import Installation, Service


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
            raise TransientError(Source.METRICS, f"{self._prometheus}: {told[ALERTS]}")
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
