"""errors.shadow and errors.live: does the candidate fail more requests than the stable version?

Each fails on a ratio of the error rates above the guard (F1, `gates.stats.ratio`). Each passes on either of two
certificates, and says which: the ratio is below the margin; or, where errors are too few to compare, the candidate's
error ratio is below the ceiling. Each certificate has half of the promotion level.

Errors that come together count as fewer (`gates.stats.spread`). That is seen soonest where errors are most: on mirrored
requests, with stable's own errors beside them. A difference no larger than that between parts of stable proves nothing
(`gates.stats.noise`).
"""

import math
from dataclasses import dataclass, field

from gates.checks import GATEWAY, METRICS
from gates.evidence import ArmCounts, Look
from gates.gate import Timing, bounds, settle
from gates.online.errors.policy import LiveErrorsPolicy, ShadowErrorsPolicy
from gates.online.noise import as_begun, heard, words
from gates.outcome import Outcome
from gates.quick import quick
from gates.stats.cap import Cap
from gates.stats.noise import Found, Noise
from gates.stats.numerics import at_least, samples_to_settle
from gates.stats.ratio import Arms, RatioBounds, RatioState, RatioTest
from gates.stats.share import ShareState, below
from gates.stats.spread import Spread, whole_of
from gates.stats.watch import LATEST_OF_FEW, RatioWatch, WatchState, cap_of
from gates.verdict import Limit, Rule, Stage, Verdict
from gates.wording import clustered, more, of, pct, times

SAFER = (0.1, 0.2, 1 / 3, 0.5, 0.7)  # times the margin: the ratios that the certificate bets on
# The part of the deciding log evidence that one incident may add, so that none promotes alone.
SAFETY_OF_ONE_INCIDENT = 1 / 3


@quick
@dataclass(frozen=True, slots=True)
class ErrorsState:
    """``harm`` compares this stage's own traffic; ``ratio`` and ``share`` hold all evidence that may certify.

    ``spread``: how errors come together in all evidence; ``own_spread``: in this stage's own, where the stage is live.
    """

    harm: WatchState
    ratio: RatioState
    share: ShareState = field(default_factory=ShareState)
    bounds: RatioBounds = field(default_factory=RatioBounds)
    requests: int = 0  # of this stage's own traffic
    replayed: int = 0  # recorded requests that the candidate was sent so far
    replaying: bool = False  # some of these at the last look
    spread: Spread = field(default_factory=Spread)
    own_spread: Spread = field(default_factory=Spread)
    noise: Noise = field(default_factory=Noise)

    @property
    def together(self) -> float:
        """The number of errors that come together, and count as one."""
        return max(self.spread.sudden, self.own_spread.at_once)

    @property
    def learnt(self) -> float:
        """The number of errors that came together and count as one, for the next release to expect."""
        return max(self.spread.learnt, self.own_spread.learnt)

    @property
    def found(self) -> Found | None:
        """Return how errors come together, and how far parts of stable differ; None before the first error."""
        return Found(self.learnt, self.noise.apart(self.learnt)) if self.spread.events else None

    @property
    def suspicions(self) -> int:
        return self.harm.suspicions

    @property
    def whole(self) -> float:
        """The number of errors that come together, by all that was seen."""
        return whole_of(self.spread, self.own_spread)

    @property
    def whole_effect(self) -> float:
        """The number of errors that count as one by all that was seen, noise included, for a test of the totals."""
        return self.noise.effect(self.whole)


