"""The entry of accuracy.live in the table of gates."""

from typing import Final

from gates.gate import Gate
from gates.kind import Asked, Doc, GateKind, Lever
from gates.online.accuracy_live import forecast
from gates.online.accuracy_live.gate import LiveAccuracyGate, LiveAccuracyState
from gates.online.accuracy_live.policy import LiveAccuracyPolicy


def _make(asked: Asked[LiveAccuracyPolicy]) -> tuple[Gate[LiveAccuracyState]]:
    return (
        LiveAccuracyGate(
            asked.section, asked.levels.rollback_alpha, asked.levels.promotion_alpha, asked.levels.incident_s
        ),
    )


_ACCURACY_LIVE = GateKind(
    name="accuracy.live",
    section=LiveAccuracyPolicy,
    state=(LiveAccuracyState,),
    make=_make,
    doc=Doc(
        "labels of live answers", "the rate of wrong answers rose", "a loss of the margin is excluded (not required)"
    ),
    alpha_share="alpha_share",
    forecast=forecast.race,
    margins=("margin_points",),
    levers=frozenset({Lever.LIVE_LABELS, Lever.SHARE}),
    finds="wrong",
)
KINDS: Final = (_ACCURACY_LIVE,)
