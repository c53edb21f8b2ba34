"""The entries of the limits in the table of gates."""

from typing import Final

from gates.kind import Doc, GateKind
from gates.online.limits.gate import LimitState
from gates.online.limits.measures import LimitPolicy, limit_gates
from gates.online.limits.tokens import LengthState, TokenizerGate, TokenizerState

KINDS: Final = (
    GateKind(
        name="tokenization.fingerprint",
        section=LimitPolicy,
        state=(TokenizerState,),
        make=lambda _asked: (TokenizerGate(),),
        doc=Doc("the running replica", "its tokenizer is not the pinned one", "(advisory)"),
    ),
    GateKind(
        name="limits",
        section=LimitPolicy,
        state=(LimitState, LengthState),
        make=lambda asked: limit_gates(asked.section),
        doc=Doc(
            "the candidate's replicas",
            "never: shown and recorded",
            "(advisory)",
            gates="`resources.*`, `tokenization.*`, `throughput`, `cost.per_1000`",
        ),
    ),
)
