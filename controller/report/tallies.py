"""The sums over thousands of looks. Each tally takes one look at a time and keeps only sums."""

import math
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from controller.core.events import Reading
from controller.report.data import (
    Accuracy,
    ArmEvidence,
    ClassLoss,
    Evidence,
    Latency,
    LatencyArm,
    Reliability,
    ReliabilityBin,
    Trace,
    TracePoint,
)
from gates.evidence import Answer, ArmCounts, LabelCounts, LabelledPair, Look
from gates.outcome import Outcome, combine
from gates.stats.weighted import STRATUM_LEAST, Drawn, Estimate, Stratum, aipw, hajek
from gates.verdict import Verdict

BINS = 10
POINTS_MAX = 160  # points in a trace: as many as a chart can show
PERCENTILES = {"P50": 0.50, "P95": 0.95, "P99": 0.99}


# --- reliability ------------------------------------------------------------------------------------------------------
@dataclass(slots=True)
class _Bin:
    count: int = 0
    weight: float = 0.0
    confidence: float = 0.0
    correct: float = 0.0


@dataclass(slots=True)
class ReliabilityTally:
    """The sums for reliability diagrams. Directed labels are left out: pairs on which the versions disagree are no fair
    sample of one version.

    Each answer has the weight ``1 / inclusion_probability`` (Hajek), so that uneven sampling does not mislead.
    """

    stable: list[_Bin] = field(default_factory=lambda: [_Bin() for _ in range(BINS)])
    candidate: list[_Bin] = field(default_factory=lambda: [_Bin() for _ in range(BINS)])

    def add(self, pairs: Iterable[LabelledPair]) -> None:
        for pair in pairs:
            if pair.directed or not 0 < pair.inclusion_probability <= 1:
                continue
            _count(self.stable, pair.stable, pair)
            _count(self.candidate, pair.candidate, pair)


def _count(bins: list[_Bin], answer: Answer, pair: LabelledPair) -> None:
    if not 0 <= answer.confidence <= 1:
        return  # the gates report this evidence as an error
    place = bins[min(int(answer.confidence * BINS), BINS - 1)]
    weight = 1 / pair.inclusion_probability
    place.count += 1
    place.weight += weight
    place.confidence += weight * answer.confidence
    place.correct += weight * (answer.label == pair.truth)


def reliability(bins: Sequence[_Bin]) -> Reliability:
    weight = math.fsum(part.weight for part in bins)
    shown = tuple(
        ReliabilityBin(i / BINS, (i + 1) / BINS, part.count, part.confidence / part.weight, part.correct / part.weight)
        for i, part in enumerate(bins)
        if part.count
    )
    if not weight:
        return Reliability(0, None, None, None, ())
    return Reliability(
        count=sum(part.count for part in bins),
        confidence=math.fsum(part.confidence for part in bins) / weight,
        accuracy=math.fsum(part.correct for part in bins) / weight,
        calibration_error=math.fsum(abs(part.confidence - part.correct) for part in bins) / weight,
        bins=shown,
    )


# --- accuracy ---------------------------------------------------------------------------------------------------------
ACCURACY_ALPHA = 0.05


@dataclass(slots=True)
class AccuracyTally:
    """The sums of each version's right answers, separately for pairs that agreed and that disagreed. The number of all
    pairs of each kind is known, so that labels of disagreements get the weight of the disagreements only."""

    agreed: int = 0
    disagreed: int = 0
    samples: dict[tuple[str, bool], Drawn] = field(default_factory=lambda: defaultdict(Drawn))
    by_chance: dict[str, Drawn] = field(default_factory=lambda: defaultdict(Drawn))

    def add(self, look: Look) -> None:
        if look.pairs_agreed >= 0 and look.pairs_disagreed >= 0:  # otherwise the gates report an error
            self.agreed += look.pairs_agreed
            self.disagreed += look.pairs_disagreed
        alike: Counter[tuple[bool, bool, float, bool, bool]] = Counter()
        for pair in look.pairs:
            differ = pair.stable.label != pair.candidate.label
            if not 0 < pair.inclusion_probability <= 1 or (pair.directed and not differ):
                continue
            stable, candidate = pair.stable.label == pair.truth, pair.candidate.label == pair.truth
            alike[differ, pair.directed, pair.inclusion_probability, stable, candidate] += 1
        for (differ, directed, probability, *rights), count in alike.items():
            for arm, right in zip(("stable", "candidate"), rights, strict=True):
                events = count if right else 0
                self.samples[arm, differ] = self.samples[arm, differ].add_shares(events, count, probability)
                if not directed:
                    self.by_chance[arm] = self.by_chance[arm].add_shares(events, count, probability)

    def result(self, arm: str) -> Accuracy | None:
        """Return the accuracy of the arm (stable or candidate); None if there are too few labels for an interval."""
        same, apart, by_chance = self.samples[arm, False], self.samples[arm, True], self.by_chance[arm]
        found = aipw((Stratum(self.agreed, same), Stratum(self.disagreed, apart)), ACCURACY_ALPHA)
        if found is not None:
            return _accuracy(found, same.count + apart.count, "aipw")
        if by_chance.count < STRATUM_LEAST:
            return None
        return _accuracy(hajek(by_chance, ACCURACY_ALPHA), by_chance.count, "hajek")


