"""The needs of a rollback: files, or a kubeconfig, and nothing that takes long to import: each way imports its own."""

from pathlib import Path
from typing import TYPE_CHECKING

from controller.core.traffic import Override, TrafficTable

if TYPE_CHECKING:
    from controller.adapters.envoy.rollback import RollbackResult
    from controller.adapters.kubernetes.rollback import RouteRolledBack
    from controller.config.settings import Home


def roll_back(
    home: "Home", model: str, *, reason: str, by: str, at_s: float, to_version: str | None
) -> "RollbackResult":
    """Send all of the model's traffic to its known good version, or the one named. Raises as `rollback_route` does."""
    from controller.adapters.envoy.rollback import rollback_route

    return rollback_route(home.routes, model, reason, by, at_s, to_version)


def way_back_of(home: "Home", model: str, *, to_version: str | None) -> "tuple[TrafficTable, str]":
    """Return the model's table, and the version that a rollback would go to now. Raises as `rollback_route` does."""
    from controller.adapters.envoy.rollback import way_back

    return way_back(home.routes, model, to_version)


def roll_back_on_cluster(
    kubeconfig: Path, model: str, override: Override, *, context: str | None, namespace: str | None, to: str | None
) -> "RouteRolledBack":
    """Send all of the model's traffic to its known good version, or the one named, on the cluster of the kubeconfig.

    Raises as `account_of` and `roll_back_route` do.
    """
    from controller.adapters.kubernetes.kubeconfig import account_of
    from controller.adapters.kubernetes.names import model_name, resource_name
    from controller.adapters.kubernetes.rollback import roll_back_route

    account = account_of(kubeconfig, context, namespace)
    return roll_back_route(account, model, override, resource_name, model_name, to)
