"""The needs of a rollback: files, and nothing that takes long to import."""

from controller.adapters.envoy.rollback import RollbackResult, rollback_route
from controller.config.settings import Home

__all__ = ["RollbackResult", "roll_back"]


def roll_back(home: Home, model: str, *, reason: str, by: str, at_s: float, to_version: str | None) -> RollbackResult:
    """Send all of the model's traffic to its known good version, or the one named. Raises as `rollback_route` does."""
    return rollback_route(home.routes, model, reason, by, at_s, to_version)
