"""F1: e-processes for the ratio of two event rates, from counts (Lindon & Malek, arXiv:2011.03567).

Let ``r`` be the candidate's event rate over stable's, and ``rho`` the candidate's share of the requests of a window.
Given that an event happened, it was the candidate's with probability ``theta = r rho / (r rho + 1 - rho)``. Load that
both versions share cancels, and so do ramps, because ``rho`` is the realised share of each window.
"""

import math
from dataclasses import dataclass, replace
from functools import lru_cache

from gates.quick import quick
from gates.stats.cap import NO_CAP, NO_SPELL, Cap, Spell
from gates.stats.numerics import log_mean_exp


@quick
@dataclass(frozen=True, slots=True)
class Arms:
    """Events among requests, of both versions, in one window."""

    candidate_events: int
    candidate_total: int
    stable_events: int
    stable_total: int

    @property
    def comparable(self) -> bool:
        """Return whether both versions were asked: no other window says anything about their ratio."""
        return self.candidate_total > 0 and self.stable_total > 0

    @property
    def share(self) -> float:
        """Return the candidate's share of the requests."""
        return self.candidate_total / (self.candidate_total + self.stable_total)

    @property
    def events(self) -> int:
        return self.candidate_events + self.stable_events

    def __add__(self, other: "Arms") -> "Arms":
        return Arms(
            self.candidate_events + other.candidate_events,
            self.candidate_total + other.candidate_total,
            self.stable_events + other.stable_events,
            self.stable_total + other.stable_total,
        )


NO_ARMS = Arms(0, 0, 0, 0)


def estimated_ratio(arms: Arms, expected: float) -> float | None:
    """Return the ratio of the rates, where equal rates would have given the candidate ``expected`` of the events.

    None where ``expected`` is none or all of them. Half an event is added to each version where stable had none.
    """
    if not arms.events or not 0 < expected < arms.events:
        return None
    slack = 0.0 if arms.stable_events else 0.5
    odds = (arms.candidate_events + slack) / (arms.stable_events + slack)
    return odds * (arms.events - expected) / expected


def of_all(log_e: float, events: int, counted: float, effect: float) -> float:
    """Return the log evidence of ``events`` that each look's effect ``counted`` as fewer, divided further where the
    ``effect`` by all looks is larger. That is no more evidence, so a test that also requires it stays valid."""
    return log_e * min(events / (counted * effect), 1.0) if counted else 0.0


def known_counted(counted: float, events: int) -> float:
    """Return what ``events`` were counted as; in a state of an older Serin, which did not record it, each as one, so
    that the effect known by now divides all of them."""
    return counted or float(events)


@quick
@dataclass(frozen=True, slots=True)
class RatioState:
    """The log evidence of each alternative, the highest of their mixture so far, and the counts behind them.

    ``expected``: how many of all events would be the candidate's if the rates were equal. ``counted``: all events, each
    look's divided by its design effect. ``spell``: the looks that are capped as one (`gates.stats.cap`).
    """

    log_e: tuple[float, ...]
    peak: float = 0.0
    arms: Arms = NO_ARMS
    expected: float = 0.0
    counted: float = 0.0
    spell: Spell = NO_SPELL

    @property
    def events(self) -> int:
        return self.arms.events

    def estimate(self) -> float | None:
        """Return the ratio of the rates, at the realised shares; None where nothing shows it."""
        return estimated_ratio(self.arms, self.expected)

    def log_evidence(self, effect: float) -> float:
        """Return the log evidence of all looks, where by what is known now ``effect`` events count as one."""
        counted = known_counted(self.counted, self.events)
        return of_all(log_mean_exp(self.log_e), self.events, counted, effect)


