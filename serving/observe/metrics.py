"""The counts of a replica, over all of its processes: see ``serving.observe.shared_counters``."""

import bisect
import threading
import time
from collections.abc import Iterable, Iterator, Sequence
from http import HTTPStatus
from typing import Final, Protocol

from prometheus_client import CollectorRegistry
from prometheus_client.core import Exemplar, Metric
from prometheus_client.exposition import choose_encoder

from serving.contract import (
    ACCESS_LOG_LOST_METRIC,
    ACCESS_REFUSED_METRIC,
    BATCH_SIZE_METRIC,
    BUSY_METRIC,
    CAPTURE_DROPPED_METRIC,
    CAPTURED_METRIC,
    CLIENT_GONE_CODE,
    CODE_LABEL,
    COLD_REQUESTS_METRIC,
    DURATION_METRIC,
    FAILED,
    FAILURES_METRIC,
    MIRROR_DROPPED_METRIC,
    MIRRORED_METRIC,
    MODEL_LABEL,
    QUEUE_DEPTH_METRIC,
    REASON_LABEL,
    REFUSED,
    REQUESTS_METRIC,
    TOKEN_EDGES,
    TOKENS_METRIC,
    TOOK_LABEL,
    TOOK_LONGER,
    TRAFFIC_LABEL,
    TRUNCATED_METRIC,
    UNKNOWN_TOKENS_METRIC,
    USER_EDGES_MS,
    USER_PARTS,
    USERS_LABEL,
    USERS_METRIC,
    VERSION_LABEL,
    WINDOWED_METRIC,
    WINDOWS_METRIC,
    Traffic,
    latency_edges_ms,
)
from serving.messages import Failure
from serving.observe.capture import DropReason
from serving.observe.mirror import CopyLost
from serving.observe.shared_counters import Family, SharedCounters
from serving.refusals import Refusal

_BATCH_EDGES: Final = (1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64, 128)
_CODES: Final = [str(int(code)) for code in (*HTTPStatus, CLIENT_GONE_CODE)]
_CODES_FROM_START: Final = {"200", "422", "500", "503"}
_BY_TRAFFIC: Final = {TRAFFIC_LABEL: list(Traffic)}
_US_PER_S: Final = 1_000_000
_TOOK: Final = [*(f"{edge / 1000:g}" for edge in USER_EDGES_MS), TOOK_LONGER, FAILED, REFUSED]
_PARTS: Final = [str(part) for part in range(USER_PARTS)]

_FAMILIES: Final = (
    Family(
        REQUESTS_METRIC,
        "Requests answered.",
        {**_BY_TRAFFIC, CODE_LABEL: _CODES},
        later=frozenset(_CODES) - _CODES_FROM_START,
    ),
    Family(FAILURES_METRIC, "Server errors; several of one cause count once.", _BY_TRAFFIC),
    Family(
        USERS_METRIC,
        "Live requests of users whom the gateway keeps on a version, by part of the users and by duration.",
        {USERS_LABEL: _PARTS, TOOK_LABEL: _TOOK},
        later=frozenset(_PARTS),
    ),
    Family(TOKENS_METRIC, "Tokens of a text before truncation.", _BY_TRAFFIC, TOKEN_EDGES),
    Family(UNKNOWN_TOKENS_METRIC, "Tokens outside the vocabulary."),
    Family(TRUNCATED_METRIC, "Texts cut to the model's limit."),
    Family(WINDOWED_METRIC, "Texts read in several windows."),
    Family(WINDOWS_METRIC, "Windows of texts read in several."),
    Family(COLD_REQUESTS_METRIC, "Requests before warm-up was over."),
    Family(BUSY_METRIC, "Time for which workers were computing.", units=_US_PER_S),
    Family(CAPTURED_METRIC, "Predictions delivered."),
    Family(CAPTURE_DROPPED_METRIC, "Predictions given up.", {REASON_LABEL: list(DropReason)}),
    Family(MIRRORED_METRIC, "Copies that the other version answered."),
    Family(MIRROR_DROPPED_METRIC, "Copies given up.", {REASON_LABEL: list(CopyLost)}),
    Family(ACCESS_REFUSED_METRIC, "Requests refused entry.", {REASON_LABEL: list(Refusal)}),
    Family(ACCESS_LOG_LOST_METRIC, "Lines lost to the access log."),
    Family(QUEUE_DEPTH_METRIC, "Requests accepted and not yet answered."),
    Family(BATCH_SIZE_METRIC, "Texts in one engine call.", edges=_BATCH_EDGES),
)


def shared_counters(model: str, version: str, objectives_ms: Iterable[float], processes: int) -> SharedCounters:
    """Return what the ``processes`` of a replica count in. The latency histogram has an edge at every objective."""
    durations = Family(
        DURATION_METRIC,
        "Time in the server of requests that were answered with a prediction, or abandoned by their client.",
        _BY_TRAFFIC,
        [edge / 1000 for edge in latency_edges_ms(objectives_ms)],
        units=_US_PER_S,
    )
    return SharedCounters((*_FAMILIES, durations), {MODEL_LABEL: model, VERSION_LABEL: version}, processes)


