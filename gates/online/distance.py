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
    """The gate that tests whether the counts of both versions come from one distribution. ``field``: the attribute of
    `Profile` that has the counts; ``what`` and ``alarm``: words for the sentence; ``guard``: the total variation
    distance below which nothing is said."""

    name: str
    field: str
    what: str
    alarm: str
    alpha: float
    guard: float
    samples_min: int
    holds: bool  # whether a difference holds the release, or only warns
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
    """Return whether lengths in tokens can be compared: different tokenizers give different lengths of the same text. A
    tokenizer that is not known counts as the same."""
    return not one.tokenizer or not other.tokenizer or one.tokenizer == other.tokenizer
