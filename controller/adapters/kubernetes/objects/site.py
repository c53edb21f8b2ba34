"""The cluster as an installation tells of it: what every version's objects have in common."""

from dataclasses import dataclass, field
from enum import StrEnum
from typing import Annotated, Final

LIVE_PORT: Final = 8000
SHADOW_PORT: Final = 8001
"""Where everything that comes in is a copy, whatever its headers say."""
MIRROR_FILE: Final = "mirror.json"
KEPT_PACKAGES: Final = "serin-packages"
"""The ConfigMap of the packages that stay in the cache: a key each, by fingerprint."""


class ScaleBy(StrEnum):
    """The measure by which a version's replicas are added."""

    CPU = "cpu"
    REQUESTS = "requests"  # in flight, of each replica: `serin_queue_depth`, by an adapter for custom metrics or KEDA


@dataclass(frozen=True, slots=True)
class Cache:
    """The place where packages stay when a pod goes; with neither, each pod fetches its own and needs the registry."""

    claim: Annotated[str | None, "a PersistentVolumeClaim that every node can mount (ReadWriteMany)"] = None
    host_path: Annotated[str | None, "a folder of each node that the replicas' user may write"] = None
    size_mb_max: Annotated[int, "of a pod's own copy, where there is neither"] = 10_000

    def __post_init__(self) -> None:
        if self.claim is not None and self.host_path is not None:
            raise ValueError("cache: name a claim or a host_path, not both")
        if self.host_path is not None and not self.host_path.startswith("/"):
            raise ValueError(f"cache: host_path must begin with /, got {self.host_path!r}")

    @property
    def outlives_pods(self) -> bool:
        return self.claim is not None or self.host_path is not None


@dataclass(frozen=True, slots=True)
class Autoscaling:
    """One autoscaler a version; its lower bound is the capacity that the version's traffic needs."""

    replicas_max: Annotated[int, "of each version"] = 10
    by: Annotated[ScaleBy, "`cpu` or `requests`"] = ScaleBy.CPU
    target: Annotated[float, "percent of the processor asked for, or requests in flight of each replica"] = 70.0

    def __post_init__(self) -> None:
        if self.replicas_max < 1:
            raise ValueError(f"autoscaling: replicas_max must be at least 1, got {self.replicas_max}")
        if self.target <= 0:
            raise ValueError(f"autoscaling: target must be above 0, got {self.target:g}")


@dataclass(frozen=True, slots=True)
class Site:
    """The cluster for every version's pods. Tokens and keys come from Secrets that are mounted as files; Serin
    itself may not read them.

    ``flags`` are given to every replica before the version's own.
    """

    image: str
    namespace: str = ""
    registry_url: str = ""
    registry_secret: str | None = None  # with the key `token`
    registry_ca: bool = False  # the Secret has `ca.crt`, too: of an authority that is not the world's
    capture_secret: str | None = None  # with the keys `token` and `digest-key`
    capture_ca: bool = False  # this Secret has `ca.crt`, too: of the authority of the controller's certificate
    access_secret: str | None = None  # with the key `tokens.json`: digests of the clients' tokens
    cache: Cache = Cache()
    autoscaling: Autoscaling | None = None
    memory_mb: int = 4_000  # of a pod: asked for, and its limit
    cpu: float | None = None  # cores asked for; None: one for each engine thread
    user_id: int = 10_001
    pull_secrets: tuple[str, ...] = ()
    service_account: str = "default"  # whose token no replica gets
    node_selector: dict[str, str] = field(default_factory=dict)
    flags: tuple[str, ...] = ()
    mirrored: bool = True  # replicas can be told to copy what they serve
    sidesteps_s: int = 5  # between a pod's end being announced and its draining: until every gateway knows
    drain_s: int = 30  # what a replica itself needs at most to end what it has begun