def _accuracy(found: Estimate, labels: int, method: str) -> Accuracy:
    return Accuracy(found.mean, found.low, found.high, labels, method)


CLASS_LABELS_MIN = 20
CLASSES_TOLD = 3


@dataclass(slots=True)
class _OfClass:
    count: int = 0
    weight: float = 0.0
    stable: float = 0.0
    candidate: float = 0.0


@dataclass(slots=True)
class ClassTally:
    """The sums, by true class, of right answers in pairs labelled by chance, weighted by inclusion probability."""

    classes: dict[str, _OfClass] = field(default_factory=lambda: defaultdict(_OfClass))

    def add(self, pairs: Iterable[LabelledPair]) -> None:
        for pair in pairs:
            if pair.directed or not 0 < pair.inclusion_probability <= 1:
                continue
            found, weight = self.classes[pair.truth], 1 / pair.inclusion_probability
            found.count += 1
            found.weight += weight
            found.stable += weight * (pair.stable.label == pair.truth)
            found.candidate += weight * (pair.candidate.label == pair.truth)

    def result(self) -> tuple[ClassLoss, ...]:
        """Return the classes with the greatest loss among those with enough labels, at most ``CLASSES_TOLD``."""
        whole = math.fsum(found.weight for found in self.classes.values())
        lost = [
            ClassLoss(
                name,
                found.count,
                found.stable / found.weight,
                found.candidate / found.weight,
                (found.stable - found.candidate) / whole,
            )
            for name, found in self.classes.items()
            if found.count >= CLASS_LABELS_MIN and found.candidate < found.stable
        ]
        return tuple(sorted(lost, key=lambda one: (-one.lost, one.name))[:CLASSES_TOLD])


# --- latency ----------------------------------------------------------------------------------------------------------
@dataclass(slots=True)
class LatencyTally:
    """The sums of latency buckets. Live: looks in which both versions served users. Mirrored, and stable before: looks
    in which the candidate served no users."""

    edges_ms: tuple[float, ...] = ()
    stable_live: list[int] = field(default_factory=list)
    candidate_live: list[int] = field(default_factory=list)
    stable_before: list[int] = field(default_factory=list)
    candidate_mirrored: list[int] = field(default_factory=list)
    looks_left_out: int = 0

    def add(self, look: Look) -> None:
        if look.stable is None or not look.latency_edges_ms:
            return
        if not self.edges_ms:
            self._begin(look.latency_edges_ms)
        if 0 < look.candidate_share < 1:
            self._sum(look, ((self.stable_live, look.stable), (self.candidate_live, look.candidate)))
        elif look.candidate_share == 0:
            self._sum(look, ((self.stable_before, look.stable), (self.candidate_mirrored, look.shadow)))

    def _begin(self, edges_ms: tuple[float, ...]) -> None:
        self.edges_ms = edges_ms
        for counts in (self.stable_live, self.candidate_live, self.stable_before, self.candidate_mirrored):
            counts.extend([0] * (len(edges_ms) + 1))

    def _sum(self, look: Look, pairs: tuple[tuple[list[int], ArmCounts | None], ...]) -> None:
        expected = len(self.edges_ms) + 1
        if look.latency_edges_ms != self.edges_ms or any(
            arm is not None and len(arm.latency_counts) != expected for _, arm in pairs
        ):
            self.looks_left_out += 1
            return
        for counts, arm in pairs:
            if arm is not None:
                counts[:] = map(int.__add__, counts, arm.latency_counts)

    def result(self, objectives_ms: tuple[float, ...]) -> Latency | None:
        """Return the latency; None if no answer was timed."""
        mirrored = not sum(self.candidate_live)
        stable = self.stable_before if mirrored else self.stable_live
        candidate = self.candidate_mirrored if mirrored else self.candidate_live
        if not (sum(stable) or sum(candidate)):
            return None
        return Latency(
            edges_ms=self.edges_ms,
            objectives_ms=objectives_ms,
            mirrored=mirrored,
            stable=_latency_arm(stable, self.edges_ms),
            candidate=_latency_arm(candidate, self.edges_ms),
            looks_left_out=self.looks_left_out,
        )


def _latency_arm(counts: Sequence[int], edges_ms: Sequence[float]) -> LatencyArm:
    return LatencyArm(tuple(counts), {name: edge_at(counts, edges_ms, q) for name, q in PERCENTILES.items()})


