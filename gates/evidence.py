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
"""Lower edges of the bins that confidences of pairs are counted in, but for the first: most where most of them lie."""


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
    error_clusters: int | None = None  # what made requests fail, each cause once, where they are counted


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
    inclusion_probability: float = 1.0  # of the request being captured *and* labelled, as designed
    directed: bool = False  # labelled because the two disagreed, not by chance
    slices: tuple[str, ...] = ()
    waited_s: float = 0.0  # from the later of the two answers until the label came
    replayed: bool = False  # of a request of before the release, that was asked again
    of_suite: bool = False  # of a text whose label was known, as all of its kind are: no choice of labels


@dataclass(frozen=True, slots=True)
class PairProfile:
    """All pairs that were completed in the window, labelled or not, but for those of suites, which are all labelled:
    what can be told of them without a label.

    Confidences by ``PAIR_CONFIDENCE_EDGES`` (one entry more than edges), stable's classes in the order of
    ``Look.classes``; empty where those are not known. ``_by_class``: the same confidences by stable's classes, the
    entries of each class after those of the one before it. ``stable_agreed``: of ``stable_classes``, those that the
    candidate answered alike; empty where it is not told.
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
    """Recorded requests that were asked again in the window, before any user: ``requests`` of the candidate, and the
    pairs that they completed, which are among all pairs of the look."""

    requests: int = 0
    agreed: int = 0
    disagreed: int = 0


@dataclass(frozen=True, slots=True)
class LabelChance:
    """Those of the labelled live answers that were equally likely to be: captured *and* labelled, as designed."""

    inclusion_probability: float
    labelled: int
    wrong: int


@dataclass(frozen=True, slots=True)
class LabelCounts:
    """Live answers of one version whose true label arrived in the window, labelled by chance (never directed).

    ``chances``: the same counts by inclusion probability, each once; empty where all of them have 1.
    """

    labelled: int
    wrong: int
    chances: tuple[LabelChance, ...] = ()


def label_counts(chances: Iterable[LabelChance]) -> LabelCounts:
    """The counts of all, and by inclusion probability where some were not certain to be labelled."""
    parts = tuple(chances)
    uneven = any(part.inclusion_probability != 1.0 for part in parts)
    return LabelCounts(sum(part.labelled for part in parts), sum(part.wrong for part in parts), parts if uneven else ())


@dataclass(frozen=True, slots=True)
class NameCount:
    """The number of labels that gave a name; and what the policy's ``label_names`` say that it means, where that is no
    class either."""

    name: str
    labels: int
    meant: str = ""


@dataclass(frozen=True, slots=True)
class LabelSource:
    """The state of one source of labels lately: of the last labels of the release, so many that the past does not
    count.

    ``labelled`` are labels of live answers of the two versions; ``settled`` are labels of any request that came long
    enough ago for the request's sample to have come too.
    """

    source: str
    labelled: int = 0
    unknown: int = 0  # of ``labelled``: no class of either version
    unknown_names: tuple[NameCount, ...] = ()  # the most frequent of those, most frequent first
    settled: int = 0
    unmatched: int = 0  # of ``settled``: no sampled request has the id
    expected_matched: float = 0.0  # of ``settled``, by the share of requests that is sampled
    contradicts_itself: int = 0  # another label for a request that it labelled before; the first one stays
    contradicts_others: int = 0  # another label than the source that was first
    corrected_late: int = 0  # corrections that came after the label had been judged, and changed nothing
    others_labels: int = 0  # labels of the sources that it contradicts


@dataclass(frozen=True, slots=True)
class LeastLikely:
    """The label of the release that was the least likely to be given, of all that were read so far."""

    source: str
    request_id: str
    inclusion_probability: float  # of the request being captured *and* labelled, as designed


@dataclass(frozen=True, slots=True)
class UnseenSlice:
    """A slice of the policy that no request can belong to (``requests`` is 0), or none of the last ``requests`` did."""

    slice: str
    requests: int = 0
    nearest: str = ""  # of the slices that requests do belong to, the one most alike


@dataclass(frozen=True, slots=True)
class Profile:
    """The profile of one version's requests and answers in the window: sums and counts, no texts.

    ``token_counts`` are of live texts, by ``Look.token_edges`` (one entry more than edges); ``confidence_counts`` in
    equal bins over [0, 1] and ``class_counts`` in the order of ``Look.classes`` of sampled live answers. An empty tuple
    is *not measured*. The sums are of all texts, mirrored ones too.
    """

    token_counts: tuple[int, ...] = ()
    class_counts: tuple[int, ...] = ()
    confidence_counts: tuple[int, ...] = ()
    tokens: int = 0
    unknown_tokens: int = 0
    truncated: int = 0  # texts cut to the longest length the model takes
    requests: int = 0  # texts that ``tokens`` are the tokens of
    tokenizer: str = ""  # fingerprint of the one that ran


@dataclass(frozen=True, slots=True)
class Resources:
    """The resources that one version used in the window, the worst of its replicas; ``None`` is *not measured*."""

    memory_ratio: float | None = None  # resident memory, of the limit
    cpu_ratio: float | None = None  # of the cores given
    gpu_ratio: float | None = None
    queue_depth: float | None = None
    cold_starts: int | None = None  # requests, mirrored ones too, that met a replica still warming up
    restarts: int | None = None  # since the release started
    requests_per_busy_s: float | None = None  # answers per second of computing, one replica
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
    """The number of events, of what a gate counts, that came together in the service's releases before."""

    gate: str
    effect: float  # at least 1


