"""The values that a report says: all of it read from the journal, in the order in which it is shown."""

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
    """The end of the release, or where it stands. ``headline`` is one sentence; ``reason`` is the recorded one."""

    phase: Phase
    headline: str
    reason: str
    blamed: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Facts:
    """Times are unix seconds. ``as_of_s`` is the time of the last entry: the report has no clock of its own."""

    release_id: str
    model: str
    purpose: Purpose
    candidate: Version
    stable: Version | None
    started_by: str
    started_at_s: float
    as_of_s: float
    decided_at_s: float | None  # when it began to go back, or was promoted
    policy_digest: str  # SHA-256 of the policy's canonical JSON, as the journal has it
    replaced: Version | None = None  # which could not run: the candidate takes its place, and is compared with nothing
    origin: tuple[tuple[str, str], ...] = ()  # of the candidate: what is known, by name


@dataclass(frozen=True, slots=True)
class PhaseSpan:
    """A phase, or one canary step of it. ``end_s`` is None while it lasts."""

    phase: Phase
    title: str
    start_s: float
    end_s: float | None
    reason: str


@dataclass(frozen=True, slots=True)
class Decision:
    """One thing that was decided or done, and why. ``by`` is empty where Serin did it by itself; ``routine``: it only
    confirms what was decided before."""

    sequence: int
    at_s: float
    title: str
    reason: str
    by: str = ""
    blamed: tuple[str, ...] = ()
    routine: bool = False


@dataclass(frozen=True, slots=True)
class TrafficShare:
    """From ``at_s`` on the data plane confirmed these weights."""

    at_s: float
    weights_pct: dict[str, float]


@dataclass(frozen=True, slots=True)
class FaultSpan:
    """A source that could not be read. ``end_s`` is None where it was not back at the last entry."""

    source: str
    reason: str
    start_s: float
    end_s: float | None


@dataclass(frozen=True, slots=True)
class TracePoint:
    """A gate at one look. Where looks were merged to keep the report small, the last value and the worst outcome."""

    at_s: float
    outcome: Outcome
    value: float | None
    low: float | None
    high: float | None


@dataclass(frozen=True, slots=True)
class Trace:
    """The course of one gate's value. ``threshold`` and ``unit`` as in its last verdict."""

    gate: str
    unit: str
    threshold: float | None
    points: tuple[TracePoint, ...]


@dataclass(frozen=True, slots=True)
class ReliabilityBin:
    """Answers whose confidence lay between ``low`` and ``high``; the means are weighted by the sampling design."""

    low: float
    high: float
    count: int
    confidence: float
    accuracy: float


@dataclass(frozen=True, slots=True)
class Reliability:
    """One version's confidence against its correctness, on pairs labelled by chance."""

    count: int
    confidence: float | None
    accuracy: float | None
    calibration_error: float | None  # plain ECE: biased upward on few labels, shown and never gated on
    bins: tuple[ReliabilityBin, ...]


@dataclass(frozen=True, slots=True)
class Accuracy:
    """One version's share of right answers on the mirrored requests, with a 95 % interval for this one look at it.

    ``method``: "aipw" where all pairs were counted, so that labels asked for by disagreement count too; "hajek" where
    only pairs labelled by chance tell (see `gates.weighted`).
    """

    value: float
    low: float
    high: float
    labels: int
    method: str


@dataclass(frozen=True, slots=True)
class ClassLoss:
    """A true class of which the candidate found fewer: the share that each version found, of the pairs labelled by
    chance; ``lost``: how many fewer, of all such pairs."""

    name: str
    labels: int
    stable: float
    candidate: float
    lost: float


@dataclass(frozen=True, slots=True)
class LatencyArm:
    """Answers per bucket (one more than there are edges) and the percentiles' bucket edges, never interpolated."""

    counts: tuple[int, ...]
    percentiles_ms: dict[str, float | None]  # None: beyond the last edge

    @property
    def total(self) -> int:
        return sum(self.counts)


@dataclass(frozen=True, slots=True)
class Latency:
    """Both versions over the same windows. ``mirrored``: the candidate served no live traffic yet, so that its answers
    to shadow traffic are shown, which users never see."""

    edges_ms: tuple[float, ...]
    objectives_ms: tuple[float, ...]
    mirrored: bool
    stable: LatencyArm
    candidate: LatencyArm
    looks_left_out: int  # with other bucket edges, which cannot be added


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
    """The journal's hash chain: ``head_hash`` covers every entry before it, so one value vouches for all of them."""

    entries: int
    head_hash: str


@dataclass(frozen=True, slots=True)
class ReportData:
    """``made_by``: the release of Serin that read the journal."""

    schema: str
    made_by: str
    conclusion: Conclusion
    facts: Facts
    policy: ReleasePolicy
    suites: tuple[SuiteFile, ...]  # what was asked of both versions before any traffic, in the last run
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
    classes_lost: tuple[ClassLoss, ...]  # where most was lost, at most three
    latency: Latency | None
    label_sources: tuple[LabelSource, ...]  # as the last look found them
    evidence: Evidence
    chain: Chain