class ApiMetrics:
    """The counts of one HTTP process, and the answer to a scrape for all of them. ``place``: the row of this process.

    Exemplars are those of this process only: each is just an example, and each scrape reaches one process or another.
    """

    def __init__(self, counters: SharedCounters, place: int) -> None:
        self._counters = counters
        self._row = counters.row(place)
        self._exemplars: dict[int, Exemplar] = {}
        self._requests = {
            (traffic, int(code)): counters.slot(REQUESTS_METRIC, traffic, code)
            for traffic in Traffic
            for code in _CODES
        }
        self._users = [[counters.slot(USERS_METRIC, part, took) for took in _TOOK] for part in _PARTS]
        self._failures = {traffic: counters.slot(FAILURES_METRIC, traffic) for traffic in Traffic}
        self._seconds = {traffic: counters.observed(place, DURATION_METRIC, traffic) for traffic in Traffic}
        self._tokens = {traffic: counters.observed(place, TOKENS_METRIC, traffic) for traffic in Traffic}
        self._unknown = counters.slot(UNKNOWN_TOKENS_METRIC)
        self._truncated = counters.slot(TRUNCATED_METRIC)
        self._windowed = counters.slot(WINDOWED_METRIC)
        self._windows = counters.slot(WINDOWS_METRIC)
        self._cold = counters.slot(COLD_REQUESTS_METRIC)
        self._busy = counters.slot(BUSY_METRIC)
        self._captured = counters.slot(CAPTURED_METRIC)
        self._dropped = {reason: counters.slot(CAPTURE_DROPPED_METRIC, reason) for reason in DropReason}
        self._mirrored = counters.slot(MIRRORED_METRIC)
        self._unmirrored = {reason: counters.slot(MIRROR_DROPPED_METRIC, reason) for reason in CopyLost}
        self._mirror_lock = threading.Lock()
        self._refused = {reason: counters.slot(ACCESS_REFUSED_METRIC, reason) for reason in Refusal}
        self._unlogged = counters.slot(ACCESS_LOG_LOST_METRIC)
        self._unlogged_lock = threading.Lock()
        self._depth = counters.slot(QUEUE_DEPTH_METRIC)

    def answered(self, traffic: Traffic, code: int, duration_s: float, trace_id: str | None = None) -> None:
        """Count a request once. Refusals and failures are not timed: they are quick, and would make the latency look
        better.

        Requests whose client went away while it waited are timed: without them, the latency would look better, too.
        """
        self._row[self._requests[traffic, code]] += 1
        if code < 400 or code == CLIENT_GONE_CODE:
            bucket = self._seconds[traffic].note(duration_s)
            if trace_id is not None:
                self._exemplars[bucket] = Exemplar({"trace_id": trace_id}, duration_s, time.time())

    def of_user(self, part: int, code: int, duration_s: float) -> None:
        """Count a live request once more, in its part of the users."""
        if code < 400 or code == CLIENT_GONE_CODE:
            how = bisect.bisect_left(USER_EDGES_MS, 1000 * duration_s)
        else:
            how = len(USER_EDGES_MS) + (1 if code >= 500 else 2)
        self._row[self._users[part][how]] += 1

    def failed(self, traffic: Traffic, failure: Failure | None) -> None:
        """Count what made a request fail, unless another request of this kind of traffic has reported the same
        failure."""
        if failure is None or failure.is_new(traffic):
            self._row[self._failures[traffic]] += 1

    def text(self, traffic: Traffic, tokens: int, unknown: int, *, truncated: bool, windows: int = 1) -> None:
        self._tokens[traffic].note(tokens)
        if unknown:
            self._row[self._unknown] += unknown
        if truncated:
            self._row[self._truncated] += 1
        if windows > 1:
            self._row[self._windowed] += 1
            self._row[self._windows] += windows

    def cold(self) -> None:
        self._row[self._cold] += 1

    def busy(self, duration_s: float) -> None:
        self._row[self._busy] += round(duration_s * _US_PER_S)

    def depth(self, requests: int) -> None:
        self._row[self._depth] = requests

    def captured(self, predictions: int) -> None:
        self._row[self._captured] += predictions

    def dropped(self, predictions: int, reason: DropReason) -> None:
        self._row[self._dropped[reason]] += predictions

    def mirrored(self) -> None:
        with self._mirror_lock:  # several threads send
            self._row[self._mirrored] += 1

    def unmirrored(self, reason: CopyLost) -> None:
        with self._mirror_lock:
            self._row[self._unmirrored[reason]] += 1

    def refused(self, reason: Refusal) -> None:
        self._row[self._refused[reason]] += 1

    def unlogged(self, lines: int) -> None:
        """Count lines that the access log lost. Two threads call this: requests, if there is no room in the queue, and
        the log's writer, if it cannot write."""
        with self._unlogged_lock:
            self._row[self._unlogged] += lines

    def collect(self) -> Iterator[Metric]:
        """Yield what all processes of the replica have counted."""
        return self._counters.collect(self._exemplars)


class WorkerMetrics:
    """The counts of one inference worker. ``place``: the row of this process."""

    def __init__(self, counters: SharedCounters, place: int) -> None:
        self._batch = counters.observed(place, BATCH_SIZE_METRIC)

    def batch(self, texts: int) -> None:
        self._batch.note(texts)


class Collector(Protocol):
    """A source of metrics that is asked at each scrape."""

    def collect(self) -> Iterable[Metric]: ...


def exposition(collectors: Sequence[Collector], accept: str) -> tuple[bytes, str]:
    """Return the text of /metrics and its content type: OpenMetrics, with exemplars, for those who accept it."""
    registry = CollectorRegistry()
    for collector in collectors:
        registry.register(collector)
    encode, content_type = choose_encoder(accept)
    return encode(registry), content_type
