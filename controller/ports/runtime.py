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
    """The order to run one version, whose artifact is a reference. The deployment's name is of the form ``intent-v7``,
    never a role.

    At each start the artifact is found by the registry's id and checked against the fingerprint; a version without a
    fingerprint runs unchecked.
    """

    model: str
    artifact: Version
    objectives_ms: tuple[float, ...] = ()  # the latency histogram has an edge at each
    resources: ReplicaPolicy = field(default_factory=ReplicaPolicy)
    serving: ServingPolicy = field(default_factory=ServingPolicy)
    start_timeout_s: float = 300.0  # time for a replica to fetch its package and become ready

    @property
    def version(self) -> str:
        return self.artifact.number


@dataclass(frozen=True, slots=True)
class Endpoint:
    """One replica of a version. ``detail`` says why it is not ready, with the end of its log if its process ended.
    Requests to ``shadow_url`` count as shadow traffic; a replica that an earlier version of Serin started may have no
    such port."""

    condition: Condition
    url: str | None = None
    shadow_url: str | None = None
    detail: str = ""
    restarts: int | None = None  # the number of restarts after it died; None: not known


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
        """Return whether all its replicas answer."""
        return self.condition is Condition.READY

    @property
    def held_up(self) -> bool:
        """Return whether any replica is down through no fault of its own."""
        return any(one.condition in (Condition.STARTING, Condition.DISTURBED) for one in self.endpoints)

    @property
    def detail(self) -> str:
        """Return why it is not ready, one sentence for each replica that is not; with its number if there are
        several."""
        several = len(self.endpoints) > 1
        away = [(place, one) for place, one in enumerate(self.endpoints, 1) if one.condition is not Condition.READY]
        return "; ".join(f"replica {place}: {one.detail}" if several else one.detail for place, one in away)

    @property
    def restarts(self) -> int | None:
        """Return the restarts of all its replicas together; None if the number is not known for one of them."""
        known = [endpoint.restarts for endpoint in self.endpoints if endpoint.restarts is not None]
        return sum(known) if len(known) == len(self.endpoints) else None


class Deployments(Protocol):
    def ensure(self, spec: DeploymentSpec) -> DeploymentStatus:
        """Start the version unless it runs, and return its state. Returns at once; later calls tell when it is ready.

        Raises:
            TransientError: it could not be started now.
            PermanentError: it cannot be started until a person acts.
        """

    def status(self, model: str) -> Mapping[str, DeploymentStatus]:
        """Return the model's deployments, by version."""

    def remove(self, model: str, version: str) -> None:
        """Drain and stop the deployment, if there is one. Does not wait for the drain."""


class Replicas(Protocol):
    """Questions asked of a running replica directly, not through the gateway; none counts as live traffic.

    If a replica refuses a request, ``RefusedRequestError`` says why, and which text is to blame.
    """

    def token_ids(self, url: str, texts: Sequence[str]) -> tuple[tuple[int, ...], ...]:
        """Return the token ids of the running tokenizer for each text, special tokens included."""

    def fingerprint(self, url: str) -> str:
        """Return the SHA-256 of the manifest that the running process verified at its start."""

    def probabilities(self, url: str, texts: Sequence[str]) -> Sequence[Mapping[str, float]]:
        """Return the class probabilities by label, for each text in order."""
