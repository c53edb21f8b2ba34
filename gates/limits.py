"""Warnings: what the candidate uses against fixed limits, and the fingerprint of its tokenizer.

Nothing here is a test: a measured value lies within its limit or it does not. A limit that is exceeded is shown and
recorded; it neither blocks nor rolls back. Only a tokenizer other than the pinned one fails the release.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

from gates.checks import METRICS, PREDICTIONS, is_number
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
    limit: float
    read: Reader
    sums: bool
    at_least: bool = False
    stage: Stage = Stage.LIVE
    sources: frozenset[str] = frozenset({METRICS})
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
            outcome, reason = Outcome.INCONCLUSIVE, f"{self.what}: not measured."
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
    sources: frozenset[str] = frozenset({PREDICTIONS})
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
            reason = (
                f"The running tokenizer {state.seen} is {'' if same else 'not '}the pinned {look.tokenizer_pinned}."
            )
        failed = outcome is Outcome.FAIL
        return state, Verdict(self.name, self.stage, outcome, reason, window=look.window, advisory=not failed)


def limit_gates(policy: LimitPolicy) -> Iterator[LimitGate]:
    """One gate for each limit that is set."""
    of_release: tuple[tuple[str, str, float | None, Reader], ...] = (
        (
            "resources.cold_starts",
            "Share of requests that met a cold replica",
            policy.cold_start_ratio_max,
            _cold_starts,
        ),
        ("tokenization.unknown", "Share of unknown tokens", policy.unknown_token_ratio_max, _unknown_tokens),
        ("tokenization.truncated", "Share of truncated requests", policy.truncated_ratio_max, _truncated),
        ("cost.per_1000", "Cost of 1,000 requests", policy.cost_per_1000_max, _cost),
    )
    of_look: tuple[tuple[str, str, float | None, Reader], ...] = (
        ("resources.memory", "Memory used, of the limit,", policy.memory_ratio_max, _level("memory_ratio")),
        ("resources.cpu", "CPU used, of the cores given,", policy.cpu_ratio_max, _level("cpu_ratio")),
        ("resources.gpu", "GPU used", policy.gpu_ratio_max, _level("gpu_ratio")),
        ("resources.restarts", "Restarts since the release started", policy.restarts_max, _level("restarts")),
        ("resources.queue", "Queue depth", policy.queue_depth_max, _level("queue_depth")),
    )
    for sums, rows in ((True, of_release), (False, of_look)):
        for name, what, limit, read in rows:
            if limit is not None:
                yield LimitGate(name, what, limit, read, sums)
    if policy.throughput_ratio_min is not None:
        what = "Answers per second of computing, candidate over stable,"
        yield LimitGate("throughput", what, policy.throughput_ratio_min, _throughput, sums=False, at_least=True)


def _level(field: str) -> Reader:
    def read(look: Look) -> Measured | None:
        value = getattr(look.candidate_resources, field) if look.candidate_resources is not None else None
        return None if value is None else (value, 1.0)

    return read


def _resources(look: Look) -> tuple[Resources, int]:
    requests = look.candidate.requests if look.candidate is not None else 0
    return look.candidate_resources or Resources(), requests


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
