"""The keys of accuracy.slices."""

from dataclasses import dataclass
from typing import Annotated, Final

from gates.keys import AlphaShare, require

LENGTHS: Final = 3
"""The number of slices by the length of the text, with about as many requests each."""
# Of the level, for classes by their true labels. A class that is lost loses nearly all its answers, so little of the
# level finds the loss nearly as soon.
_TRUTHS_LEVEL: Final = 0.1


@dataclass(frozen=True, slots=True)
class WatchedSlicesPolicy:
    """accuracy.slices: accuracy.shadow of every part of the requests with traffic: each class that stable predicts,
    each third of the lengths, each value of a tag. They are chosen once, by the last sampled answers of stable when the
    release begins, the most frequent first. The classes that labels name are watched as well, however rare: a class
    that stable seldom predicts may be lost without any of those slices losing much. A slice that surely lost fails the
    release; while one is suspected of a loss the release waits, and otherwise it waits for none."""

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
        """Return the largest number of slices, by which their part of the level is divided."""
        return self.classes_max + LENGTHS + self.tags_max

    @property
    def slices_level(self) -> float:
        """Return the part of the level that each slice has."""
        return (1 - _TRUTHS_LEVEL if self.truths_max else 1.0) / self.slices_max

    @property
    def truths_level(self) -> float:
        """Return the part of the level that each class by its true labels has."""
        return _TRUTHS_LEVEL / self.truths_max if self.truths_max else 0.0
