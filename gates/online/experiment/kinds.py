"""The entries of experiment.ratio and experiment.inputs in the table of gates."""

from typing import Final

from gates.kind import Doc, GateKind
from gates.online.experiment.gate import RealisedShare, ShareGate, inputs_gate
from gates.online.experiment.policy import ExperimentPolicy
from gates.stats.homogeneity import HomogeneityState

_HOLDS: Final = "never; a broken experiment holds the release"
KINDS: Final = (
    GateKind(
        name="experiment.ratio",
        section=ExperimentPolicy,
        state=(RealisedShare,),
        make=lambda asked: (ShareGate(asked.section),),
        doc=Doc("live requests, as the gateway dealt them", _HOLDS),
    ),
    GateKind(
        name="experiment.inputs",
        section=ExperimentPolicy,
        state=(HomogeneityState,),
        make=lambda asked: (inputs_gate(asked.section),),
        doc=Doc("live requests of both versions", _HOLDS),
    ),
)
