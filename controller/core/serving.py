"""The settings by which a version is served: the settings of its replicas, which a policy names and a release makes its
own."""

import dataclasses
import hashlib
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from typing import Annotated, Any, Final

from gates.keys import require

_FACTORY: Final = re.compile(r"[A-Za-z_][\w.]*:[A-Za-z_]\w*")


class Provider(StrEnum):
    """The provider that runs a version's graph."""

    CPU = "cpu"
    CUDA = "cuda"


@dataclass(frozen=True, slots=True)
class BatchPolicy:
    """Texts that share one call of the engine. Texts that arrive during one call form the next, without waiting."""

    texts_max: Annotated[int, "maximum number of texts in one call"] = 16
    wait_ms: Annotated[float, "how long a request may wait for others while the engine is idle"] = 0.0

    def __post_init__(self) -> None:
        require(self, "texts_max")


@dataclass(frozen=True, slots=True)
class AdmissionPolicy:
    """The limits above which requests are refused at once, with 503, instead of being answered late."""

    queue_requests_max: Annotated[int, "requests that may wait in each replica"] = 512
    wait_ms_max: Annotated[
        float | None, "refuse a request that would wait longer for those before it; null: no limit"
    ] = None

    def __post_init__(self) -> None:
        require(self, "queue_requests_max", "wait_ms_max")


@dataclass(frozen=True, slots=True)
class TracingPolicy:
    """The place where replicas send the spans of requests."""

    url: Annotated[str | None, "OTLP over HTTP, such as http://localhost:4318; null: no spans"] = None
    ratio: Annotated[float, "share of requests to trace if the caller has not decided"] = 0.01

    def __post_init__(self) -> None:
        if self.url is not None and not self.url.startswith(("http://", "https://")):
            raise ValueError(f"url must start with http:// or https://, got {self.url!r}")
        if not 0 <= self.ratio <= 1:
            raise ValueError(f"ratio must be from 0 to 1, got {self.ratio}")


@dataclass(frozen=True, slots=True)
class RequestLimits:
    """The limits of a request. How many tokens of a text are read is a property of the version, defined in its
    package."""

    body_bytes_max: Annotated[int, "longer bodies get 413"] = 2**20
    text_chars_max: Annotated[int, "longer texts get 422"] = 20_000
    texts_max: Annotated[int, "maximum number of texts in one request"] = 256
    windows_max: Annotated[int, "for a text that the version reads in windows; texts with more get 422"] = 32
    answer_timeout_s: Annotated[float, "after this time the request gets 504"] = 30.0

    def __post_init__(self) -> None:
        require(self, "body_bytes_max", "text_chars_max", "texts_max", "windows_max", "answer_timeout_s")


@dataclass(frozen=True, slots=True)
class ServingPolicy:
    """The settings with which a version is served. The values when a release begins stay the version's own for as long
    as it serves.

    A change takes effect with the next release; `serin release again MODEL` starts one for the serving version.
    """

    replicas: Annotated[
        int, "replicas that serve the version, each on its own port; all must be ready before it gets traffic"
    ] = 1
    provider: Annotated[Provider, "`cpu` or `cuda`"] = Provider.CPU
    workers: Annotated[int, "inference processes per replica"] = 1
    api_processes: Annotated[int, "HTTP processes per replica"] = 1
    threads: Annotated[int | None, "threads per engine; null: `replica_threads` from the installation's settings"] = (
        None
    )
    batch: BatchPolicy = BatchPolicy()
    admission: AdmissionPolicy = AdmissionPolicy()
    tracing: TracingPolicy = TracingPolicy()
    limits: RequestLimits = RequestLimits()
    recognisers: Annotated[
        tuple[str, ...], "`module:factory` of additional recognisers that find what to redact in captured texts"
    ] = ()

    def __post_init__(self) -> None:
        require(self, "replicas", "workers", "api_processes", "threads")
        for name in self.recognisers:
            if not _FACTORY.fullmatch(name):
                raise ValueError(f"recognisers: {name!r} is not of the form module:factory")


def served_with(settings: ServingPolicy) -> dict[str, Any]:
    """Return the settings that differ from the defaults, by key; a key in a section is ``section.key``."""
    usual = dict(_keys(ServingPolicy()))
    return {key: value for key, value in _keys(settings) if value != usual[key]}


def digest_of(settings: ServingPolicy) -> str:
    """Return a digest of the settings; empty for the defaults, so that a new key does not change it."""
    told = served_with(settings)
    return hashlib.sha256(json.dumps(told, sort_keys=True).encode()).hexdigest()[:16] if told else ""


def differences(before: ServingPolicy, after: ServingPolicy) -> str:
    """Return the changes in words: ``batch.wait_ms 0 → 5, workers 1 → 2``; empty if there are none."""
    known = dict(_keys(before))
    changed = (f"{key} {_shown(known[key])} → {_shown(value)}" for key, value in _keys(after) if value != known[key])
    return ", ".join(changed)


def _keys(section: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    for field in dataclasses.fields(section):
        value = getattr(section, field.name)
        if dataclasses.is_dataclass(value):
            yield from _keys(value, f"{path}{field.name}.")
        else:
            yield f"{path}{field.name}", value


def _shown(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:g}"
    return "null" if value is None else json.dumps(value) if isinstance(value, tuple) else str(value)
