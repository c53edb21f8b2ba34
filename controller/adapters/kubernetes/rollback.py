"""The on-call rollback on a cluster. It needs only a kubeconfig that may get and patch one route; nothing else has to
run.

Standard library only, and quick to import.
"""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from controller.adapters.kubernetes.kubeconfig import Account
from controller.adapters.kubernetes.lone import LoneClient, route_path, taken
from controller.adapters.kubernetes.objects.route import GENERATION, NameOf, annotations_of, rolled_back, table_of
from controller.core.traffic import HUNDRED_PCT, Override, TrafficTable
from controller.errors import ConflictError, TransientError, UsageError
from controller.naming import model_named, version_named

MANAGER: Final = "serin-rollback"
_TRIES: Final = 5
_CONFIRM_WITHIN_S: Final = 0.5
_CONFIRM_FIRST_S: Final = 0.02  # the first wait between two looks at the route's status; each is twice the last


@dataclass(frozen=True, slots=True)
class RouteRolledBack:
    """``elapsed_ms``: from the call to the server's answer that the route is written. ``accepted``: within half a
    second after that, every gateway of the route reported that it has loaded the table."""

    table: TrafficTable
    accepted: bool
    elapsed_ms: float


def roll_back_route(
    account: Account,
    model: str,
    override: Override,
    name_of: NameOf,
    route_name: Callable[[str], str],
    to_version: str | None = None,
) -> RouteRolledBack:
    """Send every request of the model to its known good version (or to ``to_version``) without the controller, by one
    write of one object.

    Safe to repeat. If somebody else writes at the same time, the route is read again. The controller finds the override
    and takes note of it before it writes again.

    Raises:
        UsageError: there is no such route or no known good version, or a name is not allowed.
        PermanentError: the route's annotations are damaged, or the kubeconfig's user may not do it.
        TransientError: the API server does not answer.
        ConflictError: others keep writing the route.
    """
    began_s = time.perf_counter()
    model_named(model)
    if to_version is not None:
        version_named(to_version)
    path = route_path(account.namespace, route_name(model))
    with LoneClient(account) as client:
        for _ in range(_TRIES):
            route = taken(*client.ask("GET", path), f"read the route of {model} in {account.namespace}")
            table = _target(model, route, override, to_version)
            patch = _patch(route, table, name_of)
            query = f"?fieldManager={MANAGER}"
            answer = client.ask("PATCH", path + query, patch, "application/json-patch+json")
            try:
                written = taken(*answer, f"write the route of {model}")
            except ConflictError as error:
                conflict = error
                continue
            elapsed_ms = (time.perf_counter() - began_s) * 1000
            return RouteRolledBack(table, _is_accepted(client, path, written), elapsed_ms)
    raise conflict


def _target(model: str, route: Mapping[str, Any], override: Override, to_version: str | None) -> TrafficTable:
    table = table_of(model, route)
    if table is None:
        raise UsageError(f"Serin has written no traffic of {model} there yet")
    target = to_version or table.known_good
    if target is None:
        raise UsageError(f"{table.nowhere_back}. To send everybody to a running version, name it with --to.")
    return table.next(weights_pct={target: HUNDRED_PCT}, mirror=None, override=override)


def _patch(route: Mapping[str, Any], table: TrafficTable, name_of: NameOf) -> list[dict[str, Any]]:
    """Return a patch that changes nothing unless the generation is still the one that was read."""
    version = next(iter(table.weights_pct))
    rules = rolled_back(route["spec"]["rules"], table.model, version, table.generation, name_of)
    annotations = annotations_of(table, rules, name_of)
    before = route["metadata"]["annotations"][GENERATION]
    return [
        {"op": "test", "path": _annotation(GENERATION), "value": before},
        *({"op": "add", "path": _annotation(key), "value": value} for key, value in annotations.items()),
        {"op": "replace", "path": "/spec/rules", "value": rules},
    ]


def _annotation(key: str) -> str:
    return "/metadata/annotations/" + key.replace("~", "~0").replace("/", "~1")


def _is_accepted(client: LoneClient, path: str, written: Mapping[str, Any]) -> bool:
    """Return whether the gateways soon report that they have loaded the table. It is written either way, so a server
    that no longer answers is no error here: it would look like a rollback that failed."""
    wanted = written["metadata"]["generation"]
    deadline_s, pause_s = time.monotonic() + _CONFIRM_WITHIN_S, _CONFIRM_FIRST_S
    while True:
        try:
            status, route = client.ask("GET", path)
        except TransientError:
            return False
        if status != 200:
            return False
        parents = (route.get("status") or {}).get("parents") or ()
        conditions = [one for parent in parents for one in parent["conditions"] if one["type"] == "Accepted"]
        if conditions and all(
            one["status"] == "True" and one.get("observedGeneration", 0) >= wanted for one in conditions
        ):
            return True
        if (left_s := deadline_s - time.monotonic()) <= 0:
            return False
        time.sleep(min(pause_s, left_s))
        pause_s *= 2
