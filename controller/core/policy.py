"""The policy of one model: how a release of it proceeds. Frozen values; `config.policy_file` reads them from YAML."""

from dataclasses import dataclass, field
from enum import StrEnum

from gates.policy import GatePolicy


class OnDeadline(StrEnum):
    """What becomes of a release that could not prove itself in time."""

    HOLD = "hold"  # traffic back to stable, and a person decides
    ROLL_BACK = "roll_back"


@dataclass(frozen=True, slots=True)
class Step:
    """One canary step: the candidate's share of live traffic, kept for at least so long and so many requests.

    A step limits exposure, it decides nothing: the next one follows while no gate fails or lacks its source, and only
    a pass of every required gate promotes.
    """

    weight_pct: float
    min_s: float = 60.0
    min_requests: int = 100


@dataclass(frozen=True, slots=True)
class ReplicaPolicy:
    """What a replica may use. One that asks for more fails by itself, by name, and takes nothing from the others.

    A control group of its own holds all its processes where one may be made; limits of the process hold each of them
    anywhere.
    """

    memory_mb_max: int | None = None  # of each process; null: 2,000 and four times the size of its graph
    processes_max: int = 512  # processes and threads


@dataclass(frozen=True, slots=True)
class ReleasePolicy:
    """How one model's releases proceed. The defaults need only the model's name."""

    model: str
    suites: tuple[str, ...] = ()  # files of labelled cases; judged before any traffic
    label_names: dict[str, str] = field(default_factory=dict)  # what a label source calls a class: its name, the class
    mirror_pct: float = 100.0  # of live requests copied to the candidate, from shadow to the last step
    steps: tuple[Step, ...] = (Step(1.0), Step(5.0), Step(20.0), Step(50.0))
    look_every_s: float = 10.0
    start_timeout_s: float = 300.0  # from the start of a release to a replica that is ready and verified
    deadline_s: float = 7_200.0  # from shadow to promotion
    on_deadline: OnDeadline = OnDeadline.HOLD
    probation_s: float = 86_400.0  # after promotion: late labels still count, the former version is warm
    replica: ReplicaPolicy = ReplicaPolicy()
    gates: GatePolicy = field(default_factory=GatePolicy)

    @property
    def objectives_ms(self) -> tuple[float, ...]:
        """The absolute latency objectives; replicas put an edge of their histogram exactly at each."""
        latency = self.gates.latency
        limits_ms = (latency.p95_ms_max, latency.p99_ms_max) if latency is not None else ()
        return tuple(sorted({limit_ms for limit_ms in limits_ms if limit_ms is not None}))
