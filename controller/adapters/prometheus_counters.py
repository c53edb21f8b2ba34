"""From raw samples to exact increments: what each counter of each process gained since a cursor, with resets.

The unit of trust is the *scrape*: all samples of one target with one timestamp are one snapshot of one process, and
its ``up`` sample says that it was taken. A request counter that fell, or is gone, between two snapshots means that the
process was replaced, and then all of its counters began again at zero, also those that have overtaken their old value
since; looking at each series alone, as ``increase()`` does, would miss those. Nothing is extrapolated.

The request counters, few, tell the lives of the processes; of the other counters, many series, only the ends of lives
are read.
"""

from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

from controller.adapters.prometheus_http import SOURCE
from controller.errors import TransientError
from serving.contract import (
    BUSY_METRIC,
    CODE_LABEL,
    COLD_REQUESTS_METRIC,
    CPU_METRIC,
    DURATION_METRIC,
    FAILURES_METRIC,
    REQUESTS_METRIC,
    TOKENS_METRIC,
    TRAFFIC_LABEL,
    TRUNCATED_METRIC,
    UNKNOWN_TOKENS_METRIC,
    VERSION_LABEL,
    WORKER_RESTARTS_METRIC,
    Traffic,
)

UP_METRIC: Final = "up"
BUCKET_METRIC: Final = f"{DURATION_METRIC}_bucket"
TOKEN_BUCKET_METRIC: Final = f"{TOKENS_METRIC}_bucket"
TOKEN_SUM_METRIC: Final = f"{TOKENS_METRIC}_sum"
_NAME_LABEL: Final = "__name__"
_JOB_LABEL: Final = "job"
_EDGE_LABEL: Final = "le"
_TRAFFIC: Final = frozenset(Traffic)


class Kind(NamedTuple):
    """What tells the series of a metric apart, and whether it counts things (or seconds)."""

    own_label: str = ""
    by_traffic: bool = False
    counts: bool = True


REQUESTS: Final = Kind(CODE_LABEL, by_traffic=True)
BUCKETS: Final = {name: Kind(_EDGE_LABEL, by_traffic=True) for name in (BUCKET_METRIC, TOKEN_BUCKET_METRIC)}
AT_ENDS: Final[Mapping[str, Kind]] = {
    **BUCKETS,
    TOKEN_SUM_METRIC: Kind(by_traffic=True),
    FAILURES_METRIC: Kind(by_traffic=True),
    UNKNOWN_TOKENS_METRIC: Kind(),
    TRUNCATED_METRIC: Kind(),
    COLD_REQUESTS_METRIC: Kind(),
    WORKER_RESTARTS_METRIC: Kind(),
    BUSY_METRIC: Kind(counts=False),
    CPU_METRIC: Kind(counts=False),
}
"""Counters that are read at the ends of lives only."""
KINDS: Final[Mapping[str, Kind]] = {REQUESTS_METRIC: REQUESTS, **AT_ENDS}

Matrix = list[dict[str, Any]]  # as Prometheus answers: series of {"metric": labels, "values": [[time, "value"], ...]}
_Labels = frozenset[tuple[str, str]]


class Counter(NamedTuple):
    """One counter of one process. ``label`` is the status code of the requests counter, the edge of a bucket."""

    metric: str
    traffic: str
    label: str


Snapshot = Mapping[Counter, float]


class Life(NamedTuple):
    """A stretch of scrapes without a reset: when it ended, and whether its process began at zero within the window."""

    end_s: float
    began: bool


@dataclass(frozen=True, slots=True)
class Target:
    """One scraped process: the times of its scrapes, in order, and a snapshot for each that succeeded."""

    key: str
    version: str
    scrapes_s: tuple[float, ...]
    snapshots: dict[float, dict[Counter, float]]

    @property
    def last_scrape_s(self) -> float:
        return self.scrapes_s[-1]

    @property
    def answers(self) -> bool:
        """Whether the last scrape succeeded."""
        return self.last_scrape_s in self.snapshots

    def lives(self, base: Snapshot, since_s: float) -> list[Life]:
        """The lives seen in snapshots later than ``since_s``, when the request counters stood at ``base``."""
        lives: list[Life] = []
        before = base
        for at_s, now in self.snapshots.items():
            if at_s <= since_s:
                continue
            if not _continues(before, now):
                lives.append(Life(at_s, began=True))
            else:
                lives[-1:] = [Life(at_s, began=lives[-1].began if lives else False)]
            before = now
        return lives


def _continues(before: Snapshot, now: Snapshot) -> bool:
    return all(counter in now and now[counter] >= value for counter, value in before.items())


