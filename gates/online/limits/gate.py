"""One measured value against its limit. Nothing here is a test: it lies within its limit or it does not."""

from collections.abc import Callable
from dataclasses import dataclass, replace

from gates.checks import METRICS, PROFILES, is_number
from gates.evidence import Look
from gates.gate import Timing
from gates.outcome import Outcome
from gates.verdict import Stage, Verdict


@dataclass(frozen=True, slots=True)
class LimitState:
    """Sums over the release (``above`` of ``below``) for shares; the last value for levels."""

    above: float = 0.0
    below: float = 0.0
    looks: int = 0

    @property
    def value(self) -> float | None:
        return self.above / self.below if self.looks and self.below > 0 else None


Measured = tuple[float, float]  # numerator and denominator
Reader = Callable[[Look], Measured | None]


@dataclass(frozen=True, slots=True)
class LimitGate:
    """``read`` takes one look's measure; ``sums`` adds them up over the release, else the last one counts."""

    name: str
    what: str
    limit: float | None
    read: Reader
    sums: bool
    at_least: bool = False
    unknown: str = "no replica tells it"  # why there is no value, where there is none
    stage: Stage = Stage.LIVE
    sources: frozenset[str] = frozenset({METRICS, PROFILES})
    required: bool = False

    def start(self) -> LimitState:
        return LimitState()

    def look(self, state: LimitState, look: Look, _timing: Timing) -> tuple[LimitState, Verdict]:
        measured = self.read(look)
        if measured is not None and not all(is_number(part) and part >= 0 for part in measured):
            reason = f"{self.name}: measured {measured[0]!r} of {measured[1]!r} is not a number."
            error = Verdict(self.name, self.stage, Outcome.ERROR, reason, window=look.window, advisory=True)
            return state, error
        if measured is not None:
            base = state if self.sums else LimitState(looks=state.looks)
            state = replace(base, above=base.above + measured[0], below=base.below + measured[1], looks=base.looks + 1)
        return state, self._verdict(state, look)

    def _verdict(self, state: LimitState, look: Look) -> Verdict:
        value, bound = state.value, "at least" if self.at_least else "at most"
        if value is None:
            outcome, reason = Outcome.INCONCLUSIVE, f"{self.what}: not measured, {self.unknown}."
        elif self.limit is None:
            outcome, reason = Outcome.INCONCLUSIVE, f"{self.what} is {value:.3g}; the policy sets no limit."
        elif value >= self.limit if self.at_least else value <= self.limit:
            outcome, reason = Outcome.PASS, f"{self.what} is {value:.3g}, {bound} {self.limit:g} is fine."
        else:
            outcome, reason = Outcome.FAIL, f"{self.what} is {value:.3g}, it should be {bound} {self.limit:g}."
        return Verdict(
            self.name,
            self.stage,
            outcome,
            reason,
            value=value,
            threshold=self.limit,
            samples=state.looks,
            window=look.window,
            advisory=True,
        )
