"""The evidence of one look: what happened in one window, to both versions alike.

A look holds increments since the look before, as exact counts and as the labelled answers themselves, so that a gate's
state stays small and a recorded look can be judged again to the same numbers. ``None`` means *not known* (the source
could not be read, and ``faults`` says so); zero means *known to be none*.
"""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Final

from gates.verdict import Window

PAIR_CONFIDENCE_EDGES: Final = (0.3, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.98, 0.995)
"""Lower edges of all bins but the first that count pairs' confidences: closest where most of them lie."""


@dataclass(frozen=True, slots=True)
class ArmCounts:
    """The counts of one version in the window, summed over its replicas.

    ``latency_counts[i]`` counts the requests that took at most ``latency_edges_ms[i]`` and longer than the edge
    before; the last entry counts those above the last edge: ``len(edges) + 1`` entries. Only answered requests
    (2xx) are timed; ``errors`` are answers with status 5xx, and are within ``requests``.
    """

    requests: int
    errors: int
    latency_counts: tuple[int, ...]
    error_clusters: int | None = None  # causes that made requests fail, each once; None: not counted


@dataclass(frozen=True, slots=True)
class Answer:
    """One version's answer to one request: predicted class, its probability, and the Brier score against the truth."""

    label: str
    confidence: float
    brier: float


@dataclass(frozen=True, slots=True)
class LabelledPair:
    """One mirrored request that both versions answered and whose true label is known."""

    truth: str
    stable: Answer
    candidate: Answer
    inclusion_probability: float = 1.0  # that the request is captured *and* labelled, by design
    directed: bool = False  # labelled because the versions disagreed, not by chance
    slices: tuple[str, ...] = ()
    waited_s: float = 0.0  # from the later of the two answers until the label came
    replayed: bool = False  # a recorded request from before the release, asked again
    of_suite: bool = False  # a text of a suite: all of them are labelled, so nobody chose which


@dataclass(frozen=True, slots=True)
class PairProfile:
    """Counts of all pairs that were completed in the window, labelled or not, except those of suites (which are all
    labelled), as far as they need no label.

    Confidences are counted by ``PAIR_CONFIDENCE_EDGES`` (one entry more than edges), stable's classes in the order of
    ``Look.classes``; empty where the classes are not known. ``..._by_class``: the confidences for each of stable's
    classes, class after class. ``stable_agreed``: of ``stable_classes``, the pairs to which the candidate gave the same
    class; empty where that is not known.
    """

    stable_confidence: tuple[int, ...] = ()
    candidate_confidence: tuple[int, ...] = ()
    stable_classes: tuple[int, ...] = ()
    stable_by_class: tuple[int, ...] = ()
    candidate_by_class: tuple[int, ...] = ()
    stable_agreed: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class SlicePairs:
    """Pairs of one slice that were completed in the window, labelled or not, by whether the versions agreed."""

    slice: str
    agreed: int
    disagreed: int


@dataclass(frozen=True, slots=True)
class Replayed:
    """Recorded requests that were asked again in the window: ``requests`` to the candidate, and the pairs that they
    completed, which the look's counts of pairs include."""

    requests: int = 0
    agreed: int = 0
    disagreed: int = 0


@dataclass(frozen=True, slots=True)
class LabelChance:
    """The labelled live answers that had one probability of being captured *and* labelled, by design."""

    inclusion_probability: float
    labelled: int
    wrong: int


@dataclass(frozen=True, slots=True)
class LabelCounts:
    """Live answers of one version whose true label arrived in the window, labelled by chance (never directed).

    ``chances``: these counts by inclusion probability, each probability once; empty where all probabilities are 1.
    """

    labelled: int
    wrong: int
    chances: tuple[LabelChance, ...] = ()


def label_counts(chances: Iterable[LabelChance]) -> LabelCounts:
    """Return the sums of ``chances``, which are kept where some answers were not certain to be labelled."""
    parts = tuple(chances)
    uneven = any(part.inclusion_probability != 1.0 for part in parts)
    return LabelCounts(sum(part.labelled for part in parts), sum(part.wrong for part in parts), parts if uneven else ())


