"""The targets that were scraped: from series of ``up`` to processes, each known by what names it, whatever other labels
say.

A process is identified by its model, its version and the labels that tell one process from another (``instance`` by
default), and by its start (``serin_start_time_seconds``) if it exports one. All other labels may change: series that
follow one another are of one process. Series that exist side by side are one process that is scraped twice (by a pair
of Prometheus servers, or by a second job), so that its requests would count twice. That is an error, which names the
label that differs.
"""

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple

from controller.adapters.prometheus.http import SOURCE
from controller.errors import TransientError
from serving.contract import MODEL_LABEL, START_METRIC, VERSION_LABEL

UP_METRIC: Final = "up"
INSTANCE_LABEL: Final = "instance"
NAME_LABEL: Final = "__name__"
RENAMED: Final = "exported_"  # what Prometheus puts before a label of a sample if its target has that label, too
MARKER: Final = "NaN"  # the value with which Prometheus ends a series

Matrix = list[dict[str, Any]]  # as Prometheus answers: series of {"metric": labels, "values": [[time, "value"], ...]}
Labels = frozenset[tuple[str, str]]
Samples = list[tuple[float, str]]


class Counter(NamedTuple):
    """One counter of one process. ``traffic``: the kind of traffic, or the gateway's cluster. ``label``: the status
    code of requests, or the edge of a bucket."""

    metric: str
    traffic: str
    label: str

    def __str__(self) -> str:
        """Return the counter as messages name it: ``serin_requests_total (live 200)``."""
        more = " ".join(part for part in (self.traffic, self.label) if part)
        return f"{self.metric} ({more})" if more else self.metric


START: Final = Counter(START_METRIC, "", "")
"""The start of the process (unix time), kept in snapshots beside the counters."""

Snapshot = Mapping[Counter, float]


@dataclass(frozen=True, slots=True)
class Target:
    """One scraped process: the times of its scrapes, in order, and a snapshot for each that succeeded."""

    key: str
    version: str
    scrapes_s: list[float]
    snapshots: dict[float, dict[Counter, float]]
    names: Mapping[str, str] = field(default_factory=dict)  # the labels that name it, with their latest values

    @property
    def last_scrape_s(self) -> float:
        return self.scrapes_s[-1]

    @property
    def answers(self) -> bool:
        """Return whether the last scrape succeeded."""
        return self.last_scrape_s in self.snapshots

    def step_over(self, at_s: float) -> None:
        """Forget a scrape, as if it had never been taken."""
        self.snapshots.pop(at_s, None)
        self.scrapes_s.remove(at_s)


@dataclass(frozen=True, slots=True)
class Targets:
    """All scraped processes. ``by_labels``: the process whose series have these labels, and the time before which they
    do."""

    members: tuple[Target, ...]
    by_labels: Mapping[Labels, tuple[Target, float]]

    @property
    def all(self) -> tuple[Target, ...]:
        """Return the processes that have a scrape left."""
        return tuple(target for target in self.members if target.scrapes_s)

    def of(self, version: str) -> list[Target]:
        return [target for target in self.all if target.version == version]

    def owner(self, series: dict[str, Any], *own_labels: str) -> tuple[Target, dict[str, str], Samples]:
        """Return the process that the series belongs to, its values of ``own_labels``, and its samples as pairs of time
        and text.

        Raises:
            TransientError: it belongs to none.
        """
        labels = _labels(series)
        own = {name: labels.pop(name, "") for name in own_labels}
        found = self.by_labels.get(frozenset(labels.items()))
        if found is None:
            if renamed := sorted(name for name in labels if name.startswith(RENAMED)):
                raise TransientError(
                    SOURCE,
                    f"Prometheus renamed labels that a process exports about itself ({', '.join(renamed)}): set "
                    "honor_labels (honorLabels of a PodMonitor or ServiceMonitor) to true for it",
                )
            raise stranger(series)
        target, before_s = found
        return target, own, [(at_s, text) for at_s, text in series["values"] if at_s < before_s]


def stranger(series: dict[str, Any]) -> TransientError:
    """Return the error for a series that belongs to no target."""
    return TransientError(SOURCE, f"a series that belongs to no scraped target, or is not Serin's: {series['metric']}")


def series_of(matrix: Matrix, metric: str) -> Iterator[dict[str, Any]]:
    """Return the series of a metric that hold samples. Those of a native histogram hold none that can be read here."""
    return (series for series in matrix if series["metric"].get(NAME_LABEL) == metric and not is_empty(series))


def is_empty(series: dict[str, Any]) -> bool:
    """Return whether the series holds no samples but markers of its end."""
    return all(text == MARKER for _, text in series.get("values", ()))


def numbers(found: Samples) -> Iterator[tuple[float, float]]:
    """Return pairs of time and value, without the markers of a series' end."""
    return ((at_s, float(text)) for at_s, text in found if text != MARKER)


