"""An e-process for "both versions' counts come from one distribution", over any bins.

Let p and q be guesses of the two distributions, made before the look, and p0 their mean, weighted by the numbers of
observations of the look. The likelihood of (p, q) over that of (p0, p0) is an e-value: under any common distribution
the expected factors of all observations average to 1, so by the inequality of arithmetic and geometric means their
product is at most 1 (Turner, Ly & Grünwald, arXiv:2106.02693, for two categories). The guesses are Dirichlet estimates
from earlier looks.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

_PRIOR = 20.0  # observations of the pooled distribution that each version's guess starts from


@dataclass(frozen=True, slots=True)
class HomogeneityState:
    """Counts per bin so far, and the log evidence, now and at its highest."""

    candidate: tuple[int, ...] = ()
    stable: tuple[int, ...] = ()
    log_e: float = 0.0
    peak: float = 0.0

    @property
    def smaller(self) -> int:
        """Return the number of observations of the version that has fewer."""
        return min(sum(self.candidate), sum(self.stable))

    def add(self, candidate: Sequence[int], stable: Sequence[int]) -> "HomogeneityState":
        """Return the state after one look's counts; another number of bins begins anew.

        Raises:
            ValueError: the versions have different numbers of bins.
        """
        if len(candidate) != len(stable):
            raise ValueError(f"{len(candidate)} bins of the candidate and {len(stable)} of stable")
        state = (
            self
            if len(self.candidate) == len(candidate)
            else HomogeneityState((0,) * len(candidate), (0,) * len(stable))
        )
        sizes = sum(candidate), sum(stable)
        log_e = state.log_e
        if min(sizes):
            p, q = _guesses(state)
            weight = sizes[0] / sum(sizes)
            for x, y, a, b in zip(candidate, stable, p, q, strict=True):
                pooled = weight * a + (1 - weight) * b
                log_e += x * math.log(a / pooled) + y * math.log(b / pooled)
        return HomogeneityState(
            tuple(map(int.__add__, state.candidate, candidate)),
            tuple(map(int.__add__, state.stable, stable)),
            log_e,
            max(state.peak, log_e),
        )

    def distance(self) -> float:
        """Return the total variation between the observed distributions; 0 where one version has no observations."""
        totals = sum(self.candidate), sum(self.stable)
        if not min(totals):
            return 0.0
        return sum(abs(x / totals[0] - y / totals[1]) for x, y in zip(self.candidate, self.stable, strict=True)) / 2


def _guesses(state: HomogeneityState) -> tuple[list[float], list[float]]:
    """Return guesses of the candidate's and of stable's distribution, from the counts before this look."""
    both = [x + y + 0.5 for x, y in zip(state.candidate, state.stable, strict=True)]
    pooled = [count / sum(both) for count in both]
    guesses = []
    for counts in (state.candidate, state.stable):
        size = sum(counts) + _PRIOR
        guesses.append([(count + _PRIOR * share) / size for count, share in zip(counts, pooled, strict=True)])
    return guesses[0], guesses[1]
