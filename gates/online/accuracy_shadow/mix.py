"""The mix of replayed requests beside today's: only if both are of the same mix do replayed ones speak for today."""

from dataclasses import dataclass, field
from typing import Final

from gates.evidence import Look
from gates.stats.share import ShareState
from gates.wording import pct

_RATIO: Final = 1.5  # of the two shares of disagreements; a smaller ratio says nothing of accuracy


@dataclass(frozen=True, slots=True)
class Mix:
    """The disagreements among pairs of replayed requests, and among pairs of today's mirrored requests."""

    replayed: ShareState = field(default_factory=ShareState)
    today: ShareState = field(default_factory=ShareState)

    def add(self, look: Look) -> "Mix":
        """Return the mix with the pairs of a look."""
        found = look.replayed
        agreed, disagreed = (found.agreed, found.disagreed) if found is not None else (0, 0)
        return Mix(
            _plus(self.replayed, agreed, disagreed),
            _plus(self.today, look.pairs_agreed - agreed, look.pairs_disagreed - disagreed),
        )

    def waits(self, pairs_min: int) -> bool:
        """Return whether there are replayed pairs, but too few of today's to compare them with."""
        return self.replayed.total > 0 and self.today.total < pairs_min

    def differs(self, alpha: float) -> bool:
        """Return whether the two shares of disagreements surely differ, and by enough to matter. If the mix is the
        same, this is true at any look with probability ``alpha`` at most."""
        if not (self.replayed.total and self.today.total):
            return False
        one, other = sorted((self.replayed, self.today), key=lambda part: part.share)
        if other.share < _RATIO * one.share:
            return False
        return one.interval(alpha / 2)[1] < other.interval(alpha / 2)[0]

    @property
    def told(self) -> str:
        """Return words for how many of the pairs are of replayed requests; empty where none is."""
        return f", {self.replayed.total:,} of them replayed" if self.replayed.total else ""

    @property
    def difference(self) -> str:
        """Return the sentence that says how the two shares differ, and the way out."""
        replayed, today = self.replayed, self.today
        return (
            "Replayed requests are of another mix than today's: the versions disagree on "
            f"{pct(replayed.share)} of {replayed.total:,} replayed requests and on {pct(today.share)} of "
            f"{today.total:,} of today's, so that what is replayed proves nothing now. Release again with "
            "shadow_replay.requests_max: 0, or from recordings of today."
        )


def _plus(before: ShareState, agreed: int, disagreed: int) -> ShareState:
    return ShareState(before.events + disagreed, before.total + agreed + disagreed)
