"""The standing queue of requests to label, which needs no release: its requests, and the probability of each.

A text is chosen by its digest, like texts by chance in a release (`ports.samples.BY_CHANCE_BELOW`): below one bound if
the version is sure of its answer, and below a higher bound if it is not. The queue is sorted by digest / bound, so that
any first part of it holds both kinds in proportion to their probabilities (sequential Poisson sampling; Ohlsson 1998).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Protocol

from controller.ports.samples import BY_CHANCE_BELOW, LabelRequest

ANSWERS_MAX: Final = 5_000
"""The number of newest live answers with kept texts from which a queue is chosen."""
UNSURE_RATIO: Final = 0.2
"""The share of texts, those with the lowest confidence, that count as unsure."""
UNSURE_BELOW: Final = "80"
"""The bound of digests for unsure texts: every second one is chosen."""


@dataclass(frozen=True, slots=True)
class Answered:
    """A live answer whose text is kept. ``labelled``: its request has a label."""

    request_id: str
    text_digest: str
    label: str
    confidence: float
    labelled: bool


class StandingRequests(Protocol):
    def standing_requests(self, model: str, version: str, *, since_s: float, limit: int) -> Sequence[LabelRequest]:
        """Return unlabelled requests, with their texts, that the version answered live since ``since_s`` (unix time):
        those that `chosen` picks from the newest ``ANSWERS_MAX`` whose texts are kept.

        Raises:
            TransientError: the store does not answer.
        """


def chosen(newest: Sequence[Answered], limit: int) -> list[tuple[Answered, float]]:
    """Return the requests to label, in order, each with the probability that its text was chosen. Of several requests
    with the same text the newest is chosen, or none if one of them is labelled. ``newest``: newest first."""
    texts: dict[str, Answered] = {}
    for one in newest:
        texts.setdefault(one.text_digest, one)
    known = {one.text_digest for one in newest if one.labelled}
    surest = sorted(one.confidence for one in texts.values())
    sure_from = surest[int(len(surest) * UNSURE_RATIO)] if surest else 0.0
    found = []
    for digest, one in texts.items():
        bound = UNSURE_BELOW if one.confidence < sure_from else BY_CHANCE_BELOW
        if digest < bound and digest not in known:
            found.append((_share(digest) / _share(bound), one, _share(bound)))
    return [(one, probability) for _, one, probability in sorted(found, key=lambda each: each[0])[:limit]]


def _share(digest: str) -> float:
    """Return the place of the digest between the smallest and the greatest possible one, 0 to 1."""
    beginning = digest[:12]
    try:
        return int(beginning, 16) / 16.0 ** len(beginning)
    except ValueError:  # not made by our replicas
        return 1.0
