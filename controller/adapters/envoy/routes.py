"""Envoy's route file, which IS the traffic table: one atomic write moves traffic and records who moved it, and why.

Generation, known good version and override travel in each route's metadata, which Envoy carries and ignores, and
shows again in its configuration dump: that is how a write is confirmed. No second file can disagree with this one.

Standard library only, and quick to import: the on-call rollback is this module, some files, and nothing else alive.
"""

import json
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from controller.adapters.envoy.admin import EnvoyAdmin
from controller.adapters.envoy.clusters import read_clusters
from controller.adapters.files import locked, replace_file
from controller.adapters.local.loopback import accepts_connections
from controller.core.traffic import HUNDRED_PCT, Mirror, Override, TrafficTable
from controller.errors import PermanentError, TransientError, UsageError
from controller.naming import deployment_named, model_named, version_named
from serving.contract import GATEWAY_HOST, PREDICT_ROUTE, NameRefusedError, deployed, shadow_cluster_name

ROUTES_FILE = "routes.json"
LOCK_FILE = "routes.lock"
ROUTE_CONFIGURATION = "serin"

_METADATA = "serin"
_WEIGHTS_PER_PCT = 100  # Envoy's weights are integers: 10,000 in all, so a hundredth of a percent is the finest share
# Envoy draws one random number per request for both decisions. A mirror of a whole number of percent is, modulo 10,000,
# independent of which version serves the request; a finer one is not quite.
_MIRROR_PER_PCT = 10_000

_COPY_TO_HEADER = "x-serin-copy-to"  # between Envoy's weights and its mirror: which cluster gets the copy
_CONFIRM_WITHIN_S = 1.0
_CONFIRM_POLL_S = 0.005
_CONNECT_WITHIN_S = 0.5


@dataclass(frozen=True, slots=True)
class RouteOptions:
    """What is said of every request of a model, whichever version serves it.

    Requests with the same value of ``sticky_header`` keep their version, and stay with a canary while its weight grows.
    """

    sticky_header: str | None = None
    timeout_s: float = 15.0


class RouteDocument:
    """All models' routes, as Envoy's discovery file holds them."""

    def __init__(self, revision: int, routes: Mapping[str, Mapping[str, Any]]) -> None:
        self._revision = revision
        self._routes = routes

    @classmethod
    def parse(cls, text: str) -> Self:
        """Raises ValueError, KeyError, TypeError or IndexError where this is no file of ours."""
        response = json.loads(text)
        return cls.of_configuration(response["resources"][0], revision=int(response["version_info"]))

    @classmethod
    def of_configuration(cls, configuration: Mapping[str, Any], *, revision: int = 0) -> Self:
        """From an Envoy RouteConfiguration; every route is decoded at once, so that a broken one is found here."""
        routes = {route["name"]: route for route in configuration["virtual_hosts"][0].get("routes", ())}
        document = cls(revision, routes)
        for model in routes:
            document.table(model)
        return document

    def renewed(self) -> Self:
        """The same tables and options, written as this version of Serin writes them."""
        routes = {model: _encode(_decode(model, route), self.options(model)) for model, route in self._routes.items()}
        return type(self)(self._revision + 1, routes)

    @property
    def models(self) -> tuple[str, ...]:
        return tuple(self._routes)

    def table(self, model: str) -> TrafficTable | None:
        route = self._routes.get(model)
        return None if route is None else _decode(model, route)

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
        return RouteDocument(self._revision + 1, {**self._routes, table.model: _encode(table, options)})

    def text(self) -> str:
        configuration = {
            "@type": "type.googleapis.com/envoy.config.route.v3.RouteConfiguration",
            "name": ROUTE_CONFIGURATION,
            "request_headers_to_remove": ["origin"],  # asked for at the gateway, where alone it means something
            "virtual_hosts": [
                {"name": "models", "domains": ["*"], "routes": [self._routes[model] for model in sorted(self._routes)]}
            ],
        }
        return json.dumps({"version_info": str(self._revision), "resources": [configuration]}, indent=1)


EMPTY_DOCUMENT = RouteDocument(0, {})


