"""The keys of recall:CLASS and false_positives:CLASS."""

from dataclasses import dataclass
from typing import Annotated, Final

from gates.keys import AlphaShare, Required, require

RECALL: Final = "recall"
FALSE_POSITIVES: Final = "false_positives"


@dataclass(frozen=True, slots=True)
class FloorPolicy:
    """recall:CLASS: of the requests of a class, at least this share is answered with it; false_positives:CLASS: of all
    others, at most this share is. Suites are held to it, too."""

    name: Annotated[str, "`recall:CLASS` or `false_positives:CLASS`"]
    at_least: Annotated[float | None, "of `recall`, as a share"] = None
    at_most: Annotated[float | None, "of `false_positives`, as a share"] = None
    alpha_share: AlphaShare = 0.5
    labels_min: Annotated[int, "labels chosen at random that bear on it, needed to conclude anything"] = 30
    required: Required = True
    grid: Annotated[tuple[float, ...], "times the ceiling of its mistakes, that the test of harm bets on"] = (
        1.15, 1.3, 1.5, 2.0, 3.0, 5.0,
    )  # fmt: skip
    bets: Annotated[tuple[float, ...], "on the mean loss of a pair, and on shares of labels not equally likely"] = (
        0.15, 0.35, 0.6, 0.8,
    )  # fmt: skip

    def __post_init__(self) -> None:
        kind, _, label = self.name.partition(":")
        if kind not in (RECALL, FALSE_POSITIVES) or not label:
            raise ValueError(f"name must be {RECALL}:CLASS or {FALSE_POSITIVES}:CLASS, got {self.name!r}")
        given, other = ("at_least", "at_most") if kind == RECALL else ("at_most", "at_least")
        if getattr(self, given) is None or getattr(self, other) is not None:
            raise ValueError(f"{self.name} needs {given}, a share, and no {other}")
        require(self, "alpha_share")
        require(self, given, "bets", below=1.0)
        require(self, "grid", above=1.0)

    @property
    def is_recall(self) -> bool:
        return self.at_least is not None

    @property
    def label(self) -> str:
        return self.name.partition(":")[2]

    @property
    def ceiling(self) -> float:
        """Return the share of mistakes that is allowed: of the requests of the class, those answered with another; or
        of all others, those answered with the class."""
        return 1 - self.at_least if self.at_least is not None else self.at_most or 0.0
