"""Panels and dashboards as values, and the JSON that Grafana imports. No panel without a unit and a sentence."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final

from serving import contract as names

SCHEMA_VERSION: Final = 39  # of Grafana 11; later ones read it
_WIDTH: Final = 24  # columns of a dashboard
_HEIGHT: Final = 8
_SOURCE: Final = {"type": "prometheus", "uid": "${datasource}"}
PICKED: Final = f'{names.MODEL_LABEL}=~"$model"'
"""The matcher of what is picked above the panels."""


class Kind(StrEnum):
    """The way a panel shows its series."""

    GRAPH = "timeseries"
    NUMBER = "stat"
    TABLE = "table"
    HEAT = "heatmap"


class Unit(StrEnum):
    """Units as Grafana calls them."""

    SHARE = "percentunit"
    MS = "ms"
    PER_S = "reqps"
    COUNT = "short"
    BYTES = "bytes"
    SECONDS = "s"
    DATE = "dateTimeAsIso"
    MONEY = "currency:"


@dataclass(frozen=True, slots=True)
class Query:
    """A query of Prometheus, and what each of its series is called: a template of its labels."""

    text: str
    legend: str = "{{model}} {{model_version}}"


@dataclass(frozen=True, slots=True)
class Panel:
    """A panel. ``beyond`` is where it turns red, from the policy (None: nowhere), ``below`` where it does under it."""

    title: str
    about: str
    unit: Unit
    queries: Sequence[Query]
    kind: Kind = Kind.GRAPH
    width: int = 12
    beyond: float | None = None
    below: float | None = None


@dataclass(frozen=True, slots=True)
class Dashboard:
    """Rows of panels, by their titles."""

    uid: str
    title: str
    about: str
    rows: Mapping[str, Sequence[Panel]]

    @property
    def panels(self) -> Sequence[Panel]:
        return [panel for panels in self.rows.values() for panel in panels]

    def document(self) -> Mapping[str, Any]:
        """The JSON model that Grafana imports."""
        return {
            "uid": self.uid,
            "title": self.title,
            "description": self.about,
            "tags": ["serin"],
            "schemaVersion": SCHEMA_VERSION,
            "editable": False,
            "graphTooltip": 1,  # one crosshair over all panels
            "refresh": "30s",
            "time": {"from": "now-6h", "to": "now"},
            "templating": {"list": [_datasource(), _model()]},
            "annotations": {"list": [_releases()]},
            "panels": list(self._placed()),
        }

    def _placed(self) -> Sequence[Mapping[str, Any]]:
        placed: list[Mapping[str, Any]] = []
        y = 0
        for title, panels in self.rows.items():
            place = {"h": 1, "w": _WIDTH, "x": 0, "y": y}
            placed.append(
                {
                    "id": len(placed) + 1,
                    "type": "row",
                    "title": title,
                    "collapsed": False,
                    "panels": [],
                    "gridPos": place,
                }
            )
            x, y = 0, y + 1
            for panel in panels:
                if x + panel.width > _WIDTH:
                    x, y = 0, y + _HEIGHT
                place = {"h": _HEIGHT, "w": panel.width, "x": x, "y": y}
                placed.append({"id": len(placed) + 1, "gridPos": place, **_panel(panel)})
                x += panel.width
            y += _HEIGHT
        return placed  # fmt: skip


def _panel(panel: Panel) -> Mapping[str, Any]:
    latest = panel.kind in (Kind.NUMBER, Kind.TABLE)
    targets = [
        {
            "refId": chr(ord("A") + place),
            "datasource": _SOURCE,
            "expr": query.text,
            "legendFormat": query.legend,
            "instant": latest,
            "range": not latest,
            **({"format": panel.kind.value} if panel.kind in (Kind.TABLE, Kind.HEAT) else {}),
        }
        for place, query in enumerate(panel.queries)
    ]
    defaults: dict[str, Any] = {
        "unit": panel.unit.value,
        "thresholds": _thresholds(panel),
        "color": {"mode": "palette-classic"},
    }
    if panel.kind is Kind.GRAPH:
        marked = panel.beyond is not None or panel.below is not None
        defaults["custom"] = {"thresholdsStyle": {"mode": "line" if marked else "off"}, "showPoints": "never"}
        defaults["min"] = 0
    if panel.kind is Kind.NUMBER:
        defaults["color"] = {"mode": "thresholds"}
    return {
        "type": panel.kind.value,
        "title": panel.title,
        "description": panel.about,
        "datasource": _SOURCE,
        "fieldConfig": {"defaults": defaults, "overrides": []},
        "options": {},
        "targets": targets,
    }  # fmt: skip


def _thresholds(panel: Panel) -> Mapping[str, Any]:
    steps: list[Mapping[str, Any]] = [{"color": "green", "value": None}]
    if panel.below is not None:
        steps = [{"color": "red", "value": None}, {"color": "green", "value": panel.below}]
    if panel.beyond is not None:
        steps.append({"color": "red", "value": panel.beyond})
    return {"mode": "absolute", "steps": steps}


def _datasource() -> Mapping[str, Any]:
    return {"name": "datasource", "label": "Prometheus", "type": "datasource", "query": "prometheus"}


def _model() -> Mapping[str, Any]:
    query = f"label_values({names.WEIGHT_METRIC}, {names.MODEL_LABEL})"
    return {
        "name": "model",
        "label": "Model",
        "type": "query",
        "datasource": _SOURCE,
        "query": {"query": query, "refId": "model"},
        "refresh": 2,  # with the time that is looked at
        "includeAll": True,
        "multi": True,
        "allValue": ".*",
        "current": {"text": "All", "value": "$__all"},
    }


def _releases() -> Mapping[str, Any]:
    """Each phase that a release entered, at the time when it did."""
    return {
        "name": "Releases",
        "datasource": _SOURCE,
        "enable": True,
        "iconColor": "blue",
        "expr": release_events(),
        "useValueForTime": "on",
        "titleFormat": f"{{{{{names.MODEL_LABEL}}}}} {{{{{names.VERSION_LABEL}}}}}: {{{{{names.PHASE_LABEL}}}}}",
        "tagKeys": f"{names.MODEL_LABEL},{names.PHASE_LABEL}",
        "step": "10s",
    }  # fmt: skip


def release_events() -> str:
    """The query of the annotations: unix times in ms, as Grafana takes them."""
    since = f"{names.PHASE_TIME_METRIC}{{{PICKED}}}"
    return f"1000 * max by ({names.MODEL_LABEL}, {names.VERSION_LABEL}, {names.PHASE_LABEL}) ({since})"
