"""The candidates of a backtest: one equal to stable, and several made worse. Some of these the policy tolerates."""

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
    """One kind of candidate. ``skipped``: why the regression cannot be put into this evidence; empty if it can.
    ``tolerated``: why the policy does not forbid the regression; empty if it does.
    """

    name: str
    injection: Injection
    skipped: str = ""
    tolerated: str = ""

    @property
    def harmful(self) -> bool:
        """Return whether promoting this candidate is a miss."""
        return self.injection != EQUAL and not self.tolerated


@dataclass(frozen=True, slots=True)
class Sizes:
    """The sizes of the regressions; each size makes one scenario."""

    accuracy_points: tuple[float, ...] = (1.0, 2.0, 5.0)
    latency_pct: tuple[float, ...] = (10.0, 20.0)
    error_times: tuple[float, ...] = (3.0, 5.0)
    confidence_gap: tuple[float, ...] = (0.05,)

    @property
    def scenarios(self) -> int:
        """Return the number of scenarios, including the equal candidate."""
        return 1 + sum(map(len, (self.accuracy_points, self.latency_pct, self.error_times, self.confidence_gap)))


def scenarios(policy: ReleasePolicy, service: Service, sizes: Sizes) -> tuple[Scenario, ...]:
    """Return the scenarios: the equal candidate first, then each regression."""
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
    """Return why the policy tolerates the regression, in words; empty if it does not."""
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
    """Return why the errors, multiplied by ``times``, still meet the gate's absolute objective, which is enough for a
    promotion; empty if they do not."""
    share = service.errors / max(service.stable_requests, 1) * times
    return f"{pct(share)} of errors meets the objective of {gate}, {pct(ceiling)}" if share < ceiling else ""
