"""From raw samples to exact increments: how much each counter of each process gained since a cursor, with resets.

The unit of trust is the *scrape*: all samples of one target with one timestamp are one snapshot of one process, and its
``up`` sample says that the scrape succeeded. A process that exports another start than at the scrape before is a new
one. All of its counters then began again at zero, also those that have overtaken their old value since; ``increase()``,
which looks at each series alone, would miss those. If a process exports no start, a request counter that fell or is
gone means the same. Nothing is extrapolated.

The request counters are few series, and show the lives of the processes. The other counters are many series, and are
read only at the ends of lives.
"""

import math
from collections.abc import Collection, Iterable, Iterator, Mapping
from typing import Final, NamedTuple

from controller.adapters.prometheus.http import SOURCE
from controller.adapters.prometheus.targets import (
    MARKER,
    START,
    Counter,
    Matrix,
    Snapshot,
    Target,
    Targets,
    series_of,
    stranger,
)
from controller.errors import TransientError
from serving.contract import (
    BUSY_METRIC,
    CLIENT_GONE_CODE,
    CODE_LABEL,
    COLD_REQUESTS_METRIC,
    CPU_METRIC,
    DURATION_METRIC,
    FAILURES_METRIC,
    GATEWAY_TIME_METRIC,
    REQUESTS_METRIC,
    TOKENS_METRIC,
    TOOK_LABEL,
    TRAFFIC_LABEL,
    TRUNCATED_METRIC,
    UNKNOWN_TOKENS_METRIC,
    USER_PARTS,
    USERS_LABEL,
    USERS_METRIC,
    WORKER_RESTARTS_METRIC,
    Traffic,
)

BUCKET_METRIC: Final = f"{DURATION_METRIC}_bucket"
TOKEN_BUCKET_METRIC: Final = f"{TOKENS_METRIC}_bucket"
TOKEN_SUM_METRIC: Final = f"{TOKENS_METRIC}_sum"
GATEWAY_BUCKET_METRIC: Final = f"{GATEWAY_TIME_METRIC}_bucket"
GATEWAY_TIMED_METRIC: Final = f"{GATEWAY_TIME_METRIC}_count"
EDGE_LABEL: Final = "le"


class Kind(NamedTuple):
    """The labels that tell the series of a metric apart, and whether the metric counts things (or else seconds).

    ``traffics``: the values that ``traffic_label`` may have; if empty, any.
    """

    own_label: str = ""
    traffic_label: str = ""
    traffics: Collection[str] = ()
    counts: bool = True


def _by_traffic(own_label: str = "") -> Kind:
    return Kind(own_label, TRAFFIC_LABEL, frozenset(Traffic))


REQUESTS: Final = _by_traffic(CODE_LABEL)
BUCKETS: Final = {name: _by_traffic(EDGE_LABEL) for name in (BUCKET_METRIC, TOKEN_BUCKET_METRIC)}
AT_ENDS: Final[Mapping[str, Kind]] = {
    **BUCKETS,
    TOKEN_SUM_METRIC: _by_traffic(),
    USERS_METRIC: Kind(TOOK_LABEL, USERS_LABEL, frozenset(map(str, range(USER_PARTS)))),
    FAILURES_METRIC: _by_traffic(),
    UNKNOWN_TOKENS_METRIC: Kind(),
    TRUNCATED_METRIC: Kind(),
    COLD_REQUESTS_METRIC: Kind(),
    WORKER_RESTARTS_METRIC: Kind(),
    BUSY_METRIC: Kind(counts=False),
    CPU_METRIC: Kind(counts=False),
}
"""Counters that are read only at the ends of lives."""
KINDS: Final[Mapping[str, Kind]] = {REQUESTS_METRIC: REQUESTS, **AT_ENDS}
_UNTIMED_MIN: Final = 10  # requests: a few that are counted already may be timed a moment later


class Life(NamedTuple):
    """A stretch of scrapes without a reset: when it ended, and whether its process began at zero within the window."""

    end_s: float
    began: bool


def lives_of(target: Target, base: Snapshot, since_s: float, *, begun: Collection[float] = ()) -> list[Life]:
    """Return the lives seen in snapshots later than ``since_s``. ``base``: the counters that show the lives, as they
    were then.

    ``begun``: the times of scrapes that are known to be the first of a new process.
    """
    lives: list[Life] = []
    before = base
    for at_s, now in target.snapshots.items():
        if at_s <= since_s:
            continue
        if at_s in begun or not continues(before, now):
            lives.append(Life(at_s, began=True))
        else:
            lives[-1:] = [Life(at_s, began=lives[-1].began if lives else False)]
        before = now
    return lives


def continues(before: Snapshot, now: Snapshot) -> bool:
    """Return whether both snapshots are of one process. If both have a start, that decides; otherwise no counter may
    have fallen or be gone."""
    if START in before and START in now:
        return before[START] == now[START]
    counted = {counter: value for counter, value in before.items() if counter != START}  # only one of them has it
    return all(now.get(counter, 0.0) >= value for counter, value in counted.items())


def fallen(before: Snapshot, now: Snapshot) -> str:
    """Return, in words, which counter fell or is gone, of two snapshots that are not of one process."""
    counter, value = next(
        (counter, value) for counter, value in before.items() if counter != START and now.get(counter, 0.0) < value
    )
    what = f"is gone from {value:g}" if counter not in now else f"fell from {value:g} to {now[counter]:g}"
    return f"{counter} {what}"


