"""An e-process for the difference of two unpaired probabilities (Turner, Ly & Grünwald, arXiv:2106.02693).

H0 is "the candidate's probability is at least stable's plus ``margin``". For a guess of the two probabilities that lies
outside H0, the likelihood of the guess over that of its projection on H0 is an e-value. Let ``p`` be the true
probability of a version, ``n`` its trials, and ``c = (guess - projection) / (projection (1 - projection))``. The mean
of the likelihood ratio is the product over both versions of ``(1 + c (p - projection))^n``. By the inequality of
arithmetic and geometric means it is at most 1 where ``sum n c (p - projection) <= 0``. That holds for every ``p`` in
H0, because H0 is convex and the projection is its nearest point (in Kullback-Leibler divergence, weighted by ``n``).
The guess may depend on the past, so stable's probability is guessed from its labels before this look.
"""

import math
from dataclasses import dataclass

from scipy.optimize import brentq

from gates.stats.numerics import log_mean_exp
from gates.stats.ratio import NO_ARMS, Arms, known_counted, of_all

_FLOOR = 0.002  # guesses stay this far from 0 and 1

Bet = tuple[float, float]
"""What an event of a version adds to log evidence, and what a trial without one adds."""


@dataclass(frozen=True, slots=True)
class DifferenceState:
    """The log evidence of each guessed difference, the highest of their mixture so far, and the counts; ``counted``:
    the events, each look's divided by its design effect."""

    log_e: tuple[float, ...]
    peak: float = 0.0
    arms: Arms = NO_ARMS
    counted: float = 0.0

    def log_evidence(self, effect: float) -> float:
        """Return the log evidence of all looks, where by what is known now ``effect`` events count as one."""
        counted = known_counted(self.counted, self.arms.events)
        return of_all(log_mean_exp(self.log_e), self.arms.events, counted, effect)


@dataclass(frozen=True, slots=True)
class DifferenceTest:
    """Evidence against "candidate minus stable is at least ``margin``", for guessed differences below it."""

    margin: float
    guesses: tuple[float, ...]

    def start(self) -> DifferenceState:
        return DifferenceState(log_e=(0.0,) * len(self.guesses))

    def add(self, state: DifferenceState, arms: Arms, effect: float = 1.0) -> DifferenceState:
        """Return the state after one window. Its evidence is divided by the design ``effect`` known before it."""
        if not arms.comparable:
            return state
        stable = (state.arms.stable_events + 0.5) / (state.arms.stable_total + 5)
        log_e = tuple(
            before + self._log_e(arms, stable, guess) / effect
            for before, guess in zip(state.log_e, self.guesses, strict=True)
        )
        counted = known_counted(state.counted, state.arms.events) + arms.events / effect
        return DifferenceState(log_e, max(state.peak, log_mean_exp(log_e)), state.arms + arms, counted)

    def _log_e(self, arms: Arms, stable: float, difference: float) -> float:
        own, others = self.bet(stable, difference, arms.candidate_total, arms.stable_total)
        return _log_ratio(arms.candidate_events, arms.candidate_total, own) + _log_ratio(
            arms.stable_events, arms.stable_total, others
        )

    def bet(self, stable: float, difference: float, own: float, others: float) -> tuple[Bet, Bet]:
        """Return the bets on the candidate's trials and on stable's, from guesses of stable's probability and of the
        difference.

        ``own``, ``others``: the numbers of trials of the candidate and of stable; only their ratio matters.
        """
        stable = _clip(stable, _FLOOR, 1 - self.margin - _FLOOR)
        candidate = _clip(stable + difference, _FLOOR, stable + self.margin - _FLOOR / 2)
        nearest = self._projection(own, others, candidate, stable)
        return _bet(candidate, nearest), _bet(stable, nearest - self.margin)

    def _projection(self, own: float, others: float, candidate: float, stable: float) -> float:
        """Return the candidate's probability at the point of H0 nearest to the guess; stable's is ``margin`` below."""
        margin = self.margin

        def slope(p: float) -> float:
            """Return the slope of the divergence times stable's variance ``q (1 - q)``, which removes the pole at
            ``q`` = 0."""
            q = p - margin
            return own * (p - candidate) * q * (1 - q) / (p * (1 - p)) + others * (q - stable)

        return float(brentq(slope, max(candidate, margin), stable + margin, xtol=1e-14, rtol=1e-13))


def _clip(value: float, low: float, high: float) -> float:
    return min(max(value, low), high)


def _bet(guess: float, null: float) -> Bet:
    return math.log(guess / null), math.log((1 - guess) / (1 - null))


def _log_ratio(events: int, total: int, bet: Bet) -> float:
    return events * bet[0] + (total - events) * bet[1]
