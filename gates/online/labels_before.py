"""The check whether the recorded requests that had a label before a release were chosen by confidence.

If they were, the recorded requests without a label are no fair sample.
"""

import bisect
from collections.abc import Hashable, Sequence
from dataclasses import dataclass

from gates.evidence import PAIR_CONFIDENCE_EDGES
from gates.online.labelling import LOG_EVIDENCE
from gates.stats.chosen import Bins, Strata


@dataclass(frozen=True, slots=True)
class Recorded:
    """An answer of some version to a request recorded before a release: the group that it is compared within (by its
    class, say), its confidence, and whether the request has a label."""

    alike: Hashable
    confidence: float
    labelled: bool


def are_chosen(answers: Sequence[Recorded], distance_max: float) -> bool:
    """Return whether the labelled answers were chosen by their confidence, compared within each group of ``alike``.
    ``distance_max``: as in `Labelling.chosen`."""
    bins = len(PAIR_CONFIDENCE_EDGES) + 1
    place = {alike: number for number, alike in enumerate(dict.fromkeys(one.alike for one in answers))}
    counts = [0] * (bins * len(place))
    drawn, labelled = [0.0] * bins, [0] * len(place)
    for one in answers:
        bin_ = bisect.bisect_right(PAIR_CONFIDENCE_EDGES, one.confidence)
        counts[place[one.alike] * bins + bin_] += 1
        if one.labelled:
            drawn[bin_] += 1
            labelled[place[one.alike]] += 1
    by_chance = Strata(tuple(counts)).by_chance(labelled, bins)
    every = tuple(sum(counts[bin_::bins]) for bin_ in range(bins))
    found = Bins(every, tuple(drawn), sum(drawn))
    return found.log_e_against(by_chance) >= LOG_EVIDENCE and found.distance_from(by_chance) >= distance_max
