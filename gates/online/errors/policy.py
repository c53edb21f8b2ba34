"""The keys of errors.shadow and errors.live."""

from dataclasses import dataclass
from typing import Annotated

from gates.keys import AlphaShare, CountClusters, ErrorGuard, ErrorMargin, Guarded, require


@dataclass(frozen=True, slots=True)
class ShadowErrorsPolicy:
    """errors.shadow: server errors on mirrored requests, against stable's live ones.

    The ceiling certifies the first small exposure of users only; ``errors.live`` holds the full promise.
    """

    GUARDED = (Guarded("guard_ratio", "margin_ratio"),)

    alpha_share: AlphaShare = 1.2
    guard_ratio: ErrorGuard = 1.2
    margin_ratio: ErrorMargin = 3.0
    error_ratio_max: Annotated[float, "the ceiling, certified when errors are too few for a ratio"] = 0.01
    requests_min: Annotated[int, "mirrored requests, needed to conclude anything"] = 100
    count_clusters: CountClusters = False

    def __post_init__(self) -> None:
        require(self, "alpha_share", "margin_ratio")
        require(self, "error_ratio_max", below=1.0)


@dataclass(frozen=True, slots=True)
class LiveErrorsPolicy:
    """errors.live: server errors that users got; mirrored ones count as evidence for promotion too."""

    GUARDED = (Guarded("guard_ratio", "margin_ratio"),)

    alpha_share: AlphaShare = 0.35
    guard_ratio: ErrorGuard = 1.2
    margin_ratio: ErrorMargin = 3.0
    error_ratio_max: Annotated[float, "the absolute objective, certified when errors are too few for a ratio"] = 0.001
    requests_min: Annotated[int, "live requests of the candidate, needed to conclude anything"] = 100
    count_clusters: CountClusters = False

    def __post_init__(self) -> None:
        require(self, "alpha_share", "margin_ratio")
        require(self, "error_ratio_max", below=1.0)
