"""The HTTPRoute of a model, which IS its traffic table: one write moves traffic, and its annotations say who moved it.

Serin owns its ``spec.rules`` and a few annotations. Weights are hundredths of a percent, 10,000 in all, and none is
zero: a version without a share is absent. A second rule leads to the replicas' health route by the same weights. Its
answers tell which version, and which generation of the table, requests are routed to, without a request that counts.

Standard library only, and quick to import: the on-call rollback depends on it.
"""

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType
from typing import Any, Final

from controller.core.traffic import HUNDRED_PCT, Mirror, Override, TrafficTable
from controller.errors import PermanentError
from serving.contract import HEALTH_ROUTE, PREDICT_ROUTE, USER_HEADER

API_VERSION: Final = "gateway.networking.k8s.io/v1"
GENERATION_HEADER: Final = "x-serin-generation"
"""The header of answers by the health rule, if the gateway can add it: the generation of the table that it routes
by."""

GENERATION: Final = "serin.dev/generation"
TABLE: Final = "serin.dev/table"
DIGEST: Final = "serin.dev/rules-digest"
NAMES: Final = "serin.dev/backends"  # name of a Service -> version, which cannot be read from the name
_LIVE_PORT: Final = 8000
_SHADOW_PORT: Final = 8001
_WEIGHTS_PER_PCT: Final = 100
_MIRROR_DENOMINATOR_MAX: Final = 10_000

_REMOVES_USER: Final = {
    "type": "RequestHeaderModifier",
    "requestHeaderModifier": {"remove": [USER_HEADER]},
}
"""A filter of each backend, if users are kept on a version: it removes what a client says of itself in that header.
Envoy Gateway splits by weight and hash only if the backends have filters of their own (its issues 9626 and 9775)."""

_NO_NAMES: Final[Mapping[str, str]] = MappingProxyType({})

NameOf = Callable[[str, str], str]  # of model and version: the version's Service


class Feature(StrEnum):
    """The features that Serin asks for, by their names in a GatewayClass's `status.supportedFeatures`."""

    MIRROR = "HTTPRouteRequestMirror"
    PERCENT_MIRROR = "HTTPRouteRequestPercentageMirror"
    REWRITE = "HTTPRoutePathRewrite"
    ANSWER_HEADERS = "HTTPRouteResponseHeaderModification"
    TIMEOUT = "HTTPRouteRequestTimeout"


@dataclass(frozen=True, slots=True)
class RouteOptions:
    """The options for every request of a model. ``gateway_mirrors``: the gateway makes the copies.
    ``tells_generation``: it can add `GENERATION_HEADER`. ``timeout_s``: of a request; None: not set. ``sticky``: users
    are split by the hash of a header."""

    gateway_mirrors: bool = True
    tells_generation: bool = True
    timeout_s: float | None = 15.0
    sticky: bool = False


def rules_of(table: TrafficTable, options: RouteOptions, name_of: NameOf) -> list[dict[str, Any]]:
    """Return the rules, with every field that the server would add.

    Raises:
        PermanentError: a share is finer than a hundredth of a percent.
    """
    filters = {"filters": [_REMOVES_USER]} if options.sticky else {}
    backends = [
        _backend(name_of(table.model, version), _LIVE_PORT)
        | {"weight": _weight(table.weights_pct[version], version)}
        | filters
        for version in sorted(table.weights_pct, key=lambda version: (version == table.known_good, version))
    ]
    copies = []
    if table.mirror is not None and options.gateway_mirrors:
        copies = [_mirror(table.mirror, name_of(table.model, table.mirror.version))]
    told = [_tells(table.generation)] if options.tells_generation else []
    return [
        _rule(table.model, PREDICT_ROUTE, copies, backends, options),
        _rule(table.model, HEALTH_ROUTE, told, backends, options),
    ]


def rolled_back(rules: Sequence[Mapping[str, Any]], model: str, version: str, generation: int, name_of: NameOf) -> Any:
    """Return the rules with all requests to one version and no copies. What else they hold stays."""
    backend = _backend(name_of(model, version), _LIVE_PORT) | {"weight": round(HUNDRED_PCT * _WEIGHTS_PER_PCT)}
    changed = []
    for rule in rules:
        kept = [one for one in rule.get("filters", ()) if one.get("type") != "RequestMirror"]
        filters = [_tells(generation) if one.get("type") == "ResponseHeaderModifier" else one for one in kept]
        after = {key: value for key, value in rule.items() if key != "filters"} | {"backendRefs": [backend]}
        changed.append(after | ({"filters": filters} if filters else {}))
    return changed


def annotations_of(table: TrafficTable, rules: object, name_of: NameOf) -> dict[str, str]:
    """Return the annotations that are kept beside the rules: the table itself, and a digest by which an edit is
    detected."""
    versions = {*table.weights_pct, *([table.known_good] if table.known_good is not None else [])}
    mirror, override = table.mirror, table.override
    kept = {
        "weights_pct": dict(table.weights_pct),
        "mirror": mirror and {"version": mirror.version, "pct": mirror.pct},
        "known_good": table.known_good,
        "override": override and {"reason": override.reason, "by": override.by, "at_s": override.at_s},
    }
    return {
        GENERATION: str(table.generation),
        TABLE: json.dumps(kept, sort_keys=True),
        DIGEST: digest_of(rules),
        NAMES: json.dumps({name_of(table.model, version): version for version in sorted(versions)}),
    }


