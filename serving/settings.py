"""What a replica is told at its start; nothing reads configuration anywhere else."""

from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path


class Provider(StrEnum):
    """What runs the graph."""

    CPU = "cpu"
    CUDA = "cuda"


@dataclass(frozen=True, slots=True)
class Limits:
    """What a request may ask for, and how many may wait.

    With ``wait_ms_max`` a request is refused at once when those before it would keep it waiting longer.
    """

    body_bytes_max: int = 2**20
    text_chars_max: int = 20_000
    texts_max: int = 256
    windows_max: int = 32
    queue_requests_max: int = 512
    wait_ms_max: float | None = None
    answer_timeout_s: float = 30.0


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
    """Where sampled predictions go; without ``url`` none leave. Texts leave only with ``with_text``."""

    url: str | None = None
    ratio: float = 1.0
    digest_key: bytes = b""
    with_text: bool = False


@dataclass(frozen=True, slots=True)
class TracingSettings:
    """Where spans go, by OTLP over HTTP; without ``url`` there are none.

    ``ratio`` is the part of requests that are traced where the caller has not decided it already (W3C sampled flag).
    """

    url: str | None = None
    ratio: float = 0.01


@dataclass(frozen=True, slots=True)
class Settings:
    """One replica: which version, and how it is served. Without ``threads`` each engine gets what its size is worth.

    ``quiet_s``: how long a replica that was told to end goes on serving, closing each connection with its answer, so
    that no request is under way on one that it then closes.
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
    tracing: TracingSettings = TracingSettings()
    api_processes: int = 1
    workers: int = 1
    quiet_s: float = 0.5
    drain_s: float = 20.0
