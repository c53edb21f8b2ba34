"""Warnings: what the candidate uses against fixed limits, and the fingerprint of its tokenizer.

Nothing here is a test: a measured value lies within its limit or it does not. A limit that is exceeded is shown and
recorded; it neither blocks nor rolls back. Only a tokenizer other than the pinned one fails the release.
"""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

from gates.checks import METRICS, PROFILES, is_number
from gates.evidence import Look, Profile, Resources
from gates.gate import Timing
from gates.outcome import Outcome
from gates.policy import LimitPolicy
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


@dataclass(frozen=True, slots=True)
class TokenizerState:
    seen: str = ""


@dataclass(frozen=True, slots=True)
class TokenizerGate:
    """The tokenizer that answers must be the one that the manifest pins: another one quietly makes other token ids."""

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
    """Live texts of the candidate so far, by their tokens."""

    counts: tuple[int, ...] = ()

    def percentile(self, quantile: float, edges: tuple[int, ...]) -> float:
        """The upper edge of the bin that holds it; infinite above the last edge."""
        reached, wanted = 0, quantile * sum(self.counts)
        for count, edge in zip(self.counts, (*edges, math.inf), strict=True):
            reached += count
            if reached >= wanted:
                return edge
        return math.inf


@dataclass(frozen=True, slots=True)
class LengthGate:
    """The 95th percentile of the tokens of a text: long texts wait, and are cut."""

    limit: float
    name: str = "tokenization.tokens_p95"
    stage: Stage = Stage.LIVE
    sources: frozenset[str] = frozenset({METRICS, PROFILES})
    required: bool = False

    def start(self) -> LengthState:
        return LengthState()

    def look(self, state: LengthState, look: Look, _timing: Timing) -> tuple[LengthState, Verdict]:
        now = (look.candidate_profile or Profile()).token_counts
        if now:
            before = state.counts if len(state.counts) == len(now) else (0,) * len(now)
            state = LengthState(tuple(map(int.__add__, before, now)))
        return state, self._verdict(state, look)

    def _verdict(self, state: LengthState, look: Look) -> Verdict:
        texts, known = sum(state.counts), len(state.counts) == len(look.token_edges) + 1
        value = state.percentile(0.95, look.token_edges) if texts and known else None
        outcome, reason = Outcome.INCONCLUSIVE, "P95 of tokens: no live text of the candidate yet."
        if value is not None:
            fine = value <= self.limit
            outcome = Outcome.PASS if fine else Outcome.FAIL
            most = f"at most {value:g}" if math.isfinite(value) else f"above {look.token_edges[-1]}"
            ask = "is fine" if fine else "were asked for"
            reason = f"P95 of tokens is {most} in {texts:,} live texts, {self.limit:g} {ask}."
        return Verdict(
            self.name,
            self.stage,
            outcome,
            reason,
            value=value if value is None or math.isfinite(value) else None,
            unit="tokens",
            threshold=self.limit,
            samples=texts,
            window=look.window,
            advisory=True,
        )


def limit_gates(policy: LimitPolicy) -> Iterator[LimitGate | LengthGate]:
    """One gate for each limit that is set, and one for the cost, which is told in any case."""
    of_release: tuple[tuple[str, str, float | None, Reader], ...] = (
        (
            "resources.cold_starts",
            "Share of requests that met a cold replica",
            policy.cold_start_ratio_max,
            _cold_starts,
        ),
        ("tokenization.unknown", "Share of unknown tokens", policy.unknown_token_ratio_max, _unknown_tokens),
        ("tokenization.truncated", "Share of truncated requests", policy.truncated_ratio_max, _truncated),
    )
    of_look: tuple[tuple[str, str, float | None, Reader], ...] = (
        ("resources.memory", "Memory used, of the limit,", policy.memory_ratio_max, _level("memory_ratio")),
        ("resources.cpu", "CPU used, of the cores given,", policy.cpu_ratio_max, _level("cpu_ratio")),
        ("resources.gpu", "GPU used", policy.gpu_ratio_max, _level("gpu_ratio")),
        (
            "resources.restarts",
            "The number of restarts since the release started",
            policy.restarts_max,
            _level("restarts"),
        ),
        ("resources.queue", "Queue depth", policy.queue_depth_max, _level("queue_depth")),
    )
    for sums, rows in ((True, of_release), (False, of_look)):
        for name, what, limit, read in rows:
            if limit is not None:
                yield LimitGate(name, what, limit, read, sums)
    if policy.gpu_ratio_min is not None:
        idle = _level("gpu_ratio")
        yield LimitGate("resources.gpu_idle", "GPU used", policy.gpu_ratio_min, idle, sums=False, at_least=True)
    if policy.tokens_p95_max is not None:
        yield LengthGate(policy.tokens_p95_max)
    if policy.throughput_ratio_min is not None:
        what = "Answers per second of computing, candidate over stable,"
        yield LimitGate("throughput", what, policy.throughput_ratio_min, _throughput, sums=True, at_least=True)
    yield LimitGate(
        "cost.per_1000", "Cost of 1,000 requests", policy.cost_per_1000_max, _cost, sums=True, unknown=_no_cost(policy)
    )


def _no_cost(policy: LimitPolicy) -> str:
    if policy.replica_hour_price is None:
        return "the policy names no price of a replica's hour (gates.limits.replica_hour_price)"
    return "the candidate has not answered yet"


def _level(field: str) -> Reader:
    def read(look: Look) -> Measured | None:
        value = getattr(look.candidate_resources, field) if look.candidate_resources is not None else None
        return None if value is None else (value, 1.0)

    return read


def _resources(look: Look) -> tuple[Resources, int]:
    """With all requests of the candidate: mirrored ones meet cold replicas and cost money, too."""
    arms = (look.candidate, look.shadow)
    return look.candidate_resources or Resources(), sum(arm.requests for arm in arms if arm is not None)


def _cold_starts(look: Look) -> Measured | None:
    used, requests = _resources(look)
    return None if used.cold_starts is None else (used.cold_starts, requests)


def _cost(look: Look) -> Measured | None:
    used, requests = _resources(look)
    return None if used.cost is None else (1000 * used.cost, requests)


def _unknown_tokens(look: Look) -> Measured | None:
    profile = look.candidate_profile or Profile()
    return (profile.unknown_tokens, profile.tokens) if profile.tokens else None


def _truncated(look: Look) -> Measured | None:
    profile = look.candidate_profile or Profile()
    return (profile.truncated, profile.requests) if profile.requests else None


def _throughput(look: Look) -> Measured | None:
    candidate, stable = look.candidate_resources, look.stable_resources
    if candidate is None or stable is None:
        return None
    if candidate.requests_per_busy_s is None or not stable.requests_per_busy_s:
        return None
    return candidate.requests_per_busy_s, stable.requests_per_busy_s
