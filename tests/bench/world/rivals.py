"""The rules of other tools, from their documentation, on the same numbers that our gates see.

Each rule looks at three kinds of evidence: server errors, latency, and labelled answers. Where a tool has no rule for
labels, it gets what its users would write: a query of its own kind. Answers are the looks (from 1) of the first
rollback for each kind, None for never.
"""

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.stats import norm

from tests.bench.world.traffic import Both, Numbers

Series = NDArray[np.float64]
Found = tuple[int | None, int | None, int | None]
KINDS = ("errors", "latency", "labels")

SUCCESS_PCT_MIN, P99_MS_MAX = 99.0, 500.0  # the built-in checks of Flagger's examples
P95_FACTOR_MAX = 1.1
ACCURACY_LOSS_MAX, LABEL_WINDOW_LOOKS = 0.02, 10
SUCCESS_CONDITION = 0.95  # of the examples of Argo Rollouts
TOLERANCE, CONFIDENCE = 0.25, 0.98  # of the default judge of Kayenta
ALARM_ERRORS, ALARM_P95_MS, ALARM_WRONG = 0.01, 200.0, 0.1
ALARM_LOOKS, ALARM_PERIODS = 10, 2  # of the examples of SageMaker's guardrails: ten minutes, twice in a row
POINTS_MIN, JUDGED_EVERY = 50, 10  # its least number of data points, and our choice of an interval


def _column(seen: Sequence[Both], arm: str, field: str) -> Series:
    return np.array([getattr(getattr(both, arm), field) for both in seen], dtype=float)


def _ratio(above: Series, below: Series) -> Series:
    """Not a number where nothing was counted."""
    unknown: Series = np.full(len(above), np.nan)
    return np.divide(above, below, out=unknown, where=below > 0)


def _rates(seen: Sequence[Both], arm: str) -> tuple[Series, Series, Series]:
    """Per look: the ratio of errors, of slow answers, and of wrong ones."""
    column = {field: _column(seen, arm, field) for field in Numbers.__slots__}
    return (
        _ratio(column["errors"], column["requests"]),
        _ratio(column["slow"], column["requests"] - column["errors"]),
        _ratio(column["wrong"], column["labelled"]),
    )


def _recent_accuracy(seen: Sequence[Both], arm: str) -> Series:
    window = np.ones(LABEL_WINDOW_LOOKS)
    sums = [np.convolve(_column(seen, arm, field), window)[: len(seen)] for field in ("wrong", "labelled")]
    return 1 - _ratio(*sums)


def _failed_checks(seen: Sequence[Both], success_min: float) -> tuple[NDArray[np.bool_], ...]:
    """Which looks fail a fixed limit of each kind. Nothing counted fails nothing."""
    success = 1 - _rates(seen, "candidate")[0]
    slow = (_column(seen, "candidate", "p99_ms") > P99_MS_MAX) | (
        _column(seen, "candidate", "p95_ms") > P95_FACTOR_MAX * _column(seen, "stable", "p95_ms")
    )
    loss = _recent_accuracy(seen, "stable") - _recent_accuracy(seen, "candidate")
    return success < success_min, slow, loss > ACCURACY_LOSS_MAX


def _first(hits: NDArray[np.bool_]) -> int | None:
    return int(np.argmax(hits)) + 1 if hits.any() else None


def failed_checks(seen: Sequence[Both], *, limit: int = 5) -> Found:
    """Back at the fifth failed check in all: Flagger's ``threshold: 5`` with 99 % success and a P99 of 500 ms."""
    errors, slow, wrong = (_first(np.cumsum(failed) >= limit) for failed in _failed_checks(seen, SUCCESS_PCT_MIN / 100))
    return errors, slow, wrong


def failed_in_a_row(seen: Sequence[Both], *, limit: int = 3) -> Found:
    """Back after three failed checks in a row, with the same limits."""

    def run(failed: NDArray[np.bool_]) -> int | None:
        together = np.convolve(failed, np.ones(limit))[: len(failed)]
        return _first(together >= limit)

    errors, slow, wrong = (run(failed) for failed in _failed_checks(seen, SUCCESS_PCT_MIN / 100))
    return errors, slow, wrong


def failure_limit(seen: Sequence[Both], *, limit: int = 3) -> Found:
    """Argo Rollouts' examples: ``successCondition: result >= 0.95``, ``failureLimit: 3`` (more than three fail)."""
    errors, slow, wrong = (_first(np.cumsum(failed) > limit) for failed in _failed_checks(seen, SUCCESS_CONDITION))
    return errors, slow, wrong


