"""The standing queue of requests to label, which needs no release: what it holds, and how likely each request was.

A text is chosen by its digest, as texts are for a release by chance (`ports.samples.BY_CHANCE_BELOW`): below one bound
where the version is sure, and below a higher one where it is not. In order of the digest over its bound, any first part
of the queue holds both kinds in proportion to their probabilities (sequential Poisson sampling; Ohlsson 1998).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Protocol

from controller.ports.samples import BY_CHANCE_BELOW, LabelRequest

ANSWERS_MAX: Final = 5_000
"""The newest live answers whose texts are kept, of which a queue is chosen."""
UNSURE_RATIO: Final = 0.2
"""The share of texts that count as those which the version is least sure of."""
UNSURE_BELOW: Final = "80"
"""Of those, texts whose digest is below are asked for: every second one."""


@dataclass(frozen=True, slots=True)
class Answered:
    """A live answer whose text is kept. ``labelled``: something was said of its request."""

    request_id: str
    text_digest: str
    label: str
    confidence: float
    labelled: bool


class StandingRequests(Protocol):
    def standing_requests(self, model: str, version: str, *, since_s: float, limit: int) -> Sequence[LabelRequest]:
        """Return requests that the version answered live since then, and whose truth is not known: of the newest
        ``ANSWERS_MAX`` whose texts are kept those that `chosen` gives, with their texts.

        Raises:
            TransientError: the store does not answer.
        """


def chosen(newest: Sequence[Answered], limit: int) -> list[tuple[Answered, float]]:
    """Return the requests to ask for, with the probability that their text was chosen, in the order in which to label
    them. Of several with one text the newest is asked for, and none once one of them is labelled."""
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
    """Return where a digest lies between the least and the greatest one: 0 to 1."""
    beginning = digest[:12]
    try:
        return int(beginning, 16) / 16.0 ** len(beginning)
    except ValueError:  # not made by our replicas
        return 1.0
