"""The keys of accuracy.slices."""

from dataclasses import dataclass
from typing import Annotated, Final

from gates.keys import AlphaShare, require

LENGTHS: Final = 3
"""The slices by the length of the text, of about as many requests each."""
_TRUTHS_LEVEL: Final = 0.1  # a lost class loses nearly all its answers: little of the level finds that nearly as soon


@dataclass(frozen=True, slots=True)
class WatchedSlicesPolicy:
    """accuracy.slices: accuracy.shadow of every part of the requests with traffic: each class that stable predicts,
    each third of the lengths, each value of a tag. They are chosen once, by the last sampled answers of stable when
    the release begins, the most frequent first. The classes that labels name are watched as well, however rare: a
    class that stable seldom predicts may be lost without any of those slices losing much. What surely lost fails the
    release; while something is suspected to have lost the release waits, and otherwise for none."""

    alpha_share: AlphaShare = 0.5
    guard_points: Annotated[float, "never roll back for a smaller loss in a slice, in points of accuracy"] = 5.0
    classes_max: Annotated[int, "of predicted classes, the most frequent ones; 0: none"] = 12
    tags_max: Annotated[int, "of values of tags, the most frequent ones; 0: none"] = 12
    truths_max: Annotated[int, "of classes by their true labels, in the order in which labels name them; 0: none"] = 32
    share_min: Annotated[float, "of the requests, that a class or a tag's value has at least"] = 0.02
    pairs_min: Annotated[int, "pairs of a slice, labelled or not, needed to conclude anything about it"] = 50
    bets: Annotated[tuple[float, ...], "on the mean loss of a pair, among those that disagree"] = (0.15, 0.35, 0.6, 0.8)

    def __post_init__(self) -> None:
        require(self, "alpha_share")
        require(self, "share_min", "bets", below=1.0)

    @property
    def slices_max(self) -> int:
        """Return how many slices there can be: their part of the level is divided by it."""
        return self.classes_max + LENGTHS + self.tags_max

    @property
    def slices_level(self) -> float:
        """Return the part of the level that each slice has."""
        return (1 - _TRUTHS_LEVEL if self.truths_max else 1.0) / self.slices_max

    @property
    def truths_level(self) -> float:
        """Return the part of the level that each class by its true labels has."""
        return _TRUTHS_LEVEL / self.truths_max if self.truths_max else 0.0
