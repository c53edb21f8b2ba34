"""Envoy's route file, which IS the traffic table: one atomic write moves traffic and records who moved it, and why.

Generation, known good version and override travel in each route's metadata, which Envoy carries and ignores. No second
file can disagree with this one. One more route tells by which revision of the file its request was answered: that is
how a write is seen to be served. In its metadata is the ledger: what was written for each model, and in which
revision, so that an edit by somebody else is seen.

Standard library only, and quick to import, because the on-call rollback uses it.
"""

import json
from collections.abc import Mapping
from functools import lru_cache
from typing import Any, Self

from controller.adapters.envoy.encoding import (
    WEIGHTS_PER_PCT,
    RouteOptions,
    copies_cluster_name,
    decode,
    encode,
    runtime_prefix,
)
from controller.adapters.envoy.ledger import REVISION_ROUTE, Written, digest_of, ledger_of, teller
from controller.core.traffic import HUNDRED_PCT, TrafficTable
from controller.naming import deployment_named

ROUTE_CONFIGURATION = "serin"


class RouteDocument:
    """All models' routes, as Envoy's discovery file holds them. ``written``: by model; None in the file of an earlier
    version of Serin, which kept no such ledger."""

    def __init__(
        self, revision: int, routes: Mapping[str, Mapping[str, Any]], written: Mapping[str, Written] | None = None
    ) -> None:
        self.revision = revision
        self._routes = routes
        self._written = written
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
        found = {route["name"]: route for route in configuration["virtual_hosts"][0].get("routes", ())}
        told = found.pop(REVISION_ROUTE, None)
        document = cls(revision, found, ledger_of(told) if told is not None else None)
        for model in found:
            document.table(model)
        return document

    def as_written(self) -> Self:
        """The same document in the words of the file, which those of the running Envoy's dump are not: it writes other
        numbers, and leaves out."""
        return type(self)(self.revision, {model: self.encoded(model) for model in self.models}, self._written)

    def renewed(self) -> Self:
        """The same tables and options, as this version of Serin writes them; this very document where it does so. What
        somebody else made of a route stays as it is."""
        mine = [model for model in self._routes if self.edit(model) is None]
        routes = {**self._routes, **{model: self.encoded(model) for model in mine}}
        if self._written is not None and routes == self._routes:
            return self
        anew = {model: Written(digest_of(routes[model]), self.revision + 1) for model in mine}
        return type(self)(self.revision + 1, routes, {**(self._written or {}), **anew})

    def encoded(self, model: str) -> dict[str, Any]:
        """The model's route as this version of Serin writes it."""
        return encode(decode(model, self._routes[model]), self.options(model))

    @property
    def models(self) -> tuple[str, ...]:
        return tuple(self._routes)

    @property
    def deleted(self) -> tuple[str, ...]:
        """The models whose routes somebody else deleted."""
        return tuple(model for model in self._written or () if model not in self._routes)

    def table(self, model: str) -> TrafficTable | None:
        if model not in self._tables and (route := self._routes.get(model)) is not None:
            self._tables[model] = decode(model, route)
        return self._tables.get(model)

    def revision_of(self, model: str) -> int:
        """The revision in which the model's route came; at most this document's."""
        written = (self._written or {}).get(model)
        return self.revision if written is None else written.revision

    def edit(self, model: str) -> str | None:
        """The digest of what somebody else made of the model's route, empty where it was deleted; None where it stands
        as it was written."""
        if self._written is None:
            return None
        written, route = self._written.get(model), self._routes.get(model)
        found = "" if route is None else digest_of(route)
        return None if found == ("" if written is None else written.digest) else found

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
        route = encode(table, options)
        written = {**self._ledger(), table.model: Written(digest_of(route), self.revision + 1)}
        return RouteDocument(self.revision + 1, {**self._routes, table.model: route}, written)

    def _ledger(self) -> Mapping[str, Written]:
        if self._written is not None:
            return self._written
        return {model: Written(digest_of(route), self.revision) for model, route in self._routes.items()}

    def text(self) -> str:
        routes = [self._routes[model] for model in sorted(self._routes)]
        configuration = {
            "@type": "type.googleapis.com/envoy.config.route.v3.RouteConfiguration",
            "name": ROUTE_CONFIGURATION,
            "request_headers_to_remove": ["origin"],  # asked for at the gateway, where alone it means something
            "virtual_hosts": [
                {"name": "models", "domains": ["*"], "routes": [*routes, teller(self.revision, self._ledger())]}
            ],
        }
        return json.dumps({"version_info": str(self.revision), "resources": [configuration]}, indent=1)


@lru_cache(maxsize=4)  # the file's, its copy's, and those of the moment before
def _parsed(text: str) -> RouteDocument:
    response = json.loads(text)
    return RouteDocument.of_configuration(response["resources"][0], revision=int(response["version_info"]))


EMPTY_DOCUMENT = RouteDocument(0, {}, {})


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


def memory_weights(table: TrafficTable, only: str) -> dict[str, int]:
    """Weights under the names that those of the table have in Envoy's memory, by which one version gets everything."""
    known = {*table.weights_pct, *([table.known_good] if table.known_good is not None else [])}
    everything = round(HUNDRED_PCT * WEIGHTS_PER_PCT)
    return {
        f"{runtime_prefix(table.model)}.{deployment_named(table.model, version)}": everything * (version == only)
        for version in sorted(known)
    }
