"""The entry of cost.shadow in the table of gates."""

from typing import Final

from gates.kind import Asked, Doc, GateKind, Lever
from gates.online.costs import forecast
from gates.online.costs.gate import CostGate, CostState
from gates.online.costs.policy import CostPolicy


def _make(asked: Asked[CostPolicy]) -> tuple[CostGate]:
    levels = asked.levels
    return (CostGate(asked.section, levels.rollback_alpha, levels.promotion_alpha, levels.incident_s),)


_COST_SHADOW = GateKind(
    name="cost.shadow",
    section=CostPolicy,
    state=(CostState,),
    make=_make,
    doc=Doc(
        "pairs, where the policy says what mistakes cost",
        "wrong answers cost more, by more than the guard",
        "a rise of `margin_points` is excluded",
    ),
    alpha_share="alpha_share",
    forecast=forecast.race,
    margins=("margin_points",),
    levers=frozenset({Lever.DIRECTED_LABELS, Lever.LABELS, Lever.MIRROR}),
)
KINDS: Final = (_COST_SHADOW,)
