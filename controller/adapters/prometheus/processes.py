"""The check that only one process answers under one name, and the scrape from which on its counters are known.

A process that replaces another begins after it, and exports its start (``serin_start_time_seconds``). If it exports
none, or began while the other still existed, two processes may answer in turn, and each turn would count all that one
of them ever did. So that is an error and not a restart. The error lasts as long as the window that was read shows it.
After that, counting goes on from the first scrape of the window, and nothing is known of what was before.
"""

import itertools
from collections.abc import Iterator, Mapping
from typing import Final, NamedTuple

from controller.adapters.prometheus.counters import continues, fallen
from controller.adapters.prometheus.cursor import Mark
from controller.adapters.prometheus.http import SOURCE
from controller.adapters.prometheus.targets import START, Snapshot, Target, Targets
from controller.errors import AmbiguousError
from serving.contract import START_METRIC, VERSION_LABEL

_AT_ONCE_S: Final = 60.0  # a process may begin so long before the last scrape of the one that it replaces
_WAY_OUT: Final = "have each process scraped at an address of its own"


class _Told(NamedTuple):
    at_s: float
    counters: Snapshot


def require_one_process(target: Target, left: Mark | None, *, since_s: float) -> None:
    """Compare the target's scrapes with one another, and with the mark where it was left, unless that is before
    ``since_s``.

    Raises:
        AmbiguousError: two processes may answer in turn; says what shows it, and the way out.
    """
    within = left if left is not None and left.scraped_s >= since_s else None
    found = [
        (doubt, now.at_s) for then, now in itertools.pairwise(_told(target, within)) if (doubt := _doubt(then, now))
    ]
    if found:
        (doubt, _), (_, seen_s) = found[0], found[-1]
        raise AmbiguousError(SOURCE, f"two processes seem to answer as {target.key}: {doubt}", seen_s=seen_s)


def known_from_s(
    targets: Targets, before: Mapping[str, Mark | None], marks: Mapping[str, Mark], *, looked_at_s: float
) -> dict[str, float]:
    """Return, by the keys of targets, the scrape from which on their counters are known, for those targets of which
    nothing tells what the counters were before. All others are known since they were left, or since they began.

    ``before``: where each target was left. ``marks``: where all were left, also those that are gone. ``looked_at_s``:
    the time of the look before.
    """
    gone = {key: left for key, left in marks.items() if key not in before}
    found = {target.key: _known_from_s(target, before[target.key], gone, looked_at_s) for target in targets.all}
    return {key: at_s for key, at_s in found.items() if at_s is not None}


def _known_from_s(target: Target, left: Mark | None, gone: Mapping[str, Mark], looked_at_s: float) -> float | None:
    first = next((_Told(*item) for item in target.snapshots.items()), None)
    if first is None:
        return None
    if left is not None:
        newer = next((one for one in _told(target, None) if one.at_s > left.scraped_s), None)
        doubted = newer is not None and _doubt(_Told(left.scraped_s, left.tell_tales()), newer)
        return newer.at_s if newer is not None and doubted else None
    if START in first.counters:
        return first.at_s if first.counters[START] < looked_at_s - _AT_ONCE_S else None
    theirs = [mark.tell_tales() for key, mark in gone.items() if f"{VERSION_LABEL}={target.version}" in key.split(",")]
    renamed = any(any(counters.values()) and continues(counters, first.counters) for counters in theirs)
    return first.at_s if renamed else None


def _told(target: Target, left: Mark | None) -> Iterator[_Told]:
    if left is not None:
        yield _Told(left.scraped_s, left.tell_tales())
    for at_s, counters in target.snapshots.items():
        if left is None or at_s > left.scraped_s:
            yield _Told(at_s, counters)


def _doubt(then: _Told, now: _Told) -> str:
    """Return why the two may be different processes that both exist; empty if they are one process, or if one replaced
    the other."""
    began, began_now = then.counters.get(START), now.counters.get(START)
    if began is not None and began == began_now:
        return ""
    if began is None or began_now is None:
        if continues(then.counters, now.counters):
            return ""
        if began_now is None:
            how = "they export" if began is None else "one of them exports"
            return f"{fallen(then.counters, now.counters)}, and {how} no {START_METRIC}; export it, or {_WAY_OUT}"
    if began_now < then.at_s - _AT_ONCE_S or (began is not None and began_now < began):
        before = f"one began at {began:.3f}" if began is not None else f"one answered at {then.at_s:.3f}"
        after = f"afterwards one answered that began at {began_now:.3f} (or its clock is behind)"
        return f"by {START_METRIC}, {before}, and {after}; {_WAY_OUT}"
    return ""