def alarms(seen: Sequence[Both]) -> Found:
    """SageMaker's guardrails: alarms of CloudWatch on fixed limits, on the candidate by itself, whatever stable does;
    each is the mean of ten minutes and must be above its limit for two such periods in a row."""
    errors, requests, wrong, labelled, p95 = (
        _column(seen, "candidate", field) for field in ("errors", "requests", "wrong", "labelled", "p95_ms")
    )
    ones = np.ones(len(seen))
    parts = ((errors, requests, ALARM_ERRORS), (p95, ones, ALARM_P95_MS), (wrong, labelled, ALARM_WRONG))
    first, second, third = (_alarm(above, below, limit) for above, below, limit in parts)
    return first, second, third


def _alarm(above: Series, below: Series, limit: float) -> int | None:
    periods = len(above) // ALARM_LOOKS
    sums = [part[: periods * ALARM_LOOKS].reshape(periods, ALARM_LOOKS).sum(axis=1) for part in (above, below)]
    together = np.convolve(_ratio(*sums) > limit, np.ones(ALARM_PERIODS))[:periods] >= ALARM_PERIODS
    first = _first(together)
    return None if first is None else first * ALARM_LOOKS


def mann_whitney(seen: Sequence[Both]) -> Found:
    """Kayenta's default judge: a metric is high where the 98 % interval of the shift between the looks of the two
    versions lies above a quarter of its estimate; one high metric of three leaves a score of 67, below 75."""
    found: list[int | None] = []
    for ours, theirs in zip(_rates(seen, "candidate"), _rates(seen, "stable"), strict=True):
        looks = range(POINTS_MIN, len(seen) + 1, JUDGED_EVERY)
        found.append(next((look for look in looks if _high(ours[:look], theirs[:look])), None))
    return found[0], found[1], found[2]


def _high(ours: Series, theirs: Series) -> bool:
    ours, theirs = ours[~np.isnan(ours)], theirs[~np.isnan(theirs)]
    if not len(ours) or not len(theirs):
        return False
    shifts = np.sort(np.subtract.outer(ours, theirs), axis=None)
    sizes = len(ours) * len(theirs)
    spread = np.sqrt(sizes * (len(ours) + len(theirs) + 1) / 12)
    low = shifts[max(int(sizes / 2 - norm.ppf((1 + CONFIDENCE) / 2) * spread), 0)]
    return bool(low > TOLERANCE * abs(np.median(shifts)))


def z_at_every_look(seen: Sequence[Both], *, level: float = 0.05) -> Found:
    """A test made for one look, repeated at each: pooled two-sample z, and the sign test where answers are paired."""
    errors, slow, wrong = (_first(z > norm.ppf(1 - level)) for z in _scores(seen))
    return errors, slow, wrong


def obrien_fleming(seen: Sequence[Both], *, level: float = 0.01) -> Found:
    """The same scores against a boundary that falls with the square root of time and spends ``level`` over all looks
    and all three kinds; its constant is the one of a Brownian motion (reflection principle)."""
    constant = norm.ppf(1 - level / len(KINDS) / 2)
    boundary = constant * np.sqrt(len(seen) / np.arange(1, len(seen) + 1))
    errors, slow, wrong = (_first(z > boundary) for z in _scores(seen))
    return errors, slow, wrong


def _scores(seen: Sequence[Both]) -> tuple[Series, Series, Series]:
    """z scores of all that was seen up to each look."""
    arms = {
        (arm, field): np.cumsum(_column(seen, arm, field))
        for arm in ("candidate", "stable")
        for field in ("requests", "errors", "slow")
    }

    def timed(arm: str) -> Series:
        return arms[arm, "requests"] - arms[arm, "errors"]

    errors = _two_samples(
        arms["candidate", "errors"], arms["candidate", "requests"], arms["stable", "errors"], arms["stable", "requests"]
    )
    slow = _two_samples(arms["candidate", "slow"], timed("candidate"), arms["stable", "slow"], timed("stable"))
    lost, won = (np.cumsum([getattr(both, field) for both in seen]) for field in ("lost", "won"))
    signs = np.divide(lost - won, np.sqrt(lost + won), out=np.zeros(len(seen)), where=lost + won > 0)
    return errors, slow, signs


def _two_samples(events: Series, total: Series, other_events: Series, other_total: Series) -> Series:
    both = np.maximum(total + other_total, 1)
    pooled = (events + other_events) / both
    variance = pooled * (1 - pooled) * (1 / np.maximum(total, 1) + 1 / np.maximum(other_total, 1))
    difference = events / np.maximum(total, 1) - other_events / np.maximum(other_total, 1)
    return np.divide(difference, np.sqrt(variance), out=np.zeros(len(events)), where=variance > 0)


RULES: dict[str, Callable[[Sequence[Both]], Found]] = {
    "5 failed checks": failed_checks,
    "3 failed checks in a row": failed_in_a_row,
    "success condition, failure limit 3": failure_limit,
    "alarms on fixed limits": alarms,
    "Mann-Whitney with tolerance and score": mann_whitney,
    "z test at every look, 5 %": z_at_every_look,
    "O'Brien-Fleming, 1 %": obrien_fleming,
}
