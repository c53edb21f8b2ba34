"""Calibration of one version on labelled answers: errors, reliability bins, and the temperature that would help.

Plain binned ECE is biased upward (a perfectly calibrated model shows .04 at 200 cases): it is reported, never gated on.
"""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize_scalar

Floats = NDArray[np.float64]
BINS = 10


@dataclass(frozen=True, slots=True)
class ReliabilityBin:
    """The answers whose confidence lies in one bin: their number, mean confidence, and the share that is right."""

    low: float
    high: float
    count: int
    confidence: float
    accuracy: float


def reliability(confidence: Floats, correct: Floats, *, bins: int = BINS) -> tuple[ReliabilityBin, ...]:
    """Return the bins of a reliability diagram, of equal width over [0, 1], without the empty ones.

    ``confidence``, ``correct``: one entry per case, the latter 0 or 1.
    """
    places = np.minimum((confidence * bins).astype(int), bins - 1)
    found = []
    for place in range(bins):
        inside = places == place
        if inside.any():
            means = float(confidence[inside].mean()), float(correct[inside].mean())
            found.append(ReliabilityBin(place / bins, (place + 1) / bins, int(inside.sum()), *means))
    return tuple(found)


def expected_calibration_error(confidence: Floats, correct: Floats, *, bins: int = BINS) -> float:
    """Return the plain ECE: the mean distance of confidence and accuracy over the bins, weighted by their counts."""
    found = reliability(confidence, correct, bins=bins)
    return math.fsum(part.count * abs(part.confidence - part.accuracy) for part in found) / len(confidence)


@dataclass(frozen=True, slots=True)
class CalibrationError:
    """A debiased L2 calibration error with its interval: roots of squares that are cut off at zero."""

    value: float
    low: float
    high: float


def debiased_l2(
    confidence: Floats, correct: Floats, alpha: float, *, bins: int = BINS, rounds: int = 200
) -> CalibrationError:
    """Return the debiased L2 calibration error (Kumar, Liang & Ma, arXiv:1909.10155) with a bootstrap interval.

    ``confidence``, ``correct``: one entry per case, the latter 0 or 1; at least two cases. The interval, at level
    ``1 - alpha``, is the spread of the resampled squares around their own mean, moved to the estimate, because
    resampling itself adds the bias that the estimate removes. Only the number of cases seeds the draws, so the same
    answers give the same interval in any order.
    """
    order = np.lexsort((correct, confidence))
    sorted_confidence, sorted_correct = confidence[order], correct[order]
    square = _debiased_square(sorted_confidence, sorted_correct, bins)
    draw = np.random.Generator(np.random.PCG64(len(order)))
    picks = (np.sort(draw.integers(0, len(order), len(order))) for _ in range(rounds))
    squares = np.array([_debiased_square(sorted_confidence[pick], sorted_correct[pick], bins) for pick in picks])
    low, high = np.quantile(squares - squares.mean(), [alpha / 2, 1 - alpha / 2]) + square
    return CalibrationError(_root(square), _root(float(low)), _root(float(high)))


def _debiased_square(confidence: Floats, correct: Floats, bins: int) -> float:
    """Return the debiased square for cases sorted by confidence. Bins hold about equal counts; from each squared
    distance its variance is subtracted."""
    cases = len(confidence)
    starts = _starts(confidence, bins)
    sizes = np.diff(np.append(starts, cases))
    accuracy = np.add.reduceat(correct, starts) / sizes
    distance = np.add.reduceat(confidence, starts) / sizes - accuracy
    noise = accuracy * (1 - accuracy) / np.maximum(sizes - 1, 1)
    return float((sizes / cases * (distance**2 - noise)).sum())


def _starts(confidence: Floats, bins: int) -> list[int]:
    """Return the place of each bin's first case: at equal counts, moved down to the first case of the same confidence.

    Cases of one confidence stay together; otherwise the order they happen to be in would separate them. A bin holds at
    least two cases, because one alone has no variance to subtract.
    """
    cases = len(confidence)
    wanted = np.searchsorted(confidence, confidence[np.arange(1, bins) * cases // bins])
    starts = [0]
    for start in wanted.tolist():
        if start - starts[-1] >= 2 and cases - start >= 2:
            starts.append(start)
    return starts


def _root(square: float) -> float:
    return math.sqrt(max(square, 0.0))


def temperature(probabilities: Floats, truth: NDArray[np.intp]) -> float:
    """Return the temperature, from 0.05 to 20, that minimises the negative log likelihood; above 1 makes the model less
    sure.

    ``probabilities``: cases × classes; ``truth``: the column of each case's true class. Log probabilities stand for the
    logits, from which they differ by a constant per case.
    """
    logits = np.log(np.clip(probabilities, 1e-12, 1.0))
    rows = np.arange(len(truth))

    def loss(log_temperature: float) -> float:
        scaled = logits / math.exp(log_temperature)
        top = scaled.max(axis=1, keepdims=True)
        norm = top[:, 0] + np.log(np.exp(scaled - top).sum(axis=1))
        return float((norm - scaled[rows, truth]).mean())

    found = minimize_scalar(loss, bounds=(math.log(0.05), math.log(20)), method="bounded")
    return math.exp(float(found.x))
