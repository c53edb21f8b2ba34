"""Numbers that the processes of a replica count in memory that they share: one row for each process.

To count is to add to a float in the process's own row: no lock, no file, no system call. A scrape adds up the rows, and
so sees what any process counted a moment ago. Only whole numbers are added (seconds as microseconds), which floats hold
exactly: a sum never falls, in whatever order it is formed. A row belongs to a place and not to a process id: a worker
that replaces another continues that one's counts, and no number of restarts adds a row.

Each series of a row is written by one thread at a time. It may be read meanwhile, because a float is stored as a whole.
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
    """A metric: a histogram if it has ``edges``, a counter if its name ends in ``_total``, otherwise a gauge.

    ``units``: how many counted units make one exported unit; a million if microseconds are counted and seconds are
    exported. ``labels``: the names of its labels, and the values that each may have. Series exist from the start, so
    that their first increment is not missed; those with a value in ``later`` are exported from their first increment
    on.
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
        """Return how many floats one series takes: in a histogram, the sum and a count for each bucket, the last of
        which is beyond all edges."""
        return len(self.edges) + 2 if self.edges else 1


class SharedCounters:
    """The rows of ``processes`` processes, allocated before the first fork. ``own``: the labels that every series
    has."""

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
        """Return the row of the process at this place."""
        return self._rows[place]

    def slot(self, name: str, *series: str) -> int:
        """Return the position of a series in each row."""
        return self._slots[name, *series]

    def observed(self, place: int, name: str, *series: str) -> "Observed":
        """Return a series of a histogram, in the row of the process at this place."""
        return Observed(self._rows[place], self._slots[name, *series], self._families[name])

    def collect(self, exemplars: Mapping[int, Exemplar]) -> Iterator[Metric]:
        """Yield the counts of all processes together. ``exemplars``: by the slots of their buckets."""
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
        """Count a value, and return the slot of its bucket."""
        bucket = self._slot + 1 + bisect.bisect_left(self._edges, value)
        self._row[self._slot] += round(value * self._units)
        self._row[bucket] += 1
        return bucket
