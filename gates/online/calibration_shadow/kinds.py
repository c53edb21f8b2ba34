"""The entry of calibration.shadow in the table of gates."""

from typing import Final

from gates.gate import Gate
from gates.kind import Asked, Doc, GateKind, Lever, Promise, Regression
from gates.online.calibration_shadow import forecast
from gates.online.calibration_shadow.gate import CalibrationGate
from gates.online.calibration_shadow.policy import CalibrationPolicy
from gates.online.calibration_shadow.state import CalibrationState


def _make(asked: Asked[CalibrationPolicy]) -> tuple[Gate[CalibrationState]]:
    levels = asked.levels
    return (CalibrationGate(asked.section, levels.rollback_alpha, levels.promotion_alpha, levels.incident_s),)


_CALIBRATION_SHADOW = GateKind(
    name="calibration.shadow",
    section=CalibrationPolicy,
    state=(CalibrationState,),
    make=_make,
    doc=Doc(
        "pairs",
        "confidence minus correctness got worse, in the mean or by confidence",
        "a change of the margin is excluded",
    ),
    alpha_share="alpha_share",
    forecast=forecast.race,
    margins=("margin_gap",),
    levers=frozenset({Lever.LABELS, Lever.MIRROR, Lever.REPLAY}),
    promise=Promise(Regression.CONFIDENCE, "margin_gap"),
)
KINDS: Final = (_CALIBRATION_SHADOW,)
