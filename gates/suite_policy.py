"""The keys of accuracy.suite and calibration.suite."""

from dataclasses import dataclass
from typing import Annotated

from gates.keys import require


@dataclass(frozen=True, slots=True)
class SuitePolicy:
    """accuracy.suite and calibration.suite: labelled cases of our own, judged once."""

    alpha: Annotated[float, "the chance that a test of a suite is wrong"] = 0.01
    accuracy_min: Annotated[float, "the floor of the accuracy on all cases, as a share"] = 0.80
    margin_points: Annotated[
        float | None, "a loss against stable, in points, that must be excluded; null: a proven loss fails, no more"
    ] = None
    guard_points: Annotated[float, "never fail for a smaller loss against stable, in points"] = 0.5
    class_guard_points: Annotated[
        float | None,
        "never fail for a smaller loss against stable in a class, in points of its cases; null: none is compared",
    ] = 5.0
    calibration_gap_max: Annotated[float, "debiased L2 calibration error: surely above it fails"] = 0.05
    calibration_margin_gap: Annotated[
        float, "surely below it passes; 600 cases can prove it, a smaller one takes thousands"
    ] = 0.1
    guard_brier: Annotated[
        float, "never fail for a smaller change of what miscalibration makes of the Brier score, against stable"
    ] = 0.01
    cases_min: Annotated[int, "distinct cases without which nothing passes, and calibration fails no version"] = 100
    class_labels_min: Annotated[int, "classes with as many labels are judged on their own"] = 500
    slice_cases_min: Annotated[int, "slices with as many cases are held to `slice_accuracy_min`"] = 20
    slice_accuracy_min: Annotated[float | None, "floor of every slice with enough cases; null: none"] = None
    slice_floors: Annotated[tuple[tuple[str, float], ...], "(slice, its own floor), however few its cases"] = ()

    def __post_init__(self) -> None:
        require(self, "alpha", below=0.5)
