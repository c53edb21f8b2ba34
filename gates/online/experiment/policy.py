"""The keys of experiment.ratio and experiment.inputs."""

from dataclasses import dataclass
from typing import Annotated

from gates.keys import require


@dataclass(frozen=True, slots=True)
class ExperimentPolicy:
    """experiment.ratio, experiment.inputs: is the comparison itself sound? A broken one holds the release."""

    alpha: Annotated[
        float, "of each; it is about the comparison itself, so it takes nothing from the rollback level"
    ] = 0.001
    share_guard_ratio: Annotated[float, "never hold for less: realised over configured share, or the reverse"] = 1.5
    inputs_guard: Annotated[float, "never hold for a smaller total variation distance between the inputs"] = 0.05
    samples_min: Annotated[int, "requests (of each version, for the inputs), needed to conclude anything"] = 200

    def __post_init__(self) -> None:
        require(self, "alpha", below=1.0)
