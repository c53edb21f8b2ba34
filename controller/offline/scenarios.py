"""The candidates of a backtest: one equal to stable, and ones made worse, with which of them the policy tolerates."""

from dataclasses import dataclass

from controller.core.policy import ReleasePolicy
from gates.kind import value_of
from gates.offline.backtest.injection import EQUAL, Injection, impossible
from gates.offline.backtest.service import Service
from gates.policy import GatePolicy
from gates.table import configured, kinds
from gates.wording import pct


@dataclass(frozen=True, slots=True)
class Scenario:
    """A kind of candidate, and why it is not to be judged as one that must be stopped, where that is so.

    ``skipped``: the regression cannot be put into this evidence. ``tolerated``: the policy does not forbid it.
    """

    name: str
    injection: Injection
    skipped: str = ""
    tolerated: str = ""

    @property
    def harmful(self) -> bool:
        """Return whether its promotion is a miss."""
        return self.injection != EQUAL and not self.tolerated


@dataclass(frozen=True, slots=True)
class Sizes:
    """The sizes of the regressions to put in, one scenario each."""

    accuracy_points: tuple[float, ...] = (1.0, 2.0, 5.0)
    latency_pct: tuple[float, ...] = (10.0, 20.0)
    error_times: tuple[float, ...] = (3.0, 5.0)
    confidence_gap: tuple[float, ...] = (0.05,)

    @property
    def scenarios(self) -> int:
        """Return how many, with the equal candidate."""
        return 1 + sum(map(len, (self.accuracy_points, self.latency_pct, self.error_times, self.confidence_gap)))


def scenarios(policy: ReleasePolicy, service: Service, sizes: Sizes) -> tuple[Scenario, ...]:
    """The equal candidate first, then each regression."""
    asked = [("equal", EQUAL)]
    asked += [(f"accuracy \N{MINUS SIGN}{_points(p)}", Injection(accuracy_points=p)) for p in sizes.accuracy_points]
    asked += [(f"latency +{p:g} %", Injection(latency_ratio=1 + p / 100)) for p in sizes.latency_pct]
    asked += [(f"errors \N{MULTIPLICATION SIGN}{t:g}", Injection(error_ratio=t)) for t in sizes.error_times]
    asked += [(f"confidence +{g:g}", Injection(confidence_gap=g)) for g in sizes.confidence_gap]
    return tuple(
        Scenario(name, change, impossible(service, change) or "", _tolerated(policy.gates, service, change))
        for name, change in asked
    )


def _points(points: float) -> str:
    return f"{points:g} point" + ("" if points == 1 else "s")


def _tolerated(gates: GatePolicy, service: Service, change: Injection) -> str:
    """Return which promise of the policy leaves room for so small a regression; empty where none does."""
    for regression, size in change.regressions:
        kind = next(kind for _, kind in kinds(type(gates)) if kind.promise and kind.promise.regression is regression)
        section = next((one.part.value for one in configured(gates) if one.kind is kind), None)
        if section is None or kind.promise is None:
            return f"the policy has no gate {kind.name}"
        if size < value_of(section, kind.promise.margin):
            return f"within the margin of {kind.name}"
        if kind.promise.ceiling:
            return _meets(kind.name, value_of(section, kind.promise.ceiling), service, size)
    return ""


def _meets(gate: str, ceiling: float, service: Service, times: float) -> str:
    """Errors that grow may still meet the absolute objective, which certifies as well as the comparison."""
    share = service.errors / max(service.stable_requests, 1) * times
    return f"{pct(share)} of errors meets the objective of {gate}, {pct(ceiling)}" if share < ceiling else ""
