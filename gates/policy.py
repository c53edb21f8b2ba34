"""The promises of the gates, as data: levels, margins, guards, grids and minimum samples, with the defaults of the
method.

Levels. ``rollback_alpha`` is the chance that a release no worse than stable is rolled back, over its whole life and
all its gates together. It is divided among the configured gates in proportion to their shares; a gate left out leaves
its share to the others. ``promotion_alpha`` is the chance that one gate passes a release beyond its margin; every
required gate must pass, so it needs no division (intersection-union test).

`GatePolicy` is the table of the gates as well (`gates.table` reads it): a field for each section, with the module of
the gates that judge by it, which is imported when something is judged. The order of the fields is the order of the
verdicts. A section set to ``None`` is not judged. A value that no gate could work with is a ``ValueError`` that names
its field.
"""

import math
from dataclasses import dataclass, field, fields
from typing import Annotated

from gates.keys import require_guards_below_margins
from gates.kind import section, sections, several, unasked
from gates.online.accuracy_live.policy import LiveAccuracyPolicy
from gates.online.accuracy_shadow.policy import PairedAccuracyPolicy, SliceAccuracyPolicy, SlicePolicy
from gates.online.accuracy_slices.policy import WatchedSlicesPolicy
from gates.online.budget.policy import BudgetPolicy
from gates.online.calibration_shadow.policy import CalibrationPolicy
from gates.online.costs.policy import CostPolicy, CostRow
from gates.online.drift.policy import DriftPolicy
from gates.online.errors.policy import LiveErrorsPolicy, ShadowErrorsPolicy
from gates.online.experiment.policy import ExperimentPolicy
from gates.online.floors.policy import FloorPolicy
from gates.online.label_sources import LabelPolicy
from gates.online.latency.policy import LatencyPolicy
from gates.online.limits.measures import LimitPolicy
from gates.suite_policy import SuitePolicy

__all__ = [
    "BudgetPolicy",
    "CalibrationPolicy",
    "CostPolicy",
    "CostRow",
    "DriftPolicy",
    "ExperimentPolicy",
    "FloorPolicy",
    "GatePolicy",
    "LabelPolicy",
    "LatencyPolicy",
    "LimitPolicy",
    "LiveAccuracyPolicy",
    "LiveErrorsPolicy",
    "PairedAccuracyPolicy",
    "ShadowErrorsPolicy",
    "SliceAccuracyPolicy",
    "SlicePolicy",
    "SuitePolicy",
    "WatchedSlicesPolicy",
]


@dataclass(frozen=True, slots=True)
class GatePolicy:
    """All gates of one model."""

    rollback_alpha: Annotated[
        float, "the chance that an equal candidate is rolled back, over its whole life and by all gates together"
    ] = 0.01
    promotion_alpha: Annotated[float, "of each gate, the chance that it passes a candidate beyond its margin"] = 0.01
    deadline_fraction: Annotated[float, "of each rollback level, kept for one exact test at the deadline"] = 0.1
    incident_s: Annotated[
        float,
        "no incident of so short a time decides by itself, however many looks fall into it: errors, slow requests and "
        "wrong labels of one such time are less than half of what it takes; 0: none of a single look does",
    ] = 60.0
    labels: LabelPolicy = field(default_factory=LabelPolicy)
    accuracy_shadow: PairedAccuracyPolicy | None = section(PairedAccuracyPolicy, "gates.online.accuracy_shadow.kinds")
    slices: tuple[SlicePolicy, ...] = several(SlicePolicy, "gates.online.accuracy_shadow.kinds")
    accuracy_slices: WatchedSlicesPolicy | None = section(WatchedSlicesPolicy, "gates.online.accuracy_slices.kinds")
    costs: CostPolicy | None = unasked(CostPolicy, "gates.online.costs.kinds")
    floors: tuple[FloorPolicy, ...] = several(FloorPolicy, "gates.online.floors.kinds")
    calibration_shadow: CalibrationPolicy | None = section(CalibrationPolicy, "gates.online.calibration_shadow.kinds")
    errors_shadow: ShadowErrorsPolicy | None = section(ShadowErrorsPolicy, "gates.online.errors.kinds")
    accuracy_live: LiveAccuracyPolicy | None = section(LiveAccuracyPolicy, "gates.online.accuracy_live.kinds")
    latency: LatencyPolicy | None = section(LatencyPolicy, "gates.online.latency.kinds")
    errors_live: LiveErrorsPolicy | None = section(LiveErrorsPolicy, "gates.online.errors.kinds")
    budget: BudgetPolicy | None = section(BudgetPolicy, "gates.online.budget.kinds")
    experiment: ExperimentPolicy | None = section(ExperimentPolicy, "gates.online.experiment.kinds")
    drift: DriftPolicy | None = section(DriftPolicy, "gates.online.drift.kinds")
    limits: LimitPolicy | None = section(LimitPolicy, "gates.online.limits.kinds")
    suite: SuitePolicy = field(default_factory=SuitePolicy)

    def __post_init__(self) -> None:
        if not 0 <= self.deadline_fraction < 1:
            raise ValueError(f"deadline_fraction must be from 0 to below 1, got {self.deadline_fraction}")
        if not 0 <= self.incident_s < math.inf:
            raise ValueError(f"incident_s must be 0 or more seconds, got {self.incident_s:g}")

    def require_guards_below_margins(self) -> None:
        """Check that each section's guards lie below its margins: a rule for policies that are written now.

        Raises:
            ValueError: a guard does not; the message names the section and both keys.
        """
        for one in fields(self):
            value = getattr(self, one.name)
            for part in value if isinstance(value, tuple) else (value,):
                try:
                    require_guards_below_margins(part)
                except ValueError as error:
                    raise ValueError(f"{one.name}: {error}") from error

    @property
    def alpha_shares(self) -> float:
        """Return the sum of the shares of all configured gates, which a gate's own share is divided by."""
        return sum(kind.share(part.value) for part in sections(self) for kind in part.judged_by)
