"""The counts of other gateways, translated into the names of Serin's own Envoy, the only ones that the reader knows.

A series of another gateway has labels that Serin does not need (the caller, flags, addresses of pods). Series that
differ only in these are not summed up here: one that ends would then look like a process that began again. Each is
treated as a cluster of its own, named by a hash of those labels, and their gains are added up afterwards.
"""

import hashlib
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from decimal import Decimal
from typing import Any, Final

from controller.adapters.prometheus.counters import EDGE_LABEL, GATEWAY_BUCKET_METRIC, GATEWAY_TIMED_METRIC
from controller.adapters.prometheus.gateway_kinds import GatewayPlace
from controller.adapters.prometheus.targets import NAME_LABEL, UP_METRIC, Matrix, is_empty
from controller.errors import Source, TransientError
from serving.contract import (
    CLUSTER_LABEL,
    CODE_CLASS_LABEL,
    GATEWAY_COMPLETED_METRIC,
    GATEWAY_REQUESTS_METRIC,
    GATEWAY_SENT_METRIC,
    GATEWAY_UPTIME_METRIC,
    deployment_name,
    shadow_cluster_name,
)

_PART: Final = ";"
_NO_ANSWER: Final = "0"  # the status of a request whose user left before there was an answer
Patterns = Mapping[str, str]


def whole_of(name: str) -> str:
    """Return the cluster to which the part with this name belongs."""
    return name.partition(_PART)[0]


