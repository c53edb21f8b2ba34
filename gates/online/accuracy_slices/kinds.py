"""The entry of accuracy.slices in the table of gates."""

from typing import Final

from gates.kind import Asked, Doc, GateKind, Lever
from gates.online.accuracy_shadow.policy import SlicePolicy
from gates.online.accuracy_slices import forecast
from gates.online.accuracy_slices.gate import SlicesState, WatchedSlicesGate
from gates.online.accuracy_slices.policy import WatchedSlicesPolicy


def _make(asked: Asked[WatchedSlicesPolicy]) -> tuple[WatchedSlicesGate]:
    named = frozenset(one.name for one in asked.others if isinstance(one, SlicePolicy))
    return (WatchedSlicesGate(asked.section, asked.levels.rollback_alpha, named, asked.levels.incident_s),)


_ACCURACY_SLICES = GateKind(
    name="accuracy.slices",
    section=WatchedSlicesPolicy,
    state=(SlicesState,),
    make=_make,
    doc=Doc(
        "pairs of each class, length and tag with traffic, and of each class that labels name",
        "accuracy fell in one of them, by more than the guard",
        "(not required)",
    ),
    alpha_share="alpha_share",
    forecast=forecast.race,
    levers=frozenset({Lever.DIRECTED_LABELS, Lever.LABELS, Lever.MIRROR}),
)
KINDS: Final = (_ACCURACY_SLICES,)
