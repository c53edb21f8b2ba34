"""What the gates promise, as data: levels, margins, guards, grids and minimum samples, with the defaults of the method.

Levels. ``rollback_alpha`` is the chance that a release no worse than stable is rolled back, over its whole life and
all its gates together. It is divided among the configured gates in proportion to ``alpha_share``; a gate left out
leaves its share to the others. ``promotion_alpha`` is the chance that one gate passes a release beyond its margin;
every required gate must pass, so it needs no division (intersection-union test).

A gate set to ``None`` is not judged. A value that no gate could work with is a ``ValueError`` that names its field.
"""

import math
from dataclasses import dataclass, field

from gates.stats.burn import BURN_TABLE, PERIOD_S, BurnWindow


def _require(policy: object, *fields: str, above: float = 0.0, below: float = math.inf) -> None:
    """Each of ``fields`` (or every entry of it, and at least one) lies strictly between the bounds, or is None."""
    for name in fields:
        value = getattr(policy, name)
        entries = value if isinstance(value, tuple) else (value,)
        if value is None or (entries and all(above < entry < below for entry in entries)):
            continue
        asked = f"above {above:g}" + (f" and below {below:g}" if math.isfinite(below) else "")
        raise ValueError(f"{name} must be {asked}, got {value}")


@dataclass(frozen=True, slots=True)
class PairedAccuracyPolicy:
    """accuracy.shadow: both versions answered the same request (McNemar, sequential)."""

    alpha_share: float = 5.0
    guard_points: float = 0.5  # never roll back for a smaller loss, in points of accuracy
    margin_points: float = 1.0  # promote only when a loss this large is excluded
    pairs_min: int = 100
    required: bool = True
    inclusion_probability_min: float | None = None  # the smallest of the design that labels; null: as seen
    bets: tuple[float, ...] = (0.15, 0.25, 0.35, 0.6)  # dense where a loss of two points at 7 % disagreement bets

    def __post_init__(self) -> None:
        _require(self, "alpha_share")
        _require(self, "margin_points", below=100.0)
        _require(self, "bets", "inclusion_probability_min", below=1.0)


@dataclass(frozen=True, slots=True)
class SlicePolicy:
    """accuracy.shadow[name]: the same question about a part of the requests.

    A slice is small, so by default promotion does not wait for its certificate; it can fail a release.
    """

    name: str
    accuracy: PairedAccuracyPolicy = PairedAccuracyPolicy(
        alpha_share=0.5, guard_points=2.0, margin_points=3.0, required=False
    )


@dataclass(frozen=True, slots=True)
class LabelPolicy:
    """When a source of labels is at fault itself. Gates that read labels are errors then, until it is mended: nothing
    is promoted and nothing rolled back."""

    # Of a source's labels, those that name no class of either version; if all do, at once. So much accuracy could be
    # lost in a class that is never named rightly and not be seen: keep it well below the accuracy's margin.
    unknown_ratio_max: float = 0.005
    unmatched_ratio_max: float = 0.99  # of its labels, of those whose request was sampled by design, that match none
    unmatched_grace_s: float = 60.0  # after a label came, for the sample of its request to come too
    contradicted_ratio_max: float = 0.2  # of its labels: it said another thing before, or another source did

    def __post_init__(self) -> None:
        for name in ("unknown_ratio_max", "unmatched_ratio_max", "contradicted_ratio_max"):
            if not 0 <= getattr(self, name) <= 1:
                raise ValueError(f"{name} must be from 0 to 1, got {getattr(self, name)}")


@dataclass(frozen=True, slots=True)
class LiveAccuracyPolicy:
    """accuracy.live: wrong labels of each version's own live answers.

    By default not required for promotion: labels are late and few on a small canary, and the paired shadow gate holds
    the tighter certificate. It can fail a release at any time.
    """

    alpha_share: float = 0.25
    guard_points: float = 0.5
    margin_points: float = 2.0
    labels_min: int = 50  # of each version
    required: bool = False
    inclusion_probability_min: float | None = None  # the smallest of the design that labels; null: as seen
    grid: tuple[float, ...] = (1.15, 1.3, 1.5, 1.8, 2.3, 3.0)

    def __post_init__(self) -> None:
        _require(self, "alpha_share")
        _require(self, "margin_points", below=100.0)
        _require(self, "inclusion_probability_min", below=1.0)
        _require(self, "grid", above=1.0)


@dataclass(frozen=True, slots=True)
class CalibrationPolicy:
    """calibration.shadow: confidence against correctness, and the Brier score, candidate minus stable, on pairs."""

    alpha_share: float = 1.0
    tolerance_gap: float = 0.01  # a change of the gap within this is no harm
    guard_gap: float = 0.02  # never roll back for a smaller change
    margin_gap: float = 0.03  # promote only when a change this large is excluded
    tolerance_brier: float = 0.0
    guard_brier: float = 0.01
    margin_brier: float = 0.03
    pairs_min: int = 100
    inclusion_probability_min: float | None = None  # the smallest of the design that labels; null: as seen
    bets: tuple[float, ...] = (0.02, 0.05, 0.1, 0.2, 0.35, 0.6, 0.95)  # of the largest bet that cannot lose everything

    def __post_init__(self) -> None:
        _require(self, "alpha_share")
        _require(self, "margin_gap", "margin_brier", "inclusion_probability_min", "bets", below=1.0)


