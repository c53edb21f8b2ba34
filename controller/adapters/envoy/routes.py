"""Envoy's route file, which IS the traffic table: one atomic write moves traffic and records who moved it, and why.

Generation, known good version and override travel in each route's metadata, which Envoy carries and ignores, and
shows again in its configuration dump: that is how a write is confirmed. No second file can disagree with this one.

Standard library only, and quick to import: the on-call rollback stands on it.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Self

from controller.core.traffic import HUNDRED_PCT, Mirror, Override, TrafficTable
from controller.errors import PermanentError
from controller.naming import deployment_named, model_named, version_named
from serving.contract import GATEWAY_HOST, PREDICT_ROUTE, deployed, shadow_cluster_name

ROUTE_CONFIGURATION = "serin"

_METADATA = "serin"
_PREVIOUS_PRIORITIES = "type.googleapis.com/envoy.extensions.retry.priority.previous_priorities.v3"
_WEIGHTS_PER_PCT = 100  # Envoy's weights are integers: 10,000 in all, so a hundredth of a percent is the finest share
# Envoy draws one random number per request for both decisions. A mirror of a whole number of percent is, modulo 10,000,
# independent of which version serves the request; a finer one is not quite.
_MIRROR_PER_PCT = 10_000

_COPY_TO_HEADER = "x-serin-copy-to"  # between Envoy's weights and its mirror: which cluster gets the copy


@dataclass(frozen=True, slots=True)
class RouteOptions:
    """The options that hold for every request of a model, whichever version serves it.

    Requests with the same value of ``sticky_header`` keep their version, and stay with a canary while its weight grows.
    """

    sticky_header: str | None = None
    timeout_s: float = 15.0


class RouteDocument:
    """All models' routes, as Envoy's discovery file holds them."""

    def __init__(self, revision: int, routes: Mapping[str, Mapping[str, Any]]) -> None:
        self.revision = revision
        self._routes = routes
        self._tables: dict[str, TrafficTable] = {}  # those that were decoded

    @classmethod
    def parse(cls, text: str) -> "RouteDocument":
        """The document that the text is. One that was parsed a moment ago is not parsed again: it never changes.

        Raises ValueError, KeyError, TypeError or IndexError where this is no file of ours.
        """
        return _parsed(text)

    @classmethod
    def of_configuration(cls, configuration: Mapping[str, Any], *, revision: int = 0) -> Self:
        """From an Envoy RouteConfiguration; every route is decoded at once, so that a broken one is found here."""
        routes = {route["name"]: route for route in configuration["virtual_hosts"][0].get("routes", ())}
        document = cls(revision, routes)
        for model in routes:
            document.table(model)
        return document

    def renewed(self) -> Self:
        """The same tables and options, as this version of Serin writes them; this very document where it does so."""
        routes = {model: _encode(_decode(model, route), self.options(model)) for model, route in self._routes.items()}
        return self if routes == self._routes else type(self)(self.revision + 1, routes)

    @property
    def models(self) -> tuple[str, ...]:
        return tuple(self._routes)

    def table(self, model: str) -> TrafficTable | None:
        if model not in self._tables and (route := self._routes.get(model)) is not None:
            self._tables[model] = _decode(model, route)
        return self._tables.get(model)

    def options(self, model: str) -> RouteOptions:
        """As the model's present route has them."""
        action = self._routes[model]["route"]
        policies = action.get("hash_policy", ())
        return RouteOptions(
            sticky_header=policies[0]["header"]["header_name"] if policies else None,
            timeout_s=float(action["timeout"].removesuffix("s")),
        )

    def with_table(self, table: TrafficTable, options: RouteOptions) -> "RouteDocument":
        """The next revision, in which the model's route is replaced, never added to."""
        return RouteDocument(self.revision + 1, {**self._routes, table.model: _encode(table, options)})

    def text(self) -> str:
        configuration = {
            "@type": "type.googleapis.com/envoy.config.route.v3.RouteConfiguration",
            "name": ROUTE_CONFIGURATION,
            "request_headers_to_remove": ["origin"],  # asked for at the gateway, where alone it means something
            "virtual_hosts": [
                {"name": "models", "domains": ["*"], "routes": [self._routes[model] for model in sorted(self._routes)]}
            ],
        }
        return json.dumps({"version_info": str(self.revision), "resources": [configuration]}, indent=1)


@lru_cache(maxsize=4)  # the file's, its copy's, and those of the moment before
def _parsed(text: str) -> RouteDocument:
    response = json.loads(text)
    return RouteDocument.of_configuration(response["resources"][0], revision=int(response["version_info"]))


EMPTY_DOCUMENT = RouteDocument(0, {})


def routed_versions(table: TrafficTable | None) -> frozenset[str]:
    """Every version that gets requests, mirrored ones included."""
    if table is None:
        return frozenset()
    return frozenset(table.weights_pct) | ({table.mirror.version} if table.mirror else frozenset())


def needed_clusters(table: TrafficTable | None) -> dict[str, str]:
    """Every cluster that the table sends requests or copies to, and the version behind it."""
    if table is None:
        return {}
    live = {deployment_named(table.model, version): version for version in table.weights_pct}
    twins = {table.copied_to(version) for version in table.weights_pct} - {None}
    return live | {copies_cluster_name(table.model, twin): twin for twin in twins if twin is not None}


def copies_cluster_name(model: str, version: str) -> str:
    """Return where copies for the version go. Raises UsageError as `deployment_named` does."""
    return shadow_cluster_name(model_named(model), version_named(version))


