"""From raw samples to exact increments: what each counter of each process gained since a cursor, with resets.

The unit of trust is the *scrape*: all samples of one target with one timestamp are one snapshot of one process, and
its ``up`` sample says that it was taken. A request counter that fell, or is gone, between two snapshots means that the
process was replaced, and then all of its counters began again at zero, also those that have overtaken their old value
since; looking at each series alone, as ``increase()`` does, would miss those. Nothing is extrapolated.

The request counters, few, tell the lives of the processes; of the histograms, many series, only the ends of lives are
read.
"""

from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

from controller.adapters.prometheus_http import SOURCE
from controller.errors import TransientError
from serving.contract import CODE_LABEL, DURATION_METRIC, REQUESTS_METRIC, TRAFFIC_LABEL, VERSION_LABEL, Traffic

UP_METRIC: Final = "up"
BUCKET_METRIC: Final = f"{DURATION_METRIC}_bucket"
OWN_LABEL: Final = {REQUESTS_METRIC: CODE_LABEL, BUCKET_METRIC: "le"}
_NAME_LABEL: Final = "__name__"
_JOB_LABEL: Final = "job"
_TRAFFIC: Final = frozenset(Traffic)

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
        """The lives seen in snapshots later than ``since_s``, when the counters stood at ``base``."""
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

    Raises:
        TransientError: a histogram fell although no request counter did.
    """
    gained: dict[Counter, float] = {}
    for life in lives:
        start = {} if life.began else base
        for counter, value in target.snapshots[life.end_s].items():
            more = value - start.get(counter, 0.0)
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
    for series in _of(matrix, UP_METRIC):
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
            target.snapshots[at_s][counter] = _count(value, counter, target)
    return targets


def add_buckets(targets: Targets, matrix: Matrix, needed: Mapping[str, Collection[float]]) -> None:
    """Put histogram samples into the targets' snapshots, at the ``needed`` times of each target key.

    Raises:
        TransientError: as ``read_targets``.
    """
    for counter, target, values in _counters(matrix, BUCKET_METRIC, targets):
        times = needed.get(target.key, ())
        for at_s, value in values:
            if at_s in times:
                target.snapshots[at_s][counter] = _count(value, counter, target)


def _of(matrix: Matrix, metric: str) -> Iterator[dict[str, Any]]:
    return (series for series in matrix if series["metric"].get(_NAME_LABEL) == metric)


def _counters(
    matrix: Matrix, metric: str, targets: Targets
) -> Iterator[tuple[Counter, Target, list[tuple[float, str]]]]:
    own_label = OWN_LABEL[metric]
    for series in _of(matrix, metric):
        labels = dict(series["metric"])
        del labels[_NAME_LABEL]
        traffic, label = labels.pop(TRAFFIC_LABEL, ""), labels.pop(own_label, "")
        target = targets.get(frozenset(labels.items()))
        if target is None or traffic not in _TRAFFIC or not label:
            raise TransientError(
                SOURCE, f"a series that belongs to no scraped target, or is not ours: {series['metric']}"
            )
        yield Counter(metric, traffic, label), target, series["values"]


def _count(text: str, counter: Counter, target: Target) -> float:
    value = float(text)
    if not (value >= 0 and value.is_integer()):  # NaN and infinity are no integers either
        raise TransientError(SOURCE, f"{counter} of {target.key} is {text}, which no count of requests can be")
    return value
