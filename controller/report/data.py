"""The contents of a report, all from the journal, in the order in which they are shown."""

from dataclasses import dataclass
from typing import Final

from controller.core.policy import ReleasePolicy
from controller.core.release import Phase, Purpose, Version
from gates.evidence import LabelSource
from gates.outcome import Outcome
from gates.suite_evidence import SuiteFile
from gates.verdict import Verdict

SCHEMA: Final = "serin.report/v1"


@dataclass(frozen=True, slots=True)
class Conclusion:
    """The end of the release, or its state so far. ``headline``: one sentence. ``reason``: as recorded."""

    phase: Phase
    headline: str
    reason: str
    blamed: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Facts:
    """The basic facts about the release. Times are unix seconds. ``as_of_s``: the time of the last entry; the report
    does not read a clock."""

    release_id: str
    model: str
    purpose: Purpose
    candidate: Version
    stable: Version | None
    started_by: str
    started_at_s: float
    as_of_s: float
    decided_at_s: float | None  # when the release began to go back or to be promoted
    policy_digest: str  # SHA-256 of the policy's canonical JSON, as the journal has it
    replaced: Version | None = None  # could not run: the candidate takes its place without a comparison
    origin: tuple[tuple[str, str], ...] = ()  # of the candidate: the known facts, as pairs of name and words


@dataclass(frozen=True, slots=True)
class PhaseSpan:
    """A phase, or one canary step, from ``start_s`` to ``end_s`` (unix time; None: it still lasts)."""

    phase: Phase
    title: str
    start_s: float
    end_s: float | None
    reason: str


@dataclass(frozen=True, slots=True)
class Decision:
    """One thing that was decided or done, and why. ``by``: the person; empty if Serin did it by itself. ``routine``:
    it only confirms an earlier decision."""

    sequence: int
    at_s: float
    title: str
    reason: str
    by: str = ""
    blamed: tuple[str, ...] = ()
    routine: bool = False


@dataclass(frozen=True, slots=True)
class TrafficShare:
    """The weights that the data plane confirmed at ``at_s`` (unix time)."""

    at_s: float
    weights_pct: dict[str, float]


@dataclass(frozen=True, slots=True)
class FaultSpan:
    """The time in which a source could not be read. ``end_s``: unix time; None: it still could not at the last
    entry."""

    source: str
    reason: str
    start_s: float
    end_s: float | None


@dataclass(frozen=True, slots=True)
class TracePoint:
    """A gate at one look, or at several merged looks: then with the last value and the worst outcome."""

    at_s: float
    outcome: Outcome
    value: float | None
    low: float | None
    high: float | None


@dataclass(frozen=True, slots=True)
class Trace:
    """The course of one gate's value. ``threshold`` and ``unit``: as in its last verdict that is no error."""

    gate: str
    unit: str
    threshold: float | None
    points: tuple[TracePoint, ...]


@dataclass(frozen=True, slots=True)
class ReliabilityBin:
    """The answers with a confidence from ``low`` to ``high``. The means are weighted by inclusion probability."""

    low: float
    high: float
    count: int
    confidence: float
    accuracy: float


@dataclass(frozen=True, slots=True)
class Reliability:
    """One version's confidence and accuracy, on pairs labelled by chance."""

    count: int
    confidence: float | None
    accuracy: float | None
    calibration_error: float | None  # plain ECE: too high on few labels; shown only, no gate uses it
    bins: tuple[ReliabilityBin, ...]


@dataclass(frozen=True, slots=True)
class Accuracy:
    """One version's share of right answers on mirrored requests, with a 95 % interval that holds at one time only.

    ``method``: "aipw" if labels of disagreements are used as well; "hajek" if only pairs labelled by chance are used
    (see `gates.stats.weighted`).
    """

    value: float
    low: float
    high: float
    labels: int
    method: str


@dataclass(frozen=True, slots=True)
class ClassLoss:
    """A true class of which the candidate recognises fewer than stable. ``stable`` and ``candidate``: the share of the
    class's pairs, labelled by chance, that the version got right. ``lost``: the loss as a share of all such pairs."""

    name: str
    labels: int
    stable: float
    candidate: float
    lost: float


@dataclass(frozen=True, slots=True)
class LatencyArm:
    """One version's answers per bucket (one more than there are edges), and its percentiles as bucket edges in ms,
    never interpolated."""

    counts: tuple[int, ...]
    percentiles_ms: dict[str, float | None]  # None: beyond the last edge

    @property
    def total(self) -> int:
        return sum(self.counts)


@dataclass(frozen=True, slots=True)
class Latency:
    """The latency of both versions over the same windows. ``mirrored``: the candidate had no live traffic yet, so the
    latency of its answers to copies is shown."""

    edges_ms: tuple[float, ...]
    objectives_ms: tuple[float, ...]
    mirrored: bool
    stable: LatencyArm
    candidate: LatencyArm
    looks_left_out: int  # looks with other bucket edges, which cannot be added


@dataclass(frozen=True, slots=True)
class ArmEvidence:
    """The counts of one version over the whole release."""

    live_requests: int = 0
    live_errors: int = 0
    mirrored_requests: int = 0
    mirrored_errors: int = 0
    labelled: int = 0
    wrong: int = 0


@dataclass(frozen=True, slots=True)
class Evidence:
    looks: int
    first_s: float | None
    last_s: float | None
    pairs_agreed: int
    pairs_disagreed: int
    pairs_labelled_by_chance: int
    pairs_labelled_directed: int
    stable: ArmEvidence
    candidate: ArmEvidence
    looks_with_fault: dict[str, int]  # by source


@dataclass(frozen=True, slots=True)
class Chain:
    """The hash chain of the release's journal. ``head_hash``: the last entry's hash, which covers all entries."""

    entries: int
    head_hash: str


@dataclass(frozen=True, slots=True)
class ReportData:
    """The whole report. ``made_by``: the version of Serin that read the journal."""

    schema: str
    made_by: str
    conclusion: Conclusion
    facts: Facts
    policy: ReleasePolicy
    suites: tuple[SuiteFile, ...]  # the files of the last run of the suites
    gates: tuple[Verdict, ...]
    phases: tuple[PhaseSpan, ...]
    traffic: tuple[TrafficShare, ...]
    decisions: tuple[Decision, ...]
    faults: tuple[FaultSpan, ...]
    traces: tuple[Trace, ...]
    reliability_stable: Reliability
    reliability_candidate: Reliability
    accuracy_stable: Accuracy | None
    accuracy_candidate: Accuracy | None
    classes_lost: tuple[ClassLoss, ...]  # the classes with the greatest loss, at most three
    latency: Latency | None
    label_sources: tuple[LabelSource, ...]  # as the last look found them
    evidence: Evidence
    chain: Chain
