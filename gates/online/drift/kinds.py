"""The entries of the warnings that ask for labels."""

from typing import Final

from gates.kind import Doc, GateKind
from gates.online.drift.agreement import AgreementGate
from gates.online.drift.policy import DriftPolicy
from gates.online.drift.predictions import prediction_gates
from gates.online.drift.reference import ReferenceState, reference_gates
from gates.stats.homogeneity import HomogeneityState
from gates.stats.share import ShareState

_WARNS: Final = "never: it warns and asks for labels"
KINDS: Final = (
    GateKind(
        name="agreement.shadow",
        section=DriftPolicy,
        state=(ShareState,),
        make=lambda asked: (AgreementGate(asked.section),),
        doc=Doc("pairs", _WARNS, "(advisory)"),
    ),
    GateKind(
        name="drift.*",
        section=DriftPolicy,
        state=(HomogeneityState,),
        make=lambda asked: prediction_gates(asked.section),
        doc=Doc("sampled live answers of both versions", _WARNS, "(advisory)"),
    ),
    GateKind(
        name="reference.*",
        section=DriftPolicy,
        state=(ReferenceState,),
        make=lambda asked: reference_gates(asked.section),
        doc=Doc("stable's live requests, and those of the days before", _WARNS, "(advisory)"),
    ),
)
