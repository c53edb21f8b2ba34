"""Keys of a policy: those that several gates have, and the checks of their values.

A key is described where it stands, ``weight_pct: Annotated[float, "the share of live traffic"]``: the text becomes a
row of ``docs/policy.md`` and the description in the JSON Schema.
"""

import math
from typing import Annotated, NamedTuple

AlphaShare = Annotated[float, "its part of `rollback_alpha`, in proportion to the parts of all other gates"]
Required = Annotated[bool, "whether promotion waits for a pass; it can fail a release in either case"]
InclusionProbabilityMin = Annotated[float | None, "the smallest of the design that labels; null: as seen"]
ErrorGuard = Annotated[
    float, "roll back only when a ratio of the error rates above it is shown, candidate over stable; below the margin"
]
ErrorMargin = Annotated[float, "promote when so large a ratio of the error rates is excluded, or `error_ratio_max` is"]
CountClusters = Annotated[
    bool, "compare causes of errors (`error_clusters`) instead of errors: a lost worker is one event, not 30"
]


def require(policy: object, *fields: str, above: float = 0.0, below: float = math.inf) -> None:
    """Check that each of ``fields`` of the policy lies strictly between the bounds, or is None. Of a tuple every entry
    has to, and there has to be one.

    Raises:
        ValueError: a field does not; the message names it and the bounds.
    """
    for name in fields:
        value = getattr(policy, name)
        entries = value if isinstance(value, tuple) else (value,)
        if value is None or (entries and all(above < entry < below for entry in entries)):
            continue
        asked = f"above {above:g}" + (f" and below {below:g}" if math.isfinite(below) else "")
        raise ValueError(f"{name} must be {asked}, got {value}")


class Guarded(NamedTuple):
    """The keys of a guard and its margin in a section: harm up to the guard is not rolled back, harm from the margin on
    is not promoted. An empty margin means that there is none."""

    guard: str
    margin: str = ""
    least: float = 1.0  # smallest guard allowed; of a ratio, 1 is no difference


def require_guards_below_margins(section: object) -> None:
    """Check that each guard of the section (the ``GUARDED`` of its class) lies below its margin: a candidate between
    the two would be neither promoted nor rolled back.

    The rule is for policies that are written now. A recorded policy is read as it is: its release was judged by it.

    Raises:
        ValueError: a guard does not; the message names both fields.
    """
    for one in getattr(section, "GUARDED", ()):
        _require_guard_below_margin(section, *one)


def _require_guard_below_margin(section: object, guard: str, margin: str, least: float) -> None:
    lowest = getattr(section, guard)
    if not least <= lowest:
        raise ValueError(f"{guard} must be at least {least:g}, got {lowest}")
    highest = getattr(section, margin) if margin else math.inf
    if not lowest < highest:
        raise ValueError(
            f"{guard} must be below {margin}: a candidate between {highest:g} and {lowest:g} would neither be promoted "
            f"nor rolled back, got {lowest} and {highest}"
        )
