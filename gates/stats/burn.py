"""The multi-window, multi-burn table of an error budget: windows are data, factors are derived.

(Beyer et al., The Site Reliability Workbook, chapter 5.) A factor is the burn at which a window spends its fraction of
the period's budget. An alert fires while the long window and its short companion both burn at least as fast, so that it
ends soon after the trouble does.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Annotated

MINUTE_S = 60.0
HOUR_S = 3600.0
DAY_S = 86400.0


class Urgency(StrEnum):
    PAGE = "page"
    TICKET = "ticket"


@dataclass(frozen=True, slots=True)
class BurnWindow:
    """Spending ``budget_ratio`` of the period's budget within ``long_s`` is worth ``urgency``."""

    budget_ratio: Annotated[float, "of the period's budget, spent within the long window"]
    long_s: Annotated[float, "the long window; it fires while this one and the short one both burn"]
    short_s: Annotated[float, "its short companion, so that it ends soon after the trouble does"]
    urgency: Annotated[Urgency, "`page` or `ticket`: what it is worth to people; both hold releases"] = Urgency.PAGE

    def __post_init__(self) -> None:
        if not (0 < self.budget_ratio <= 1 and 0 < self.short_s <= self.long_s):
            raise ValueError(f"budget_ratio must be above 0 and up to 1, short_s above 0 and up to long_s, got {self}")

    def factor(self, period_s: float) -> float:
        """Return the burn that spends ``budget_ratio`` of the budget of ``period_s`` in the long window."""
        return self.budget_ratio * period_s / self.long_s


PERIOD_S = 30 * DAY_S
BURN_TABLE = (
    BurnWindow(0.02, HOUR_S, 5 * MINUTE_S, Urgency.PAGE),
    BurnWindow(0.05, 6 * HOUR_S, 30 * MINUTE_S, Urgency.PAGE),
    BurnWindow(0.1, 3 * DAY_S, 6 * HOUR_S, Urgency.TICKET),
)


@dataclass(frozen=True, slots=True)
class BurnAlert:
    """A row of the table that fires, with the burn of both of its windows."""

    window: BurnWindow
    long_burn: float
    short_burn: float


def burn(errors: int, requests: int, objective_ratio: float) -> float:
    """Return how many times faster than the objective allows the budget is spent; 0 without requests."""
    return errors / requests / (1 - objective_ratio) if requests else 0.0


def burn_alerts(
    counts: Mapping[float, tuple[int, int]],
    objective_ratio: float,
    table: Sequence[BurnWindow] = BURN_TABLE,
    period_s: float = PERIOD_S,
) -> tuple[BurnAlert, ...]:
    """Return the rows that fire, most urgent first as in the table.

    ``counts``: (errors, requests) of the service by length of window in seconds. A row whose windows are not both
    known is left out: a service that cannot be read is a fault of the source, which the caller reports.
    """
    found = []
    for row in table:
        if row.long_s in counts and row.short_s in counts:
            burns = [burn(*counts[length], objective_ratio) for length in (row.long_s, row.short_s)]
            if min(burns) >= row.factor(period_s):
                found.append(BurnAlert(row, burns[0], burns[1]))
    return tuple(found)
