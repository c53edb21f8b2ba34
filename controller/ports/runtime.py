"""The deployments that keep versions running, and the questions asked of a running one."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from controller.core.condition import Condition, condition_of
from controller.core.policy import ReplicaPolicy
from controller.core.release import Version
from controller.core.serving import ServingPolicy


@dataclass(frozen=True, slots=True)
class DeploymentSpec:
    """The version to run: one version, whose artifact is named by reference. Named ``intent-v7``, never by role.

    Whoever runs it finds the artifact by the registry's id and holds it against the fingerprint at each start; a
    version without one is run as it is found.
    """

    model: str
    artifact: Version
    objectives_ms: tuple[float, ...] = ()  # an edge of the latency histogram at each
    resources: ReplicaPolicy = field(default_factory=ReplicaPolicy)
    serving: ServingPolicy = field(default_factory=ServingPolicy)
    start_timeout_s: float = 300.0  # within which a replica is ready, its package fetched

    @property
    def version(self) -> str:
        return self.artifact.number


@dataclass(frozen=True, slots=True)
class Endpoint:
    """One replica of a version. ``detail`` says why it is not ready; of one that ended, with the end of its log. What
    is asked at ``shadow_url`` counts as shadow traffic; one that an earlier version of Serin started may have none.
    """

    condition: Condition
    url: str | None = None
    shadow_url: str | None = None
    detail: str = ""
    restarts: int | None = None  # how often it was started again after it had died; None: not known


@dataclass(frozen=True, slots=True)
class DeploymentStatus:
    """The state of a version, by its replicas."""

    version: str
    endpoints: tuple[Endpoint, ...]

    @property
    def condition(self) -> Condition:
        """Return the condition of the whole version (`condition_of`)."""
        return condition_of(endpoint.condition for endpoint in self.endpoints)

    @property
    def ready(self) -> bool:
        """Return whether all of it answers."""
        return self.condition is Condition.READY

    @property
    def held_up(self) -> bool:
        """Return whether any of it is away for a reason that is not its own."""
        return any(one.condition in (Condition.STARTING, Condition.DISTURBED) for one in self.endpoints)

    @property
    def detail(self) -> str:
        """Return why it is not ready, one sentence a replica; of several with their numbers."""
        several = len(self.endpoints) > 1
        away = [(place, one) for place, one in enumerate(self.endpoints, 1) if one.condition is not Condition.READY]
        return "; ".join(f"replica {place}: {one.detail}" if several else one.detail for place, one in away)

    @property
    def restarts(self) -> int | None:
        """Return the restarts of all its replicas; None where that is not known of one of them."""
        known = [endpoint.restarts for endpoint in self.endpoints if endpoint.restarts is not None]
        return sum(known) if len(known) == len(self.endpoints) else None


class Deployments(Protocol):
    def ensure(self, spec: DeploymentSpec) -> DeploymentStatus:
        """Start the version unless it runs, and say how it is. Returns at once; readiness comes in later calls."""

    def status(self, model: str) -> Mapping[str, DeploymentStatus]:
        """Every deployment of the model, by version."""

    def remove(self, model: str, version: str) -> None:
        """Drain and end the deployment, if there is one. Never blocks for the drain."""


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