def runtime_prefix(model: str) -> str:
    """Return the prefix of the names of the model's weights in Envoy's memory, which go before those of the file where
    they are set."""
    return f"serin/{model}"


def memory_weights(table: TrafficTable, only: str) -> dict[str, int]:
    """Weights under the names that those of the table have in Envoy's memory, by which one version gets everything."""
    known = {*table.weights_pct, *([table.known_good] if table.known_good is not None else [])}
    everything = round(HUNDRED_PCT * _WEIGHTS_PER_PCT)
    return {
        f"{runtime_prefix(table.model)}.{deployment_named(table.model, version)}": everything * (version == only)
        for version in sorted(known)
    }


def _encode(table: TrafficTable, options: RouteOptions) -> dict[str, Any]:
    # The known good version comes last. Sticky requests are placed by hash on one line from 0 to 100 %, filled in this
    # order, so a growing canary keeps the requests that it has and takes new ones at its end.
    versions = sorted(table.weights_pct, key=lambda version: (version == table.known_good, version))
    shares = [_encode_share(table, version) for version in versions]
    if table.known_good is not None and table.known_good not in table.weights_pct:  # where a rollback may lead at once
        shares.append(_without_copies({"name": deployment_named(table.model, table.known_good), "weight": 0}))
    weighted: dict[str, Any] = {"clusters": shares, "runtime_key_prefix": runtime_prefix(table.model)}
    action: dict[str, Any] = {
        "weighted_clusters": weighted,
        "prefix_rewrite": PREDICT_ROUTE,
        "host_rewrite_literal": GATEWAY_HOST,
        "timeout": f"{options.timeout_s:g}s",
        # Only where the request never reached a replica: anything else could be served, and counted, twice.
        "retry_policy": {
            "retry_on": "connect-failure",
            "num_retries": 2,
            "retry_priority": {  # of the same cluster, with who stands in for a replica that is away
                "name": "envoy.retry_priorities.previous_priorities",
                "typed_config": {
                    "@type": f"{_PREVIOUS_PRIORITIES}.PreviousPrioritiesConfig",
                    "update_frequency": 1,
                },
            },
        },
    }
    if options.sticky_header is not None:
        weighted["use_hash_policy"] = True
        action["hash_policy"] = [{"header": {"header_name": options.sticky_header}}]
    if table.mirror is not None:
        action["request_mirror_policies"] = [_encode_mirror(table.mirror)]
    override = table.override
    return {
        "name": table.model,
        "match": {"path": f"/models/{table.model}{PREDICT_ROUTE}"},
        "route": action,
        "metadata": {
            "filter_metadata": {
                _METADATA: {
                    "generation": table.generation,
                    "known_good": table.known_good,
                    "mirror": table.mirror and table.mirror.version,
                    "override": override and {"reason": override.reason, "by": override.by, "at_s": override.at_s},
                }
            }
        },
    }


def _encode_share(table: TrafficTable, version: str) -> dict[str, Any]:
    """One version's weight, and where the copies of what it serves go: the header is set or removed for each request,
    so that a client cannot choose."""
    weight = _units(table.weights_pct[version], _WEIGHTS_PER_PCT, f"weight of version {version}")
    share: dict[str, Any] = {"name": deployment_named(table.model, version), "weight": weight}
    twin = table.copied_to(version)
    if twin is None:
        return _without_copies(share)
    copy_to = {"key": _COPY_TO_HEADER, "value": copies_cluster_name(table.model, twin)}
    return {**share, "request_headers_to_add": [{"header": copy_to, "append_action": "OVERWRITE_IF_EXISTS_OR_ADD"}]}


def _without_copies(share: dict[str, Any]) -> dict[str, Any]:
    return {**share, "request_headers_to_remove": [_COPY_TO_HEADER]}


def _encode_mirror(mirror: Mirror) -> dict[str, Any]:
    numerator = _units(mirror.pct, _MIRROR_PER_PCT, f"mirror to version {mirror.version}")
    return {
        "cluster_header": _COPY_TO_HEADER,
        "runtime_fraction": {"default_value": {"numerator": numerator, "denominator": "MILLION"}},
        "disable_shadow_host_suffix_append": True,  # a copy is the request as it came
    }


def _units(pct: float, per_pct: int, what: str) -> int:
    units = round(pct * per_pct)
    if units / per_pct != pct:
        raise PermanentError(
            f"{what}: {pct} % is finer than {1 / per_pct:g} %, the finest that Envoy is asked to serve"
        )
    return units


def _decode(model: str, route: Mapping[str, Any]) -> TrafficTable:
    action, stored = route["route"], route["metadata"]["filter_metadata"][_METADATA]
    mirror = None
    for policy in action.get("request_mirror_policies", ()):
        numerator = policy["runtime_fraction"]["default_value"]["numerator"]
        mirror = Mirror(stored["mirror"], numerator / _MIRROR_PER_PCT)
    override = stored["override"]
    return TrafficTable(
        model=model,
        weights_pct={
            deployed(cluster["name"])[1]: cluster["weight"] / _WEIGHTS_PER_PCT
            for cluster in action["weighted_clusters"]["clusters"]
            if cluster.get("weight", 0)
        },
        mirror=mirror,
        known_good=stored["known_good"],
        generation=int(stored["generation"]),  # Envoy's dump shows every number as a float
        override=override and Override(override["reason"], override["by"], override["at_s"]),
    )