def table_of(model: str, route: Mapping[str, Any], names: Mapping[str, str] = _NO_NAMES) -> TrafficTable | None:
    """Return the table that the route holds; None if Serin never wrote it. ``names``: Services, with their versions,
    that the route did not lead to when it was written.

    The weights are those of the rules, whoever wrote them. If the rules lead to a Service that is not known, the
    weights are those that Serin wrote last, and the edit is reported as drift.

    Raises:
        PermanentError: the annotations are damaged.
    """
    found = route["metadata"].get("annotations") or {}
    if GENERATION not in found or TABLE not in found:
        return None
    try:
        kept = json.loads(found[TABLE])
        mirror, override = kept["mirror"], kept["override"]
        return TrafficTable(
            model,
            _weights(route, {**names, **json.loads(found.get(NAMES, "{}"))}) or kept["weights_pct"],
            mirror=mirror and Mirror(mirror["version"], mirror["pct"]),
            known_good=kept["known_good"],
            generation=int(found[GENERATION]),
            override=override and Override(override["reason"], override["by"], override["at_s"]),
        )
    except (ValueError, KeyError, TypeError) as error:
        raise PermanentError(
            f"the annotations {GENERATION} and {TABLE} of the route of {model} are damaged ({error}): "
            "delete both, and Serin rewrites the route"
        ) from error


def digest_of(rules: object) -> str:
    """Return a digest of the rules as they are written."""
    return hashlib.sha256(json.dumps(rules, sort_keys=True).encode()).hexdigest()[:16]


def edited(route: Mapping[str, Any]) -> str | None:
    """Return the digest of the rules if they are not those that Serin wrote last; None if they are."""
    written = (route["metadata"].get("annotations") or {}).get(DIGEST)
    found = digest_of(route["spec"].get("rules", []))
    return None if written is None or written == found else found


def writer_of_rules(route: Mapping[str, Any], own: Sequence[str]) -> str:
    """Return the field manager that wrote the rules last and is not one of ``own``; empty if none is known."""
    others = [
        entry
        for entry in route["metadata"].get("managedFields") or ()
        if entry.get("manager") not in own and "f:rules" in (entry.get("fieldsV1") or {}).get("f:spec", {})
    ]
    return str(max(others, key=lambda entry: entry.get("time", ""))["manager"]) if others else ""


def _weights(route: Mapping[str, Any], names: Mapping[str, str]) -> dict[str, float]:
    """Return the shares in the rule for predictions, in percent, by version; empty if a backend of it is not known."""
    rules = route["spec"].get("rules") or ()
    backends = rules[0].get("backendRefs") or () if rules else ()
    weights = {backend["name"]: int(backend.get("weight", 1)) for backend in backends}
    whole = sum(weights.values())
    if not whole or not weights.keys() <= names.keys():
        return {}
    return {names[name]: 100 * weight / whole for name, weight in weights.items() if weight}


def _rule(
    model: str,
    path: str,
    filters: Sequence[Mapping[str, Any]],
    backends: Sequence[Mapping[str, Any]],
    options: RouteOptions,
) -> dict[str, Any]:
    rewrite = {"type": "URLRewrite", "urlRewrite": {"path": {"type": "ReplaceFullPath", "replaceFullPath": path}}}
    timeouts = {"timeouts": {"request": f"{options.timeout_s:g}s"}} if options.timeout_s is not None else {}
    return {
        "matches": [{"path": {"type": "Exact", "value": f"/models/{model}{path}"}}],
        "filters": [rewrite, *filters],
        "backendRefs": list(backends),
        **timeouts,
    }


def _backend(name: str, port: int) -> dict[str, Any]:
    return {"group": "", "kind": "Service", "name": name, "port": port}


def _weight(pct: float, version: str) -> int:
    units = round(pct * _WEIGHTS_PER_PCT)
    if units / _WEIGHTS_PER_PCT != pct or units < 1:
        raise PermanentError(
            f"weight of version {version}: {pct} % is finer than {1 / _WEIGHTS_PER_PCT:g} %, the finest "
            "that can be served"
        )
    return units


def _mirror(mirror: Mirror, name: str) -> dict[str, Any]:
    copied: dict[str, Any] = {"backendRef": _backend(name, _SHADOW_PORT)}
    from fractions import Fraction  # imported here, because a rollback makes no copies and must start quickly

    share = Fraction(mirror.pct).limit_denominator(_MIRROR_DENOMINATOR_MAX // 100) / 100
    if mirror.pct < HUNDRED_PCT and mirror.pct == int(mirror.pct):
        copied["percent"] = int(mirror.pct)
    elif mirror.pct < HUNDRED_PCT:
        denominator = 1000 if (share * 1000).denominator == 1 else _MIRROR_DENOMINATOR_MAX
        copied["fraction"] = {"numerator": round(share * denominator), "denominator": denominator}
    return {"type": "RequestMirror", "requestMirror": copied}


def _tells(generation: int) -> dict[str, Any]:
    header = {"name": GENERATION_HEADER, "value": str(generation)}
    return {"type": "ResponseHeaderModifier", "responseHeaderModifier": {"set": [header]}}
