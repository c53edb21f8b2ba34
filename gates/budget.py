"""budget.burn: does the candidate alone spend the error budget faster than the objective allows?

Burn 1 spends exactly the budget. This gate can stop a release, and freeze the service; promotion does not wait for it.
"""

import math
from dataclasses import dataclass

from gates.checks import METRICS
from gates.evidence import Look
from gates.gate import Timing, settle
from gates.outcome import Outcome
from gates.policy import BudgetPolicy
from gates.share import ShareState, above, below
from gates.verdict import Interval, Stage, Verdict
from gates.wording import of


@dataclass(frozen=True, slots=True)
class BudgetState:
    """The candidate's live requests, for the test of burn 1 and for the certificate."""

    harm: ShareState
    safe: ShareState


@dataclass(frozen=True, slots=True)
class BudgetGate:
    policy: BudgetPolicy
    alpha: float
    promotion_alpha: float
    name: str = "budget.burn"
    stage: Stage = Stage.LIVE
    sources: frozenset[str] = frozenset({METRICS})
    required: bool = False

    @property
    def _allowed(self) -> float:
        """The error ratio that spends the budget exactly."""
        return 1 - self.policy.objective_ratio

    def start(self) -> BudgetState:
        return BudgetState(ShareState(), ShareState())

    def look(self, state: BudgetState, look: Look, timing: Timing) -> tuple[BudgetState, Verdict]:
        if look.candidate is not None:
            errors, requests = look.candidate.errors, look.candidate.requests
            state = BudgetState(
                harm=above(self._allowed, self.policy.grid).add(state.harm, errors, requests),
                safe=below(self._allowed * self.policy.rollback_burn).add(state.safe, errors, requests),
            )
        return state, self._verdict(state, look, timing)

    def _verdict(self, state: BudgetState, look: Look, timing: Timing) -> Verdict:
        policy, harm = self.policy, state.harm
        burn = harm.share / self._allowed
        fired = timing.fires(self.alpha, harm.peak, lambda: harm.p_value(self._allowed))
        certified = state.safe.peak >= math.log(1 / self.promotion_alpha) and burn < policy.rollback_burn
        enough = harm.total >= policy.requests_min
        outcome = settle(failed=enough and fired and burn >= policy.rollback_burn, passed=enough and certified)
        failed = outcome is Outcome.FAIL
        freezes = failed and burn >= policy.freeze_burn
        low, high = harm.interval(self.promotion_alpha)
        return Verdict(
            self.name,
            self.stage,
            outcome,
            self._reason(outcome, harm, burn, freezes=freezes),
            value=burn if harm.total else None,
            unit="times the budget",
            interval=Interval(low / self._allowed, high / self._allowed, 1 - self.promotion_alpha),
            threshold=policy.rollback_burn,
            samples=harm.total,
            window=look.window,
            advisory=not failed,
            freezes=freezes,
        )

    def _reason(self, outcome: Outcome, harm: ShareState, burn: float, *, freezes: bool) -> str:
        if not harm.total:
            return "No live traffic yet: the error budget is judged on requests that users sent to the candidate."
        seen = f"the candidate failed {of(harm.events, harm.total, 'requests')}"
        objective = f"of the objective {100 * self.policy.objective_ratio:g} %"
        if outcome is Outcome.FAIL:
            then = "; all model changes of this service are frozen" if freezes else ""
            return f"The error budget {objective} burns {burn:.1f} times too fast: {seen}{then}."
        if outcome is Outcome.PASS:
            return f"The error budget {objective} is safe, burn {burn:.2g}: {seen}."
        return f"Burn {burn:.2g} {objective}, not settled yet: {seen}; promotion does not wait for it."
