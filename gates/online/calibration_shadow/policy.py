"""The keys of calibration.shadow."""

from dataclasses import dataclass
from typing import Annotated

from gates.keys import AlphaShare, InclusionProbabilityMin, require


@dataclass(frozen=True, slots=True)
class CalibrationPolicy:
    """calibration.shadow: confidence against correctness, candidate minus stable, on pairs: on average (the gap), and
    above and below some confidences (the shape), where both cancel. A loss of accuracy or of sharpness alone fails
    nothing here; its rise of the Brier score, if large, holds promotion."""

    alpha_share: AlphaShare = 1.2
    tolerance_gap: Annotated[float, "a change of the gap, or of the shape, within this does not count as harm"] = 0.01
    guard_gap: Annotated[float, "never roll back for a smaller change of the gap, or of the shape"] = 0.02
    margin_gap: Annotated[float, "promote only when a change of the gap this large is excluded"] = 0.03
    margin_brier: Annotated[float, "promote only when a rise of the Brier score this large is excluded"] = 0.03
    shape_edges: Annotated[
        tuple[float, ...], "confidences at which those above are separated from those below, in ascending order"
    ] = (0.6, 0.8, 0.95)
    pairs_min: Annotated[int, "pairs labelled by chance, needed to conclude anything"] = 100
    inclusion_probability_min: InclusionProbabilityMin = None
    bets: Annotated[tuple[float, ...], "on each mean, as parts of the largest bet that cannot lose everything"] = (
        0.02, 0.05, 0.1, 0.2, 0.35, 0.6, 0.95,
    )  # fmt: skip

    def __post_init__(self) -> None:
        require(self, "alpha_share")
        require(self, "margin_gap", "margin_brier", "inclusion_probability_min", "bets", "shape_edges", below=1.0)
        if sorted(set(self.shape_edges)) != list(self.shape_edges):
            raise ValueError(f"shape_edges must grow from one to the next, got {self.shape_edges}")
