"""What is counted is told: of all processes, by Prometheus's rules, and no matter who ended in between."""

import multiprocessing
from collections.abc import Callable
from typing import Final

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry, Counter, Histogram
from prometheus_client.exposition import generate_latest
from prometheus_client.openmetrics.parser import text_string_to_metric_families as open_metrics
from prometheus_client.parser import text_string_to_metric_families

from serving.contract import (
    BATCH_SIZE_METRIC,
    BUSY_METRIC,
    CAPTURE_DROPPED_METRIC,
    CLIENT_GONE_CODE,
    CODE_LABEL,
    DURATION_METRIC,
    FAILURES_METRIC,
    MODEL_LABEL,
    QUEUE_DEPTH_METRIC,
    REQUESTS_METRIC,
    TOKENS_METRIC,
    TRAFFIC_LABEL,
    TRUNCATED_METRIC,
    UNKNOWN_TOKENS_METRIC,
    USERS_METRIC,
    VERSION_LABEL,
    WINDOWED_METRIC,
    WINDOWS_METRIC,
    Traffic,
    latency_edges_ms,
)
from serving.messages import Failure
from serving.observe.metrics import ApiMetrics, WorkerMetrics, exposition, shared_counters
from serving.observe.shared_counters import SharedCounters
from tests.serving.replica import Samples, total

OBJECTIVE_MS: Final = 75.0
OWN: Final = {MODEL_LABEL: "intent", VERSION_LABEL: "7"}
OPEN_METRICS: Final = "application/openmetrics-text; version=1.0.0"
_fork: Final = multiprocessing.get_context("fork")


@pytest.fixture
def counters() -> SharedCounters:
    """Of two HTTP processes and two workers."""
    return shared_counters("intent", "7", [OBJECTIVE_MS], 4)


