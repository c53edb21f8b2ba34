"""The watch over each service's burn rate: a service that burns its error budget too fast gets no new version."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from controller.core.policy import ReleasePolicy
from controller.ports.clock import Clock
from controller.ports.metrics import Metrics
from controller.report.words import duration
from gates.policy import BudgetPolicy
from gates.stats.burn import BurnAlert, BurnWindow, burn_alerts

POLL_S: Final = 15.0


@dataclass(slots=True)
class _Known:
    """The findings of the last request. ``reason``: the sentence about the rows that fire; empty if none does.
    ``rows``: the rows of the policy's table that fire."""

    asked_at_s: float
    reason: str = ""
    rows: tuple[BurnWindow, ...] = field(default_factory=tuple)


class ErrorBudget:
    """The burn rate of each model's service. It is read at most every ``poll_s`` seconds, because the longest window
    spans days of samples."""

    def __init__(self, metrics: Metrics, clock: Clock, *, poll_s: float = POLL_S) -> None:
        self._metrics = metrics
        self._clock = clock
        self._poll_s = poll_s
        self._known: dict[str, _Known] = {}

    def overspent(self, policy: ReleasePolicy) -> str | None:
        """Return why no new version may be released now, in words; None while the budget allows it.

        While the same rows of the table fire, the words and their numbers stay as they were when the rows began to
        fire.

        Raises:
            TransientError: the metrics do not answer.
        """
        budget = policy.gates.budget
        if budget is None or self.is_known(policy):
            return self._said(policy)
        now_s = self._clock.now_s()
        self._known[policy.model] = self._ask(policy.model, budget, self._known.get(policy.model), now_s)
        return self._said(policy)

    def is_known(self, policy: ReleasePolicy) -> bool:
        """Return whether `overspent` answers without asking the metrics."""
        if policy.gates.budget is None or not policy.gates.budget.service_windows:
            return True
        known = self._known.get(policy.model)
        return known is not None and known.asked_at_s <= self._clock.now_s() < known.asked_at_s + self._poll_s

    def _said(self, policy: ReleasePolicy) -> str | None:
        known = self._known.get(policy.model) if policy.gates.budget and policy.gates.budget.service_windows else None
        return known.reason or None if known is not None else None

    def _ask(self, model: str, budget: BudgetPolicy, before: _Known | None, now_s: float) -> _Known:
        windows_s = sorted({length_s for row in budget.service_windows for length_s in (row.long_s, row.short_s)})
        alerts = _firing(self._metrics.service_errors(model, windows_s, at_s=now_s), budget)
        rows = tuple(alert.window for alert in alerts)
        if before is not None and rows == before.rows and rows:
            return _Known(now_s, before.reason, rows)
        return _Known(now_s, " ".join(_sentence(alert, budget) for alert in alerts), rows)


def _firing(counts: Mapping[float, tuple[int, int]], budget: BudgetPolicy) -> tuple[BurnAlert, ...]:
    alerts = burn_alerts(counts, budget.objective_ratio, budget.service_windows, budget.period_s)
    return tuple(alert for alert in alerts if counts[alert.window.long_s][0] >= budget.service_errors_min)


def _sentence(alert: BurnAlert, budget: BudgetPolicy) -> str:
    row = alert.window
    return (
        f"The service burns its error budget {alert.long_burn:.1f} times too fast over "
        f"{duration(row.long_s)} and {alert.short_burn:.1f} times over {duration(row.short_s)} "
        f"(releases wait from {row.factor(budget.period_s):.3g} times): it goes on by itself once "
        "that is over."
    )
