"""The policy of one model: how a release of it proceeds. Frozen values; `config.policy_file` reads them from YAML."""

from dataclasses import dataclass, field
from enum import StrEnum
from typing import Annotated

from controller.core.serving import ServingPolicy
from gates.keys import require
from gates.policy import GatePolicy


class OnDeadline(StrEnum):
    """The end of a release that did not pass its gates in time."""

    HOLD = "hold"  # traffic back to stable, and a person decides
    ROLL_BACK = "roll_back"


class OnDrift(StrEnum):
    """The fate of an edit of the traffic table that was made without Serin."""

    HOLD = "hold"  # nothing goes on, and nothing is written over it, until a person has settled it
    RESTORE = "restore"  # it is replaced by what Serin wrote, and that is recorded


class WithoutMirror(StrEnum):
    """The course of a release if nothing can copy users' requests to the candidate."""

    REFUSE = "refuse"  # none: it is held before it gets any traffic
    SKIP_SHADOW = "skip_shadow"  # from the suites to the first step: what shadow traffic would show is not judged


class WhileStableRestarts(StrEnum):
    """The answer that users get while the serving version does not answer."""

    FALLBACK = "fallback"  # the answers of the known good version
    REFUSE = "refuse"  # none: where answers of two versions must not be mixed


@dataclass(frozen=True, slots=True)
class Step:
    """One canary step: the candidate's share of live traffic, kept for a minimum time and number of requests. It begins
    with the warm-up (`warm_up_s`), which does not count towards its minimum time.

    A step limits exposure and decides nothing: the next one follows while no gate fails or lacks its source, and only
    a pass of every required gate promotes.
    """

    weight_pct: Annotated[float, "the candidate's share of live traffic; must grow from step to step, up to 100"]
    min_s: Annotated[float, "the minimum duration of the step, after its warm-up"] = 60.0
    min_requests: Annotated[int, "requests that the candidate must serve before the next step"] = 100


class LabelsBefore(StrEnum):
    """The use of labels that recorded requests had before the release began."""

    IGNORED = "ignored"  # none: the candidate may have been trained on them
    HELD_OUT = "held_out"  # they count: it was not


@dataclass(frozen=True, slots=True)
class ReplayPolicy:
    """The replay of recorded requests in shadow: both versions answer what users asked earlier, and no user waits.

    It needs captured texts (`serin up --capture-text`) or files of labelled texts.
    """

    requests_max: Annotated[int, "the maximum number of distinct texts to replay, newest first; 0: none"] = 0
    requests_per_s_max: Annotated[float, "the maximum rate for each version, so that users are not slowed down"] = 10.0
    labels_before: Annotated[
        LabelsBefore,
        "labels that arrived before the release: `ignored` (the candidate may have been trained on them) or `held_out` "
        "(none of them was used for training, so they count)",
    ] = LabelsBefore.IGNORED
    suites: Annotated[
        tuple[str, ...],
        "files of labelled production texts that no version was trained on, in the format of `suites`: each text is "
        "replayed in one release, whatever `requests_max` is, and its label counts; no file may also be in `suites`",
    ] = ()

    def __post_init__(self) -> None:
        require(self, "requests_per_s_max")

    @property
    def asks(self) -> bool:
        return self.requests_max > 0 or bool(self.suites)


@dataclass(frozen=True, slots=True)
class ReplicaPolicy:
    """The resource limits of a replica. A replica that needs more fails alone, is named, and takes nothing from the
    others.

    The limits apply to each of its processes separately. To limit all of them together, use a control group, set by
    whoever starts the replica: a container's limit, or ``MemoryMax=`` of a systemd unit.
    """

    memory_mb_max: Annotated[int | None, "for each process; null: 2,000 plus four times the size of its graph"] = None
    processes_max: Annotated[int, "processes and threads"] = 512


@dataclass(frozen=True, slots=True)
class WatchPolicy:
    """The watch over the serving version, whether or not a release is in progress: it says when to ask for retraining.
    It moves no traffic and holds no release."""

    alpha: Annotated[float, "the probability, over a version's whole life, that one cause asks without a reason"] = 0.01
    accuracy_drop_points: Annotated[
        float, "ask when its accuracy has provably fallen by this much since its first labels"
    ] = 3.0
    accuracy_min: Annotated[
        float | None, "ask when its accuracy is provably lower than this; null: only the drop counts"
    ] = None
    reference_labels: Annotated[int, "its first labels, with which later ones are compared"] = 1_000
    window_labels: Annotated[int, "labels judged together: a loss that begins late shows in the next window"] = 1_000
    drift_distance: Annotated[
        float, "ask when classes, confidences or lengths are provably farther from those at first (total variation)"
    ] = 0.1
    cycle_s: Annotated[float, "answers are compared in whole cycles, because nights differ from days"] = 86_400.0
    samples_min: Annotated[int, "sampled answers that a cycle needs; it continues until it has them"] = 2_000
    retrain_after_days: Annotated[float | None, "ask when it has served for this long; null: never because of age"] = (
        None
    )

    def __post_init__(self) -> None:
        require(self, "alpha", "accuracy_min", "drift_distance", below=1.0)
        require(self, "accuracy_drop_points", "reference_labels", "window_labels", "cycle_s", "samples_min")
        require(self, "retrain_after_days")


