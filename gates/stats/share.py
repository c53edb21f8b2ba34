"""E-processes for one probability, from counts: the share of requests that failed, or took too long."""

import math
from dataclasses import dataclass

from scipy.special import betaln

from gates.quick import quick
from gates.stats.numerics import boundary, log_mean_exp


@quick
@dataclass(frozen=True, slots=True)
class ShareState:
    """Events among trials, and the highest log evidence so far.

    ``counted...``: events and trials, each look's divided by its design effect.
    """

    events: int = 0
    total: int = 0
    peak: float = 0.0
    counted_events: float = 0.0
    counted_total: float = 0.0

    @property
    def share(self) -> float:
        return self.events / self.total if self.total else 0.0

    @property
    def effect(self) -> float:
        """Return the mean design effect of the looks so far."""
        return self.total / self.counted_total if self.counted_total else 1.0

    def interval(self, alpha: float) -> tuple[float, float]:
        """Return bounds that hold at every look at once with probability ``1 - alpha``: they exclude the shares that
        the beta mixture (1/2, 1/2) beats ``1/alpha`` times.

        The mixture is the method of Robbins (1970) for a Bernoulli probability, in closed form.
        """
        wins, losses = self.events / self.effect, (self.total - self.events) / self.effect
        least = float(betaln(wins + 0.5, losses + 0.5) - betaln(0.5, 0.5)) + math.log(alpha)

        def excess(share: float) -> float:
            return least - _log_likelihood(share, wins, losses)

        step = 5 * math.sqrt(wins + 1) / max(self.total, 1)
        return boundary(excess, self.share, 0.0, step), boundary(excess, self.share, 1.0, step)


@dataclass(frozen=True, slots=True)
class ShareTest:
    """Evidence against "the share is at most ``null``" (alternatives above) or "at least ``null``" (below)."""

    null: float
    alternatives: tuple[float, ...]

    def log_e(self, events: float, total: float) -> list[float]:
        """Return the log evidence of each alternative; `log_mean_exp` of them is that of the test."""
        base = _log_likelihood(self.null, events, total - events)
        return [_log_likelihood(share, events, total - events) - base for share in self.alternatives]

    def log_evidence(self, state: ShareState, effect: float) -> float:
        """Return the log evidence of all events, where ``effect`` of them count as one by all looks, if that is more
        than the looks knew."""
        further = max(effect / state.effect, 1.0)
        return log_mean_exp(self.log_e(state.counted_events / further, state.counted_total / further))

    def add(self, state: ShareState, events: int, total: int, effect: float = 1.0) -> ShareState:
        """Return the state after one look. Its counts are divided by the design ``effect`` known before the look."""
        counted_events, counted_total = state.counted_events + events / effect, state.counted_total + total / effect
        evidence = log_mean_exp(self.log_e(counted_events, counted_total))
        return ShareState(
            state.events + events, state.total + total, max(state.peak, evidence), counted_events, counted_total
        )


def above(null: float, factors: tuple[float, ...]) -> ShareTest:
    """Return the test of "at most ``null``" with alternatives ``factors`` times as high, as far as they are below 1."""
    return ShareTest(null, tuple(null * factor for factor in factors if null * factor < 1))


# Alternatives below a ceiling: no events at all, a fifth, half as many. The first certifies clean traffic fastest.
_BELOW = (0.0, 0.2, 0.5)


def below(null: float) -> ShareTest:
    """Return the test of "at least ``null``", which certifies a ceiling."""
    return ShareTest(null, tuple(null * factor for factor in _BELOW))


def _log_likelihood(share: float, wins: float, losses: float) -> float:
    first = 0.0 if wins == 0 else wins * math.log(share) if share > 0 else -math.inf
    second = 0.0 if losses == 0 else losses * math.log1p(-share) if share < 1 else -math.inf
    return first + second
