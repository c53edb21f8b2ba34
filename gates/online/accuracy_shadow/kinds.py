"""The entry of accuracy.shadow in the table of gates."""

from typing import Final

from gates.gate import Gate
from gates.kind import Asked, Doc, GateKind, Lever, Promise, Regression
from gates.online.accuracy_shadow import forecast
from gates.online.accuracy_shadow.gate import PairedAccuracyGate, PairedAccuracyState
from gates.online.accuracy_shadow.policy import PairedAccuracyPolicy, SlicePolicy

_LEVERS: Final = frozenset({Lever.DIRECTED_LABELS, Lever.LABELS, Lever.MIRROR, Lever.REPLAY})


def _of_all(asked: Asked[PairedAccuracyPolicy]) -> tuple[Gate[PairedAccuracyState]]:
    levels = asked.levels
    return (
        PairedAccuracyGate(asked.section, levels.rollback_alpha, levels.promotion_alpha, incident_s=levels.incident_s),
    )


def _of_slice(asked: Asked[SlicePolicy]) -> tuple[Gate[PairedAccuracyState]]:
    policy, levels = asked.section, asked.levels
    return (
        PairedAccuracyGate(
            policy.accuracy,
            levels.rollback_alpha,
            levels.promotion_alpha,
            slice=policy.name,
            incident_s=levels.incident_s,
        ),
    )


_ACCURACY_SHADOW = GateKind(
    name="accuracy.shadow",
    section=PairedAccuracyPolicy,
    state=(PairedAccuracyState,),
    make=_of_all,
    doc=Doc("pairs", "accuracy fell, by more than the guard", "a loss of `margin_points` is excluded"),
    alpha_share="alpha_share",
    forecast=forecast.of_all,
    margins=("margin_points",),
    levers=_LEVERS,
    promise=Promise(Regression.ACCURACY, "margin_points"),
    finds="pair",
)
_ACCURACY_OF_SLICE = GateKind(
    name="accuracy.shadow[SLICE]",
    section=SlicePolicy,
    state=(PairedAccuracyState,),
    make=_of_slice,
    doc=Doc(
        "pairs of a slice",
        "accuracy fell in it, by more than the guard",
        "a loss of its `margin_points` is excluded (not required)",
    ),
    alpha_share="accuracy.alpha_share",
    forecast=forecast.of_slice,
    margins=("accuracy.margin_points",),
    levers=_LEVERS,
)
KINDS: Final = (
    _ACCURACY_SHADOW,
    _ACCURACY_OF_SLICE,
)