@dataclass(frozen=True, slots=True)
class ShadowErrorsPolicy:
    """errors.shadow: server errors on mirrored requests, against stable's live ones.

    The ceiling certifies the first small exposure of users only; ``errors.live`` holds the full promise.
    """

    alpha_share: float = 0.2
    guard_ratio: float = 1.5
    margin_ratio: float = 3.0
    error_ratio_max: float = 0.01
    requests_min: int = 100
    count_clusters: bool = False  # compare causes of errors (``error_clusters``): a lost worker is one event, not 30
    grid: tuple[float, ...] = (1.5, 2.0, 3.0, 4.0, 6.0, 10.0, 20.0)

    def __post_init__(self) -> None:
        _require(self, "alpha_share", "margin_ratio")
        _require(self, "error_ratio_max", below=1.0)
        _require(self, "grid", above=1.0)


@dataclass(frozen=True, slots=True)
class LiveErrorsPolicy:
    """errors.live: server errors that users got; mirrored ones count as evidence for promotion too."""

    alpha_share: float = 0.5
    guard_ratio: float = 1.5
    margin_ratio: float = 3.0
    error_ratio_max: float = 0.001  # the absolute objective, certified when events are too few for a ratio
    requests_min: int = 100  # live requests of the candidate
    count_clusters: bool = False
    grid: tuple[float, ...] = (1.5, 2.0, 3.0, 4.0, 6.0, 10.0, 20.0)

    def __post_init__(self) -> None:
        _require(self, "alpha_share", "margin_ratio")
        _require(self, "error_ratio_max", below=1.0)
        _require(self, "grid", above=1.0)


@dataclass(frozen=True, slots=True)
class LatencyPolicy:
    """latency.p95 and latency.p99: against stable by bucket counts, and absolute objectives (None: not judged)."""

    p95_alpha_share: float = 2.0
    p99_alpha_share: float = 0.75
    p95_margin_ratio: float = 1.1
    p99_margin_ratio: float = 1.25
    p95_ms_max: float | None = 200.0
    p99_ms_max: float | None = 500.0
    guard_ratio: float = 1.15  # of slow requests, candidate over stable
    requests_min: int = 200
    stable_requests_min: int = 500  # seen before stable's percentile serves as the yardstick
    stable_requests_memory: int = 5_000  # the yardstick is the percentile of about so many requests before a look
    grid: tuple[float, ...] = (1.15, 1.3, 1.5, 1.8, 2.3, 3.0, 4.5)

    def __post_init__(self) -> None:
        _require(self, "p95_alpha_share", "p99_alpha_share", "p95_margin_ratio", "p99_margin_ratio")
        _require(self, "p95_ms_max", "p99_ms_max", "stable_requests_min", "stable_requests_memory")
        _require(self, "grid", above=1.0)


@dataclass(frozen=True, slots=True)
class BudgetPolicy:
    """budget.burn: how fast the candidate spends the service's error budget; and how fast the service itself does.

    Errors are counted by cluster where ``errors_live`` counts them so: both look at the same requests.
    """

    alpha_share: float = 0.3
    objective_ratio: float = 0.999  # of requests answered without server error
    rollback_burn: float = 2.0
    freeze_burn: float = 4.0
    guard_ratio: float = 1.5  # of the error ratios, candidate over stable: a burn that both share blames nobody
    requests_min: int = 50
    grid: tuple[float, ...] = (1.5, 2.0, 3.0, 4.0, 6.0, 10.0, 20.0, 50.0)
    period_s: float = PERIOD_S  # of the service's budget
    service_windows: tuple[BurnWindow, ...] = BURN_TABLE  # a row that fires for the service holds its releases
    service_errors_min: int = 10  # fewer in a row's long window hold nothing

    def __post_init__(self) -> None:
        _require(self, "alpha_share", "rollback_burn", "period_s")
        _require(self, "objective_ratio", below=1.0)
        _require(self, "grid", above=1.0)


@dataclass(frozen=True, slots=True)
class ExperimentPolicy:
    """experiment.ratio, experiment.inputs: is the comparison itself sound? A broken one holds the release."""

    alpha: float = 0.001  # of each: it says something of us, so it takes nothing from the rollback level
    share_guard_ratio: float = 1.5  # realised over configured share, or the reverse
    inputs_guard: float = 0.05  # total variation distance between the versions' inputs
    samples_min: int = 200

    def __post_init__(self) -> None:
        _require(self, "alpha", below=1.0)


