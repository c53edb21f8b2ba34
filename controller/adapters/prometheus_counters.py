"""From raw samples to exact increments: what each counter of each process gained since a cursor, with resets.

The unit of trust is the *scrape*: all samples of one target with one timestamp are one snapshot of one process, and
its ``up`` sample says that it was taken. A counter that fell, or is gone, between two snapshots means that the process
was replaced, and then all of its counters began again at zero, also those that have overtaken their old value since;
looking at each series alone, as ``increase()`` does, would miss those. Nothing is extrapolated.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from controller.adapters.prometheus_http import SOURCE
from controller.errors import TransientError
from serving.contract import (
    CODE_LABEL,
    DURATION_METRIC,
    REQUESTS_METRIC,
    TRAFFIC_LABEL,
    VERSION_LABEL,
    Traffic,
)

UP_METRIC = "up"
BUCKET_METRIC = f"{DURATION_METRIC}_bucket"
EDGE_LABEL = "le"
_NAME_LABEL = "__name__"
_JOB_LABEL = "job"
OWN_LABEL = {REQUESTS_METRIC: CODE_LABEL, BUCKET_METRIC: EDGE_LABEL}
_TRAFFIC = frozenset(Traffic)

Matrix = list[dict[str, Any]]  # as Prometheus answers: series of {"metric": labels, "values": [[time, "value"], ...]}


class Counter(NamedTuple):
    """One counter of one process. ``label`` is the status code of the requests counter, the edge of a bucket."""

    metric: str
    traffic: str
    label: str


Snapshot = Mapping[Counter, float]
NOTHING: Snapshot = {}


@dataclass(slots=True)
class Target:
    """One scraped process, and its scrapes in order of time: ``up`` samples, and a snapshot for each that succeeded."""

    key: str
    version: str
    up: dict[float, float]
    snapshots: dict[float, dict[Counter, float]]

    @property
    def last_scrape_s(self) -> float:
        return next(reversed(self.up))

    @property
    def answers(self) -> bool:
        """Whether the last scrape succeeded."""
        return self.last_scrape_s in self.snapshots

    @property
    def last_success_s(self) -> float:
        return next(reversed(self.snapshots))

    def since(self, time_s: float) -> list[Snapshot]:
        """Snapshots later than ``time_s``."""
        return [snapshot for at_s, snapshot in self.snapshots.items() if at_s > time_s]


def read_targets(matrix: Matrix) -> list[Target]:
    """Put the series together to targets.

    Raises:
        TransientError: a series that is not one of ours, belongs to no target, or holds what no counter can be.
    """
    targets: dict[str, Target] = {}
    processes: set[str] = set()
    for series in _of(matrix, UP_METRIC):
        labels = {name: value for name, value in series["metric"].items() if name != _NAME_LABEL}
        key, process = _key(labels), _key({**labels, _JOB_LABEL: ""})
        if process in processes:
            raise TransientError(SOURCE, f"ambiguous: {process} is scraped by more than one job and would count twice")
        processes.add(process)
        up = {at_s: float(value) for at_s, value in series["values"]}
        snapshots: dict[float, dict[Counter, float]] = {at_s: {} for at_s, value in up.items() if value == 1}
        targets[key] = Target(key, labels[VERSION_LABEL], up, snapshots)
    for metric, own_label in OWN_LABEL.items():
        for series in _of(matrix, metric):
            _add(targets, metric, own_label, series)
    return list(targets.values())


def _of(matrix: Matrix, metric: str) -> Iterator[dict[str, Any]]:
    return (series for series in matrix if series["metric"].get(_NAME_LABEL) == metric)


def _add(targets: Mapping[str, Target], metric: str, own_label: str, series: dict[str, Any]) -> None:
    labels = dict(series["metric"])
    del labels[_NAME_LABEL]
    traffic, label = labels.pop(TRAFFIC_LABEL, ""), labels.pop(own_label, "")
    target = targets.get(_key(labels))
    if target is None or traffic not in _TRAFFIC or not label:
        raise TransientError(SOURCE, f"a series that belongs to no scraped target, or is not ours: {series['metric']}")
    counter = Counter(metric, traffic, label)
    for at_s, text in series["values"]:
        value = float(text)
        if not (value >= 0 and value.is_integer()):  # NaN and infinity are no integers either
            raise TransientError(SOURCE, f"{series['metric']} is {text}, which no counter of requests can be")
        snapshot = target.snapshots.get(at_s)
        if snapshot is None:
            raise TransientError(SOURCE, f"{series['metric']} has a sample at {at_s} that no scrape of its target took")
        snapshot[counter] = value


def _key(labels: Mapping[str, str]) -> str:
    return ",".join(f"{name}={labels[name]}" for name in sorted(labels))


def increments(base: Snapshot, snapshots: Iterable[Snapshot]) -> dict[Counter, float]:
    """What the counters of one process gained from ``base`` through all snapshots."""
    gained: dict[Counter, float] = {}
    before = base
    for now in snapshots:
        start = before if _continues(before, now) else NOTHING
        for counter, value in now.items():
            gained[counter] = gained.get(counter, 0.0) + value - start.get(counter, 0.0)
        before = now
    return gained


def _continues(before: Snapshot, now: Snapshot) -> bool:
    return all(counter in now and now[counter] >= value for counter, value in before.items())
