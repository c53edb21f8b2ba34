"""The score of one answer against the truth."""

import math
from collections.abc import Mapping
from typing import Final

BRIER_MAX: Final = 2.0


def brier(probabilities: Mapping[str, float], truth: str) -> float:
    """Brier's original multiclass score, sum over classes of (probability − 1 for the truth, else 0)²; 0 best, 2 worst.

    A truth for which the model has no class counts as a class with probability 0. Rounded probabilities may sum to a
    little over one; the score is kept within its bounds. Source: G. W. Brier, Monthly Weather Review 78 (1950),
    equation 2, for one forecast.
    """
    classes = {**probabilities, truth: probabilities.get(truth, 0.0)}
    score = math.fsum((probability - (name == truth)) ** 2 for name, probability in classes.items())
    return min(score, BRIER_MAX)
