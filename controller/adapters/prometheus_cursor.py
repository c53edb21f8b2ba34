"""How a cursor keeps the counters of each target in few entries, because every look records one.

A cumulative histogram is a step function of its edge, so only its steps are kept: some 30 of 92 buckets. Entries read
``target|traffic|code=200`` and ``target|traffic|le=0.0242``; ``target||`` holds the time of the last scrape that was
taken in.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Final

from controller.adapters.prometheus_counters import BUCKET_METRIC, OWN_LABEL, Counter, Snapshot

_METRIC_OF: Final = {label: metric for metric, label in OWN_LABEL.items()}


@dataclass(slots=True)
class Mark:
    """Where one target was left: the time of its last scrape, and its counters, of histograms the steps only."""

    scraped_s: float
    steps: dict[Counter, float] = field(default_factory=dict)

    def requests(self) -> dict[Counter, float]:
        """The request counters at the mark."""
        return {counter: value for counter, value in self.steps.items() if counter.metric != BUCKET_METRIC}

    def base(self, known: Snapshot) -> Snapshot:
        """The counters at the mark, with all buckets that ``known`` has."""
        counters = self.requests()
        reached = dict.fromkeys({counter.traffic for counter in known}, 0.0)
        for bucket in buckets(known):
            reached[bucket.traffic] = counters[bucket] = self.steps.get(bucket, reached[bucket.traffic])
        return counters


def mark(scraped_s: float, snapshot: Snapshot) -> Mark:
    """The mark to leave at a snapshot."""
    steps = {counter: value for counter, value in snapshot.items() if counter.metric != BUCKET_METRIC}
    reached: dict[str, float] = {}
    for bucket in buckets(snapshot):
        if snapshot[bucket] != reached.get(bucket.traffic, 0.0):
            reached[bucket.traffic] = steps[bucket] = snapshot[bucket]
    return Mark(scraped_s, steps)


def buckets(counters: Iterable[Counter]) -> list[Counter]:
    """The histogram buckets among the counters, by edge."""
    return sorted((counter for counter in counters if counter.metric == BUCKET_METRIC), key=lambda it: float(it.label))


def write_marks(marks: Mapping[str, Mark]) -> dict[str, float]:
    """The marks as flat values."""
    return dict(_entries(marks))


def _entries(marks: Mapping[str, Mark]) -> Iterator[tuple[str, float]]:
    for target, left in marks.items():
        yield f"{target}||", left.scraped_s
        for counter, value in left.steps.items():
            yield f"{target}|{counter.traffic}|{OWN_LABEL[counter.metric]}={counter.label}", value


def read_marks(values: Mapping[str, float]) -> dict[str, Mark]:
    """The marks that ``write_marks`` wrote."""
    marks: dict[str, Mark] = {}
    for key, value in values.items():
        target, traffic, counter = key.rsplit("|", 2)
        left = marks.setdefault(target, Mark(0.0))
        if counter:
            kind, label = counter.split("=", 1)
            left.steps[Counter(_METRIC_OF[kind], traffic, label)] = value
        else:
            left.scraped_s = value
    return marks
