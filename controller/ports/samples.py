"""Sampled answers and their labels: what is read of them, and what is sent in."""

import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Final, Protocol

from controller.core.labels import LabelNames, LabelsTaken, NamesRead, Position
from controller.core.sampling import Labelled
from gates.evidence import LabelCounts, LabelledPair, LabelSource, LeastLikely, Replayed, SlicePairs, UnseenSlice
from gates.online.slices import Attributes

_NO_ALIASES: Final[Mapping[str, Mapping[str, str]]] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class SampleCursor:
    """The place to which the look before read: ids of the last rows taken.

    ``first_pair`` is where the release began: its pairs have greater ids, and only among them a text counts once. The
    other firsts are where it began among labelled answers, labels and disputes. ``names`` are those that the looks
    before read labels by; None: there were none.
    """

    pair: int = 0
    labelled_pair: int = 0
    labelled_answer: int = 0
    first_pair: int = 0
    prediction: int = 0
    first_labelled_answer: int = 0
    first_label: int = 0
    first_dispute: int = 0
    names: NamesRead | None = None
    least_likely: LeastLikely | None = None

    @property
    def labels_read(self) -> Position:
        return self.labelled_pair, self.labelled_answer


REFERENCE_ANSWERS_MAX: Final = 8_000
"""The most answers of the time before a release that are compared with."""
CONFIDENCE_BINS = 10
"""Equal bins over 0 to 1 that confidences are counted in."""


@dataclass(frozen=True, slots=True)
class AnswerCounts:
    """One version's sampled answers to live requests: by predicted class, by confidence (``CONFIDENCE_BINS``), and by
    tokens of the text where edges were given (one entry more than edges; answers that do not tell are left out)."""

    classes: Mapping[str, int]
    confidence_counts: tuple[int, ...]
    token_counts: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class PairCounts:
    """All pairs that are evidence, labelled or not: by stable's class, and in each by both versions' confidences
    (`gates.evidence.PAIR_CONFIDENCE_EDGES`). ``agreed``: of each class, those that the candidate answered alike."""

    stable: Mapping[str, tuple[int, ...]]
    candidate: Mapping[str, tuple[int, ...]]
    agreed: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class SampleEvidence:
    """The evidence that sampled predictions and labels added since a cursor."""

    pairs: tuple[LabelledPair, ...]
    pairs_agreed: int
    pairs_disagreed: int
    stable_labels: LabelCounts
    candidate_labels: LabelCounts
    cursor: SampleCursor
    slice_pairs: tuple[SlicePairs, ...]  # of each slice asked for, in that order
    stable_answers: AnswerCounts
    candidate_answers: AnswerCounts
    label_sources: tuple[LabelSource, ...] = ()  # those that said most, by name
    unseen_slices: tuple[UnseenSlice, ...] = ()  # by a tag that no request of the last ones carries
    pair_counts: PairCounts | None = None  # None: not told
    paired: int | None = None  # pairs of copies, those of a text that was seen before, too; None: not told
    replayed: Replayed | None = None  # of requests that were asked again


LAST_ANSWERS_MAX: Final = 1_000
"""The last live answers that tell what requests are like now."""
SOURCES_MAX = 20
"""Sources of labels that a look tells of."""
SOURCE_LABELS_MAX = 1_000
"""The last labels that a look tells their sources by: an error ends by itself once so many right ones came."""


class Samples(Protocol):
    def latest(self) -> SampleCursor:
        """Return where things stand now: what a release that starts now has to begin from."""

    def since(
        self,
        model: str,
        stable: str,
        candidate: str,
        cursor: SampleCursor,
        *,
        slices: Sequence[str] = (),
        names: LabelNames = LabelNames(),  # noqa: B008 - frozen
        settled_before_s: float = math.inf,
    ) -> SampleEvidence:
        """Pairs, answers to live requests, and their labels, added since.

        A pair is a live and a shadow answer of the two versions to one request; which of them was live makes no
        difference. Of several pairs with the same text, the first one of the release stands for all. Each pair tells
        which of ``slices`` it belongs to (`gates.slices`).

        A label whose truth is no class by ``names`` is no evidence, only counted for its source; one that was none by
        the names of all looks that could have read it, and is one now, is evidence now. What is read here is judged:
        corrections of it come too late. ``settled_before_s``: labels that came before have had time to meet the sample
        of their request.
        """

    def last_answers(self, model: str, version: str) -> Sequence[Attributes]:
        """Return what slices are told by of the version's last sampled live answers, ``LAST_ANSWERS_MAX`` at most, the
        newest first."""

    def reference(
        self, model: str, version: str, cursor: SampleCursor, *, since_s: float, token_edges: Sequence[int]
    ) -> Sequence[AnswerCounts]:
        """Return what the version's sampled live answers looked like from ``since_s`` on and before the cursor.

        In blocks of bounded size from all along that time, none in two; those without an answer are left out.
        """