def increments(target: Target, base: Snapshot, lives: Iterable[Life]) -> dict[Counter, float]:
    """What the target's counters gained from ``base`` through all the lives.

    A counter that the base does not hold was at zero if it counts requests; else nobody knows, and it is left out. So
    is a counter of seconds that fell: the operating system forgets processes before their parent has them.

    Raises:
        TransientError: what counts fell although no request counter did.
    """
    gained: dict[Counter, float] = {}
    for life in lives:
        start = {} if life.began else base
        for counter, value in target.snapshots[life.end_s].items():
            if not life.began and counter.metric not in (REQUESTS_METRIC, BUCKET_METRIC) and counter not in start:
                continue
            more = value - start.get(counter, 0.0)
            if more < 0 and not KINDS[counter.metric].counts:
                continue
            if more < 0:
                raise TransientError(SOURCE, f"{counter} of {target.key} fell by {-more:g} without a restart")
            gained[counter] = gained.get(counter, 0.0) + more
    return gained


Targets = Mapping[_Labels, Target]  # by the labels that all series of a target share


def read_targets(matrix: Matrix) -> Targets:
    """The targets, from samples of ``up`` and the requests counter.

    Raises:
        TransientError: a series that is not one of ours, belongs to no target, or holds what no counter can be.
    """
    targets: dict[_Labels, Target] = {}
    processes: set[_Labels] = set()
    for series in series_of(matrix, UP_METRIC):
        labels = {name: value for name, value in series["metric"].items() if name != _NAME_LABEL}
        process = frozenset((name, value) for name, value in labels.items() if name != _JOB_LABEL)
        key = ",".join(f"{name}={labels[name]}" for name in sorted(labels))
        if process in processes:
            raise TransientError(SOURCE, f"ambiguous: scraped by another job too, so that it would count twice: {key}")
        processes.add(process)
        up = {at_s: float(value) for at_s, value in series["values"]}
        targets[frozenset(labels.items())] = Target(
            key, labels[VERSION_LABEL], tuple(up), {at_s: {} for at_s, value in up.items() if value == 1}
        )
    for counter, target, values in _counters(matrix, REQUESTS_METRIC, targets):
        for at_s, value in values:
            if at_s not in target.snapshots:
                raise TransientError(SOURCE, f"{counter} of {target.key} has a sample at {at_s} that no scrape took")
            target.snapshots[at_s][counter] = _value(value, counter, target)
    return targets


def add_ends(targets: Targets, matrix: Matrix, needed: Mapping[str, Collection[float]]) -> None:
    """Put the samples of ``AT_ENDS`` into the targets' snapshots, at the ``needed`` times of each target key.

    Raises:
        TransientError: as ``read_targets``.
    """
    for metric in AT_ENDS:
        for counter, target, values in _counters(matrix, metric, targets):
            times = needed.get(target.key, ())
            for at_s, value in values:
                if at_s in times:
                    target.snapshots[at_s][counter] = _value(value, counter, target)


def series_of(matrix: Matrix, metric: str) -> Iterator[dict[str, Any]]:
    return (series for series in matrix if series["metric"].get(_NAME_LABEL) == metric)


def target_of(series: dict[str, Any], targets: Targets, *own_labels: str) -> tuple[Target, dict[str, str]]:
    """Whose series it is, and its values of ``own_labels``.

    Raises:
        TransientError: nobody's.
    """
    labels = {name: value for name, value in series["metric"].items() if name != _NAME_LABEL}
    own = {name: labels.pop(name, "") for name in own_labels}
    target = targets.get(frozenset(labels.items()))
    if target is None:
        raise TransientError(SOURCE, f"a series that belongs to no scraped target, or is not ours: {series['metric']}")
    return target, own


def _counters(
    matrix: Matrix, metric: str, targets: Targets
) -> Iterator[tuple[Counter, Target, list[tuple[float, str]]]]:
    kind = KINDS[metric]
    names = [name for name in (TRAFFIC_LABEL if kind.by_traffic else "", kind.own_label) if name]
    for series in series_of(matrix, metric):
        target, own = target_of(series, targets, *names)
        if not all(own.values()) or (kind.by_traffic and own[TRAFFIC_LABEL] not in _TRAFFIC):
            raise TransientError(
                SOURCE, f"a series that belongs to no scraped target, or is not ours: {series['metric']}"
            )
        yield Counter(metric, own.get(TRAFFIC_LABEL, ""), own.get(kind.own_label, "")), target, series["values"]


def _value(text: str, counter: Counter, target: Target) -> float:
    value = float(text)
    counts = KINDS[counter.metric].counts
    if counts and not (value >= 0 and value.is_integer()):  # NaN and infinity are no integers either
        raise TransientError(SOURCE, f"{counter} of {target.key} is {text}, which no count of requests can be")
    if not 0 <= value < float("inf"):
        raise TransientError(SOURCE, f"{counter} of {target.key} is {text}, which no time can be")
    return value
