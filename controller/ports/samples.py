"""Sampled answers and their labels: how they are read, and how they are sent in."""

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
    """The place up to which samples have been read: the ids of the last rows read.

    The ``first_`` fields are the ids at which the release began: its own pairs, labelled answers, labels and disputes
    have greater ids. A text counts once among the release's pairs. ``names``: the names by which the earlier looks read
    labels; None: there was no look.
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
"""The most answers from before a release with which its answers are compared."""
CONFIDENCE_BINS = 10
"""The number of equal bins, from 0 to 1, in which confidences are counted."""


@dataclass(frozen=True, slots=True)
class AnswerCounts:
    """One version's sampled answers to live requests: by predicted class, by confidence (``CONFIDENCE_BINS``), and by
    tokens of the text if edges were given (one entry more than edges, without answers that do not say)."""

    classes: Mapping[str, int]
    confidence_counts: tuple[int, ...]
    token_counts: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class PairCounts:
    """The pairs that are evidence, labelled or not. ``stable`` and ``candidate``: by stable's class, the counts by the
    version's confidence (`gates.evidence.PAIR_CONFIDENCE_EDGES`). ``agreed``: by class, the pairs in which both
    versions gave that class."""

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
    slice_pairs: tuple[SlicePairs, ...]  # one for each requested slice, in that order
    stable_answers: AnswerCounts
    candidate_answers: AnswerCounts
    label_sources: tuple[LabelSource, ...] = ()  # those with the most labels, sorted by name
    unseen_slices: tuple[UnseenSlice, ...] = ()  # slices by a tag that no recent request carries
    pair_counts: PairCounts | None = None  # None: not known
    paired: int | None = None  # pairs of copies, including those of a text seen before; None: not known
    replayed: Replayed | None = None  # of replayed requests


LAST_ANSWERS_MAX: Final = 1_000
"""The most recent live answers by which requests are characterised."""
SOURCES_MAX = 20
"""The most label sources that a look describes."""
SOURCE_LABELS_MAX = 1_000
"""The most recent labels by which a look describes their sources: an error is forgotten after that many right ones."""


class Samples(Protocol):
    def latest(self) -> SampleCursor:
        """Return the cursor for a release that starts now."""

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
        """Return the pairs, the answers to live requests, and their labels that were added since the cursor.

        A pair is a live and a shadow answer of the two versions to one request; which of them was live makes no
        difference. Of several pairs with the same text, only the release's first one counts. Each pair names the
        ``slices`` that it belongs to (`gates.online.slices`).

        A label whose name means no class by ``names`` is no evidence, and is only counted for its source. If its name
        means a class later, the label becomes evidence then. Labels that are read here count as judged: their
        corrections come too late. ``settled_before_s`` (unix time): labels that arrived before it have had time to meet
        the sample of their request.
        """

    def last_answers(self, model: str, version: str) -> Sequence[Attributes]:
        """Return the attributes (by which slices are told apart) of the version's last sampled live answers, newest
        first, ``LAST_ANSWERS_MAX`` at most."""

    def reference(
        self, model: str, version: str, cursor: SampleCursor, *, since_s: float, token_edges: Sequence[int]
    ) -> Sequence[AnswerCounts]:
        """Return the counts of the version's sampled live answers from ``since_s`` (unix time) up to the cursor.

        The answers are counted in blocks of bounded size, spread over that time, each answer once; empty blocks are
        left out.
        """


ARRIVALS_MAX: Final = 500
"""The most recent labels of requests chosen by chance, from which the share and delay of labels are computed."""
ARRIVALS_MIN: Final = 30
"""The fewest labels from which they are computed."""


class LabelArrivals(Protocol):
    def labelled(self, model: str) -> Labelled | None:
        """Return the share of the model's sampled live answers that got a label by chance, and the delay, between the
        first and the last answer that the last ``ARRIVALS_MAX`` labels belong to. None if there are too few labels, or
        if the answers lie too far apart to be counted.

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
    tokens: int | None = None  # of the text before truncation; None: the replica does not report it
    tags: Mapping[str, str] = field(default_factory=dict)  # attributes that the client gave the request
    text: str | None = None


@dataclass(frozen=True, slots=True)
class Label:
    """The truth about one request. ``directed``: the request was labelled because the versions disagreed.

    ``inclusion_probability``, in (0, 1]: the probability that this request was chosen to be labelled. If texts are not
    equally likely, each label counts as ``1 / inclusion_probability``. ``corrects``: the source takes back what it said
    earlier about the request. ``received_at_s``: unix time at which the label arrived here; None: ``at_s``.
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
    """A request whose label is wanted. ``directed``: it is wanted because the versions disagree, and not by chance. Its
    label must repeat ``directed`` and ``inclusion_probability`` (`Label`); the latter is proportional to those of the
    other requests in the same list."""

    request_id: str
    model: str
    answers: Mapping[str, str]  # version -> predicted class
    disagree: bool
    directed: bool
    text: str | None
    inclusion_probability: float = 1.0


BY_CHANCE_BELOW: Final = "1a"
"""The bound of digests for labels by chance. Texts with a smaller digest, one in ten, are chosen whether or not the
versions agree on them. Digests are keyed hexadecimal hashes and independent of what a text says."""
BY_CHANCE_RATIO: Final = int(BY_CHANCE_BELOW, 16) / 16 ** len(BY_CHANCE_BELOW)
"""The share of texts with a digest below ``BY_CHANCE_BELOW``, 0 to 1."""


def by_turns(
    directed: Sequence[LabelRequest], by_chance: Sequence[LabelRequest], limit: int
) -> tuple[LabelRequest, ...]:
    """Return at most ``limit`` requests, of both kinds in turn, so that even the first few labels help every gate."""
    pairs = itertools.zip_longest(directed, by_chance)
    return tuple(one for pair in pairs for one in pair if one is not None)[:limit]


class SampleIntake(Protocol):
    """The writing side of ``Samples``, for replicas and label sources."""

    def add_predictions(self, predictions: Sequence[Prediction]) -> int:
        """Add the predictions, and return the number of new ones. The same request, version and traffic again changes
        nothing."""

    def add_labels(
        self, labels: Sequence[Label], *, aliases: Mapping[str, Mapping[str, str]] = _NO_ALIASES
    ) -> LabelsTaken:
        """Add a batch of labels, and return what became of them. ``aliases``: by model, the classes that names mean.

        The same label again changes nothing. Another label for the same request from the same source is refused, unless
        it corrects the first: then it replaces the first, or is only kept on record if the first was judged already.
        The first source of a request gives its truth; contradictions, by itself or by others, are counted for the later
        one. Labels without a sample are kept for a while, and only the newest of them.
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
        """Return the label sources as `Samples.since` describes them, without taking a look."""

    def label_requests(
        self, model: str, stable: str, candidate: str, *, first_pair: int, limit: int
    ) -> Sequence[LabelRequest]:
        """Return unlabelled requests whose labels would be evidence in the release that began at ``first_pair``: in
        turn the newest disagreements, and some by chance (digest below ``BY_CHANCE_BELOW``).

        Requests by chance come from all pairs: labels of agreeing pairs alone would distort calibration.
        """
