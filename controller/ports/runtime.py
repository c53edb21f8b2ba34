"""What keeps versions running, and what is asked of a running one."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol


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
