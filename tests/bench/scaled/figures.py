"""The figures that the simulation is fed with: measured by ``tests.bench.scale --measure``, kept in the repository."""

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

FIGURES: Final = Path(__file__).with_name("figures.json")


@dataclass(frozen=True, slots=True)
class Encoder:
    """An encoder as one replica of it answers on one core. Random weights: only its speed means anything.

    ``text_cpu_ms`` are processor milliseconds of single texts, each of its own length, in the engine; ``served_cpu_ms``
    is the mean of a text as served, HTTP and metrics included.
    """

    name: str
    parameters_m: float
    text_cpu_ms: tuple[float, ...]
    served_cpu_ms: float
    start_s: float  # from the start of the process to the first answer
    memory_mb: float  # proportional set size of all its processes

    @property
    def service_s(self) -> tuple[float, ...]:
        """Seconds that a core is busy with each text: the engine's share of it, scaled to what serving takes."""
        mean_ms = sum(self.text_cpu_ms) / len(self.text_cpu_ms)
        return tuple(taken_ms * self.served_cpu_ms / mean_ms / 1000 for taken_ms in self.text_cpu_ms)


@dataclass(frozen=True, slots=True)
class Figures:
    """Everything that was measured, with the machine that it was measured on."""

    machine: str
    encoders: tuple[Encoder, ...]
    replica_series: int  # of one replica's /metrics, once it has answered live and shadow requests
    gateway_series: int  # of Envoy's statistics for one version
    journal_mb_day: float  # of a release in probation
    sample_bytes: float  # of one sampled answer in the store
    intake_per_cpu_s: float  # samples that a processor second of the controller takes in

    def encoder(self, name: str) -> Encoder:
        """Return the encoder of that name. Raises StopIteration where there is none."""
        return next(encoder for encoder in self.encoders if encoder.name == name)


def read(path: Path = FIGURES) -> Figures:
    """Return the figures as kept."""
    kept = json.loads(path.read_text(encoding="utf-8"))
    encoders = tuple(
        Encoder(**{**encoder, "text_cpu_ms": tuple(encoder["text_cpu_ms"])}) for encoder in kept.pop("encoders")
    )
    return Figures(**kept, encoders=encoders)


def write(figures: Figures, path: Path = FIGURES) -> None:
    """Keep the figures, rounded to what they are worth."""
    path.write_text(json.dumps(_rounded(asdict(figures)), indent=1) + "\n", encoding="utf-8")


def _rounded(value: object) -> object:
    if isinstance(value, float):
        return float(f"{value:.4g}")
    if isinstance(value, dict):
        return {name: _rounded(part) for name, part in value.items()}
    if isinstance(value, list | tuple):
        return [_rounded(part) for part in value]
    return value
