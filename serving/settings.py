"""The settings that a replica is told at its start; nothing reads configuration anywhere else."""

from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any


class Provider(StrEnum):
    """The provider that runs the graph."""

    CPU = "cpu"
    CUDA = "cuda"


@dataclass(frozen=True, slots=True)
class Limits:
    """The limits of what a request may ask for, and of how many may wait.

    A text that is read in windows may be ``windows_max`` of them; windows count like texts, so all of a request may be
    ``rows_max``. With ``wait_ms_max`` a request is refused at once when those before it would keep it waiting longer. A
    connection on which a request has not arrived as a whole within ``receive_timeout_s`` is closed. A worker that owes
    an answer and has used no processor for ``stuck_after_s`` is ended and replaced.
    """

    body_bytes_max: int = 2**20
    text_chars_max: int = 20_000
    texts_max: int = 256
    windows_max: int = 32
    queue_requests_max: int = 512
    wait_ms_max: float | None = None
    answer_timeout_s: float = 30.0
    stuck_after_s: float = 2.0
    receive_timeout_s: float = 20.0
    header_bytes_max: int = 2**16

    @property
    def rows_max(self) -> int:
        return max(self.texts_max, self.windows_max)


@dataclass(frozen=True, slots=True)
class Batching:
    """Texts of one engine call, and how long a request may wait for company once the engine is free.

    A wait of zero still fills batches under load: what arrives during one call makes the next. The latency objective
    bounds how long one call may take, and so how many texts share it.
    """

    texts_max: int = 16
    wait_ms: float = 0.0
    objective_ms: float = 200.0


@dataclass(frozen=True, slots=True)
class CaptureSettings:
    """The receiver of sampled predictions, and the token for it; without ``url`` none leave.

    Texts leave only with ``with_text``, redacted; ``recognisers`` (``module:name``) find more than our own do.
    """

    url: str | None = None
    ratio: float = 1.0
    digest_key: bytes = b""
    with_text: bool = False
    recognisers: tuple[str, ...] = ()
    token_file: Path | None = None
    ca_file: Path | None = None  # whose certificates the receiver's is held against, in place of the machine's


@dataclass(frozen=True, slots=True)
class JwtSettings:
    """The issuer whose JWTs are taken. ``keys``: a JWK Set, by file or URL. ``name_claim`` names the client."""

    keys: str
    issuer: str
    audience: str
    name_claim: str = "sub"


@dataclass(frozen=True, slots=True)
class ClientLimits:
    """The limits of what each client may ask of this replica; None: as much as it likes. ``burst`` requests may come at
    once."""

    rate_per_s: float | None = None
    burst: int = 1
    concurrent: int | None = None


@dataclass(frozen=True, slots=True)
class AccessSettings:
    """The clients that may ask, how much, and where that is written down; by default everybody may, and nowhere."""

    token_file: Path | None = None
    jwt: JwtSettings | None = None
    open_metrics: bool = False
    limits: ClientLimits = ClientLimits()
    trusted_proxies: tuple[str, ...] = ()
    log: Path | None = None

    @property
    def authenticated(self) -> bool:
        return self.token_file is not None or self.jwt is not None


@dataclass(frozen=True, slots=True)
class TracingSettings:
    """The receiver of spans, by OTLP over HTTP; without ``url`` there are none.

    ``ratio`` is the part of requests that are traced where the caller has not decided it already (W3C sampled flag).
    """

    url: str | None = None
    ratio: float = 0.01


@dataclass(frozen=True, slots=True)
class Settings:
    """One replica: which version, and how it is served. Without ``threads`` each engine gets what its size is worth.

    ``quiet_s``: how long a replica that was told to end goes on serving, closing each connection with its answer, so
    that no request is under way on one that it then closes. ``names``: hosts that it is asked by besides those of
    loopback; None: any. ``mirror_file`` says where copies of live requests go (`observe.mirror`); without it none are
    made.
    """

    artifact: Path
    model: str
    version: str
    objectives_ms: tuple[float, ...] = ()
    threads: int | None = None
    provider: Provider = Provider.CPU
    limits: Limits = Limits()
    batching: Batching = Batching()
    capture: CaptureSettings = CaptureSettings()
    access: AccessSettings = AccessSettings()
    tracing: TracingSettings = TracingSettings()
    names: tuple[str, ...] | None = ()
    api_processes: int = 1
    workers: int = 1
    mirror_file: Path | None = None
    quiet_s: float = 0.5
    drain_s: float = 20.0

    @property
    def shown(self) -> dict[str, Any]:
        """Return how it is served, as `INFO_ROUTE` tells it: by the names that a policy's ``serving:`` block has."""
        limits = self.limits
        return {
            "provider": self.provider,
            "workers": self.workers,
            "api_processes": self.api_processes,
            "threads": self.threads,
            "batch": {"texts_max": self.batching.texts_max, "wait_ms": self.batching.wait_ms},
            "admission": {"queue_requests_max": limits.queue_requests_max, "wait_ms_max": limits.wait_ms_max},
            "tracing": {"url": self.tracing.url, "ratio": self.tracing.ratio},
            "limits": {
                "body_bytes_max": limits.body_bytes_max,
                "text_chars_max": limits.text_chars_max,
                "texts_max": limits.texts_max,
                "windows_max": limits.windows_max,
                "answer_timeout_s": limits.answer_timeout_s,
            },
            "recognisers": list(self.capture.recognisers),
        }
