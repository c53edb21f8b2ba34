"""The keys of the warnings that ask for labels."""

from dataclasses import dataclass
from typing import Annotated

from gates.keys import require


@dataclass(frozen=True, slots=True)
class DriftPolicy:
    """Warnings that ask for labels: drift.classes and drift.confidence (version against version), agreement.shadow, and
    reference.inputs, reference.classes, reference.confidence (stable now against itself before the release)."""

    alpha: Annotated[float, "the chance that each warns without reason, over the whole release"] = 0.001
    guard: Annotated[float, "never warn of a smaller total variation distance, version against version"] = 0.05
    samples_min: Annotated[int, "of each side, needed to conclude anything"] = 200
    disagreement_max: Annotated[float, "of mirrored requests: below it for certain is agreement"] = 0.1
    reference_s: Annotated[float, "how far before the release stable's own answers serve as the reference"] = 604_800.0
    reference_guard: Annotated[float, "never warn of a smaller total variation distance, now against the reference"] = (
        0.1
    )

    def __post_init__(self) -> None:
        require(self, "alpha", "disagreement_max", below=1.0)
        require(self, "reference_s")
