"""The gate of one measured value and its limit. It is no test: the value is within its limit or not.

Where stable exceeds the limit about as far, the texts or the machines are to blame and not the candidate: the sentence
says so, and nothing is held against the release.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Protocol

from gates.checks import METRICS, PROFILES, is_number
from gates.evidence import ArmCounts, Look, Profile, Resources
from gates.gate import Timing
from gates.outcome import Outcome
from gates.quick import quick
from gates.verdict import Limit, Rule, Stage, Verdict

Measured = tuple[float, float]  # numerator and denominator
WORSE: Final = 1.1
"""The ratio of the candidate's value to stable's up to which an exceeded limit is due to the service."""


@quick
@dataclass(frozen=True, slots=True)
class LimitState:
    """The numerator and denominator (``above``, ``below``) of the candidate's value, and those of stable's: sums over
    the release for shares, the last look's for levels."""

    above: float = 0.0
    below: float = 0.0
    looks: int = 0
    stable_above: float = 0.0
    stable_below: float = 0.0

    @property
    def value(self) -> float | None:
        return self.above / self.below if self.looks and self.below > 0 else None

    @property
    def of_stable(self) -> float | None:
        return self.stable_above / self.stable_below if self.stable_below > 0 else None

    def add(self, candidate: Measured, stable: Measured | None, *, sums: bool) -> "LimitState":
        """Return the state with one look's measures; without ``sums`` they replace those before."""
        base = self if sums else LimitState(looks=self.looks)
        own, other = candidate, stable or (0.0, 0.0)
        return LimitState(
            base.above + own[0],
            base.below + own[1],
            base.looks + 1,
            base.stable_above + other[0],
            base.stable_below + other[1],
        )


class Used(Protocol):
    """The part of a look that limits read."""

    @property
    def candidate(self) -> ArmCounts | None: ...

    @property
    def shadow(self) -> ArmCounts | None: ...

    @property
    def candidate_profile(self) -> Profile | None: ...

    @property
    def candidate_resources(self) -> Resources | None: ...

    @property
    def stable_resources(self) -> Resources | None: ...


Reader = Callable[[Used], Measured | None]


@dataclass(frozen=True, slots=True)
class LimitGate:
    """The gate of one value and its ``limit`` (None: not set). ``read`` takes one look's measure; ``sums``: measures
    are added up over the release, else the last one counts. ``at_least``: the limit is a lower one."""

    name: str
    what: str
    limit: float | None
    read: Reader
    sums: bool
    at_least: bool = False
    unknown: str = "no replica reports it"  # why there is no value, where there is none
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
            stable = self.read(_Stable(look.stable, look.stable_profile, look.stable_resources, look.stable_resources))
            known = stable is not None and all(is_number(part) and part >= 0 for part in stable)
            state = state.add(measured, stable if known else None, sums=self.sums)
        return state, self._verdict(state, look)

    def _verdict(self, state: LimitState, look: Look) -> Verdict:
        value, bound = state.value, "at least" if self.at_least else "at most"
        if value is None:
            outcome, reason = Outcome.INCONCLUSIVE, f"{self.what}: not measured, {self.unknown}."
        elif self.limit is None:
            outcome, reason = Outcome.INCONCLUSIVE, f"{self.what} is {value:.3g}; the policy sets no limit."
        elif self._is_within(value, self.limit):
            outcome, reason = Outcome.PASS, f"{self.what} is {value:.3g}, {bound} {self.limit:g} is fine."
        elif self._is_of_the_service(value, state.of_stable, self.limit):
            asked = f"it should be {bound} {self.limit:g}"
            outcome = Outcome.INCONCLUSIVE
            reason = f"{self.what} is {value:.3g}, {asked}; stable's is {state.of_stable:.3g}: so is the service."
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
            limits=() if self.limit is None else (self._limit(value, self.limit),),
        )

    def _limit(self, value: float | None, limit: float) -> Limit:
        rule = Rule.FLOOR if self.at_least else Rule.CEILING
        return Limit(rule, limit, value, "", at_least=self.at_least)

    def _is_within(self, value: float, limit: float) -> bool:
        return value >= limit if self.at_least else value <= limit

    def _is_of_the_service(self, value: float, of_stable: float | None, limit: float) -> bool:
        if of_stable is None or self._is_within(of_stable, limit):
            return False
        return WORSE * value >= of_stable if self.at_least else value <= WORSE * of_stable


@dataclass(frozen=True, slots=True)
class _Stable:
    """A look with stable in the candidate's place, for ``LimitGate.read``."""

    candidate: ArmCounts | None
    candidate_profile: Profile | None
    candidate_resources: Resources | None
    stable_resources: Resources | None
    shadow: ArmCounts | None = None
