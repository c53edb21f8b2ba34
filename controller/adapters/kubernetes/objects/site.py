"""The settings of an installation on a cluster: what the objects of all versions have in common."""

from dataclasses import dataclass, field
from enum import StrEnum
from typing import Annotated, Final

LIVE_PORT: Final = 8000
SHADOW_PORT: Final = 8001
"""The port on which every request is a copy, whatever its headers say."""
MIRROR_FILE: Final = "mirror.json"
KEPT_PACKAGES: Final = "serin-packages"
"""The ConfigMap of the packages that stay in the cache: one key for each, the fingerprint."""


class ScaleBy(StrEnum):
    """The measure by which an autoscaler adds replicas to a version."""

    CPU = "cpu"
    REQUESTS = "requests"  # in flight at each replica: `serin_queue_depth`, by an adapter for custom metrics or KEDA


@dataclass(frozen=True, slots=True)
class Cache:
    """The place where packages outlive their pods. With neither of the two, each pod fetches its own copy and needs the
    registry."""

    claim: Annotated[str | None, "a PersistentVolumeClaim that every node can mount (ReadWriteMany)"] = None
    host_path: Annotated[str | None, "a folder on each node that the replicas' user may write to"] = None
    size_mb_max: Annotated[int, "of a pod's own copy, without `claim` and `host_path`"] = 10_000

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
    """One autoscaler for each version; its lower bound is the capacity that the version's traffic needs."""

    replicas_max: Annotated[int, "of each version"] = 10
    by: Annotated[ScaleBy, "`cpu` or `requests`"] = ScaleBy.CPU
    target: Annotated[float, "percent of the requested CPU, or requests in flight at each replica"] = 70.0

    def __post_init__(self) -> None:
        if self.replicas_max < 1:
            raise ValueError(f"autoscaling: replicas_max must be at least 1, got {self.replicas_max}")
        if self.target <= 0:
            raise ValueError(f"autoscaling: target must be above 0, got {self.target:g}")


@dataclass(frozen=True, slots=True)
class Site:
    """The settings of every version's pods. Tokens and keys come from Secrets that are mounted as files; Serin itself
    may not read them.

    ``flags`` are given to every replica, before the version's own.
    """

    image: str
    namespace: str = ""
    registry_url: str = ""
    registry_secret: str | None = None  # with the key `token`
    registry_ca: bool = False  # the Secret also has `ca.crt`, of a private CA
    capture_secret: str | None = None  # with the keys `token` and `digest-key`
    capture_ca: bool = False  # this Secret also has `ca.crt`, of the CA of the controller's certificate
    access_secret: str | None = None  # with the key `tokens.json`: digests of the clients' tokens
    cache: Cache = Cache()
    autoscaling: Autoscaling | None = None
    memory_mb: int = 4_000  # of a pod: both its request and its limit
    cpu: float | None = None  # requested cores; None: one for each engine thread
    user_id: int = 10_001
    pull_secrets: tuple[str, ...] = ()
    service_account: str = "default"  # no replica gets its token
    node_selector: dict[str, str] = field(default_factory=dict)
    flags: tuple[str, ...] = ()
    mirrored: bool = True  # replicas can be told to copy what they serve
    sidesteps_s: int = 5  # from the announcement of a pod's end to its drain, so that every gateway learns of it
    drain_s: int = 30  # the longest that a replica may take to finish the requests that it has begun
