"""From the uptime that a gateway exports to whether it is still the process of the scrape before.

An uptime grows as time passes. A process that began since the scrape before has been up for less than the time between
the two scrapes. An uptime that fits neither is another process's: two of them answer under one name.

Envoy computes its uptime when it is scraped, but exports the one that it computed at the scrape before. So after a time
without scrapes (Prometheus was stopped), the first scrape shows an uptime of long ago, and at the next one it leaps.
"""

import itertools
import math
from collections.abc import Iterator
from typing import Final, NamedTuple

from controller.adapters.prometheus.cursor import Mark
from controller.adapters.prometheus.http import SOURCE
from controller.adapters.prometheus.targets import Counter, Target
from controller.errors import AmbiguousError

_ROUNDED_S: Final = 2.0  # uptimes are whole seconds, and are computed a moment after their scrape began
_LATE_S: Final = 10.0  # how long a scrape may wait for its answer; clocks may differ by as much


class _Told(NamedTuple):
    at_s: float
    uptime_s: float


def restarts(gateway: Target, uptime: Counter, left: Mark | None) -> set[float]:
    """Return the times of the scrapes at which the gateway was a newer process than at the scrape before, or than when
    it was left."""
    told = list(_told(gateway, uptime))
    if left is not None:
        told = [one for one in told if one.at_s > left.scraped_s]
        if uptime in left.steps:
            told.insert(0, _Told(left.scraped_s, left.steps[uptime]))
    return {now.at_s for then, now in itertools.pairwise(told) if _began_between(then, now)}


def require_one_process(gateway: Target, uptime: Counter) -> None:
    """Forget scrapes without an uptime, if others have one, and compare the rest with one another.

    Raises:
        AmbiguousError: an uptime fell or leapt in a way that is not possible for one process, unless its clock was set.
    """
    told = list(_told(gateway, uptime))
    if told:
        for at_s in gateway.snapshots.keys() - {one.at_s for one in told}:
            gateway.step_over(at_s)
    doubt = None
    behind_s = math.inf  # how much older than its scrape an exported uptime may be
    for then, now in itertools.pairwise(told):
        passed_s = now.at_s - then.at_s
        fell = now.uptime_s < then.uptime_s and now.uptime_s > passed_s + _LATE_S
        leapt = now.uptime_s > then.uptime_s + passed_s + behind_s + _LATE_S
        behind_s = passed_s
        if fell or leapt:
            doubt = then, now
    if doubt is not None:
        then, now = doubt
        raise AmbiguousError(
            SOURCE,
            f"two processes answer as {gateway.key}, or its clock was set: {uptime.metric} was "
            f"{then.uptime_s:.0f} s, and {now.at_s - then.at_s:.1f} s later it is {now.uptime_s:.0f} s; "
            "if this goes on, have each scraped at an address of its own",
            seen_s=now.at_s,
        )


def _began_between(then: _Told, now: _Told) -> bool:
    passed_s = now.at_s - then.at_s
    overtook = now.uptime_s <= passed_s and now.uptime_s - then.uptime_s < passed_s - _ROUNDED_S
    return now.uptime_s < then.uptime_s or overtook


def _told(gateway: Target, uptime: Counter) -> Iterator[_Told]:
    return (_Told(at_s, found[uptime]) for at_s, found in gateway.snapshots.items() if uptime in found)