@dataclass(frozen=True, slots=True)
class RatioTest:
    """Evidence against "the ratio is at most ``null``" (alternatives above) or "at least ``null``" (below)."""

    null: float
    alternatives: tuple[float, ...]
    cap: Cap = NO_CAP

    def start(self) -> RatioState:
        return RatioState(log_e=(0.0,) * len(self.alternatives))

    def add(self, state: RatioState, arms: Arms, effect: float = 1.0, *, length_s: float = math.inf) -> RatioState:
        """Return the state after one window of ``length_s`` seconds, at its realised share. Its evidence is divided by
        the design ``effect``, which must be known before the window."""
        return self.add_at(state, arms, arms.share, effect, length_s=length_s) if arms.comparable else state

    def add_at(
        self, state: RatioState, arms: Arms, share: float, effect: float = 1.0, *, length_s: float = math.inf
    ) -> RatioState:
        """Return the state after one window, at a ``share`` that is known otherwise, strictly between 0 and 1."""
        if not arms.events and state.spell.begins:
            return replace(state, arms=state.arms + arms)
        steps = _log_likelihoods(self.alternatives, arms, share)
        (base,) = _log_likelihoods((self.null,), arms, share)
        log_e = [before + (step - base) / effect for before, step in zip(state.log_e, steps, strict=True)]
        before, evidence = log_mean_exp(state.log_e), log_mean_exp(log_e)
        counted, spell = self.cap.count(state.spell, evidence - before, length_s)
        beyond = evidence - before - counted
        if beyond:
            log_e, evidence = [value - beyond for value in log_e], evidence - beyond
        return RatioState(
            log_e=tuple(log_e),
            peak=max(state.peak, evidence),
            arms=state.arms + arms,
            expected=state.expected + arms.events * share,
            counted=known_counted(state.counted, state.events) + arms.events / effect,
            spell=spell,
        )


def _log_likelihoods(ratios: tuple[float, ...], arms: Arms, share: float) -> list[float]:
    """Return the log likelihood of each ratio, up to a term that does not depend on the ratio."""
    own, events = arms.candidate_events, arms.events
    return [own * log - events * math.log1p(excess * share) for log, excess in _logs(ratios)]


@lru_cache(maxsize=64)
def _logs(ratios: tuple[float, ...]) -> tuple[tuple[float, float], ...]:
    """Return (ln r, r - 1) of each ratio r: the grids are few, and each look uses them."""
    return tuple((math.log(ratio), ratio - 1) for ratio in ratios)


# The ratios that a confidence sequence keeps or excludes: 1/20 to 20, in steps of about 13 %.
_GRID = tuple(math.exp(math.log(20) * (step / 24 - 1)) for step in range(49))


@dataclass(frozen=True, slots=True)
class RatioBounds:
    """A confidence sequence for the ratio: the log likelihood of every point of a fixed grid.

    A point is excluded once the mixture over the grid beats it ``1/alpha`` times. The log likelihood is concave in
    ``log r``, so the points that remain are an interval; its ends are moved out to the next excluded points.
    """

    log_likelihoods: tuple[float, ...] = (0.0,) * len(_GRID)

    def add(self, arms: Arms, effect: float = 1.0) -> "RatioBounds":
        """Return the bounds after one window; its evidence is divided by the design ``effect`` known before it."""
        if not arms.comparable or not arms.events:
            return self
        steps = _log_likelihoods(_GRID, arms, arms.share)
        return RatioBounds(
            tuple([before + step / effect for before, step in zip(self.log_likelihoods, steps, strict=True)])
        )

    def interval(self, alpha: float) -> tuple[float, float]:
        """Return bounds that hold at every look at once with probability ``1 - alpha``; 0 and infinity: not known."""
        least = log_mean_exp(self.log_likelihoods) + math.log(alpha)
        kept = [place for place, value in enumerate(self.log_likelihoods) if value > least]
        low = _GRID[kept[0] - 1] if kept[0] > 0 else 0.0
        high = _GRID[kept[-1] + 1] if kept[-1] + 1 < len(_GRID) else math.inf
        return low, high
