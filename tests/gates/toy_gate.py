"""truncated.live: does the candidate cut more texts than stable? A whole gate that can roll back, in one file.

It is the example of `docs/extending.md`; `test_extending` puts it into a policy by one entry. Its evidence is there
already: how many texts each version took, and how many of them it cut to the longest length of its model.
"""

import math
from dataclasses import dataclass, field
from typing import Annotated, Final

from gates.checks import METRICS, PROFILES
from gates.evidence import Look, Profile
from gates.forecast.candidate import Candidate
from gates.forecast.growths import of_ratio
from gates.forecast.race import Minimum, Proof, Race
from gates.forecast.traffic import Traffic
from gates.gate import Gate, Timing, settle
from gates.keys import AlphaShare, Guarded, require
from gates.kind import Asked, Doc, GateKind, Lever
from gates.outcome import Outcome
from gates.stats.cap import Cap
from gates.stats.ratio import Arms, RatioState, RatioTest
from gates.stats.spread import Spread
from gates.stats.watch import RatioWatch, WatchState
from gates.verdict import Stage, Verdict
from gates.wording import of

_CUT: Final = 0.01  # of stable's texts, that a forecast assumes


@dataclass(frozen=True, slots=True)
class TruncatedPolicy:
    """truncated.live: texts that were cut, candidate over stable."""

    GUARDED = (Guarded("guard_ratio", "margin_ratio"),)

    alpha_share: AlphaShare = 0.5
    guard_ratio: Annotated[float, "roll back only when a ratio of cut texts above it is shown"] = 1.5
    margin_ratio: Annotated[float, "promote only when so large a ratio is excluded"] = 3.0
    texts_min: Annotated[int, "of the candidate, without which nothing is said"] = 100

    def __post_init__(self) -> None:
        require(self, "alpha_share")


@dataclass(frozen=True, slots=True)
class TruncatedState:
    harm: WatchState
    safe: RatioState
    spread: Spread = field(default_factory=Spread)


@dataclass(frozen=True, slots=True)
class TruncatedGate:
    policy: TruncatedPolicy
    alpha: float
    promotion_alpha: float
    name: str = "truncated.live"
    stage: Stage = Stage.LIVE
    sources: frozenset[str] = frozenset({METRICS, PROFILES})
    required: bool = True

    @property
    def _harm(self) -> RatioWatch:
        return RatioWatch(Cap(0.4 * math.log(1 / self.alpha)))  # that one look may add: none decides alone

    @property
    def _safe(self) -> RatioTest:
        return RatioTest(self.policy.margin_ratio, (1.0,))

    def start(self) -> TruncatedState:
        return TruncatedState(WatchState(), self._safe.start())

    def look(self, state: TruncatedState, look: Look, timing: Timing) -> tuple[TruncatedState, Verdict]:
        candidate, stable = look.candidate_profile or Profile(), look.stable_profile or Profile()
        arms = Arms(candidate.truncated, candidate.requests, stable.truncated, stable.requests)
        effect = state.spread.sudden
        state = TruncatedState(
            self._harm.add(state.harm, arms, null=self.policy.guard_ratio, effect=effect),
            self._safe.add(state.safe, arms, effect),
            state.spread.add(arms),
        )
        return state, self._verdict(state, look, timing)

    def _verdict(self, state: TruncatedState, look: Look, timing: Timing) -> Verdict:
        policy, arms, ratio = self.policy, state.harm.arms, state.harm.estimate()
        enough = arms.candidate_total >= policy.texts_min and ratio is not None
        fired = timing.fires(self.alpha, state.harm.peak, state.harm.p_value)
        certified = state.safe.peak >= math.log(1 / self.promotion_alpha)
        outcome = settle(
            failed=enough and fired,
            passed=enough and certified and ratio < policy.margin_ratio,
        )
        words = {Outcome.FAIL: "cuts more texts than stable", Outcome.PASS: "cuts no more texts than is accepted"}
        seen = of(arms.candidate_events, arms.candidate_total, "texts")
        reason = f"The candidate {words.get(outcome, 'is not settled yet')}: it cut {seen}."
        return Verdict(
            self.name, self.stage, outcome, reason, ratio, "times", threshold=policy.margin_ratio,
            samples=arms.candidate_total, window=look.window,
        )  # fmt: skip


def _make(asked: Asked[TruncatedPolicy]) -> tuple[Gate[TruncatedState]]:
    return (TruncatedGate(asked.section, asked.levels.rollback_alpha, asked.levels.promotion_alpha),)


def _race(asked: Asked[TruncatedPolicy], traffic: Traffic, _candidate: Candidate) -> Race:
    """No candidate of a forecast cuts more than stable, so none is failed."""
    policy = asked.section

    def growth(step):
        cut = traffic.to_candidate(step) * _CUT, traffic.to_stable(step) * _CUT
        return of_ratio(*cut, step.share_ratio, policy.margin_ratio, (1.0,))

    enough = Minimum(traffic.to_candidate, policy.texts_min)
    return Race(
        gate="truncated.live",
        stage=Stage.LIVE,
        required=True,
        safe=((Proof(growth, asked.levels.safe()),),),
        safe_samples=enough,
        harm=(),
        harm_samples=enough,
        harm_at_guard=False,
        margin=Candidate(),
        advice="give the candidate a larger share for longer, or widen margin_ratio",
    )


TRUNCATED_LIVE = GateKind(
    name="truncated.live",
    section=TruncatedPolicy,
    state=(TruncatedState,),
    make=_make,
    doc=Doc("texts of both versions", "more texts are cut", "a ratio of the margin is excluded"),
    alpha_share="alpha_share",
    forecast=_race,
    margins=("margin_ratio",),
    levers=frozenset({Lever.SHARE}),
)
KINDS: Final = (TRUNCATED_LIVE,)