@dataclass(frozen=True, slots=True)
class NameCount:
    """An unknown name, the number of labels that gave it, and the name that the policy's ``label_names`` has for it
    (``meant``, which is no class either; empty: none)."""

    name: str
    labels: int
    meant: str = ""


@dataclass(frozen=True, slots=True)
class LabelSource:
    """The recent state of one source of labels: counts of its latest labels in the release, not of older ones.

    ``labelled`` are labels of live answers of the two versions; ``settled`` are labels of any request that came long
    enough ago for the request's sample to have come too.
    """

    source: str
    labelled: int = 0
    unknown: int = 0  # of ``labelled``: those that name no class of either version
    unknown_names: tuple[NameCount, ...] = ()  # the most frequent unknown names, most frequent first
    settled: int = 0
    unmatched: int = 0  # of ``settled``: those whose id no sampled request has
    expected_matched: float = 0.0  # of ``settled``, expected by the share of requests that is sampled
    contradicts_itself: int = 0  # new labels for requests that it labelled otherwise before; the first one stays
    contradicts_others: int = 0  # labels that differ from those of the source that was first
    corrected_late: int = 0  # corrections that came after the label had been judged, and changed nothing
    others_labels: int = 0  # labels of the sources that this one contradicts


@dataclass(frozen=True, slots=True)
class LeastLikely:
    """The label with the smallest inclusion probability of all labels of the release that were read so far."""

    source: str
    request_id: str
    inclusion_probability: float  # that the request is captured *and* labelled, by design


@dataclass(frozen=True, slots=True)
class UnseenSlice:
    """A slice of the policy to which no request can belong (``requests`` is 0) or none of the last ``requests`` did."""

    slice: str
    requests: int = 0
    nearest: str = ""  # the most similar name of a slice that requests do belong to; empty: none


@dataclass(frozen=True, slots=True)
class Profile:
    """The profile of one version's requests and answers in the window: sums and counts, no texts.

    ``token_counts`` are of live texts, by ``Look.token_edges`` (one entry more than edges). ``confidence_counts``
    (equal bins over [0, 1]) and ``class_counts`` (in the order of ``Look.classes``) are of sampled live answers. An
    empty tuple means *not measured*. The sums are of all texts, mirrored ones too.
    """

    token_counts: tuple[int, ...] = ()
    class_counts: tuple[int, ...] = ()
    confidence_counts: tuple[int, ...] = ()
    tokens: int = 0
    unknown_tokens: int = 0
    truncated: int = 0  # texts cut to the longest length the model takes
    requests: int = 0  # number of texts that ``tokens`` sums over
    tokenizer: str = ""  # fingerprint of the tokenizer that ran


@dataclass(frozen=True, slots=True)
class Resources:
    """The resources that one version used in the window, the worst of its replicas; ``None`` means *not measured*."""

    memory_ratio: float | None = None  # resident memory, of the limit
    cpu_ratio: float | None = None  # of the cores given
    gpu_ratio: float | None = None
    queue_depth: float | None = None
    cold_starts: int | None = None  # requests, mirrored ones too, that met a replica still warming up
    restarts: int | None = None  # since the release started
    requests_per_busy_s: float | None = None  # answers per second of computing time, of one replica
    cost: float | None = None  # of the window, in the currency of the policy


NO_PROFILE: Final = Profile()
NO_RESOURCES: Final = Resources()


@dataclass(frozen=True, slots=True)
class Fault:
    """A source that could not be read for this look: its name (metrics, labels, ...) and why, in one sentence."""

    source: str
    reason: str


@dataclass(frozen=True, slots=True)
class Earlier:
    """The design effect that a gate found in earlier releases: how many of its events count as one, as they come
    together."""

    gate: str
    effect: float  # at least 1


@dataclass(frozen=True, slots=True)
class UserCounts:
    """The answers that users got from both versions, as the gateway counted and timed them since it was last read.

    Each request counts once, whoever answered it: a request that never reached a replica is an error here and nowhere
    else. Every answer of a version is timed, in whole milliseconds; the times may be a scrape behind the counts.
    """

    stable: ArmCounts
    candidate: ArmCounts
    latency_edges_ms: tuple[float, ...] = ()
    former: ArmCounts | None = None  # as `Look.former`, untimed; None also where the gateway counts no copies


