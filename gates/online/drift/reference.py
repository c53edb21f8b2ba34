"""reference.*: are the service's requests and answers like those before the release?

Stable's live traffic now is compared with its own traffic in the time before. Such drift affects both versions alike:
it says nothing of the candidate, and neither holds nor fails a release. The warning asks for labels, and perhaps for
retraining.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass, field, replace

from gates.checks import METRICS, PREDICTIONS, PROFILES
from gates.evidence import NO_PROFILE, Look
from gates.gate import Timing
from gates.online.drift.policy import DriftPolicy
from gates.outcome import Outcome
from gates.stats.homogeneity import HomogeneityState
from gates.verdict import Stage, Verdict

Counts = tuple[int, ...]


@dataclass(frozen=True, slots=True)
class ReferenceState:
    """``blocks``: those of the reference that are not yet compared. ``waiting``: counts since the release began that
    are not yet compared. ``compared``: counts since then against the reference; once no block is left, further counts
    are added without evidence."""

    blocks: tuple[Counts, ...] = ()
    known: int = 0  # observations in the whole reference
    waiting: Counts = ()
    compared: HomogeneityState = field(default_factory=HomogeneityState)

    def begin(self, blocks: tuple[Counts, ...]) -> "ReferenceState":
        return ReferenceState(blocks, sum(map(sum, blocks)))

    def add(self, now: Counts, at_least: int) -> "ReferenceState":
        """Return the state with one look's counts. They are compared with the next block once there are as many as it
        has, or ``at_least``. A block is used once, as both sides of an e-value have to be new."""
        state = replace(self, waiting=(0,) * len(now)) if len(now) != len(self.waiting) else self
        waiting = tuple(map(int.__add__, state.waiting, now))
        block = state.blocks[0] if state.blocks else (0,) * len(now)
        if len(block) != len(now):
            return self  # other bins than the reference's: nothing to compare with
        if state.blocks and sum(waiting) < min(sum(block), at_least):
            return replace(state, waiting=waiting)
        compared = state.compared.add(waiting, block)
        return replace(state, blocks=state.blocks[1:], waiting=(0,) * len(now), compared=compared)


@dataclass(frozen=True, slots=True)
class ReferenceGate:
    """The gate of one kind of counts, always advisory. ``field``: the attribute of `Profile` that has them."""

    policy: DriftPolicy
    name: str
    field: str
    what: str
    sources: frozenset[str]
    stage: Stage = Stage.LIVE
    required: bool = False

    def start(self) -> ReferenceState:
        return ReferenceState()

    def look(self, state: ReferenceState, look: Look, _timing: Timing) -> tuple[ReferenceState, Verdict]:
        if look.reference and not state.known:
            blocks = (getattr(block, self.field) for block in look.reference)
            state = state.begin(tuple(block for block in blocks if sum(block)))
        now = getattr(look.stable_profile or NO_PROFILE, self.field)
        if now and state.known:
            state = state.add(now, self.policy.samples_min)
        return state, self._verdict(state, look)

    def _verdict(self, state: ReferenceState, look: Look) -> Verdict:
        policy, compared = self.policy, state.compared
        distance, enough = compared.distance(), compared.smaller >= policy.samples_min
        far = enough and compared.peak >= -math.log(policy.alpha) and distance >= policy.reference_guard
        before = f"in the {policy.reference_s / 86_400:g} days before the release"
        seen = f"distance {distance:.3f} (0 same, 1 disjoint) over {sum(compared.candidate):,} requests since"
        if state.known < policy.samples_min:
            reason = f"{self.what}: too little to compare with, {state.known:,} sampled answers of stable {before}."
        elif far:
            reason = (
                f"{self.what} drifted from those {before}: {seen}. It affects both versions, so it does not "
                "count against the candidate: label fresh requests, and consider retraining."
            )
        elif enough:
            reason = f"{self.what} are like those {before}: {seen}."
        else:
            reason = (
                f"{self.what}: {compared.smaller:,} of {policy.samples_min:,} requests compared with those {before}."
            )
        return Verdict(
            self.name,
            self.stage,
            Outcome.PASS if enough and not far else Outcome.INCONCLUSIVE,
            reason,
            value=distance if compared.smaller else None,
            unit="total variation",
            threshold=policy.reference_guard,
            samples=compared.smaller,
            window=look.window,
            advisory=True,
        )


def reference_gates(policy: DriftPolicy) -> Iterator[ReferenceGate]:
    yield ReferenceGate(
        policy, "reference.inputs", "token_counts", "Input lengths", frozenset({METRICS, PREDICTIONS, PROFILES})
    )
    for name, counts, what in (
        ("classes", "class_counts", "Predicted classes"),
        ("confidence", "confidence_counts", "Confidences"),
    ):
        yield ReferenceGate(policy, f"reference.{name}", counts, what, frozenset({PREDICTIONS, PROFILES}))
