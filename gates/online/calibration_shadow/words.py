"""The sentences of calibration.shadow that name what made the probabilities worse."""

from collections.abc import Sequence
from typing import Final

from gates.online.calibration_shadow.state import Shape
from gates.stats.murphy import murphy

_TOLD: Final = 0.005  # a smaller change of the Brier score is shown without its parts


def brier_told(brier: float, shape: Shape) -> str:
    """Return words for the change of the Brier score; where it is large, with the parts of it that come from the
    answered class's miscalibration, accuracy and sharpness."""
    seen = f"Brier score {brier:+.3f}"
    if abs(brier) < _TOLD or not any(band.count for band in shape.candidate):
        return seen
    parts = murphy(shape.candidate) - murphy(shape.stable)
    made = {"miscalibration": parts.reliability, "accuracy": parts.uncertainty, "sharpness": -parts.resolution}
    first, *rest = sorted(made, key=lambda name: -made[name] if brier > 0 else made[name])
    others = ", ".join(f"{name} {made[name]:+.3f}" for name in rest)
    return f"{seen}, mostly by {first} (of the answered class {made[first]:+.3f}; {others})"


def shape_told(shape: Shape, edges: Sequence[float]) -> str:
    """Return the sentence of a failure where miscalibrations cancel in the mean."""
    above, below = shape.above(shape.candidate), shape.below(shape.candidate)
    return (
        "The candidate's confidence got worse where it is right on average: confidence minus accuracy is "
        f"{above:+.3f} from {edges[shape.edge]:g} up and {below:+.3f} below, stable's "
        f"{shape.above(shape.stable):+.3f} and {shape.below(shape.stable):+.3f}"
    )