@dataclass(frozen=True, slots=True)
class UserCounts:
    """The answers that users got of both versions, as the gateway counted and timed it, since the look before that told
    of it.

    Of each request once, whatever was answered by whom: a request that never reached a replica is an error here and
    nowhere else. Every answer of a version is timed, in whole milliseconds; the times may be a scrape behind.
    """

    stable: ArmCounts
    candidate: ArmCounts
    latency_edges_ms: tuple[float, ...] = ()
    former: ArmCounts | None = None  # as `Look.former`, untimed; None also where the gateway does not tell of copies


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
    pair_profile: PairProfile | None = None  # None: not told
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
    tokens_max: int = 0  # tokens of a text that the candidate reads at once, by that manifest; 0: not told
    reference: tuple[Profile, ...] = ()  # stable's live answers before the release, in blocks; told once
    label_sources: tuple[LabelSource, ...] = ()
    unseen_slices: tuple[UnseenSlice, ...] = ()
    least_likely: LeastLikely | None = None  # None: all labels were certain to be given
    users: UserCounts | None = None  # what users got; None also in evidence from before the gateway was read
    mirrors: bool = True  # whether anybody can copy users' requests to the candidate
    load_ratio: float = 1.0  # the candidate's load over stable's, copies included, as configured
    former: ArmCounts | None = None  # stable's answers to copies of what the candidate serves
    warming: bool = False  # some of what was counted is of a version that may not have been warm at its share yet
    replayed: Replayed | None = None  # None: nothing was
    stable_parts: tuple[ArmCounts, ...] = ()  # of ``stable``, by the replicas that answered; none where it has but one
    stable_users: tuple[ArmCounts, ...] = ()  # of ``stable``, by the users who asked, where they keep to a version
    users_edges_ms: tuple[float, ...] = ()  # of those
    sticky: bool = False  # users keep to the version that they were dealt to
    earlier: tuple[Earlier, ...] = ()  # told with the first looks

    @property
    def got(self) -> tuple[ArmCounts | None, ArmCounts | None]:
        """Return what users got of stable and of the candidate: in evidence from before the gateway was read, what the
        replicas counted."""
        if self.users is None:
            return self.stable, self.candidate
        return self.users.stable, self.users.candidate

    @property
    def compared(self) -> tuple[ArmCounts | None, ArmCounts | None]:
        """Return stable and the candidate as their errors are compared: what users got of both; while the candidate
        serves everybody, stable's answers to copies stand for it, counted by whom the candidate's are counted by."""
        stable, candidate = self.got
        if stable is not None and stable.requests:
            return stable, candidate
        if self.users is not None and self.users.former is not None:
            return self.users.former, candidate
        return (self.former, self.candidate) if self.former is not None else (stable, candidate)


def before_it_was_set(look: Look, clock_set_s: float) -> Look:
    """The look by the clock as it was before somebody set it, by so many seconds in all."""
    if not clock_set_s:
        return look
    return replace(look, window=Window(look.window.start_s - clock_set_s, look.window.end_s - clock_set_s))