@dataclass(frozen=True, slots=True)
class ErrorsGate:
    """The gate of either stage; the live one takes mirrored traffic as evidence for its certificates too.

    The live gate compares what users got of both versions; once the candidate serves everybody, stable's answers to
    copies take the place of its answers to users. Copies for which no user waits are counted by the replica that
    answers them, and compared with what stable's replicas counted.
    """

    policy: ShadowErrorsPolicy | LiveErrorsPolicy
    stage: Stage
    alpha: float
    promotion_alpha: float
    incident_s: float = 0.0
    required: bool = True

    @property
    def name(self) -> str:
        return f"errors.{self.stage}"

    @property
    def sources(self) -> frozenset[str]:
        """The sources that are needed: the live gate can do without copies, and needs the gateway's counts alone."""
        return frozenset({GATEWAY if self.stage is Stage.LIVE else METRICS})

    @property
    def _harm(self) -> RatioWatch:
        return RatioWatch(cap_of(self.alpha, self.incident_s), LATEST_OF_FEW)

    @property
    def _safe(self) -> RatioTest:
        margin = self.policy.margin_ratio
        most = SAFETY_OF_ONE_INCIDENT * math.log(2 / self.promotion_alpha)
        return RatioTest(margin, tuple(margin * factor for factor in SAFER), Cap(most, self.incident_s))

    def start(self) -> ErrorsState:
        return ErrorsState(WatchState(), self._safe.start())

    def look(self, state: ErrorsState, look: Look, timing: Timing) -> tuple[ErrorsState, Verdict]:
        stable, own = look.got if self.stage is Stage.LIVE else (look.stable, look.shadow)
        # The shadow gate never adds to ``own_spread``: an expectation put there would stay for good.
        spreads = ("spread", "own_spread") if self.stage is Stage.LIVE else ("spread",)
        state = as_begun(state, look, self.name, *spreads)
        again = look.replayed.requests if look.replayed is not None else 0
        # Requests are replayed one after the other, and only those that stable could answer, so they certify nothing of
        # users' requests. Their counts may be scraped one look late.
        copies = None if self.stage is Stage.LIVE and (again or state.replaying) else look.shadow
        seen = [arm for arm in (copies, own if self.stage is Stage.LIVE else None) if arm is not None]
        before, beside = look.compared if self.stage is Stage.LIVE else (stable, own)
        compared = [arm for arm in (*seen, stable, before, beside) if arm is not None]
        if self.policy.count_clusters and any(arm.error_clusters is None for arm in compared):
            reason = "error_clusters: not counted, though the policy compares errors by cluster."
            return state, Verdict(self.name, self.stage, Outcome.ERROR, reason, window=look.window)
        certifying, harmful = self._arms(seen, stable), self._arms([beside] if beside else [], before)
        errors = sum(arm.errors for arm in seen)
        noise = heard(state.noise.compared(harmful), look, self._events, live=self.stage is Stage.LIVE)
        together, ceiling = state.together, below(self.policy.error_ratio_max)
        effect = state.noise.effect(together)
        length_s = look.window.length_s
        following = ErrorsState(
            harm=self._harm.add(state.harm, harmful, null=self.policy.guard_ratio, effect=effect, length_s=length_s),
            ratio=self._safe.add(state.ratio, certifying, effect, length_s=length_s),
            share=ceiling.add(state.share, errors, certifying.candidate_total, together),
            bounds=state.bounds.add(harmful, effect),
            requests=state.requests + harmful.candidate_total,
            replayed=state.replayed + again,
            replaying=again > 0,
            spread=state.spread.add(certifying),
            own_spread=state.own_spread.add(harmful) if self.stage is Stage.LIVE else state.own_spread,
            noise=noise,
        )
        if self.stage is Stage.SHADOW and own is None and look.candidate_share == 0:
            return following, self._waiting(look, following, "No mirrored request was counted in this look")
        if not following.requests:
            what = "No live traffic yet" if self.stage is Stage.LIVE else "No mirrored request yet"
            return following, self._waiting(look, following, what)
        return following, self._verdict(following, look, timing)

    def _arms(self, candidates: list[ArmCounts], stable: ArmCounts | None) -> Arms:
        """Return the events of the candidate, summed, and of stable: errors or, with ``count_clusters``, their
        causes."""
        own = [self._events(arm) for arm in candidates]
        return Arms(sum(one for one, _ in own), sum(of for _, of in own), *(self._events(stable) if stable else (0, 0)))

    def _events(self, arm: ArmCounts) -> tuple[int, int]:
        counted = arm.errors if arm.error_clusters is None or not self.policy.count_clusters else arm.error_clusters
        return counted, arm.requests

    def _waiting(self, look: Look, state: ErrorsState, what: str) -> Verdict:
        reason = f"{what}: the error rate can be judged once the candidate answers requests."
        samples = state.requests
        return Verdict(
            self.name, self.stage, Outcome.INCONCLUSIVE, reason, unit="times", samples=samples, window=look.window
        )

    def _verdict(self, state: ErrorsState, look: Look, timing: Timing) -> Verdict:
        policy, ratio = self.policy, state.harm.estimate()
        fired = timing.fires(self.alpha, state.harm.peak, lambda: state.harm.p_value(state.whole_effect))
        enough = state.requests >= policy.requests_min
        certificate = self._certificate(state) if enough else None
        outcome = settle(
            failed=enough and fired and ratio is not None and ratio >= policy.guard_ratio,
            passed=certificate is not None,
        )
        low, high = state.bounds.interval(self.promotion_alpha)
        needed = None
        if outcome is Outcome.INCONCLUSIVE:
            needed = at_least(self._needed(state), policy.requests_min, state.requests)
        return Verdict(
            self.name,
            self.stage,
            outcome,
            self._reason(outcome, state, certificate[0] if certificate is not None else None, needed),
            value=ratio,
            unit="times",
            interval=bounds(low, high, self.promotion_alpha),
            threshold=policy.margin_ratio,
            samples=state.requests,
            samples_needed=needed,
            window=look.window,
            limits=(self._limit(outcome, ratio, certificate),),
        )

    def _limit(self, outcome: Outcome, ratio: float | None, certificate: tuple[str, Limit] | None) -> Limit:
        if outcome is Outcome.FAIL:
            return Limit(Rule.GUARD, self.policy.guard_ratio, ratio, "times")
        if outcome is Outcome.PASS and certificate is not None:
            return certificate[1]
        return Limit(Rule.MARGIN, self.policy.margin_ratio, ratio, "times")

    def _certificate(self, state: ErrorsState) -> tuple[str, Limit] | None:
        """Return what is excluded, in words, and the limit that this rests on; None where nothing is.

        Evidence of early looks is divided by what is known by now of how errors come together. The noise of stable
        divides the evidence of the ratio look by look; it does not bear on the error ratio of the candidate alone.
        """
        threshold, effect = math.log(2 / self.promotion_alpha), state.whole
        ratio = state.ratio.estimate()
        shown = state.ratio.log_evidence(effect) >= threshold
        if shown and ratio is not None and ratio < self.policy.margin_ratio:
            margin = self.policy.margin_ratio
            return f"a ratio to stable of {margin:g} or more is excluded", Limit(Rule.MARGIN, margin, ratio, "times")
        ceiling = self.policy.error_ratio_max
        if below(ceiling).log_evidence(state.share, effect) >= threshold and state.share.share < ceiling:
            limit = Limit(Rule.CEILING, ceiling, state.share.share, "of requests")
            return f"an error ratio of {pct(ceiling)} or more is excluded", limit
        return None

    def _needed(self, state: ErrorsState) -> int | None:
        threshold = math.log(2 / self.promotion_alpha)
        shares = below(self.policy.error_ratio_max).log_e(state.share.counted_events, state.share.counted_total)
        by_share = samples_to_settle(state.share.total, max(shares), threshold + math.log(len(shares)))
        ratios = state.ratio.log_e
        by_ratio = samples_to_settle(state.share.total, max(ratios), threshold + math.log(len(ratios)))
        return min((needed for needed in (by_share, by_ratio) if needed is not None), default=None)

    def _reason(self, outcome: Outcome, state: ErrorsState, certificate: str | None, needed: int | None) -> str:
        arms, ratio = state.harm.arms, state.harm.estimate()
        all_own = state.share if self.stage is Stage.SHADOW else None
        seen = "the candidate failed " + of(arms.candidate_events, state.requests, "requests")
        if self.stage is Stage.SHADOW and state.replayed:
            seen += f", {state.replayed:,} of them replayed"
        seen += ", stable " + of(arms.stable_events, arms.stable_total, "requests")
        together = state.together
        seen += clustered(together, "errors") + words(state.noise, together)
        if outcome is Outcome.FAIL:
            return f"Server errors are {times(ratio or math.inf)} as frequent as stable's: {seen}."
        if outcome is Outcome.PASS:
            mirrored = "" if all_own else f", by {state.share.total:,} live and mirrored requests"
            return f"Server errors hold: {certificate}{mirrored}; {seen}."
        return f"Server errors not settled yet: {seen}; {more(needed, state.share.total, 'requests')}."
