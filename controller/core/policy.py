"""The policy of one model: how a release of it proceeds. Frozen values; `config.policy_file` reads them from YAML."""

from dataclasses import dataclass, field
from enum import StrEnum
from typing import Annotated

from controller.core.serving import ServingPolicy
from gates.keys import require
from gates.policy import GatePolicy


class OnDeadline(StrEnum):
    """The end of a release that could not prove itself in time."""

    HOLD = "hold"  # traffic back to stable, and a person decides
    ROLL_BACK = "roll_back"


class OnDrift(StrEnum):
    """The end of an edit of the traffic table that somebody made past Serin."""

    HOLD = "hold"  # nothing goes on, and nothing is written over it, until a person has settled it
    RESTORE = "restore"  # it is replaced by what Serin wrote, and that is recorded


class WithoutMirror(StrEnum):
    """The way of a release where nobody can copy users' requests to the candidate."""

    REFUSE = "refuse"  # none: it is held before it gets any traffic
    SKIP_SHADOW = "skip_shadow"  # from the suites to the first step: what shadow traffic would show is not judged


class WhileStableRestarts(StrEnum):
    """The answer that users get while the version that serves everybody does not answer."""

    FALLBACK = "fallback"  # the answers of the known good version
    REFUSE = "refuse"  # none: where answers of two versions must not be mixed


@dataclass(frozen=True, slots=True)
class Step:
    """One canary step: the candidate's share of live traffic, kept for at least so long and so many requests. It begins
    with the warm-up (`warm_up_s`), which its least time does not count.

    A step limits exposure, it decides nothing: the next one follows while no gate fails or lacks its source, and only
    a pass of every required gate promotes.
    """

    weight_pct: Annotated[float, "the candidate's share of live traffic; grows from step to step, up to 100"]
    min_s: Annotated[float, "the step lasts so long at the least, after its warm-up"] = 60.0
    min_requests: Annotated[int, "of the candidate, that are served at the least before the next step"] = 100


class LabelsBefore(StrEnum):
    """The use of labels that recorded requests had before the release began."""

    IGNORED = "ignored"  # none: the candidate may have been trained on them
    HELD_OUT = "held_out"  # they count: it was not


@dataclass(frozen=True, slots=True)
class ReplayPolicy:
    """The replay of recorded requests in shadow: both versions are asked what users asked before, and no user waits.

    Texts have to be captured for it (`serin up --capture-text`), or stand in files of labelled ones.
    """

    requests_max: Annotated[int, "distinct texts, the newest, that are replayed at most; 0: nothing is"] = 0
    requests_per_s_max: Annotated[float, "asked of a version at the most, so that no user is slowed"] = 10.0
    labels_before: Annotated[
        LabelsBefore,
        "labels that came before the release: `ignored` (the candidate may have been trained on them) or `held_out` "
        "(none of them was used for that, and they count)",
    ] = LabelsBefore.IGNORED
    suites: Annotated[
        tuple[str, ...],
        "files of labelled texts of production that no version was trained on, as `suites` are written: each text is "
        "asked in one release, whatever `requests_max` is, and its label counts; none may be in `suites` as well",
    ] = ()

    def __post_init__(self) -> None:
        require(self, "requests_per_s_max")

    @property
    def asks(self) -> bool:
        return self.requests_max > 0 or bool(self.suites)


@dataclass(frozen=True, slots=True)
class ReplicaPolicy:
    """The bounds of what a replica may use. One that asks for more fails by itself, by name, and takes nothing from the
    others.

    The limits hold each of its processes by itself. What all of them together may use is for a control group, which
    whoever starts the replica sets: a container's limit, or ``MemoryMax=`` of a systemd unit.
    """

    memory_mb_max: Annotated[int | None, "of each process; null: 2,000 and four times the size of its graph"] = None
    processes_max: Annotated[int, "processes and threads"] = 512