class GatewayWords:
    """The questions to a gateway, and its answers in the form in which Serin's own Envoy would give them."""

    def __init__(self, place: GatewayPlace, only: str = "") -> None:
        """``only``: matchers that every series must have, as the end of a selector."""
        self.place = place
        self.job = f"job={json.dumps(place.job)}{only}"
        kind = place.kind
        names = {
            GATEWAY_REQUESTS_METRIC: kind.requests,
            GATEWAY_COMPLETED_METRIC: kind.completed,
            GATEWAY_SENT_METRIC: kind.sent,
            GATEWAY_UPTIME_METRIC: kind.uptime,
            GATEWAY_TIMED_METRIC: kind.time and f"{kind.time}_count",
            GATEWAY_BUCKET_METRIC: kind.time and f"{kind.time}_bucket",
        }
        self._theirs = {ours: theirs for ours, theirs in names.items() if theirs} | {UP_METRIC: UP_METRIC}
        self._ours = {theirs: ours for ours, theirs in self._theirs.items()}
        self._only = {name: self._said(value) for name, value in kind.only.items()}

    def theirs(self, metric: str) -> str:
        """Return the gateway's name for our metric; empty if it does not export it."""
        return self._theirs.get(metric, "")

    def live(self, model: str, version: str) -> str:
        """Return the values of the backend label for a version's live requests, as a regular expression."""
        return self._said(self.place.kind.live, name=self.place.name_of(model, version))

    def patterns(self, model: str, versions: Sequence[str]) -> Patterns:
        """Return the values of the gateway's backend label, as regular expressions, by our names of clusters."""
        kind = self.place.kind
        if self.place.is_own:
            ours = [named(model, version) for named in (deployment_name, shadow_cluster_name) for version in versions]
            return {name: re.escape(name) for name in ours}
        found = {deployment_name(model, version): self.live(model, version) for version in versions}
        if kind.copied:
            for version in versions:
                name = self.place.name_of(model, version)
                found[shadow_cluster_name(model, version)] = self._said(kind.copied, name=name)
        return found

    def of_model(self, model: str) -> str:
        """Return the values of the backend label for all of a model's requests, as a regular expression."""
        kind, place = self.place.kind, self.place
        if kind.of_model:
            return self._said(kind.of_model, route=place.route_of(model) if place.route_of is not None else model)
        like = place.names_like(model) if place.names_like is not None else ""
        return kind.live.format(namespace=re.escape(place.namespace), name=f"(?P<name>{like})")

    def is_of_model(self, model: str, backend: str) -> bool:
        """Return whether a backend's requests are the model's: its name alone may also match that of another
        model's."""
        if self.place.kind.of_model or self.place.version_of is None:
            return True
        found = re.fullmatch(self.of_model(model), backend)
        return found is not None and self.place.version_of(model, found["name"]) is not None

    def selector(self, metrics: Sequence[str], backends: Sequence[str], *, itself: bool) -> str:
        """Return the selector of the series of our ``metrics`` by backend. ``itself``: also those without a backend,
        such as the uptime."""
        names = "|".join(name for name in map(self.theirs, metrics) if name)
        none = [""] if itself else []
        wanted = json.dumps("|".join([*none, *backends]))
        return f'{{__name__=~"{names}",{self.job},{self.place.kind.backend_label}=~{wanted}{self.more(itself=itself)}}}'

    def more(self, *, itself: bool = False) -> str:
        """Return the further labels that series must have, as the end of a selector."""
        either = "|" if itself else ""
        return "".join(f",{name}=~{json.dumps(either + value)}" for name, value in self._only.items())

    def translated(self, matrix: Matrix, patterns: Patterns) -> Matrix:
        """Return the answer with our names and labels, without series of other backends.

        Raises:
            TransientError: requests are counted without their status.
        """
        if self.place.is_own:
            return matrix
        scraped = [_labels(series) for series in matrix if series["metric"].get(NAME_LABEL) == UP_METRIC]
        scraped.sort(key=len, reverse=True)
        return [found for series in matrix for found in self._series(series, scraped, patterns)]

    def _series(
        self, series: dict[str, Any], scraped: Sequence[Mapping[str, str]], patterns: Patterns
    ) -> Iterator[dict[str, Any]]:
        labels, theirs = _labels(series), series["metric"].get(NAME_LABEL, "")
        ours = self._ours.get(theirs, theirs)
        if ours in (UP_METRIC, GATEWAY_UPTIME_METRIC) or is_empty(series):
            yield {**series, "metric": {NAME_LABEL: ours, **labels}}
            return
        of_target = next((one for one in scraped if one.items() <= labels.items()), None)
        if of_target is None:  # it belongs to no target, which is reported when its owner is looked up
            yield series
            return
        own = {name: value for name, value in labels.items() if name not in of_target}
        backend = own.get(self.place.kind.backend_label, "")
        cluster = next((name for name, like in patterns.items() if re.fullmatch(like, backend)), None)
        if cluster is None or own.get(self.place.kind.status_label) == _NO_ANSWER:
            return
        told: dict[str, str] = {}
        if ours == GATEWAY_REQUESTS_METRIC:
            told[CODE_CLASS_LABEL] = own.pop(self.place.kind.status_label, "")
            if not told[CODE_CLASS_LABEL]:
                raise TransientError(
                    Source.GATEWAY, f"{theirs} has no label {self.place.kind.status_label}: errors cannot be counted"
                )
        if ours == GATEWAY_BUCKET_METRIC:
            told[EDGE_LABEL] = _in_ms(own.pop(EDGE_LABEL, ""), self.place.kind.edge_ms)
        told[CLUSTER_LABEL] = f"{cluster}{_PART}{_hash(own)}"
        yield {**series, "metric": {NAME_LABEL: ours, **of_target, **told}}

    def _said(self, template: str, *, name: str = "", route: str = "") -> str:
        return template.format(namespace=re.escape(self.place.namespace), name=re.escape(name), route=re.escape(route))


def _labels(series: Mapping[str, Any]) -> dict[str, str]:
    return {name: value for name, value in series["metric"].items() if name != NAME_LABEL}


def _hash(labels: Mapping[str, str]) -> str:
    return hashlib.sha256(json.dumps(labels, sort_keys=True).encode()).hexdigest()[:12]


def _in_ms(edge: str, edge_ms: int) -> str:
    return f"{(Decimal(edge) * edge_ms).normalize():f}" if edge not in ("", "+Inf") else edge
