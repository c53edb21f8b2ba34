"""What the controller needs of the world, each as small as its use. Adapters implement these; bootstrap binds them.

Every method may raise ``TransientError`` (ask again later) or ``PermanentError`` (a person must act); nothing else of a
vendor's gets through. Every writing method is safe to repeat.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Final, Protocol

from controller.core.command import Command, Freeze
from controller.core.labels import LabelNames, LabelsTaken
from controller.core.traffic import TrafficTable
from gates.evidence import ArmCounts, LabelCounts, LabelledPair, LabelSource, SlicePairs, UnseenSlice

_NO_ALIASES: Final[Mapping[str, Mapping[str, str]]] = MappingProxyType({})


class Clock(Protocol):
    def now_s(self) -> float:
        """Unix seconds."""


class Traffic(Protocol):
    """The data plane's routing, held where a rollback can reach it with nothing else alive."""

    def read(self, model: str) -> TrafficTable | None:
        """The table as written, or None where the model has never been routed."""

    def write(self, table: TrafficTable) -> None:
        """Replace the model's table atomically.

        Raises:
            ConflictError: the stored generation is not ``table.generation - 1``: somebody wrote meanwhile.
        """

    def confirmed_generation(self, model: str) -> int | None:
        """The generation that the data plane itself says it routes by; None where it does not know the model."""


@dataclass(frozen=True, slots=True)
class DeploymentSpec:
    """What to run: one version's verified package. Named ``intent-v7``, never by role."""

    model: str
    version: str
    package_dir: Path
    objectives_ms: tuple[float, ...] = ()  # an edge of the latency histogram at each
    memory_mb_max: int | None = None  # of each of its processes; None: by the size of the package's graph
    processes_max: int = 512  # processes and threads
    fingerprint: str = ""  # what the package has to be when it is read, at each start; "": whatever it is


@dataclass(frozen=True, slots=True)
class DeploymentStatus:
    """``ready``: it answers its health route. ``failed``: it was ready or starting and died, or did not start in time;
    ``detail`` says how, with the end of its log. What is asked at ``shadow_url`` counts as shadow traffic; one that
    an earlier version of Serin started may have none.

    Not ready says nothing of the version where it is ``starting`` (we started it, or ended it and start it again, and
    it has not answered since) or where ``ours``: this machine refused it something, which ``detail`` names.
    """

    version: str
    url: str | None
    ready: bool
    failed: bool = False
    detail: str = ""
    restarts: int | None = None  # how often it was started again after it had died; None: not known
    shadow_url: str | None = None
    starting: bool = False
    ours: bool = False


class Deployments(Protocol):
    def ensure(self, spec: DeploymentSpec) -> DeploymentStatus:
        """Start the version unless it runs, and say how it is. Returns at once; readiness comes in later calls."""

    def status(self, model: str) -> Mapping[str, DeploymentStatus]:
        """Every deployment of the model, by version."""

    def remove(self, model: str, version: str) -> None:
        """Drain and end the deployment, if there is one. Never blocks for the drain."""


@dataclass(frozen=True, slots=True)
class RegisteredVersion:
    """One version in the registry. ``source_id`` is the logged model behind it (``m-...``), which outlives renames;
    a version number alone is no identity, because a recreated model starts again at 1."""

    model: str
    version: str
    source_id: str
    ready: bool  # the registry has finished taking it in
    fingerprint: str = ""  # of the package as it was registered, by its tags; "": they do not say


CANDIDATE = "candidate"
"""The alias that asks for a release of the version it points at."""
CHAMPION = "champion"
"""The alias that tells which version serves."""
FINGERPRINT_TAG = "serin.fingerprint"
"""The tag of a version that holds the SHA-256 of its package's manifest, which has the digest of everything else.

Files stay changeable after registration, and so do tags: what to compare with until the journal knows the version.
"""


class Registry(Protocol):
    def models(self) -> Sequence[str]:
        """Names of every registered model."""

    def aliases(self, model: str) -> Mapping[str, str]:
        """Alias -> version, all of the model's."""

    def version(self, model: str, version: str) -> RegisteredVersion:
        """Raises PermanentError where there is no such version or its source is not allowed."""

    def fetch(self, version: RegisteredVersion, into: Path) -> Path:
        """Download the version's package (data only; nothing of it is executed) and return its directory.

        The files are not yet trusted: verify them against their manifest.
        """

    def move_alias(self, model: str, alias: str, version: str, *, expected: str | None) -> None:
        """Point the alias at the version, having found it at ``expected`` (or at the version already).

        Reads before and after the write, because the registry has no compare-and-swap.

        Raises:
            ConflictError: the alias stood, or stands afterwards, somewhere else; the message says where.
        """

    def drop_alias(self, model: str, alias: str, *, expected: str) -> None:
        """Remove the alias if it points at ``expected``."""

    def tag(self, model: str, version: str, tags: Mapping[str, str]) -> None:
        """Set tags on a version, for people to read. Of what is set here nothing is read back."""