@dataclass(frozen=True, slots=True)
class WatchPolicy:
    """The watch of the version that serves everybody, whether or not a release goes on: when retraining is asked for.
    It moves no traffic and holds no release."""

    alpha: Annotated[float, "the chance, over a version's whole life, that one cause asks without there being one"] = (
        0.01
    )
    accuracy_drop_points: Annotated[float, "ask when it is surely so much less often right than at first"] = 3.0
    accuracy_min: Annotated[float | None, "ask when it is surely right less often; null: the drop alone counts"] = None
    reference_labels: Annotated[int, "its first labels, which those after them are held against"] = 1_000
    window_labels: Annotated[int, "labels that count together: a loss that began late shows in the next window"] = 1_000
    drift_distance: Annotated[
        float, "ask when classes, confidences or lengths are surely farther from those at first (total variation)"
    ] = 0.1
    cycle_s: Annotated[float, "answers are compared in whole cycles: nights differ from days"] = 86_400.0
    samples_min: Annotated[int, "sampled answers in each cycle, without which it goes on"] = 2_000
    retrain_after_days: Annotated[float | None, "ask when it has served for so long; null: age alone never does"] = None

    def __post_init__(self) -> None:
        require(self, "alpha", "accuracy_min", "drift_distance", below=1.0)
        require(self, "accuracy_drop_points", "reference_labels", "window_labels", "cycle_s", "samples_min")
        require(self, "retrain_after_days")


@dataclass(frozen=True, slots=True)
class ReleasePolicy:
    """The policy by which one model's releases proceed. The defaults need only the model's name."""

    model: Annotated[str, "the name of the registered model"]
    owner: Annotated[str | None, "who answers for the model, on every notice: a team, a person"] = None
    contact: Annotated[str | None, "where they are reached, on every notice: an address, a channel, a page"] = None
    suites: Annotated[tuple[str, ...], "files of labelled cases; judged before any traffic"] = ()
    label_names: Annotated[dict[str, str], "what a label source calls a class: its name, the class; see below"] = field(
        default_factory=dict
    )
    mirror_pct: Annotated[float, "of live requests copied to the candidate, from shadow to the last step"] = 100.0
    steps: Annotated[tuple[Step, ...], "the canary steps, in order"] = (Step(1.0), Step(5.0), Step(20.0), Step(50.0))
    look_every_s: Annotated[float, "between two looks at a release"] = 10.0
    probation_look_every_s: Annotated[
        float, "between two looks that are kept in probation; one at which a gate's answer changes always is"
    ] = 300.0
    start_timeout_s: Annotated[float, "from the start of a release to a replica that is ready and verified"] = 300.0
    warm_up_s: Annotated[
        float,
        "after users are first answered at a new share, and after a version was started again by Serin: what is slow "
        "then is recorded and shown, and not held against the candidate; 0: there is none",
    ] = 180.0
    deadline_s: Annotated[float, "from shadow to promotion; so long suites may take, too"] = 7_200.0
    on_deadline: Annotated[OnDeadline, "`hold` (traffic back to stable, and a person decides) or `roll_back`"] = (
        OnDeadline.HOLD
    )
    probation_s: Annotated[float, "after promotion: late labels still count, the former version is warm"] = 86_400.0
    probation_mirror_pct: Annotated[
        float,
        "of live requests copied to the former version in probation, so that what users get is compared with what it "
        "would have answered; 0: none, and then nobody is blamed for what goes wrong",
    ] = 10.0
    while_stable_restarts: Annotated[
        WhileStableRestarts,
        "who answers while the version that serves everybody does not: `fallback` (the known good version, which is "
        "warm) or `refuse` (nobody; users get 503)",
    ] = WhileStableRestarts.FALLBACK
    on_drift: Annotated[
        OnDrift,
        "when somebody edits the traffic table past Serin: `hold` (nothing goes on, and nothing but a way back is "
        "written over it) or `restore` (it is replaced, and recorded)",
    ] = OnDrift.HOLD
    without_mirror: Annotated[
        WithoutMirror,
        "where nobody can copy requests to the candidate: `refuse` (a release is held before any traffic) or "
        "`skip_shadow` (no shadow phase, and no gate on shadow traffic is waited for)",
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
        """Seconds between two looks that are written."""
        return max(self.look_every_s, self.probation_look_every_s) if probation else self.look_every_s

    @property
    def objectives_ms(self) -> tuple[float, ...]:
        """The absolute latency objectives; replicas put an edge of their histogram exactly at each."""
        latency = self.gates.latency
        limits_ms = (latency.p95_ms_max, latency.p99_ms_max) if latency is not None else ()
        return tuple(sorted({limit_ms for limit_ms in limits_ms if limit_ms is not None}))
