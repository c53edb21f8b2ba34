"""Recorded expositions of gateways, as a Prometheus that scraped them would answer: with real selectors and counts."""

import json
import math
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from prometheus_client.parser import text_string_to_metric_families

from controller.adapters.kubernetes.names import model_name, names_like, resource_name, version_of
from controller.adapters.prometheus.gateway import GatewayReader
from controller.adapters.prometheus.gateway_kinds import KINDS, GatewayPlace
from controller.ports.metrics import CounterCursor, GatewayCounts

NOW_S = 1_800_000_000.0
LATER_S = 15.0
JOB = "infra/shop"
FOLDER = Path(__file__).parent / "expositions"
_MATCHER = re.compile(r'(\w+)(=~|=)("(?:[^"\\]|\\.)*")')

Labels = Mapping[str, str]


def place_of(kind: str) -> GatewayPlace:
    """As the settings of a cluster make it, of the namespace ``prod``."""
    return GatewayPlace(KINDS[kind], JOB, "prod", resource_name, version_of, names_like, model_name)


def recorded(kind: str) -> list[list[tuple[str, Labels, float]]]:
    """The scrapes of the exposition: its samples by name, labels and value. Read without its types, by which the parser
    would give counters the names that they should have."""
    text = (FOLDER / f"{kind}.prom").read_text(encoding="utf-8")
    pages = re.sub(r"(?m)^# TYPE .*\n", "", text).split("# 15 s later\n")
    return [
        [(one.name, one.labels, one.value) for family in text_string_to_metric_families(page) for one in family.samples]
        for page in pages
    ]


@dataclass
class Scraped:
    """A Prometheus that has scraped gateway pods: all of their samples, by the time of the scrape."""

    samples: dict[frozenset[tuple[str, str]], list[tuple[float, float]]] = field(default_factory=dict)
    queries: list[str] = field(default_factory=list)

    def scrape(self, at_s: float, page: Sequence[tuple[str, Labels, float]], pod: str = "10.0.0.1:15020") -> None:
        target = {"job": JOB, "instance": pod}
        for name, labels, value in [("up", {}, 1.0), *page]:
            key = frozenset({"__name__": name, **labels, **target}.items())
            self.samples.setdefault(key, []).append((at_s, value))

    def end(self, at_s: float, **labels: str) -> None:
        """Mark the end of series that a scrape no longer told, as Prometheus does."""
        for key, samples in self.samples.items():
            if labels.items() <= dict(key).items():
                samples.append((at_s, math.nan))

    def query(self, promql: str, at_s: float) -> list[dict[str, Any]]:
        """Answer a range selector as Prometheus does."""
        self.queries.append(promql)
        matchers = [(name, how, json.loads(value)) for name, how, value in _MATCHER.findall(promql)]
        back_s = float(promql.rpartition("[")[2].removesuffix("ms]")) / 1000
        return list(self._selected(matchers, at_s - back_s, at_s))

    def _selected(
        self, matchers: Sequence[tuple[str, str, str]], from_s: float, to_s: float
    ) -> Iterator[dict[str, Any]]:
        for key, samples in self.samples.items():
            labels = dict(key)
            within = [
                [at_s, "NaN" if math.isnan(value) else f"{value:.10g}"]
                for at_s, value in samples
                if from_s < at_s <= to_s
            ]
            if within and all(_fits(labels.get(name, ""), how, value) for name, how, value in matchers):
                yield {"metric": labels, "values": within}


def _fits(value: str, how: str, wanted: str) -> bool:
    return value == wanted if how == "=" else re.fullmatch(wanted, value) is not None


def reader(kind: str, scraped: Scraped) -> GatewayReader:
    return GatewayReader(scraped.query, stale_after_s=45.0, lookback_s_max=600.0, place=place_of(kind))


def looked(
    kind: str, scraped: Scraped, cursor: CounterCursor | None = None, *, at_s: float = NOW_S + LATER_S
) -> GatewayCounts:
    return reader(kind, scraped).counts("intent", ("6", "7"), cursor, at_s=at_s)


def first_look(kind: str, scraped: Scraped, **pods: str) -> CounterCursor:
    """The cursor of a look at the first scrape, of one pod unless others are named."""
    for pod in pods.values() or ("10.0.0.1:15020",):
        scraped.scrape(NOW_S, recorded(kind)[0], pod)
    return looked(kind, scraped, at_s=NOW_S).cursor
