"""The entries of latency.p95 and latency.p99 in the table of gates."""

from typing import Final

from gates.gate import Gate
from gates.kind import Asked, Doc, GateKind, Lever, Promise, Regression
from gates.online.latency import forecast
from gates.online.latency.gate import LatencyGate
from gates.online.latency.policy import LatencyPolicy, p95, p99
from gates.online.latency.state import LatencyState

_DOC: Final = Doc(
    "what users got",
    "more requests are beyond stable's percentile, or an objective is surely missed",
    "within the margin and the objectives",
)


def _p95(asked: Asked[LatencyPolicy]) -> tuple[Gate[LatencyState]]:
    return (
        LatencyGate(
            p95(asked.section), asked.levels.rollback_alpha, asked.levels.promotion_alpha, asked.levels.incident_s
        ),
    )


def _p99(asked: Asked[LatencyPolicy]) -> tuple[Gate[LatencyState]]:
    return (
        LatencyGate(
            p99(asked.section), asked.levels.rollback_alpha, asked.levels.promotion_alpha, asked.levels.incident_s
        ),
    )


_LATENCY_P95 = GateKind(
    name="latency.p95",
    section=LatencyPolicy,
    state=(LatencyState,),
    make=_p95,
    doc=_DOC,
    alpha_share="p95_alpha_share",
    forecast=forecast.of_p95,
    margins=("p95_margin_ratio",),
    levers=frozenset({Lever.SHARE}),
    promise=Promise(Regression.LATENCY, "p95_margin_ratio"),
    finds="slow",
)
_LATENCY_P99 = GateKind(
    name="latency.p99",
    section=LatencyPolicy,
    state=(LatencyState,),
    make=_p99,
    doc=_DOC,
    alpha_share="p99_alpha_share",
    forecast=forecast.of_p99,
    margins=("p99_margin_ratio",),
    levers=frozenset({Lever.SHARE}),
)
KINDS: Final = (
    _LATENCY_P95,
    _LATENCY_P99,
)