def samples_of(text: bytes) -> Samples:
    return {
        (sample.name, frozenset(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(text.decode())
        for sample in family.samples
    }


def told(metrics: ApiMetrics) -> Samples:
    return samples_of(exposition([metrics], "")[0])


def in_a_process(work: Callable[[], None]) -> None:
    process = _fork.Process(target=work)
    process.start()
    process.join()
    assert process.exitcode == 0


def test_every_process_tells_what_all_have_counted(counters: SharedCounters) -> None:
    """At once, and the same whoever is asked: processes that count at the same time lose none of it."""
    each = 20_000

    def answer(place: int) -> None:
        metrics = ApiMetrics(counters, place)
        for _ in range(each):
            metrics.answered(Traffic.LIVE, 200, 0.01)

    def compute(place: int) -> None:
        metrics = WorkerMetrics(counters, place)
        for _ in range(each):
            metrics.batch(2)

    work = [(answer, 0), (answer, 1), (compute, 2), (compute, 3)]
    processes = [_fork.Process(target=count, args=(place,)) for count, place in work]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    for place in (0, 1):
        found = told(ApiMetrics(counters, place))
        assert total(found, REQUESTS_METRIC) == 2 * each
        assert total(found, f"{DURATION_METRIC}_count") == 2 * each
        assert total(found, f"{DURATION_METRIC}_sum") == pytest.approx(2 * each * 0.01)
        assert total(found, f"{BATCH_SIZE_METRIC}_sum") == 4 * each


def test_who_takes_anothers_place_goes_on_with_its_counts(counters: SharedCounters) -> None:
    """Nothing that was counted is lost with a process, and nothing told twice."""
    for texts in (3, 5):
        in_a_process(lambda texts=texts: WorkerMetrics(counters, 3).batch(texts))  # type: ignore[misc]
    found = told(ApiMetrics(counters, 0))
    assert total(found, f"{BATCH_SIZE_METRIC}_sum") == 8
    assert total(found, f"{BATCH_SIZE_METRIC}_count") == 2


@settings(max_examples=20)
@given(st.lists(st.floats(0, 50), min_size=4, max_size=4), st.floats(0, 10))
def test_a_sum_of_seconds_never_falls_and_is_the_same_in_any_order(seconds: list[float], more_s: float) -> None:
    """Whole microseconds add up exactly; a sum that fell by one bit would be taken for a restart."""
    totals = []
    for order in (seconds, seconds[::-1]):
        counters = shared_counters("intent", "7", [OBJECTIVE_MS], len(order))
        for place, busy_s in enumerate(order):
            ApiMetrics(counters, place).busy(busy_s)
        totals.append(total(told(ApiMetrics(counters, 0)), BUSY_METRIC))
        ApiMetrics(counters, 1).busy(more_s)
        assert total(told(ApiMetrics(counters, 0)), BUSY_METRIC) >= totals[-1]
    assert totals[0] == totals[1] == sum(round(busy_s * 1e6) for busy_s in seconds) / 1e6


def test_the_queue_of_a_replica_is_that_of_its_processes(counters: SharedCounters) -> None:
    """A gauge is what it was set to last, in each of them."""
    first, second = ApiMetrics(counters, 0), ApiMetrics(counters, 1)
    for depth in (7, 3):
        first.depth(depth)
    second.depth(2)
    assert total(told(second), QUEUE_DEPTH_METRIC) == 5


def test_samples_are_those_of_the_official_client(counters: SharedCounters) -> None:
    """Names, labels, edges and counts, also of values that lie on an edge, below the first and beyond the last."""
    metrics, registry = ApiMetrics(counters, 0), CollectorRegistry()
    names = (*OWN, TRAFFIC_LABEL)
    edges_s = [edge / 1000 for edge in latency_edges_ms([OBJECTIVE_MS])]
    seconds = Histogram(DURATION_METRIC, "…", names, buckets=edges_s, registry=registry)
    requests = Counter(REQUESTS_METRIC, "…", (*names, CODE_LABEL), registry=registry)
    for traffic in Traffic:
        for duration_s in (0.0, edges_s[0], OBJECTIVE_MS / 1000, 0.0751, edges_s[-1], 100.0):
            metrics.answered(traffic, 200, duration_s)
            requests.labels(*OWN.values(), traffic, "200").inc()
            seconds.labels(*OWN.values(), traffic).observe(duration_s)
    theirs = {
        key: value for key, value in samples_of(generate_latest(registry)).items() if not key[0].endswith("_created")
    }
    ours = told(metrics)
    assert {key: ours[key] for key in theirs} == pytest.approx(theirs)
    assert {key for key in ours if key[0].startswith(DURATION_METRIC)} <= theirs.keys()


def test_series_exist_before_their_first_event(counters: SharedCounters) -> None:
    """So that a rate over the first error is not nothing; of the codes that hardly occur, once they have."""
    metrics = ApiMetrics(counters, 0)

    def codes() -> set[str]:
        return {dict(labels)[CODE_LABEL] for name, labels in told(metrics) if name == REQUESTS_METRIC}

    assert codes() == {"200", "422", "500", "503"}
    assert total(told(metrics), CAPTURE_DROPPED_METRIC, reason="full") == 0
    assert sum(name == FAILURES_METRIC for name, _ in told(metrics)) == len(Traffic)
    metrics.answered(Traffic.SHADOW, 413, 0.001)
    assert codes() == {"200", "413", "422", "500", "503"}


@pytest.mark.parametrize(("code", "timed"), [(200, 1), (422, 0), (503, 0), (500, 0), (CLIENT_GONE_CODE, 1)])
def test_quick_refusals_do_not_flatter_the_latency(counters: SharedCounters, code: int, timed: int) -> None:
    """Who went away while waiting is timed: to leave those out would flatter it, too."""
    metrics = ApiMetrics(counters, 0)
    metrics.answered(Traffic.LIVE, code, 0.01)
    assert total(told(metrics), REQUESTS_METRIC, code=str(code)) == 1
    assert total(told(metrics), f"{DURATION_METRIC}_count") == timed


@pytest.mark.parametrize(
    ("code", "took_s", "told_as"),
    [
        (200, 0.0, "0.002"),
        (200, 0.002, "0.002"),
        (200, 0.0021, "0.002662"),
        (CLIENT_GONE_CODE, 60.0, "longer"),
        (503, 0.001, "failed"),
        (422, 0.001, "refused"),
    ],
)
def test_a_request_of_a_known_user_is_counted_once_in_its_part(
    counters: SharedCounters, code: int, took_s: float, told_as: str
) -> None:
    """And no series is there for parts of which nobody asked."""
    metrics = ApiMetrics(counters, 0)
    assert not [name for name, _ in told(metrics) if name == USERS_METRIC]
    metrics.of_user(3, code, took_s)
    found = {labels: value for (name, labels), value in told(metrics).items() if name == USERS_METRIC}
    assert found == {frozenset({**OWN, "users": "3", "took": told_as}.items()): 1.0}


def test_a_failure_that_several_requests_share_counts_once_for_each_kind(counters: SharedCounters) -> None:
    metrics, shared = ApiMetrics(counters, 0), Failure()
    for traffic in (Traffic.LIVE, Traffic.LIVE, Traffic.SHADOW):
        metrics.failed(traffic, shared)
    metrics.failed(Traffic.LIVE, None)
    assert total(told(metrics), FAILURES_METRIC, traffic="live") == 2
    assert total(told(metrics), FAILURES_METRIC, traffic="shadow") == 1


def test_a_bucket_names_the_last_trace_that_fell_into_it(counters: SharedCounters) -> None:
    """That of the process asked, for who accepts OpenMetrics; requests without a trace leave it as it is."""
    metrics, other = ApiMetrics(counters, 0), ApiMetrics(counters, 1)
    for trace_id, duration_s in (("a", 0.0749), ("b", 0.075), ("c", 20.0), (None, 0.0749)):
        metrics.answered(Traffic.LIVE, 200, duration_s, trace_id)
    metrics.answered(Traffic.SHADOW, 200, 0.0749, "d")

    def exemplars(asked: ApiMetrics) -> dict[tuple[str, str], tuple[str, float]]:
        text, kind = exposition([asked], OPEN_METRICS)
        assert kind.startswith("application/openmetrics-text")
        return {
            (sample.labels[TRAFFIC_LABEL], sample.labels["le"]): (
                sample.exemplar.labels["trace_id"],
                sample.exemplar.value,
            )
            for family in open_metrics(text.decode())
            for sample in family.samples
            if sample.exemplar
        }

    assert exemplars(metrics) == {
        ("live", "0.075"): ("b", 0.075),
        ("live", "+Inf"): ("c", 20.0),
        ("shadow", "0.075"): ("d", 0.0749),
    }
    assert exemplars(other) == {}


def test_tokens_of_a_text(counters: SharedCounters) -> None:
    metrics = ApiMetrics(counters, 0)
    metrics.text(Traffic.LIVE, 12, 0, truncated=False)
    metrics.text(Traffic.LIVE, 3000, 4, truncated=True, windows=6)
    found = told(metrics)
    assert total(found, f"{TOKENS_METRIC}_bucket", le="12.0") == 1
    assert total(found, f"{TOKENS_METRIC}_bucket", le="2048.0") == 1
    assert total(found, f"{TOKENS_METRIC}_sum") == 3012
    events = (UNKNOWN_TOKENS_METRIC, TRUNCATED_METRIC, WINDOWED_METRIC, WINDOWS_METRIC)
    assert [total(found, event) for event in events] == [4, 1, 1, 6]