@dataclass(frozen=True, slots=True)
class CounterCursor:
    """Where the last look stopped reading: series key -> value of its last raw sample, and when that was."""

    values: Mapping[str, float]
    at_s: float


@dataclass(frozen=True, slots=True)
class Usage:
    """What one version's texts were like and what its replicas used, since a cursor; ``None``: nobody measured it.

    Counts are of all its traffic, sums over its replicas; ratios and the depth are those of the worst replica.
    """

    replicas: int
    token_counts: tuple[int, ...] = ()  # texts of live requests, by ``MetricCounts.token_edges``
    texts: int | None = None
    tokens: int | None = None
    unknown_tokens: int | None = None
    truncated: int | None = None
    cold_requests: int | None = None
    worker_restarts: int | None = None
    busy_s: float | None = None  # time spent computing
    memory_ratio: float | None = None  # at its highest, of what the replica may use
    cpu_ratio: float | None = None  # of the cores that the replica may use
    gpu_ratio: float | None = None  # on average, of the GPU that is used most; None where there is none
    queue_depth: float | None = None  # on average
    tokenizer: str = ""  # SHA-256 of the running tokenizer's file; several, where replicas differ


@dataclass(frozen=True, slots=True)
class MetricCounts:
    """Increments since a cursor, exact, and the cursor to go on from. A version that has served nothing counts zero."""

    live: Mapping[str, ArmCounts]
    shadow: Mapping[str, ArmCounts]
    latency_edges_ms: tuple[float, ...]
    cursor: CounterCursor
    usage: Mapping[str, Usage]
    token_edges: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class GatewayCounts:
    """What the gateway answered since a cursor, exact: each user's request once, by the version that it was dealt to.

    ``live`` has no ``error_clusters``: the gateway does not know causes. It times every answer of a version, in whole
    milliseconds, and its histogram may be a scrape behind its counts. ``copies``: mirrored requests that were answered.
    ``sent``: live ones that a version was asked, those that their user gave up, too; some may be among no answers.
    """

    live: Mapping[str, ArmCounts]
    copies: Mapping[str, int]
    sent: Mapping[str, int]
    latency_edges_ms: tuple[float, ...]
    cursor: CounterCursor


class Metrics(Protocol):
    def counts(self, model: str, versions: Sequence[str], cursor: CounterCursor | None, *, at_s: float) -> MetricCounts:
        """What each version did between the cursor and ``at_s``, both from the same instant of the same source.

        Without a cursor the counts are zero and the cursor is where things stand. Raw samples are differenced with
        reset handling, per instance; never extrapolated.

        Raises:
            TransientError: not reachable, or a version's samples are missing, stale, partial or not finite: then
                nothing is known of the window, and the same cursor must be used again.
        """

    def gateway(
        self, model: str, versions: Sequence[str], cursor: CounterCursor | None, *, at_s: float
    ) -> GatewayCounts:
        """What users got of each version between the cursor and ``at_s``, as the gateway counted it.

        As ``counts``, with a cursor of its own. What the gateway answered by itself (no connection to the version, a
        time-out) is among the version's errors: nobody else counts it.

        Raises:
            TransientError: of the source ``gateway``: not reachable, or the gateway is not scraped, or another one.
        """

    def service_errors(self, model: str, windows_s: Sequence[float], *, at_s: float) -> Mapping[float, tuple[int, int]]:
        """(Errors, requests) of all that users asked of the model in each of the windows that end at ``at_s``.

        As the gateway answered them: whatever version they were dealt to, and if there was none. A window longer than
        the gateway has been watched tells of what was watched.

        Raises:
            TransientError: not reachable, or its answer cannot be used.
        """


@dataclass(frozen=True, slots=True)
class SampleCursor:
    """How far the look before read: ids of the last rows taken.

    ``first_pair`` is where the release began: its pairs have greater ids, and only among them a text counts once. The
    other firsts are where it began among labelled answers, labels and disputes. ``aliases`` are what
    the looks before took names for (`LabelNames.ever`); None: there were none.
    """

    pair: int = 0
    labelled_pair: int = 0
    labelled_answer: int = 0
    first_pair: int = 0
    prediction: int = 0
    first_labelled_answer: int = 0
    first_label: int = 0
    first_dispute: int = 0
    aliases: Mapping[str, str] | None = None


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
class SampleEvidence:
    """What sampled predictions and labels added since a cursor."""

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
    paired: int | None = None  # pairs that were completed, those of a text that was seen before, too; None: not told


SOURCES_MAX = 20
"""Sources of labels that a look tells of."""
SOURCE_LABELS_MAX = 1_000
"""The last labels that a look tells their sources by: an error ends by itself once so many right ones came."""


