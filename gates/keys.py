"""Keys of a policy: what those mean that several gates have, and the check that a value is one to work with.

A key is described where it stands, ``weight_pct: Annotated[float, "the share of live traffic"]``: the text becomes a
row of ``docs/policy.md`` and the description in the JSON Schema.
"""

import math
from typing import Annotated

AlphaShare = Annotated[float, "its part of `rollback_alpha`, in proportion to the parts of all other gates"]
Required = Annotated[bool, "whether promotion waits for a pass; it can fail a release in either case"]
InclusionProbabilityMin = Annotated[float | None, "the smallest of the design that labels; null: as seen"]
RatioGrid = Annotated[tuple[float, ...], "ratios, candidate over stable, that the test of harm bets on; each above 1"]
ErrorGuard = Annotated[float, "never roll back for a smaller ratio of the error rates, candidate over stable"]
ErrorMargin = Annotated[float, "promote when so large a ratio of the error rates is excluded, or `error_ratio_max` is"]
CountClusters = Annotated[
    bool, "compare causes of errors (`error_clusters`) instead of errors: a lost worker is one event, not 30"
]


def require(policy: object, *fields: str, above: float = 0.0, below: float = math.inf) -> None:
    """See that each of ``fields`` (every entry of it, and at least one) lies strictly between the bounds, or is None.

    Raises:
        ValueError: naming the field and the bounds.
    """
    for name in fields:
        value = getattr(policy, name)
        entries = value if isinstance(value, tuple) else (value,)
        if value is None or (entries and all(above < entry < below for entry in entries)):
            continue
        asked = f"above {above:g}" + (f" and below {below:g}" if math.isfinite(below) else "")
        raise ValueError(f"{name} must be {asked}, got {value}")
