"""One model's route as Envoy takes it, and back. Standard library only, and quick to import."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from controller.adapters.envoy.ledger import METADATA
from controller.core.traffic import Mirror, Override, TrafficTable
from controller.errors import PermanentError
from controller.naming import deployment_named, model_named, version_named
from serving.contract import GATEWAY_HOST, PREDICT_ROUTE, USER_HEADER, deployed, shadow_cluster_name

_PREVIOUS_PRIORITIES = "type.googleapis.com/envoy.extensions.retry.priority.previous_priorities.v3"
WEIGHTS_PER_PCT = 100  # Envoy's weights are integers: 10,000 in all, so a hundredth of a percent is the finest share
# Envoy draws one random number per request for both decisions. A mirror of a whole number of percent is, modulo 10,000,
# independent of which version serves the request; a finer one is not quite.
MIRROR_PER_PCT = 10_000

_COPY_TO_HEADER = "x-serin-copy-to"  # between Envoy's weights and its mirror: which cluster gets the copy


@dataclass(frozen=True, slots=True)
class RouteOptions:
    """The options that apply to every request for a model, whichever version serves it.

    Requests with the same value of ``sticky_header`` stay on their version, also on a canary while its weight grows.
    """

    sticky_header: str | None = None
    timeout_s: float = 15.0


def encode(table: TrafficTable, options: RouteOptions) -> dict[str, Any]:
    """The route that serves the table.

    Raises:
        PermanentError: a share is finer than Envoy serves.
    """
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
        **_told_who_asks(options.sticky_header),
        "metadata": {
            "filter_metadata": {
                METADATA: {
                    "generation": table.generation,
                    "known_good": table.known_good,
                    "mirror": table.mirror and table.mirror.version,
                    "override": override and {"reason": override.reason, "by": override.by, "at_s": override.at_s},
                }
            }
        },
    }


def _told_who_asks(sticky_header: str | None) -> dict[str, Any]:
    """The header that tells replicas by what a user is kept on its version: set anew, or removed, for each request, so
    that a client cannot choose. Envoy removes before it adds, and adds nothing that is empty."""
    if sticky_header is None:
        return {}
    header = {"key": USER_HEADER, "value": f"%REQ({sticky_header})%"}
    return {
        "request_headers_to_remove": [USER_HEADER],
        "request_headers_to_add": [{"header": header, "append_action": "OVERWRITE_IF_EXISTS_OR_ADD"}],
    }


def _encode_share(table: TrafficTable, version: str) -> dict[str, Any]:
    """One version's weight, and where the copies of what it serves go: the header is set or removed for each request,
    so that a client cannot choose."""
    weight = _units(table.weights_pct[version], WEIGHTS_PER_PCT, f"weight of version {version}")
    share: dict[str, Any] = {"name": deployment_named(table.model, version), "weight": weight}
    twin = table.copied_to(version)
    if twin is None:
        return _without_copies(share)
    copy_to = {"key": _COPY_TO_HEADER, "value": copies_cluster_name(table.model, twin)}
    return {**share, "request_headers_to_add": [{"header": copy_to, "append_action": "OVERWRITE_IF_EXISTS_OR_ADD"}]}


def _without_copies(share: dict[str, Any]) -> dict[str, Any]:
    return {**share, "request_headers_to_remove": [_COPY_TO_HEADER]}


def _encode_mirror(mirror: Mirror) -> dict[str, Any]:
    numerator = _units(mirror.pct, MIRROR_PER_PCT, f"mirror to version {mirror.version}")
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


def decode(model: str, route: Mapping[str, Any]) -> TrafficTable:
    """The table that the route serves. Raises ValueError, KeyError, TypeError or IndexError where it is not ours."""
    action, stored = route["route"], route["metadata"]["filter_metadata"][METADATA]
    mirror = None
    for policy in action.get("request_mirror_policies", ()):
        numerator = policy["runtime_fraction"]["default_value"]["numerator"]
        mirror = Mirror(stored["mirror"], numerator / MIRROR_PER_PCT)
    override = stored["override"]
    return TrafficTable(
        model=model,
        weights_pct={
            deployed(cluster["name"])[1]: cluster["weight"] / WEIGHTS_PER_PCT
            for cluster in action["weighted_clusters"]["clusters"]
            if cluster.get("weight", 0)
        },
        mirror=mirror,
        known_good=stored["known_good"],
        generation=int(stored["generation"]),  # Envoy's dump shows every number as a float
        override=override and Override(override["reason"], override["by"], override["at_s"]),
    )


def copies_cluster_name(model: str, version: str) -> str:
    """Return where copies for the version go. Raises UsageError as `deployment_named` does."""
    return shadow_cluster_name(model_named(model), version_named(version))


def runtime_prefix(model: str) -> str:
    """Return the prefix of the names of the model's weights in Envoy's memory, which go before those of the file where
    they are set."""
    return f"serin/{model}"