@dataclass(frozen=True, slots=True)
class Look:
    """All the evidence of one look at one release. See ``docs/evidence.md`` for the recorded form."""

    sequence: int  # 1, 2, 3, ... within the release
    window: Window
    candidate_share: float  # of live traffic, as configured during the window; 0 in shadow
    latency_edges_ms: tuple[float, ...] = ()
    stable: ArmCounts | None = None  # live
    candidate: ArmCounts | None = None  # live
    shadow: ArmCounts | None = None  # the candidate's answers to mirrored requests
    pairs: tuple[LabelledPair, ...] = ()
    pairs_agreed: int = 0  # pairs completed in this window, labelled or not, with the same predicted class
    pairs_disagreed: int = 0
    slice_pairs: tuple[SlicePairs, ...] = ()
    pair_profile: PairProfile | None = None  # None: not known
    stable_labels: LabelCounts | None = None
    candidate_labels: LabelCounts | None = None
    faults: tuple[Fault, ...] = ()
    token_edges: tuple[int, ...] = ()
    classes: tuple[str, ...] = ()
    stable_profile: Profile | None = None
    candidate_profile: Profile | None = None
    stable_resources: Resources | None = None
    candidate_resources: Resources | None = None
    tokenizer_pinned: str = ""  # fingerprint that the artifact's manifest names
    tokens_max: int = 0  # tokens of a text that the candidate reads at once, by that manifest; 0: not known
    reference: tuple[Profile, ...] = ()  # stable's live answers before the release, in blocks; in one look only
    label_sources: tuple[LabelSource, ...] = ()
    unseen_slices: tuple[UnseenSlice, ...] = ()
    least_likely: LeastLikely | None = None  # None: all labels were certain to be given
    users: UserCounts | None = None  # answers that users got; None also in evidence from before the gateway was read
    mirrors: bool = True  # whether anybody can copy users' requests to the candidate
    load_ratio: float = 1.0  # the candidate's load over stable's, copies included, as configured
    former: ArmCounts | None = None  # stable's answers to copies of what the candidate serves
    warming: bool = False  # some counts are of a version that may not have been warm at its share yet
    replayed: Replayed | None = None  # None: no request was replayed
    stable_parts: tuple[ArmCounts, ...] = ()  # ``stable`` by the replica that answered; empty where it has only one
    stable_users: tuple[ArmCounts, ...] = ()  # ``stable`` by groups of users, where users stay on a version
    users_edges_ms: tuple[float, ...] = ()  # latency edges of ``stable_users``
    sticky: bool = False  # users stay on the version that they were dealt to
    earlier: tuple[Earlier, ...] = ()  # only in the first looks

    @property
    def got(self) -> tuple[ArmCounts | None, ArmCounts | None]:
        """Return the counts of stable and of the candidate as users got them; in evidence from before the gateway was
        read, as the replicas counted them."""
        if self.users is None:
            return self.stable, self.candidate
        return self.users.stable, self.users.candidate

    @property
    def compared(self) -> tuple[ArmCounts | None, ArmCounts | None]:
        """Return the counts of stable and of the candidate by which their errors are compared: those that users got.
        While the candidate serves everybody, stable's answers to copies stand for stable; the gateway counts both
        versions, or the replicas count both."""
        stable, candidate = self.got
        if stable is not None and stable.requests:
            return stable, candidate
        if self.users is not None and self.users.former is not None:
            return self.users.former, candidate
        return (self.former, self.candidate) if self.former is not None else (stable, candidate)


def before_it_was_set(look: Look, clock_set_s: float) -> Look:
    """Return the look with its window by the clock as it was before somebody set it, by ``clock_set_s`` in all."""
    if not clock_set_s:
        return look
    return replace(look, window=Window(look.window.start_s - clock_set_s, look.window.end_s - clock_set_s))