@dataclass(frozen=True, slots=True)
class ReleasePolicy:
    """The policy for the releases of one model. Only the model's name is required; everything else has a default."""

    model: Annotated[str, "the name of the registered model"]
    owner: Annotated[str | None, "who is responsible for the model, shown on every notice: a team or a person"] = None
    contact: Annotated[str | None, "how to reach the owner, shown on every notice: an address, a channel, a page"] = (
        None
    )
    suites: Annotated[tuple[str, ...], "files of labelled cases, judged before any traffic"] = ()
    label_names: Annotated[dict[str, str], "a label source's names for classes, as name: class; see below"] = field(
        default_factory=dict
    )
    mirror_pct: Annotated[
        float, "percentage of live requests copied to the candidate, from shadow to the last step"
    ] = 100.0
    steps: Annotated[tuple[Step, ...], "the canary steps, in order"] = (Step(1.0), Step(5.0), Step(20.0), Step(50.0))
    look_every_s: Annotated[float, "time between two looks at a release"] = 10.0
    probation_look_every_s: Annotated[
        float, "time between two recorded looks in probation; a look that changes a gate's answer is always recorded"
    ] = 300.0
    start_timeout_s: Annotated[float, "time from the start of a release until its replica is ready and verified"] = (
        300.0
    )
    warm_up_s: Annotated[
        float,
        "time after users are first answered at a new share, and after Serin restarted a version: slowness then is "
        "recorded and shown, but not counted against the candidate; 0: no warm-up",
    ] = 180.0
    deadline_s: Annotated[float, "maximum time from shadow to promotion; suites may take as long, too"] = 7_200.0
    on_deadline: Annotated[OnDeadline, "`hold` (traffic goes back to stable, and a person decides) or `roll_back`"] = (
        OnDeadline.HOLD
    )
    probation_s: Annotated[
        float, "time after promotion in which late labels still count and the former version stays warm"
    ] = 86_400.0
    probation_mirror_pct: Annotated[
        float,
        "percentage of live requests copied to the former version in probation, to compare what users get with what it "
        "would have answered; 0: none, and then no version is blamed for what goes wrong",
    ] = 10.0
    while_stable_restarts: Annotated[
        WhileStableRestarts,
        "who answers while the serving version does not: `fallback` (the known good version, which is warm) or "
        "`refuse` (nobody; users get 503)",
    ] = WhileStableRestarts.FALLBACK
    on_drift: Annotated[
        OnDrift,
        "if somebody edits the traffic table without Serin: `hold` (nothing proceeds, and only a rollback overwrites "
        "the edit) or `restore` (the edit is replaced and recorded)",
    ] = OnDrift.HOLD
    without_mirror: Annotated[
        WithoutMirror,
        "if nothing can copy requests to the candidate: `refuse` (the release is held before any traffic) or "
        "`skip_shadow` (no shadow phase, and no waiting for gates on shadow traffic)",
    ] = WithoutMirror.REFUSE
    shadow_replay: ReplayPolicy = field(default_factory=ReplayPolicy)
    replica: ReplicaPolicy = ReplicaPolicy()
    serving: ServingPolicy = field(default_factory=ServingPolicy)
    gates: GatePolicy = field(default_factory=GatePolicy)
    watch: WatchPolicy = field(default_factory=WatchPolicy)

    def __post_init__(self) -> None:
        if twice := sorted({*self.suites} & {*self.shadow_replay.suites}):
            raise ValueError(
                f"shadow_replay.suites: {twice[0]} is in suites, too, so that its texts would count twice: leave it "
                "out of one of them"
            )

    def written_every_s(self, *, probation: bool) -> float:
        """Return the seconds between two looks that are recorded."""
        return max(self.look_every_s, self.probation_look_every_s) if probation else self.look_every_s

    @property
    def objectives_ms(self) -> tuple[float, ...]:
        """The absolute latency objectives; replicas put an edge of their histogram exactly at each."""
        latency = self.gates.latency
        limits_ms = (latency.p95_ms_max, latency.p99_ms_max) if latency is not None else ()
        return tuple(sorted({limit_ms for limit_ms in limits_ms if limit_ms is not None}))
