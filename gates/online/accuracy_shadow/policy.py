"""The keys of accuracy.shadow, for all requests and for a slice of them."""

from dataclasses import dataclass
from typing import Annotated

from gates.keys import AlphaShare, InclusionProbabilityMin, Required, require

GuardPoints = Annotated[float, "never roll back for a smaller loss, in points of accuracy"]
MarginPoints = Annotated[float, "promote only when a loss this large is excluded, in points of accuracy"]


@dataclass(frozen=True, slots=True)
class PairedAccuracyPolicy:
    """accuracy.shadow: both versions answered the same request (McNemar, sequential)."""

    alpha_share: AlphaShare = 6.0
    guard_points: GuardPoints = 0.5
    margin_points: MarginPoints = 1.0
    pairs_min: Annotated[int, "labelled pairs (for a pass pairs, labelled or not), needed to conclude anything"] = 100
    required: Required = True
    inclusion_probability_min: InclusionProbabilityMin = None
    bets: Annotated[
        tuple[float, ...], "on the mean loss of a pair; dense where a loss of two points at 7 % disagreement bets"
    ] = (0.15, 0.25, 0.35, 0.6)

    def __post_init__(self) -> None:
        require(self, "alpha_share")
        require(self, "margin_points", below=100.0)
        require(self, "bets", "inclusion_probability_min", below=1.0)


@dataclass(frozen=True, slots=True)
class SliceAccuracyPolicy(PairedAccuracyPolicy):
    """accuracy.shadow of a slice. Keys that are not written have these defaults, not those of all requests."""

    alpha_share: AlphaShare = 0.5
    guard_points: GuardPoints = 2.0
    margin_points: MarginPoints = 3.0
    required: Required = False


@dataclass(frozen=True, slots=True)
class SlicePolicy:
    """accuracy.shadow[name]: the same question about a part of the requests.

    A slice is small, so by default promotion does not wait for its certificate; it can fail a release.
    """

    name: Annotated[str, "says which requests belong to it"]
    accuracy: SliceAccuracyPolicy = SliceAccuracyPolicy()
