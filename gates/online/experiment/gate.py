"""The two gates of the experiment: how the traffic was divided, and whether both versions saw the same inputs."""

import math
from dataclasses import dataclass

from gates.checks import GATEWAY, METRICS, PROFILES
from gates.evidence import Look
from gates.gate import Timing
from gates.online.distance import DistanceGate
from gates.online.experiment.policy import ExperimentPolicy
from gates.outcome import Outcome
from gates.stats.ratio import Arms, RatioState, RatioTest
from gates.verdict import Stage, Verdict
from gates.wording import pct

_RATIOS = RatioTest(1.0, (0.5, 2 / 3, 0.8, 1.25, 1.5, 2.0))


@dataclass(frozen=True, slots=True)
class RealisedShare:
    """``requests``: those of each version, tested against the configured shares; ``last_share``: the candidate's
    configured share at the last look."""

    requests: RatioState
    last_share: float = 0.0


@dataclass(frozen=True, slots=True)
class ShareGate:
    """The gate of experiment.ratio: a test for sample-ratio mismatch, of requests as the gateway dealt them, since a
    replica that was down counted none.

    The first window at a new share is left out: part of it was served at the old share. Nothing is concluded where
    users stick to a version: then requests are dealt by user, and few users send most of them.
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
        dealt_singly = not look.sticky and share == state.last_share
        if 0 < share < 1 and dealt_singly and candidate is not None and stable is not None:
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
        if look.sticky:
            reason = "Users stick to a version: whether they are divided as configured, their requests cannot tell."
        elif broken:
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


def inputs_gate(policy: ExperimentPolicy) -> DistanceGate:
    """Return the gate of experiment.inputs: token lengths, version against version. If they differ, the experiment is
    broken."""
    alarm = "the versions do not see the same traffic, so the experiment is broken"
    return DistanceGate(
        "experiment.inputs", "token_counts", "Input lengths", alarm, policy.alpha, policy.inputs_guard,
        policy.samples_min, holds=True, sources=frozenset({METRICS, PROFILES}),
    )  # fmt: skip
