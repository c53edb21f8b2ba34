"""The parts that the dashboards have in common: the lines that are drawn, and queries of what is picked."""

from collections.abc import Callable, Iterable, Sequence
from typing import Final

from controller.core.policy import ReleasePolicy
from controller.monitoring.dashboards.panel import PICKED
from gates.policy import LimitPolicy
from serving import contract as names

BY_MODEL: Final = "{{model}}"
BY_GATE: Final = "{{model}} {{gate}}"
BY_REPLICA: Final = "{{instance}}"
WINDOW: Final = "$__rate_interval"


class Limits:
    """The lines that are drawn, from the policies."""

    def __init__(self, policies: Sequence[ReleasePolicy]) -> None:
        self._policies = policies

    def least(self, of: Callable[[LimitPolicy], float | None]) -> float | None:
        """The strictest of a limit on what is used."""
        return _least(of(one.gates.limits) for one in self._policies if one.gates.limits is not None)

    @property
    def p95_ms(self) -> float | None:
        return _least(one.gates.latency.p95_ms_max for one in self._policies if one.gates.latency is not None)

    @property
    def p99_ms(self) -> float | None:
        return _least(one.gates.latency.p99_ms_max for one in self._policies if one.gates.latency is not None)

    @property
    def objective(self) -> float | None:
        """The share of requests answered without a server error."""
        found = [one.gates.budget.objective_ratio for one in self._policies if one.gates.budget is not None]
        return max(found, default=None)

    @property
    def error_ratio(self) -> float | None:
        return None if self.objective is None else round(1 - self.objective, 12)

    @property
    def drift(self) -> float | None:
        return _least(one.gates.drift.reference_guard for one in self._policies if one.gates.drift is not None)


def _least(found: Iterable[float | None]) -> float | None:
    return min((one for one in found if one is not None), default=None)


def picked(metric: str, *matchers: str) -> str:
    """The series of a metric of the models that are picked."""
    return f"{metric}{{{', '.join((PICKED, *matchers))}}}"


def summed(query: str, *labels: str) -> str:
    """The sum by these labels, or else by model."""
    return f"sum by ({', '.join(labels or (names.MODEL_LABEL,))}) ({query})"
