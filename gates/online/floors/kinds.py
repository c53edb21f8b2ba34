"""The entry of recall:CLASS and false_positives:CLASS in the table of gates."""

from typing import Final

from gates.kind import Asked, Doc, GateKind, Lever
from gates.online.floors import forecast
from gates.online.floors.gate import FloorGate, FloorState
from gates.online.floors.policy import FloorPolicy


def _make(asked: Asked[FloorPolicy]) -> tuple[FloorGate]:
    levels = asked.levels
    return (FloorGate(asked.section, levels.rollback_alpha, levels.promotion_alpha, levels.incident_s),)


_FLOORS = GateKind(
    name="recall:CLASS",
    section=FloorPolicy,
    state=(FloorState,),
    make=_make,
    doc=Doc(
        "pairs labelled by chance, of the class or of all others",
        "the floor is surely missed, and surely more than by stable",
        "the floor is surely kept",
        gates="`recall:CLASS`, `false_positives:CLASS`",
    ),
    alpha_share="alpha_share",
    forecast=forecast.race,
    levers=frozenset({Lever.LABELS, Lever.MIRROR}),
)
KINDS: Final = (_FLOORS,)