def read_routes(directory: Path) -> RouteDocument:
    """The stored routes; empty where none were ever written.

    Raises:
        PermanentError: the file is not one of ours, whole. Nothing overwrites it: it may be all that says who serves.
    """
    path = directory / ROUTES_FILE
    try:
        return RouteDocument.parse(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return EMPTY_DOCUMENT
    except (OSError, ValueError, KeyError, TypeError, IndexError) as error:
        raise PermanentError(
            f"{path} is not a readable traffic table ({type(error).__name__}: {error}) and is left as it is. "
            "Envoy goes on routing by what it read last. Repair the file, or move it away to begin without routes."
        ) from error


def write_routes(directory: Path, document: RouteDocument) -> None:
    """Replace the file; the caller holds the lock."""
    replace_file(directory / ROUTES_FILE, document.text())


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
    """Where copies for the version go. Raises UsageError as `deployment_named` does."""
    return shadow_cluster_name(model_named(model), version_named(version))


def _encode(table: TrafficTable, options: RouteOptions) -> dict[str, Any]:
    # The known good version comes last. Sticky requests are placed by hash on one line from 0 to 100 %, filled in this
    # order, so a growing canary keeps the requests that it has and takes new ones at its end.
    versions = sorted(table.weights_pct, key=lambda version: (version == table.known_good, version))
    weighted: dict[str, Any] = {"clusters": [_encode_share(table, version) for version in versions]}
    action: dict[str, Any] = {
        "weighted_clusters": weighted,
        "prefix_rewrite": PREDICT_ROUTE,
        "host_rewrite_literal": GATEWAY_HOST,
        "timeout": f"{options.timeout_s:g}s",
        # Only where the request never reached a replica: anything else could be served, and counted, twice.
        "retry_policy": {"retry_on": "connect-failure", "num_retries": 2},
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
        return {**share, "request_headers_to_remove": [_COPY_TO_HEADER]}
    copy_to = {"key": _COPY_TO_HEADER, "value": copies_cluster_name(table.model, twin)}
    return {**share, "request_headers_to_add": [{"header": copy_to, "append_action": "OVERWRITE_IF_EXISTS_OR_ADD"}]}


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
        },
        mirror=mirror,
        known_good=stored["known_good"],
        generation=int(stored["generation"]),  # Envoy's dump shows every number as a float
        override=override and Override(override["reason"], override["by"], override["at_s"]),
    )


@dataclass(frozen=True, slots=True)
class RollbackResult:
    """``confirmed``: Envoy itself said that it routes by this table, ``elapsed_ms`` after the call began."""

    table: TrafficTable
    confirmed: bool
    elapsed_ms: float


def rollback_route(
    routes_file: Path, model: str, reason: str, by: str, at_s: float, to_version: str | None = None
) -> RollbackResult:
    """Send every request of the model to its known good version (or ``to_version``), past the controller.

    Needs the files beside ``routes_file`` and nothing else. Safe to repeat: each call records who asked and why.
    The controller finds the override and takes it up before it writes again.

    Raises:
        UsageError: there is nowhere to go: no such model, no known good version, or its replica is not running; or
            a name that no model or version can have.
        PermanentError: the route file is damaged.
        TransientError: another writer would not let go of the file.
    """
    began_s = time.perf_counter()
    model_named(model)
    if to_version is not None:
        version_named(to_version)
    directory = routes_file.parent
    if not routes_file.exists():
        raise UsageError(f"{routes_file} does not exist: nothing is routed here. Name Serin's home with --home.")
    with locked(directory / LOCK_FILE, source="traffic"):
        document = read_routes(directory)
        table = _known_table(document, model)
        target = to_version or table.known_good
        if target is None:
            others = ", ".join(_running(directory, model)) or "none"
            raise UsageError(f"{model} has no known good version yet. Name one with --to; running: {others}.")
        _check_runs(directory, model, target)
        rolled_back = table.next(
            weights_pct={target: HUNDRED_PCT}, mirror=None, override=Override(reason=reason, by=by, at_s=at_s)
        )
        write_routes(directory, document.with_table(rolled_back, document.options(model)))
    confirmed = _confirm(directory, rolled_back)
    return RollbackResult(rolled_back, confirmed, (time.perf_counter() - began_s) * 1000)


def _known_table(document: RouteDocument, model: str) -> TrafficTable:
    table = document.table(model)
    if table is None:
        raise UsageError(f"no model {model!r} is routed here; there is: {', '.join(document.models) or 'none at all'}")
    return table


def _check_runs(directory: Path, model: str, version: str) -> None:
    running = _running(directory, model)
    if version not in running:
        raise UsageError(
            f"version {version} of {model} is not running, so no traffic was moved. "
            f"Name one that is with --to ({', '.join(running) or 'none is'}), or start it with `serin up`."
        )


def _running(directory: Path, model: str) -> tuple[str, ...]:
    return tuple(
        version
        for name, (host, port) in read_clusters(directory).items()
        for whose, version in _deployed(name)
        if whose == model and accepts_connections(host, port, timeout_s=_CONNECT_WITHIN_S)
    )


def _deployed(cluster: str) -> tuple[tuple[str, str], ...]:
    """Its model and version; nothing where it is no deployment's."""
    try:
        return (deployed(cluster),)
    except NameRefusedError:
        return ()


def _confirm(directory: Path, table: TrafficTable) -> bool:
    deadline_s = time.monotonic() + _CONFIRM_WITHIN_S
    while time.monotonic() < deadline_s:
        try:
            live = live_table(directory, table.model)
        except (TransientError, PermanentError):
            return False  # the caller is told "unconfirmed"; the table is written either way
        if live is not None and live.generation >= table.generation:
            return True
        time.sleep(_CONFIRM_POLL_S)
    return False


def live_table(directory: Path, model: str) -> TrafficTable | None:
    """The model's table as the running Envoy has it; None where Envoy does not know the model.

    Its worker threads follow within a millisecond or so.

    Raises:
        TransientError: Envoy does not answer.
        PermanentError: it answers with something that is not ours.
    """
    configuration = EnvoyAdmin.beside(directory).route_configuration(ROUTE_CONFIGURATION)
    if configuration is None:
        return None
    try:
        return RouteDocument.of_configuration(configuration).table(model)
    except (ValueError, KeyError, TypeError, IndexError) as error:
        raise PermanentError(f"Envoy routes by a configuration that Serin did not write: {error!r}") from error