@dataclass(slots=True)
class _Run:
    """One series of ``up``, and the starts that its process exported."""

    labels: dict[str, str]
    ups: dict[float, bool]
    starts: dict[float, float]

    @property
    def first_s(self) -> float:
        return next(iter(self.ups))

    @property
    def last_s(self) -> float:
        return next(reversed(self.ups))


def scraped(matrix: Matrix, identity: Sequence[str], *, recent_s: float) -> Targets:
    """Return the processes that ``up`` shows. ``identity``: the labels that name a process, beside its model and
    version.

    Raises:
        TransientError: one process is scraped twice at a time, and still was at ``recent_s`` or later.
    """
    runs: dict[Labels, _Run] = {}
    for series in series_of(matrix, UP_METRIC):
        labels = _labels(series)
        if ups := {at_s: value == 1 for at_s, value in numbers(series["values"])}:
            runs[frozenset(labels.items())] = _Run(labels, ups, {})
    for series in series_of(matrix, START_METRIC):
        labels = _labels(series)
        run = runs.get(frozenset(labels.items()))
        if run is None:
            raise stranger(series)
        run.starts |= {at_s: _start(value, run) for at_s, value in numbers(series["values"])}
    by_labels: dict[Labels, tuple[Target, float]] = {}
    targets = []
    for members in _processes(list(runs.values()), identity):
        members.sort(key=lambda run: (run.last_s, run.first_s))
        target = _target(members, identity, recent_s)
        targets.append(target)
        for run, after in zip(members, [*members[1:], None], strict=True):
            before_s = after.first_s if after is not None else math.inf
            by_labels[frozenset(run.labels.items())] = target, before_s
    return Targets(tuple(targets), by_labels)


def _start(value: float, run: _Run) -> float:
    if not 0 < value < math.inf:
        whose = ",".join(f"{name}={label}" for name, label in sorted(run.labels.items()))
        raise TransientError(SOURCE, f"{START_METRIC} of {whose} is {value:g}, which cannot be the start of a process")
    return value


def _processes(runs: Iterable[_Run], identity: Sequence[str]) -> list[list[_Run]]:
    """Return the runs, grouped by process: those of one name, and those of one start."""
    found: list[list[_Run]] = []
    for run in runs:
        same = [members for members in found if any(_same(run, other, identity) for other in members)]
        found = [members for members in found if members not in same]
        found.append([run, *(other for members in same for other in members)])
    return found


def _same(run: _Run, other: _Run, identity: Sequence[str]) -> bool:
    if run.labels.get(VERSION_LABEL) != other.labels.get(VERSION_LABEL):
        return False
    named = all(run.labels.get(name, "") == other.labels.get(name, "") for name in identity)
    return named or not set(run.starts.values()).isdisjoint(other.starts.values())


def _target(runs: list[_Run], identity: Sequence[str], recent_s: float) -> Target:
    """Return one process, under its latest name. A run counts until the next one begins."""
    newest = runs[-1]
    names = sorted({MODEL_LABEL, VERSION_LABEL, *identity} & newest.labels.keys())
    key = ",".join(f"{name}={newest.labels[name]}" for name in names)
    scrapes: dict[float, dict[Counter, float] | None] = {}
    for run, after in zip(runs, [*runs[1:], None], strict=True):
        if after is not None and after.first_s <= run.last_s and run.last_s >= recent_s:
            raise TransientError(SOURCE, f"ambiguous: {_doubled(run, after)}")
        for at_s, up in run.ups.items():
            if after is None or at_s < after.first_s:
                start = {START: run.starts[at_s]} if at_s in run.starts else {}
                scrapes[at_s] = start if up else None
    times = sorted(scrapes)
    snapshots = {at_s: found for at_s in times if (found := scrapes[at_s]) is not None}
    named = {name: newest.labels[name] for name in names}
    return Target(key, newest.labels.get(VERSION_LABEL, ""), times, snapshots, named)


def _doubled(run: _Run, other: _Run) -> str:
    run, other = sorted((run, other), key=lambda one: sorted(one.labels.items()))
    differing = sorted(
        name for name in run.labels.keys() | other.labels.keys() if run.labels.get(name) != other.labels.get(name)
    )
    how = ", ".join(f"{name} ({run.labels.get(name, '')!r} and {other.labels.get(name, '')!r})" for name in differing)
    whose = ",".join(f"{name}={run.labels[name]}" for name in sorted(run.labels) if name not in differing)
    if run.starts and other.starts and set(run.starts.values()).isdisjoint(other.starts.values()):
        return (
            f"two processes have one name: {whose} appears with different starts and labels {how}; name "
            "the label that distinguishes processes in the setting process_labels"
        )
    return (
        f"one process is scraped twice at a time and would count twice: {whose} appears with "
        f"different labels {how}; have it scraped once, or read from where the copies are deduplicated"
    )


def _labels(series: dict[str, Any]) -> dict[str, str]:
    return {name: value for name, value in series["metric"].items() if name != NAME_LABEL}
