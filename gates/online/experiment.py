"""experiment.ratio and experiment.inputs: is the comparison sound at all?

Traffic that is not divided as configured, or versions that see different inputs, make every comparison doubtful. That
says something about the experiment and nothing about the candidate: such a release is held, not rolled back.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass

from gates.checks import GATEWAY, METRICS, PREDICTIONS, PROFILES
from gates.evidence import Look, Profile
from gates.gate import Timing
from gates.outcome import Outcome
from gates.policy import DriftPolicy, ExperimentPolicy
from gates.stats.homogeneity import HomogeneityState
from gates.stats.ratio import Arms, RatioState, RatioTest
from gates.verdict import Stage, Verdict
from gates.wording import pct

_RATIOS = RatioTest(1.0, (0.5, 2 / 3, 0.8, 1.25, 1.5, 2.0))


@dataclass(frozen=True, slots=True)
class RealisedShare:
    """``requests`` by version against what the configured shares make of them."""

    requests: RatioState
    last_share: float = 0.0


@dataclass(frozen=True, slots=True)
class ShareGate:
    """Sample-ratio mismatch, of requests as the gateway dealt them: a replica that was down has none of its own.

    The first window at a new share is left out: part of it was served at the old one.
    """

    policy: ExperimentPolicy
    name: str = "experiment.ratio"
    stage: Stage = Stage.LIVE
    sources: frozenset[str] = frozenset({GATEWAY})
    required: bool = False

    def start(self) -> RealisedShare:
        return RealisedShare(_RATIOS.start())

    def look(self, state: RealisedShare, look: Look, _timing: Timing) -> tuple[RealisedShare, Verdict]:
        share, requests = look.candidate_share, state.requests
        stable, candidate = look.got
        if 0 < share < 1 and share == state.last_share and candidate is not None and stable is not None:
            seen = candidate.requests, stable.requests
            requests = _RATIOS.add_at(requests, Arms(seen[0], seen[0], seen[1], seen[1]), share)
        state = RealisedShare(requests, share)
        return state, self._verdict(state, look)

    def _verdict(self, state: RealisedShare, look: Look) -> Verdict:
        policy, requests = self.policy, state.requests
        ratio = requests.estimate()
        enough = requests.events >= policy.samples_min
        far = ratio is not None and not 1 / policy.share_guard_ratio < ratio < policy.share_guard_ratio
        broken = enough and far and requests.peak >= -math.log(policy.alpha)
        expected = requests.expected / requests.events if requests.events else look.candidate_share
        got = requests.arms.candidate_events / max(requests.events, 1)
        seen = f"the candidate got {pct(got)} of the requests, {pct(expected)} was configured"
        if broken:
            reason = f"The experiment is broken: {seen}; mend the routing, then release again."
        elif enough:
            reason = f"Traffic is divided as configured: {seen}."
        else:
            reason = (
                f"Division of traffic not checked yet: {requests.events:,} of {policy.samples_min:,} live requests."
            )
        return Verdict(
            self.name,
            self.stage,
            Outcome.PASS if enough and not broken else Outcome.INCONCLUSIVE,
            reason,
            value=ratio,
            unit="times the configured share",
            threshold=policy.share_guard_ratio,
            samples=requests.events,
            window=look.window,
            advisory=not broken,
        )


@dataclass(frozen=True, slots=True)
class DistanceGate:
    """Are two versions' counts from one distribution? ``field`` of ``Profile`` says which counts."""

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
        candidate, stable = look.candidate_profile or Profile(), look.stable_profile or Profile()
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
        )


def _same_tokenizer(one: Profile, other: Profile) -> bool:
    """Lengths are of tokens: where the tokenizers differ, so do they, whatever the texts. Unless told, they are one."""
    return not one.tokenizer or not other.tokenizer or one.tokenizer == other.tokenizer


def inputs_gate(policy: ExperimentPolicy) -> DistanceGate:
    """Token lengths, version against version: different inputs are a broken experiment."""
    alarm = "the versions do not see the same traffic, so the experiment is broken"
    return DistanceGate(
        "experiment.inputs", "token_counts", "Input lengths", alarm, policy.alpha, policy.inputs_guard,
        policy.samples_min, holds=True, sources=frozenset({METRICS, PROFILES}),
    )  # fmt: skip


def prediction_gates(policy: DriftPolicy) -> Iterator[DistanceGate]:
    """Predicted classes and confidences, version against version: a warning that asks for labels."""
    rows = (("classes", "class_counts", "Predicted classes"), ("confidence", "confidence_counts", "Confidences"))
    for name, field, what in rows:
        alarm = "label some of the requests to learn whether that is for the better"
        yield DistanceGate(
            f"drift.{name}", field, what, alarm, policy.alpha, policy.guard, policy.samples_min, holds=False
        )
