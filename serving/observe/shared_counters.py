"""Numbers that the processes of a replica count in memory which they share: a row for each of them.

To count is to add to a float in the process's own row: no lock, no file, no system call. Whoever is asked adds the rows
up, and sees what was counted a moment ago in any process. What is added is whole (seconds as microseconds), and floats
hold whole numbers exactly: a sum never falls, in whatever order and by whatever means it is made. A row is one
process's, by its place and not by its id: a worker that takes another's place goes on where that one's counts ended,
and no number of restarts adds a row.

A series of a row is written by one thread at a time. It is read meanwhile, since a float is stored as a whole.
"""

import bisect
import itertools
import mmap
import struct
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, TypeAlias

from prometheus_client.core import CounterMetricFamily, Exemplar, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.utils import floatToGoString

_FLOAT: Final = "d"
_TOTAL: Final = "_total"

Row: TypeAlias = "memoryview[float]"


@dataclass(frozen=True, slots=True)
class Family:
    """A metric: a histogram where it has ``edges``, a counter where its name ends in ``_total``, else a gauge.

    ``units``: how many of what is counted make one of what is told; a million where seconds are told.
    ``labels`` are its labels' names and the values that each can have. Series exist from the start, so that their first
    increment is not missed; those with a value in ``later`` from that increment on.
    """

    name: str
    about: str
    labels: Mapping[str, Sequence[str]] = field(default_factory=dict)
    edges: Sequence[float] = ()
    later: frozenset[str] = frozenset()
    units: int = 1

    @property
    def series(self) -> list[tuple[str, ...]]:
        return list(itertools.product(*self.labels.values()))

    @property
    def slots(self) -> int:
        """Floats of one series: of a histogram the sum, the count up to each edge, and that beyond."""
        return len(self.edges) + 2 if self.edges else 1


class SharedCounters:
    """Made before the first fork, for so many processes. ``own`` are the labels that every series carries."""

    def __init__(self, families: Iterable[Family], own: Mapping[str, str], processes: int) -> None:
        self._families = {family.name: family for family in families}
        self._own = own
        self._slots: dict[tuple[str, ...], int] = {}
        end = 0
        for family in self._families.values():
            for series in family.series:
                self._slots[family.name, *series] = end
                end += family.slots
        # Each row on pages of its own: processes that write to the same cache line wait for each other.
        self._rows = [memoryview(mmap.mmap(-1, end * struct.calcsize(_FLOAT))).cast(_FLOAT) for _ in range(processes)]

    def row(self, place: int) -> Row:
        """Return what the process at this place counts in."""
        return self._rows[place]

    def slot(self, name: str, *series: str) -> int:
        """Return where a series is in a row."""
        return self._slots[name, *series]

    def observed(self, place: int, name: str, *series: str) -> "Observed":
        """A series of a histogram in the row of the process at this place."""
        return Observed(self._rows[place], self._slots[name, *series], self._families[name])

    def collect(self, exemplars: Mapping[int, Exemplar]) -> Iterator[Metric]:
        """Yield what all processes have counted. ``exemplars`` by the slots of their buckets."""
        sums = [sum(column) for column in zip(*(row.tolist() for row in self._rows), strict=True)]
        for family in self._families.values():
            labels = (*self._own, *family.labels)
            if family.edges:
                yield self._histogram(family, labels, sums, exemplars)
                continue
            kind = CounterMetricFamily if family.name.endswith(_TOTAL) else GaugeMetricFamily
            metric = kind(family.name, family.about, labels=labels)
            for series in family.series:
                value = sums[self._slots[family.name, *series]]
                if value or family.later.isdisjoint(series):
                    metric.add_metric((*self._own.values(), *series), value / family.units)
            yield metric

    def _histogram(
        self, family: Family, labels: Sequence[str], sums: Sequence[float], exemplars: Mapping[int, Exemplar]
    ) -> Metric:
        metric = HistogramMetricFamily(family.name, family.about, labels=labels)
        names = [*(floatToGoString(edge) for edge in family.edges), "+Inf"]  # type: ignore[no-untyped-call]
        for series in family.series:
            slot = self._slots[family.name, *series]
            counts = itertools.accumulate(sums[slot + 1 : slot + family.slots])
            buckets = [
                (name, count, exemplars[at]) if at in exemplars else (name, count)
                for at, (name, count) in enumerate(zip(names, counts, strict=True), slot + 1)
            ]
            metric.add_metric((*self._own.values(), *series), buckets, sums[slot] / family.units)
        return metric


class Observed:
    """One series of a histogram, in one row."""

    __slots__ = ("_edges", "_row", "_slot", "_units")

    def __init__(self, row: Row, slot: int, family: Family) -> None:
        self._row = row
        self._slot = slot
        self._edges = family.edges
        self._units = family.units

    def note(self, value: float) -> int:
        """Count a value; returns the slot of its bucket."""
        bucket = self._slot + 1 + bisect.bisect_left(self._edges, value)
        self._row[self._slot] += round(value * self._units)
        self._row[bucket] += 1
        return bucket