@dataclass(frozen=True, slots=True)
class DriftPolicy:
    """Warnings that ask for labels: drift.classes and drift.confidence (version against version), agreement.shadow, and
    reference.inputs, reference.classes, reference.confidence (stable now against itself before the release)."""

    alpha: float = 0.001
    guard: float = 0.05  # total variation distance, version against version
    samples_min: int = 200
    disagreement_max: float = 0.1  # of mirrored requests
    reference_s: float = 604_800.0  # how far before the release stable's own answers serve as the reference
    reference_guard: float = 0.1  # total variation distance, now against the reference

    def __post_init__(self) -> None:
        _require(self, "alpha", "disagreement_max", below=1.0)
        _require(self, "reference_s")


@dataclass(frozen=True, slots=True)
class LimitPolicy:
    """Limits on what the candidate uses, as warnings; ``None`` switches one off."""

    memory_ratio_max: float | None = 0.9
    cpu_ratio_max: float | None = 0.7
    gpu_ratio_max: float | None = 0.9
    gpu_ratio_min: float | None = 0.6  # below it, a GPU is paid for and idle
    queue_depth_max: float | None = 5.0
    cold_start_ratio_max: float | None = 0.01
    restarts_max: float | None = 0.0  # since the release started
    unknown_token_ratio_max: float | None = 0.05
    truncated_ratio_max: float | None = 0.01
    tokens_p95_max: float | None = 512.0  # of a text's tokens, the 95th percentile; the longest text DistilBERT takes
    throughput_ratio_min: float | None = 0.8  # answers per second of computing, candidate over stable
    replica_hour_price: float | None = None  # in the currency of cost_per_1000_max; without it no cost is known
    cost_per_1000_max: float | None = None  # of 1,000 requests; set by the business


@dataclass(frozen=True, slots=True)
class SuitePolicy:
    """accuracy.suite and calibration.suite: labelled cases of our own, judged once."""

    alpha: float = 0.01
    accuracy_min: float = 0.80
    margin_points: float | None = None  # against stable; None: a proven loss fails, but none need be excluded
    guard_points: float = 0.5  # never fail for a smaller loss against stable
    calibration_gap_max: float = 0.05  # debiased L2 calibration error: surely above it fails
    calibration_margin_gap: float = 0.1  # surely below it passes; 600 cases can prove it, a smaller one takes thousands
    guard_brier: float = 0.01  # never fail for a smaller rise of the Brier score against stable
    cases_min: int = 100
    class_labels_min: int = 500  # classes with as many labels are judged on their own
    slice_cases_min: int = 20
    slice_accuracy_min: float | None = None  # floor of every slice with enough cases
    slice_floors: tuple[tuple[str, float], ...] = ()  # (slice, its own floor), however few its cases

    def __post_init__(self) -> None:
        _require(self, "alpha", below=0.5)


@dataclass(frozen=True, slots=True)
class GatePolicy:
    """All gates of one model."""

    rollback_alpha: float = 0.01
    promotion_alpha: float = 0.01
    deadline_fraction: float = 0.1  # of each rollback level, kept for one exact test at the deadline
    labels: LabelPolicy = field(default_factory=LabelPolicy)
    accuracy_shadow: PairedAccuracyPolicy | None = field(default_factory=PairedAccuracyPolicy)
    slices: tuple[SlicePolicy, ...] = ()
    accuracy_live: LiveAccuracyPolicy | None = field(default_factory=LiveAccuracyPolicy)
    calibration_shadow: CalibrationPolicy | None = field(default_factory=CalibrationPolicy)
    errors_shadow: ShadowErrorsPolicy | None = field(default_factory=ShadowErrorsPolicy)
    errors_live: LiveErrorsPolicy | None = field(default_factory=LiveErrorsPolicy)
    latency: LatencyPolicy | None = field(default_factory=LatencyPolicy)
    budget: BudgetPolicy | None = field(default_factory=BudgetPolicy)
    experiment: ExperimentPolicy | None = field(default_factory=ExperimentPolicy)
    drift: DriftPolicy | None = field(default_factory=DriftPolicy)
    limits: LimitPolicy | None = field(default_factory=LimitPolicy)
    suite: SuitePolicy = field(default_factory=SuitePolicy)

    def __post_init__(self) -> None:
        if not 0 <= self.deadline_fraction < 1:
            raise ValueError(f"deadline_fraction must be from 0 to below 1, got {self.deadline_fraction}")

    @property
    def alpha_shares(self) -> float:
        """The sum of the shares of all configured gates: a gate's level is its part of it."""
        parts = (self.accuracy_shadow, self.calibration_shadow, self.errors_shadow, self.accuracy_live)
        shares = [part.alpha_share for part in (*parts, self.errors_live, self.budget) if part is not None]
        shares += [part.accuracy.alpha_share for part in self.slices]
        if self.latency is not None:
            shares += [self.latency.p95_alpha_share, self.latency.p99_alpha_share]
        return sum(shares)
