"""From pairs of answers to counts of losses, whichever pairs were labelled.

Where both versions predict the same class, D is 0 whatever the truth is; only disagreements need a label. Labels may
therefore be asked for where they tell most (directed), as long as the agreeing pairs enter at the rate at which
disagreements are resolved: a disagreement that still waits for its label must hold back its share of agreeing pairs,
or every pass would come early.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

from gates.evidence import LabelledPair
from gates.stats.betting import Trinomial


@dataclass(frozen=True, slots=True)
class Losses:
    """``counts`` of D: +1 stable right and candidate wrong, -1 the reverse, 0 otherwise.

    ``counted``: the look stream tells how many pairs agreed and disagreed, labelled or not. If it does not, D = 0
    comes from agreeing pairs that were labelled by chance.
    """

    counts: Trinomial = field(default_factory=Trinomial)
    counted: bool = False
    agreed_waiting: int = 0
    disagreed_waiting: int = 0

    def add(self, pairs: Sequence[LabelledPair], agreed: int, disagreed: int) -> "Losses":
        """One look's labelled pairs, and how many pairs were completed in it."""
        apart = [pair for pair in pairs if pair.stable.label != pair.candidate.label]
        resolved = len(apart)
        plus = sum(pair.stable.label == pair.truth for pair in apart)
        minus = sum(pair.candidate.label == pair.truth for pair in apart)
        counted = self.counted or agreed + disagreed > 0
        agreed_waiting, disagreed_waiting = self.agreed_waiting + agreed, self.disagreed_waiting + disagreed
        settled = len(pairs) - resolved
        if counted:
            settled = agreed_waiting * resolved // max(disagreed_waiting, resolved, 1)
            agreed_waiting -= settled
            disagreed_waiting = max(disagreed_waiting - resolved, 0)
        zero = self.counts.zero + settled + resolved - plus - minus
        counts = Trinomial(self.counts.plus + plus, self.counts.minus + minus, zero)
        return Losses(counts, counted, agreed_waiting, disagreed_waiting)