def edge_at(counts: Sequence[int], edges_ms: Sequence[float], quantile: float) -> float | None:
    """Return the bucket edge that at least this share (``quantile``, 0 to 1) of the answers did not exceed; None if
    that is beyond the last edge, or if there are no answers."""
    needed, seen = quantile * sum(counts), 0
    if not needed:
        return None
    for edge, count in zip(edges_ms, counts, strict=False):
        seen += count
        if seen >= needed:
            return edge
    return None


# --- gates over time --------------------------------------------------------------------------------------------------
@dataclass(slots=True)
class TraceTally:
    points: defaultdict[str, list[TracePoint]] = field(default_factory=lambda: defaultdict(list))
    outcomes: dict[str, Outcome] = field(default_factory=dict)
    last: dict[str, Verdict] = field(default_factory=dict)  # without errors, which have no unit and threshold
    valued: set[str] = field(default_factory=set)

    def add(self, at_s: float, verdicts: Iterable[Verdict], readings: Mapping[str, Reading]) -> None:
        """Add one look, at ``at_s`` (unix time): the verdicts that changed, and every gate's reading."""
        for verdict in verdicts:
            self.outcomes[verdict.gate] = verdict.outcome
            if verdict.outcome is not Outcome.ERROR:
                self.last[verdict.gate] = verdict
        for gate, outcome in self.outcomes.items():
            value, low, high = readings.get(gate, (None, None, None))
            self.points[gate].append(TracePoint(at_s, outcome, value, low, high))
            self.valued |= {gate} if value is not None else set()

    def result(self) -> tuple[Trace, ...]:
        """Return a trace for each gate that ever had a value."""
        return tuple(
            Trace(gate, self.last[gate].unit, self.last[gate].threshold, _thinned(points))
            for gate, points in self.points.items()
            if gate in self.last and gate in self.valued
        )


def _thinned(points: Sequence[TracePoint]) -> tuple[TracePoint, ...]:
    """Return at most ``POINTS_MAX`` points, each for the same number of looks except the last."""
    size = math.ceil(len(points) / POINTS_MAX)
    groups = (points[start : start + size] for start in range(0, len(points), size))
    return tuple(
        TracePoint(
            group[-1].at_s,
            combine(point.outcome for point in group),
            group[-1].value,
            group[-1].low,
            group[-1].high,
        )
        for group in groups
    )


# --- sums -------------------------------------------------------------------------------------------------------------
@dataclass(slots=True)
class EvidenceTally:
    looks: int = 0
    first_s: float | None = None
    last_s: float | None = None
    sums: Counter[str] = field(default_factory=Counter)
    faults: Counter[str] = field(default_factory=Counter)

    def add(self, look: Look, looks: int = 1) -> None:
        """Add a look, which is the sum of ``looks`` looks."""
        self.looks += looks
        self.first_s = look.window.start_s if self.first_s is None else self.first_s
        self.last_s = look.window.end_s
        self.faults.update({fault.source: looks for fault in look.faults})
        directed = sum(pair.directed for pair in look.pairs)
        self.sums["agreed"] += look.pairs_agreed
        self.sums["disagreed"] += look.pairs_disagreed
        self.sums["directed"] += directed
        self.sums["by_chance"] += len(look.pairs) - directed
        stable, candidate = look.got
        self._requests("stable_live", stable)
        self._requests("candidate_live", candidate)
        self._requests("candidate_mirrored", look.shadow)
        self._labels("stable", look.stable_labels)
        self._labels("candidate", look.candidate_labels)

    def _requests(self, name: str, arm: ArmCounts | None) -> None:
        if arm is not None:
            self.sums[f"{name}_requests"] += arm.requests
            self.sums[f"{name}_errors"] += arm.errors

    def _labels(self, name: str, labels: LabelCounts | None) -> None:
        if labels is not None:
            self.sums[f"{name}_labelled"] += labels.labelled
            self.sums[f"{name}_wrong"] += labels.wrong

    def result(self) -> Evidence:
        return Evidence(
            looks=self.looks,
            first_s=self.first_s,
            last_s=self.last_s,
            pairs_agreed=self.sums["agreed"],
            pairs_disagreed=self.sums["disagreed"],
            pairs_labelled_by_chance=self.sums["by_chance"],
            pairs_labelled_directed=self.sums["directed"],
            stable=self._arm("stable"),
            candidate=self._arm("candidate"),
            looks_with_fault=dict(sorted(self.faults.items())),
        )

    def _arm(self, name: str) -> ArmEvidence:
        sums = self.sums
        return ArmEvidence(
            live_requests=sums[f"{name}_live_requests"],
            live_errors=sums[f"{name}_live_errors"],
            mirrored_requests=sums[f"{name}_mirrored_requests"],
            mirrored_errors=sums[f"{name}_mirrored_errors"],
            labelled=sums[f"{name}_labelled"],
            wrong=sums[f"{name}_wrong"],
        )
