"""The entry of budget.burn in the table of gates."""

from typing import Final

from gates.gate import Gate
from gates.kind import Asked, Doc, GateKind, Lever
from gates.online.budget import forecast
from gates.online.budget.gate import BudgetGate, BudgetState
from gates.online.budget.policy import BudgetPolicy
from gates.online.errors.policy import LiveErrorsPolicy


def _make(asked: Asked[BudgetPolicy]) -> tuple[Gate[BudgetState]]:
    errors, levels = asked.other(LiveErrorsPolicy), asked.levels
    by_cluster = errors is not None and errors.count_clusters  # both look at the same requests
    return (
        BudgetGate(
            asked.section, levels.rollback_alpha, levels.promotion_alpha, levels.incident_s, count_clusters=by_cluster
        ),
    )


_BUDGET_BURN = GateKind(
    name="budget.burn",
    section=BudgetPolicy,
    state=(BudgetState,),
    make=_make,
    doc=Doc(
        "what users got of the candidate",
        "it burns the error budget at twice its rate and fails more than stable; at four times it also freezes",
        "(not required)",
    ),
    alpha_share="alpha_share",
    forecast=forecast.race,
    levers=frozenset({Lever.SHARE}),
)
KINDS: Final = (_BUDGET_BURN,)