ARRIVALS_MAX: Final = 500
"""The last labels by chance that tell how labels come."""
ARRIVALS_MIN: Final = 30
"""Fewer tell nothing."""


class LabelArrivals(Protocol):
    def labelled(self, model: str) -> Labelled | None:
        """Return how many of the model's sampled live answers got a label by chance, and how late, from the first to
        the last of those that the last ``ARRIVALS_MAX`` labels are of; None where there are too few, or they lie too
        far apart to be counted.

        Raises:
            TransientError: the samples cannot be read.
        """


@dataclass(frozen=True, slots=True)
class Prediction:
    """One sampled answer, as a replica reports it (``serving.contract.PREDICTIONS_ROUTE``)."""

    request_id: str
    model: str
    version: str
    traffic: str
    at_s: float
    label: str
    confidence: float
    probabilities: Mapping[str, float]
    inclusion_probability: float
    text_digest: str
    tokens: int | None = None  # of the text before truncation; not every replica says
    tags: Mapping[str, str] = field(default_factory=dict)  # attributes that the client gave the request
    text: str | None = None


@dataclass(frozen=True, slots=True)
class Label:
    """The truth about one request, whenever it comes. ``directed``: given because the versions disagreed.

    ``inclusion_probability``, in (0, 1]: how likely this request was to be labelled, by the design that chose it. Where
    some texts are likelier than others, each label counts as one over it. ``corrects``: the source takes back what it
    said of the request before. ``received_at_s``: when the label came here; None: at ``at_s``.
    """

    request_id: str
    label: str
    at_s: float
    source: str
    directed: bool = False
    inclusion_probability: float = 1.0
    corrects: bool = False
    received_at_s: float | None = None


@dataclass(frozen=True, slots=True)
class LabelRequest:
    """A request whose truth would tell most: the versions' answers, and whether it is asked for because they differ, as
    its label has to say (`Label.directed`), or by chance. ``inclusion_probability`` is what its label has to say, too:
    in proportion to those of the requests that are asked for with it."""

    request_id: str
    model: str
    answers: Mapping[str, str]  # version -> predicted class
    disagree: bool
    directed: bool
    text: str | None
    inclusion_probability: float = 1.0


BY_CHANCE_BELOW: Final = "1a"
"""Texts whose digest is below are asked for by chance, one in ten, whether or not the versions agree on them: digests
are keyed hexadecimal hashes, and have nothing to do with what a text says."""
BY_CHANCE_RATIO: Final = int(BY_CHANCE_BELOW, 16) / 16 ** len(BY_CHANCE_BELOW)
"""The share of texts whose digests are."""


def by_turns(
    directed: Sequence[LabelRequest], by_chance: Sequence[LabelRequest], limit: int
) -> tuple[LabelRequest, ...]:
    """Return the requests of both kinds in turn, so that whoever answers only the first few helps every gate."""
    pairs = itertools.zip_longest(directed, by_chance)
    return tuple(one for pair in pairs for one in pair if one is not None)[:limit]


class SampleIntake(Protocol):
    """The writing side of ``Samples``: what replicas and label sources send."""

    def add_predictions(self, predictions: Sequence[Prediction]) -> int:
        """Number of new ones; the same (request, version, traffic) again changes nothing."""

    def add_labels(
        self, labels: Sequence[Label], *, aliases: Mapping[str, Mapping[str, str]] = _NO_ALIASES
    ) -> LabelsTaken:
        """Take a batch in; ``aliases`` by model say what names mean.

        The same label again changes nothing. Another one for the same request from the same source is refused, unless
        it corrects: then it takes the place of the first, or, where that was judged, is only kept on record. The first
        source of a request says the truth; contradictions, of itself or of others, are counted for the later one.
        Labels that match no sample are kept for a while and up to a number, the newest.
        """

    def label_sources(
        self,
        model: str,
        stable: str,
        candidate: str,
        cursor: SampleCursor,
        *,
        names: LabelNames,
        settled_before_s: float,
    ) -> Sequence[LabelSource]:
        """Return what `Samples.since` tells of the sources, read without a look."""

    def label_requests(
        self, model: str, stable: str, candidate: str, *, first_pair: int, limit: int
    ) -> Sequence[LabelRequest]:
        """Return, of the release that compares the two since ``first_pair``, requests whose label would be evidence and
        is not known: in turn the newest disagreements, and some by chance, of those below ``BY_CHANCE_BELOW``.

        Those by chance are of all pairs: labels of agreeing pairs alone would say of calibration what is not so.
        """
