"""The test whether both versions' requests, or answers, come from one distribution."""

import math
from dataclasses import dataclass

from gates.checks import PREDICTIONS, PROFILES
from gates.evidence import NO_PROFILE, Look, Profile
from gates.gate import Timing
from gates.outcome import Outcome
from gates.stats.homogeneity import HomogeneityState
from gates.verdict import Limit, Rule, Stage, Verdict


@dataclass(frozen=True, slots=True)
class DistanceGate:
    """The gate that tells whether two versions' counts are from one distribution. ``field`` of ``Profile`` says which
    counts."""

    name: str
    field: str
    what: str
    alarm: str
    alpha: float
    guard: float
    samples_min: int
    holds: bool  # what to do when not: hold the release, or only warn
    stage: Stage = Stage.LIVE
    sources: frozenset[str] = frozenset({PREDICTIONS, PROFILES})
    required: bool = False

    def start(self) -> HomogeneityState:
        return HomogeneityState()

    def look(self, state: HomogeneityState, look: Look, _timing: Timing) -> tuple[HomogeneityState, Verdict]:
        candidate, stable = look.candidate_profile or NO_PROFILE, look.stable_profile or NO_PROFILE
        counts = getattr(candidate, self.field), getattr(stable, self.field)
        comparable = self.field != "token_counts" or _same_tokenizer(candidate, stable)
        if all(counts) and comparable:
            state = state.add(*counts)
        return state, self._verdict(state, look, comparable=comparable)

    def _verdict(self, state: HomogeneityState, look: Look, *, comparable: bool) -> Verdict:
        distance, enough = state.distance(), state.smaller >= self.samples_min
        apart = enough and state.peak >= -math.log(self.alpha) and distance >= self.guard
        seen = f"distance {distance:.3f} (0 same, 1 disjoint) over {state.smaller:,} requests of the smaller side"
        if apart:
            reason = f"{self.what} differ between the versions: {seen}; {self.alarm}."
        elif enough:
            reason = f"{self.what} look alike in both versions: {seen}."
        elif not comparable:
            reason = f"{self.what} cannot be compared: the versions have different tokenizers."
        else:
            reason = (
                f"{self.what} not compared yet: {state.smaller:,} of {self.samples_min:,} requests of each version."
            )
        return Verdict(
            self.name,
            self.stage,
            Outcome.PASS if enough and not apart else Outcome.INCONCLUSIVE,
            reason,
            value=distance if state.smaller else None,
            unit="total variation",
            threshold=self.guard,
            samples=state.smaller,
            window=look.window,
            advisory=not (apart and self.holds),
            limits=(Limit(Rule.GUARD, self.guard, distance if state.smaller else None, "total variation"),),
        )


def _same_tokenizer(one: Profile, other: Profile) -> bool:
    """Lengths are of tokens: where the tokenizers differ, so do they, whatever the texts. Unless told, they are one."""
    return not one.tokenizer or not other.tokenizer or one.tokenizer == other.tokenizer