class Samples(Protocol):
    def latest(self) -> SampleCursor:
        """Where things stand now: what a release that starts now has to begin from."""

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
        the names of the look before, and is one now, is evidence now. What is read here is judged: corrections of it
        come too late. ``settled_before_s``: labels that came before have had time to meet the sample of their request.
        """

    def reference(
        self, model: str, version: str, cursor: SampleCursor, *, since_s: float, token_edges: Sequence[int]
    ) -> Sequence[AnswerCounts]:
        """What the version's sampled live answers looked like from ``since_s`` on and before the cursor.

        In blocks of bounded size from all along that time, none in two; those without an answer are left out.
        """


class Replicas(Protocol):
    """Questions asked of a running deployment directly, past the gateway; none counts as live traffic.

    Where a replica refuses what it is asked, ``RefusedRequestError`` says why, and which text is to blame.
    """

    def token_ids(self, url: str, texts: Sequence[str]) -> tuple[tuple[int, ...], ...]:
        """The ids that the running tokenizer gives the texts, special tokens included."""

    def fingerprint(self, url: str) -> str:
        """SHA-256 of the manifest that the running process verified at its start."""

    def probabilities(self, url: str, texts: Sequence[str]) -> Sequence[Mapping[str, float]]:
        """The model's class probabilities, by label, for each text in order."""


Json = Mapping[str, object]


@dataclass(frozen=True, slots=True)
class Entry:
    """One event of a release as the journal keeps it: a kind, a time, and a payload of JSON values."""

    kind: str
    at_s: float
    payload: Json


@dataclass(frozen=True, slots=True)
class RecordedEntry:
    """An entry with its place in the chain: ``hash`` covers the entry and ``previous_hash``."""

    sequence: int  # 1, 2, 3, ... within the release
    entry: Entry
    previous_hash: str
    hash: str


@dataclass(frozen=True, slots=True)
class ReleaseRecord:
    """A release as stored: its state after ``sequence`` entries, and what lists need to find it by."""

    release_id: str
    model: str
    version: str
    phase: str
    active: bool  # not yet in a terminal phase
    sequence: int
    started_at_s: float
    state: Json = field(repr=False)


class Journal(Protocol):
    """The record of what was decided. Entries and the state they lead to are committed in one transaction."""

    def append(self, record: ReleaseRecord, entries: Sequence[Entry], *, taken_up: Sequence[str] = ()) -> None:
        """Append ``entries`` and store ``record``; ``record.sequence`` counts them in. ``taken_up`` are ids of commands
        that these entries answer: they leave the inbox in the same transaction.

        Raises:
            ConflictError: the journal does not stand at ``record.sequence - len(entries)``: another writer.
        """

    def release(self, release_id: str) -> ReleaseRecord | None: ...

    def releases(
        self, *, model: str | None = None, active: bool | None = None, limit: int = 100, before: str | None = None
    ) -> Sequence[ReleaseRecord]:
        """Newest first; with ``before``, the id of a release, those older than it: none where there is no such one."""

    def page(self, release_id: str, *, after: int, limit: int) -> Sequence[RecordedEntry]:
        """The entries that follow sequence number ``after``, in order, at most ``limit``. Each is held against its hash
        and the entry before it, and the last of all against the release.

        Raises:
            PermanentError: the chain is broken; the message names the sequence number.
        """

    def entries(self, release_id: str) -> Sequence[RecordedEntry]:
        """In order, with the chain checked.

        Raises:
            PermanentError: the chain is broken; the message names the sequence number.
        """


WAITING_MAX = 100
"""Commands of one kind that wait for one model, and freezes that hold one, at most: each look reads them all."""


class Inbox(Protocol):
    """Commands that wait to be taken up, in the order they came."""

    def put(self, command: Command) -> bool:
        """Keep the command; False where one with this id was put in before.

        Raises:
            ConflictError: as many that ask the same of its model wait already as may (``WAITING_MAX``).
        """

    def waiting(self) -> Sequence[Command]: ...

    def discard(self, command_id: str, outcome: str) -> None:
        """Take a command out that no release answers, and keep why."""

    def outcome(self, command_id: str) -> str | None:
        """Why no release answers the command; None where it waits, or a release has taken it up."""

    def prune(self, before_s: float) -> int:
        """Forget the discarded commands that came before; the number of them."""


class Freezes(Protocol):
    def freeze(self, freeze: Freeze) -> None:
        """Raises ConflictError where ``WAITING_MAX`` freezes hold this model already."""

    def lift(self, model: str, *, reason: str, by: str, at_s: float) -> bool:
        """False where there was nothing to lift."""

    def in_force(self) -> Sequence[Freeze]: ...


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
    """A request whose truth would tell most: the two versions' answers, newest disagreements first."""

    request_id: str
    model: str
    answers: Mapping[str, str]  # version -> predicted class
    disagree: bool
    text: str | None


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
        """What `Samples.since` tells of the sources, read without a look."""

    def label_requests(
        self, model: str, stable: str, candidate: str, *, first_pair: int, limit: int
    ) -> Sequence[LabelRequest]:
        """Of the release that compares the two since ``first_pair``: requests whose label would be evidence and is not
        known, disagreements first, newest first, then others by chance."""
