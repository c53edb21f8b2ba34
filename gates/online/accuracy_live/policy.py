"""The keys of accuracy.live."""

from dataclasses import dataclass
from typing import Annotated

from gates.keys import AlphaShare, Guarded, InclusionProbabilityMin, Required, require


@dataclass(frozen=True, slots=True)
class LiveAccuracyPolicy:
    """accuracy.live: wrong labels of each version's own live answers.

    By default not required for promotion: labels are late and few on a small canary, and the paired shadow gate holds
    the tighter certificate. It can fail a release at any time.
    """

    GUARDED = (Guarded("guard_points", "margin_points", least=-100.0),)

    alpha_share: AlphaShare = 0.25
    guard_points: Annotated[float, "never roll back for a smaller loss, in points of accuracy"] = 0.5
    margin_points: Annotated[float, "passes only when a loss this large is excluded, in points of accuracy"] = 2.0
    labels_min: Annotated[int, "labels of each version, needed to conclude anything"] = 50
    required: Required = False
    inclusion_probability_min: InclusionProbabilityMin = None

    def __post_init__(self) -> None:
        require(self, "alpha_share")
        require(self, "margin_points", below=100.0)
        require(self, "inclusion_probability_min", below=1.0)
