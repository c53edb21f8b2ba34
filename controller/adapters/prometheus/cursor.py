"""The cursor, which keeps the counters of each target in few entries, because every look records one.

A cumulative histogram is a step function of its edge, so only its steps are kept: some 30 of more than 90 buckets.
Entries read ``target|traffic|code=200`` and ``target|traffic|le=0.0242``. The entry ``target||`` holds the time of the
last scrape that was counted, and ``target||part=`` the part of its version's replicas that the target belongs to.
"""

from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Final

from controller.adapters.prometheus.counters import (
    BUCKET_METRIC,
    BUCKETS,
    GATEWAY_BUCKET_METRIC,
    GATEWAY_TIMED_METRIC,
    TOKEN_BUCKET_METRIC,
    TOKEN_SUM_METRIC,
)
from controller.adapters.prometheus.targets import START, Counter, Snapshot, Target
from serving.contract import (
    BUSY_METRIC,
    CODE_LABEL,
    COLD_REQUESTS_METRIC,
    CPU_METRIC,
    FAILURES_METRIC,
    GATEWAY_COMPLETED_METRIC,
    GATEWAY_REQUESTS_METRIC,
    GATEWAY_SENT_METRIC,
    GATEWAY_UPTIME_METRIC,
    REQUESTS_METRIC,
    START_METRIC,
    TRUNCATED_METRIC,
    UNKNOWN_TOKENS_METRIC,
    USERS_METRIC,
    VERSION_LABEL,
    WORKER_RESTARTS_METRIC,
)

_NAMES: Final = {
    REQUESTS_METRIC: CODE_LABEL,
    BUCKET_METRIC: "le",
    TOKEN_BUCKET_METRIC: "tokens_le",
    TOKEN_SUM_METRIC: "tokens",
    FAILURES_METRIC: "failures",
    USERS_METRIC: "took",
    UNKNOWN_TOKENS_METRIC: "unknown",
    TRUNCATED_METRIC: "truncated",
    COLD_REQUESTS_METRIC: "cold",
    WORKER_RESTARTS_METRIC: "workers",
    BUSY_METRIC: "busy",
    CPU_METRIC: "cpu",
    START_METRIC: "start",
    GATEWAY_REQUESTS_METRIC: "class",
    GATEWAY_BUCKET_METRIC: "ms_le",
    GATEWAY_UPTIME_METRIC: "uptime",
    GATEWAY_COMPLETED_METRIC: "completed",
    GATEWAY_SENT_METRIC: "sent",
    GATEWAY_TIMED_METRIC: "timed",
}
_LIFE_METRICS: Final = (REQUESTS_METRIC, START_METRIC, GATEWAY_TIMED_METRIC, GATEWAY_UPTIME_METRIC)
_BEGINNINGS: Final = (START_METRIC, GATEWAY_UPTIME_METRIC)
_PART: Final = "part"
FORGOTTEN_AFTER_S: Final = 3_600.0
_STEPPED: Final = (*BUCKETS, GATEWAY_BUCKET_METRIC)
_METRIC_OF: Final = {name: metric for metric, name in _NAMES.items()}


@dataclass(slots=True)
class Mark:
    """The place where the last look left one target: the time of its last scrape, and its counters (of histograms only
    the steps)."""

    scraped_s: float
    steps: dict[Counter, float] = field(default_factory=dict)
    part: int | None = None  # of its version's replicas (`parts`)

    def tell_tales(self) -> dict[Counter, float]:
        """Return the counters that show at the next scrape whether the process is still the same: its start or uptime,
        and its request counters."""
        return {counter: value for counter, value in self.steps.items() if counter.metric in _LIFE_METRICS}

    def base(self, known: Snapshot) -> Snapshot:
        """Return the counters at the mark, with all the buckets that ``known`` has; those of tokens only if the mark
        has tokens."""
        counters = {counter: value for counter, value in self.steps.items() if counter.metric not in _STEPPED}
        for metric in _STEPPED:
            reached: dict[str, float] = {}
            for bucket in buckets(known, metric):
                if metric != TOKEN_BUCKET_METRIC or Counter(TOKEN_SUM_METRIC, bucket.traffic, "") in counters:
                    reached[bucket.traffic] = self.steps.get(bucket, reached.get(bucket.traffic, 0.0))
                    counters[bucket] = reached[bucket.traffic]
        return counters


def mark(scraped_s: float, snapshot: Snapshot, part: int | None = None) -> Mark:
    """Return the mark to leave at a snapshot."""
    steps = {counter: value for counter, value in snapshot.items() if counter.metric not in _STEPPED}
    for metric in _STEPPED:
        reached: dict[str, float] = {}
        for bucket in buckets(snapshot, metric):
            if snapshot[bucket] != reached.get(bucket.traffic, 0.0):
                reached[bucket.traffic] = steps[bucket] = snapshot[bucket]
    return Mark(scraped_s, steps, part)


def buckets(counters: Iterable[Counter], metric: str) -> list[Counter]:
    """Return the buckets of a histogram among the counters, in the order of their edges."""
    return sorted((counter for counter in counters if counter.metric == metric), key=lambda it: float(it.label))


def claim(marks: dict[str, Mark], target: Target, others: Collection[str]) -> Mark | None:
    """Return the mark of the target, or None, and keep it under the target's present name. A process with the same
    start may have had another name before.

    Names in ``others`` belong to other targets. Cursors of older releases of Serin name a target by all of its labels.
    """
    if target.key not in marks:
        started = {snapshot[START] for snapshot in target.snapshots.values() if START in snapshot}
        parts = set(target.key.split(","))
        version = next((part for part in parts if part.startswith(f"{VERSION_LABEL}=")), "")
        for key, left in marks.items():
            named = set(key.split(","))
            renamed = left.steps.get(START) in started and version in named
            if key not in others and (renamed or named > parts):
                marks[target.key] = marks.pop(key)
                break
    return marks.get(target.key)


def forget(marks: dict[str, Mark], seen: Collection[str], before_s: float) -> None:
    """Drop the marks of targets that are not in ``seen`` and were scraped last before ``before_s``, if they say when
    the process began: should such a target come back, its start tells what is known of it. In a cluster, pods come and
    go without end, and every look stores all marks."""
    for key in [key for key, left in marks.items() if key not in seen and left.scraped_s < before_s]:
        if any(counter.metric in _BEGINNINGS for counter in marks[key].steps):
            del marks[key]


def write_marks(marks: Mapping[str, Mark]) -> dict[str, float]:
    """Return the marks as flat values."""
    return dict(_entries(marks))


def _entries(marks: Mapping[str, Mark]) -> Iterator[tuple[str, float]]:
    for target, left in marks.items():
        yield f"{target}||", left.scraped_s
        if left.part is not None:
            yield f"{target}||{_PART}=", float(left.part)
        for counter, value in left.steps.items():
            yield f"{target}|{counter.traffic}|{_NAMES[counter.metric]}={counter.label}", value


def read_marks(values: Mapping[str, float]) -> dict[str, Mark]:
    """Return the marks that ``write_marks`` wrote. Entries that only another release of Serin knows are ignored."""
    marks: dict[str, Mark] = {}
    for key, value in values.items():
        target, traffic, counter = key.rsplit("|", 2)
        left = marks.setdefault(target, Mark(0.0))
        kind, _, label = counter.partition("=")
        if not kind:
            left.scraped_s = value
        elif kind == _PART:
            left.part = int(value)
        elif kind in _METRIC_OF:
            left.steps[Counter(_METRIC_OF[kind], traffic, label)] = value
    return marks
