"""Murphy's partition of a Brier score: what miscalibration costs, what sharpness saves, and what accuracy leaves.

For the predicted class alone, with confidence ``c`` and ``y`` = 1 where the answer is right, else 0, the mean of
``(c - y)^2`` is reliability - resolution + uncertainty (Murphy, J. Appl. Meteor. 12, 1973). Reliability is the mean
squared distance between a band's confidence and its accuracy; resolution that between a band's accuracy and the overall
accuracy; uncertainty depends on the overall accuracy alone. Bands are intervals of confidence: differences within a
band are in none of the three.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from gates.quick import quick

Values = NDArray[np.float64]


@quick
@dataclass(frozen=True, slots=True)
class Band:
    """The answers of one band of confidence: their number, and sums over them, each answer times its weight."""

    count: int = 0
    weight: float = 0.0
    confidence: float = 0.0
    correct: float = 0.0

    @property
    def miscalibration(self) -> float:
        """Return the weighted sum of confidence minus correctness."""
        return self.confidence - self.correct


@dataclass(frozen=True, slots=True)
class Murphy:
    """Three parts of a Brier score, or of the difference of two."""

    reliability: float
    resolution: float
    uncertainty: float

    def __sub__(self, other: "Murphy") -> "Murphy":
        return Murphy(
            self.reliability - other.reliability,
            self.resolution - other.resolution,
            self.uncertainty - other.uncertainty,
        )


def places(confidence: Values, edges: Values) -> NDArray[np.intp]:
    """Return the index of each answer's band; an answer on an edge is in the band above it."""
    return np.searchsorted(edges, confidence, side="right")


def added(
    bands: Sequence[Band], place: NDArray[np.intp], confidence: Values, correct: Values, weights: Values
) -> tuple[Band, ...]:
    """Return the bands with one look's answers added. All arrays have one entry per answer; ``place``: its band."""
    size = len(bands)
    counts = np.bincount(place, minlength=size).tolist()
    sums = [
        np.bincount(place, weights * value, size).tolist() for value in (np.ones_like(weights), confidence, correct)
    ]
    return tuple(
        Band(band.count + count, band.weight + weight, band.confidence + sure, band.correct + right)
        for band, count, weight, sure, right in zip(bands, counts, *sums, strict=True)
    )


def murphy(bands: Sequence[Band]) -> Murphy:
    """Return the parts of one version's score; all are 0 without answers.

    Chance adds equally to reliability and to resolution, and is subtracted from both. In a band of one answer it cannot
    be estimated, and counts as 0.
    """
    filled = [band for band in bands if band.count]
    total = sum(band.weight for band in filled)
    if not total:
        return Murphy(0.0, 0.0, 0.0)
    accuracy = sum(band.correct for band in filled) / total
    reliability = resolution = 0.0
    for band in filled:
        right, sure = band.correct / band.weight, band.confidence / band.weight
        noise = right * (1 - right) / (band.count - 1) if band.count > 1 else 0.0
        part = band.weight / total
        reliability += part * ((sure - right) ** 2 - noise)
        resolution += part * ((right - accuracy) ** 2 - noise)
    return Murphy(reliability, resolution, accuracy * (1 - accuracy))
