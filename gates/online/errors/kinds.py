"""The entries of errors.shadow and errors.live in the table of gates."""

from typing import Final

from gates.gate import Gate
from gates.kind import Asked, Doc, GateKind, Lever, Promise, Regression
from gates.online.errors import forecast
from gates.online.errors.gate import ErrorsGate, ErrorsState
from gates.online.errors.policy import LiveErrorsPolicy, ShadowErrorsPolicy
from gates.verdict import Stage


def _in_shadow(asked: Asked[ShadowErrorsPolicy]) -> tuple[Gate[ErrorsState]]:
    return (
        ErrorsGate(
            asked.section,
            Stage.SHADOW,
            asked.levels.rollback_alpha,
            asked.levels.promotion_alpha,
            asked.levels.incident_s,
        ),
    )


def _live(asked: Asked[LiveErrorsPolicy]) -> tuple[Gate[ErrorsState]]:
    return (
        ErrorsGate(
            asked.section,
            Stage.LIVE,
            asked.levels.rollback_alpha,
            asked.levels.promotion_alpha,
            asked.levels.incident_s,
        ),
    )


_ERRORS_SHADOW = GateKind(
    name="errors.shadow",
    section=ShadowErrorsPolicy,
    state=(ErrorsState,),
    make=_in_shadow,
    doc=Doc("mirrored requests", "the error ratio rose", "ratio or ceiling certified"),
    alpha_share="alpha_share",
    forecast=forecast.in_shadow,
    margins=("error_ratio_max", "margin_ratio"),
    levers=frozenset({Lever.MIRROR}),
)
_ERRORS_LIVE = GateKind(
    name="errors.live",
    section=LiveErrorsPolicy,
    state=(ErrorsState,),
    make=_live,
    doc=Doc(
        "what users got, and mirrored requests", "the error ratio rose", "ratio or ceiling certified, it says which"
    ),
    alpha_share="alpha_share",
    forecast=forecast.live,
    margins=("error_ratio_max", "margin_ratio"),
    levers=frozenset({Lever.MIRROR, Lever.SHARE}),
    promise=Promise(Regression.ERRORS, "margin_ratio", ceiling="error_ratio_max"),
    finds="error",
)
KINDS: Final = (
    _ERRORS_SHADOW,
    _ERRORS_LIVE,
)
