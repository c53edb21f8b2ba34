"""agreement.shadow: on how many mirrored requests do the versions give different answers?

A warning that asks for labels: only where the versions disagree can accuracy have been lost. Few disagreements certify
accuracy without any label, which ``accuracy.shadow`` takes into account by itself.
"""

from dataclasses import dataclass

from gates.checks import PREDICTIONS
from gates.evidence import Look
from gates.gate import Timing, bounds
from gates.online.drift.policy import DriftPolicy
from gates.outcome import Outcome
from gates.stats.share import ShareState
from gates.verdict import Stage, Verdict
from gates.wording import of, pct


@dataclass(frozen=True, slots=True)
class AgreementGate:
    policy: DriftPolicy
    name: str = "agreement.shadow"
    stage: Stage = Stage.SHADOW
    sources: frozenset[str] = frozenset({PREDICTIONS})
    required: bool = False

    def start(self) -> ShareState:
        return ShareState()

    def look(self, state: ShareState, look: Look, _timing: Timing) -> tuple[ShareState, Verdict]:
        total = state.total + look.pairs_agreed + look.pairs_disagreed
        state = ShareState(state.events + look.pairs_disagreed, total)
        return state, self._verdict(state, look)

    def _verdict(self, state: ShareState, look: Look) -> Verdict:
        limit = self.policy.disagreement_max
        low, high = state.interval(self.policy.alpha)
        seen = f"the versions disagree on {of(state.events, state.total, 'mirrored requests')}"
        if high < limit:
            outcome, reason = Outcome.PASS, f"The versions mostly agree: {seen}, surely less than {pct(limit)}."
        elif low > limit:
            outcome = Outcome.INCONCLUSIVE
            reason = f"The versions often disagree: {seen}; label those requests first, they decide the accuracy."
        else:
            outcome, reason = (
                Outcome.INCONCLUSIVE,
                f"Agreement not settled yet: {seen}; more mirrored requests would tell.",
            )
        return Verdict(
            self.name,
            self.stage,
            outcome,
            reason,
            value=state.share if state.total else None,
            unit="share",
            interval=bounds(low, high, self.policy.alpha),
            threshold=limit,
            samples=state.total,
            window=look.window,
            advisory=True,
        )