def increments(
    target: Target, base: Snapshot, lives: Iterable[Life], *, from_zero: Collection[str], kinds: Mapping[str, Kind]
) -> dict[Counter, float]:
    """Return how much the target's counters gained from ``base`` through all the lives.

    A counter that ``base`` lacks was at zero if its metric is one of ``from_zero``; otherwise its gain is not known,
    and is left out. So is that of a counter of seconds that fell: the operating system forgets ended processes before
    their time is added to their parent's.

    Raises:
        TransientError: a counter of things fell although no process was replaced.
    """
    gained: dict[Counter, float] = {}
    for life in lives:
        start = {} if life.began else base
        for counter, value in target.snapshots[life.end_s].items():
            if counter == START or (not life.began and counter.metric not in from_zero and counter not in start):
                continue
            more = value - start.get(counter, 0.0)
            if more < 0 and not kinds[counter.metric].counts:
                continue
            if more < 0:
                raise TransientError(SOURCE, f"{counter} of {target.key} fell by {-more:g} without a restart")
            gained[counter] = gained.get(counter, 0.0) + more
    return gained


def add_requests(
    targets: Targets, matrix: Matrix, kinds: Mapping[str, Kind], *, absent_is_zero: Collection[str] = ()
) -> None:
    """Put the samples of the counters that show the lives into the targets' snapshots.

    Prometheus marks the end of a series with NaN, at a scrape that failed or that no longer had the series. Such a
    scrape is forgotten once all of its samples are read: the next one counts what it would have counted. If the metric
    is in ``absent_is_zero``, the end of a series concerns that series alone.

    Raises:
        TransientError: a series is not one of ours, belongs to no target, or has a value that no counter can have.
    """
    marked: dict[str, tuple[Target, set[float]]] = {}
    for metric, kind in kinds.items():
        for counter, target, values in _counters(matrix, metric, kind, targets):
            for at_s, text in values:
                if text == MARKER:
                    if metric not in absent_is_zero:
                        marked.setdefault(target.key, (target, set()))[1].add(at_s)
                elif at_s in target.snapshots:
                    target.snapshots[at_s][counter] = _value(text, counter, target, kind)
                else:
                    raise TransientError(
                        SOURCE, f"{counter} of {target.key} has a sample at {at_s} that belongs to no scrape"
                    )
    for target, times in marked.values():
        for at_s in times & target.snapshots.keys():
            target.step_over(at_s)


def add_ends(
    targets: Targets, matrix: Matrix, needed: Mapping[str, Collection[float]], kinds: Mapping[str, Kind]
) -> None:
    """Put the samples of the other counters into the targets' snapshots. ``needed``: by the keys of the targets, the
    times at which they are needed.

    Raises:
        TransientError: as ``add_requests``.
    """
    for metric, kind in kinds.items():
        for counter, target, values in _counters(matrix, metric, kind, targets):
            times = needed.get(target.key, ())
            for at_s, text in values:
                if at_s in times and at_s in target.snapshots and text != MARKER:
                    target.snapshots[at_s][counter] = _value(text, counter, target, kind)


def _counters(
    matrix: Matrix, metric: str, kind: Kind, targets: Targets
) -> Iterator[tuple[Counter, Target, list[tuple[float, str]]]]:
    names = [name for name in (kind.traffic_label, kind.own_label) if name]
    for series in series_of(matrix, metric):
        target, own, values = targets.owner(series, *names)
        if not all(own.values()) or (kind.traffics and own[kind.traffic_label] not in kind.traffics):
            raise stranger(series)
        yield Counter(metric, own.get(kind.traffic_label, ""), own.get(kind.own_label, "")), target, values


def _value(text: str, counter: Counter, target: Target, kind: Kind) -> float:
    value = float(text)
    if kind.counts and not (value >= 0 and value.is_integer()):  # infinity is no integer either
        raise TransientError(SOURCE, f"{counter} of {target.key} is {text}, which cannot be a count")
    if not 0 <= value < math.inf:
        raise TransientError(SOURCE, f"{counter} of {target.key} is {text}, which cannot be a time")
    return value


def require_whole(version: str, target: Target, snapshot: Snapshot) -> None:
    """Require that a process which exports some of what the gates need exports all of it: what is absent would never be
    counted.

    Raises:
        TransientError: requests are not counted, or are counted and not timed; names the metric.
    """
    whose = f"version {version}: {target.key}"
    if not any(counter.metric == REQUESTS_METRIC for counter in snapshot):
        raise TransientError(
            SOURCE, f"{whose} is scraped, but does not export {REQUESTS_METRIC}: nothing can be counted"
        )
    for traffic in Traffic:
        answered = sum(value for counter, value in snapshot.items() if _is_timed(counter, traffic))
        timed = [value for it, value in snapshot.items() if (it.metric, it.traffic) == (BUCKET_METRIC, traffic)]
        if answered and (len(timed) < 2 or (answered >= _UNTIMED_MIN and not max(timed))):
            raise TransientError(
                SOURCE,
                f"{whose} counted {answered:.0f} answered {traffic} requests but timed none: its "
                f"{BUCKET_METRIC} is missing or stands still; Serin reads classic buckets, so native "
                "histograms alone are not enough",
            )
        measured = any((it.metric, it.traffic) == (TOKEN_BUCKET_METRIC, traffic) for it in snapshot)
        if START in snapshot and answered >= _UNTIMED_MIN and not measured:  # a replica of ours exports tokens, too
            raise TransientError(
                SOURCE,
                f"{whose} counted {answered:.0f} answered {traffic} requests but no tokens: its "
                f"{TOKEN_BUCKET_METRIC} is missing",
            )


def _is_timed(counter: Counter, traffic: str) -> bool:
    """Return whether replicas time what this counter counts: refusals and failures are not timed."""
    if (counter.metric, counter.traffic) != (REQUESTS_METRIC, traffic):
        return False
    return counter.label == str(CLIENT_GONE_CODE) or counter.label.startswith(("1", "2", "3"))
