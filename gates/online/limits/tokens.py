"""The running tokenizer against the pinned one, and the length of texts in its tokens."""

import math
from dataclasses import dataclass

from gates.checks import METRICS, PROFILES
from gates.evidence import NO_PROFILE, Look
from gates.gate import Timing
from gates.online.limits.gate import WORSE
from gates.outcome import Outcome
from gates.verdict import Stage, Verdict


@dataclass(frozen=True, slots=True)
class TokenizerState:
    seen: str = ""


@dataclass(frozen=True, slots=True)
class TokenizerGate:
    """The gate that fails if the tokenizer that answers is not the one that the manifest pins: another one silently
    makes other token ids."""

    name: str = "tokenization.fingerprint"
    stage: Stage = Stage.LIVE
    sources: frozenset[str] = frozenset({METRICS, PROFILES})
    required: bool = False

    def start(self) -> TokenizerState:
        return TokenizerState()

    def look(self, state: TokenizerState, look: Look, _timing: Timing) -> tuple[TokenizerState, Verdict]:
        if look.candidate_profile is not None and look.candidate_profile.tokenizer:
            state = TokenizerState(look.candidate_profile.tokenizer)
        outcome, reason = Outcome.INCONCLUSIVE, "Tokenizer: no fingerprint of the running one, or none pinned."
        if state.seen and look.tokenizer_pinned:
            same = state.seen == look.tokenizer_pinned
            outcome = Outcome.PASS if same else Outcome.FAIL
            running, pinned = (fingerprint[:12] for fingerprint in (state.seen, look.tokenizer_pinned))
            reason = f"The running tokenizer {running} is {'' if same else 'not '}the pinned {pinned}."
        failed = outcome is Outcome.FAIL
        return state, Verdict(self.name, self.stage, outcome, reason, window=look.window, advisory=not failed)


@dataclass(frozen=True, slots=True)
class LengthState:
    """The live texts so far of the candidate (``counts``) and of stable, by their number of tokens, in the bins of
    ``Look.token_edges``."""

    counts: tuple[int, ...] = ()
    stable: tuple[int, ...] = ()

    def add(self, now: tuple[int, ...], stable: tuple[int, ...]) -> "LengthState":
        """Return the state with one look's texts."""
        return LengthState(_sum(self.counts, now), _sum(self.stable, stable))

    @staticmethod
    def percentile(counts: tuple[int, ...], quantile: float, edges: tuple[int, ...]) -> float:
        """Return the upper edge, in tokens, of the bin that holds the quantile; infinite above the last edge."""
        reached, wanted = 0, quantile * sum(counts)
        for count, edge in zip(counts, (*edges, math.inf), strict=True):
            reached += count
            if reached >= wanted:
                return edge
        return math.inf


def _sum(before: tuple[int, ...], now: tuple[int, ...]) -> tuple[int, ...]:
    if not now:
        return before
    return tuple(map(int.__add__, before, now)) if len(before) == len(now) else now


@dataclass(frozen=True, slots=True)
class LengthGate:
    """The gate of the 95th percentile of a text's tokens: long texts wait, and are cut. ``limit``: in tokens; 0: as
    many as the candidate reads of a text."""

    limit: float
    name: str = "tokenization.tokens_p95"
    stage: Stage = Stage.LIVE
    sources: frozenset[str] = frozenset({METRICS, PROFILES})
    required: bool = False

    def start(self) -> LengthState:
        return LengthState()

    def look(self, state: LengthState, look: Look, _timing: Timing) -> tuple[LengthState, Verdict]:
        now, stable = look.candidate_profile or NO_PROFILE, look.stable_profile or NO_PROFILE
        state = state.add(now.token_counts, stable.token_counts)
        return state, self._verdict(state, look)

    @staticmethod
    def _value(counts: tuple[int, ...], look: Look) -> float | None:
        known = sum(counts) and len(counts) == len(look.token_edges) + 1
        return LengthState.percentile(counts, 0.95, look.token_edges) if known else None

    def _verdict(self, state: LengthState, look: Look) -> Verdict:
        texts, value = sum(state.counts), self._value(state.counts, look)
        limit = self.limit or look.tokens_max
        outcome, reason = Outcome.INCONCLUSIVE, "P95 of tokens: no live text of the candidate yet."
        if value is not None and not limit:
            reason = f"P95 of tokens is {value:g} in {texts:,} live texts; how many the version reads is unknown."
        elif value is not None:
            fine, stables = value <= limit, self._value(state.stable, look)
            of_service = stables is not None and limit < stables and value <= WORSE * stables
            outcome = Outcome.PASS if fine else Outcome.INCONCLUSIVE if of_service else Outcome.FAIL
            most = f"at most {value:g}" if math.isfinite(value) else f"above {look.token_edges[-1]}"
            ask = "is fine" if fine else "were asked for"
            if not self.limit:
                ask = "is what it reads of a text" if fine else "is what it reads of a text: the rest is cut"
            whose = "; stable's texts are as long: so is the service" if of_service and not fine else ""
            reason = f"P95 of tokens is {most} in {texts:,} live texts, {limit:g} {ask}{whose}."
        return Verdict(
            self.name,
            self.stage,
            outcome,
            reason,
            value=value if value is None or math.isfinite(value) else None,
            unit="tokens",
            threshold=limit or None,
            samples=texts,
            window=look.window,
            advisory=True,
        )
