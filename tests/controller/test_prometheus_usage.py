"""What replicas use and what their texts are like, read from answers that Prometheus may send."""

import math
from collections.abc import Mapping
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from controller.errors import TransientError
from controller.ports.metrics import CounterCursor, Usage
from gates.evidence import ArmCounts
from serving.contract import (
    BUSY_METRIC,
    COLD_REQUESTS_METRIC,
    CORES_METRIC,
    CPU_METRIC,
    FAILURES_METRIC,
    GPU_UTILIZATION_METRIC,
    INFO_METRIC,
    MEMORY_LIMIT_METRIC,
    QUEUE_DEPTH_METRIC,
    RESIDENT_MEMORY_METRIC,
    TOKENS_METRIC,
    TRUNCATED_METRIC,
    UNKNOWN_TOKENS_METRIC,
    WORKER_RESTARTS_METRIC,
)
from tests.controller.test_prometheus_wire import (
    NOW_S,
    Prometheus,
    begun,
    look,
    prometheus,  # noqa: F401 - a fixture
    refused,
    requests,
    series,
    started,
    target,
    up,
)

COUNTS = (UNKNOWN_TOKENS_METRIC, TRUNCATED_METRIC, COLD_REQUESTS_METRIC, WORKER_RESTARTS_METRIC)
SECONDS = (BUSY_METRIC, CPU_METRIC)
GAUGES = (RESIDENT_MEMORY_METRIC, MEMORY_LIMIT_METRIC, CORES_METRIC, QUEUE_DEPTH_METRIC)


def own(name: str, values: Mapping[float, object], **more: str) -> dict[str, Any]:
    return series(name, values, **target(**more))


def lengths(by_edge: Mapping[str, Mapping[float, object]], sums: Mapping[float, object]) -> list[dict[str, Any]]:
    """The histogram of live texts by tokens."""
    found = [own(f"{TOKENS_METRIC}_bucket", values, traffic="live", le=edge) for edge, values in by_edge.items()]
    return [*found, own(f"{TOKENS_METRIC}_sum", sums, traffic="live")]


def window(prometheus: Prometheus, before: list[dict[str, Any]], after: list[dict[str, Any]]) -> CounterCursor:  # noqa: F811
    """A look ten seconds ago, and what there is to be read since. The requests went from 5 to 9."""
    start = started(prometheus, up({10: 1}), requests({10: 5}), *before)
    prometheus.series = [up({10: 1, 5: 1, 0: 1}), requests({10: 5, 5: 7, 0: 9}), *after]
    return start


def used(prometheus: Prometheus, before: list[dict[str, Any]], after: list[dict[str, Any]]) -> Usage:  # noqa: F811
    start = window(prometheus, before, after)
    return look(prometheus, start).usage["7"]


def test_shares_are_of_what_the_replica_may_use(prometheus: Prometheus) -> None:  # noqa: F811
    """Memory at its highest, CPU over the time between the two scrapes, the queue on average."""
    gauges = [
        own(RESIDENT_MEMORY_METRIC, {10: 9e9, 5: 6e8, 0: 3e8}),
        own(MEMORY_LIMIT_METRIC, {10: 1e9, 0: 1e9}),
        own(CORES_METRIC, {0: 2}),
        own(QUEUE_DEPTH_METRIC, {10: 900, 5: 1, 0: 4}),
        own(CPU_METRIC, {10: 100.0, 0: 112.5}),
    ]
    found = used(prometheus, [own(CPU_METRIC, {10: 100.0})], gauges)
    assert (found.replicas, found.resources.memory_ratio, found.resources.queue_depth) == (1, 0.6, 2.5)
    assert found.resources.cpu_ratio == pytest.approx(12.5 / 10 / 2)


def test_a_gpu_is_told_of_where_there_is_one(prometheus: Prometheus) -> None:  # noqa: F811
    """The one that is used most, on average over the window."""
    first = own(GPU_UTILIZATION_METRIC, {10: 1.0, 5: 0.5, 0: 0.75}, gpu="0")
    second = own(GPU_UTILIZATION_METRIC, {0: 0.25}, gpu="1")
    assert used(prometheus, [], [first, second]).resources.gpu_ratio == 0.625


def test_the_worst_replica_counts_and_what_is_counted_adds_up(prometheus: Prometheus) -> None:  # noqa: F811
    """Two replicas of one version."""
    start = started(prometheus, up({10: 1}), requests({10: 5}), own(TRUNCATED_METRIC, {10: 1}))
    other = {"instance": "second"}
    prometheus.series = [
        up({10: 1, 0: 1}),
        requests({10: 5, 0: 6}),
        own(TRUNCATED_METRIC, {0: 3}),
        own(QUEUE_DEPTH_METRIC, {0: 1}),
        own(INFO_METRIC, {0: 1}, fingerprint="f", tokenizer="words"),
        up({0: 1}, **other),
        requests({0: 4}, **other),
        own(TRUNCATED_METRIC, {0: 4}, **other),
        own(QUEUE_DEPTH_METRIC, {0: 7}, **other),
        own(INFO_METRIC, {0: 1}, fingerprint="f", tokenizer="letters", **other),
    ]
    counts = look(prometheus, start)
    found = counts.usage["7"]
    assert (found.replicas, found.truncated, found.resources.queue_depth) == (2, 6, 7.0)
    assert found.tokenizer == "letters, words"
    assert counts.live["7"].requests == 5


def test_what_no_replica_tells_is_not_measured_and_hides_nothing_else(prometheus: Prometheus) -> None:  # noqa: F811
    """A replica of another make has its requests counted all the same."""
    assert used(prometheus, [], []) == Usage(replicas=1)
    assert look(prometheus, window(prometheus, [], [])).live["7"] == ArmCounts(4, 0, (0,), 0)


@pytest.mark.parametrize("metric", [*COUNTS, *SECONDS])
def test_a_counter_that_the_cursor_does_not_know_is_not_counted_from_its_beginning(
    prometheus: Prometheus,  # noqa: F811
    metric: str,
) -> None:
    """It was there before: only a process that began within the window began at zero."""
    cores = own(CORES_METRIC, {0: 1})
    assert used(prometheus, [], [own(metric, {10: 70, 0: 80}), cores]) == Usage(replicas=1)
    start = started(prometheus, up({10: 1}), requests({10: 50}), begun({10: 1}))
    prometheus.series = [up({10: 1, 0: 1}), requests({10: 50, 0: 3}), own(metric, {10: 70, 0: 4}), cores]
    prometheus.series.append(begun({10: 1, 0: NOW_S - 1}))
    assert look(prometheus, start).usage["7"] != Usage(replicas=1)


@pytest.mark.parametrize("metric", COUNTS)
def test_a_count_that_fell_alone_is_refused(prometheus: Prometheus, metric: str) -> None:  # noqa: F811
    """No restart explains it."""
    start = window(prometheus, [own(metric, {10: 5})], [own(metric, {10: 5, 0: 4})])
    assert "fell by 1 without a restart" in refused(prometheus, start)


@pytest.mark.parametrize("metric", SECONDS)
def test_seconds_that_fell_are_not_measured(prometheus: Prometheus, metric: str) -> None:  # noqa: F811
    """The operating system forgets a process before its parent has its times: no doubt is cast on the requests."""
    found = used(prometheus, [own(metric, {10: 5.5})], [own(metric, {10: 5.5, 0: 5.25}), own(CORES_METRIC, {0: 1})])
    assert found == Usage(replicas=1)


@pytest.mark.parametrize("metric", [*COUNTS, *SECONDS, f"{TOKENS_METRIC}_sum"])
@pytest.mark.parametrize("value", ["-1", "+Inf"])
def test_what_no_counter_can_be_is_refused_by_name(prometheus: Prometheus, metric: str, value: str) -> None:  # noqa: F811
    """Never a guess."""
    labels = {"traffic": "live"} if metric.endswith("_sum") else {}
    start = window(prometheus, [], [own(metric, {0: value}, **labels)])
    assert metric in refused(prometheus, start)


def test_a_gauge_that_is_no_number_is_not_measured(prometheus: Prometheus) -> None:  # noqa: F811
    """It ends a series, or says nothing; an infinite one reaches the verdict of the gate that reads it."""
    limit = own(MEMORY_LIMIT_METRIC, {0: 5})
    assert used(prometheus, [], [own(RESIDENT_MEMORY_METRIC, {0: "NaN"}), limit]).resources.memory_ratio is None
    assert used(prometheus, [], [own(RESIDENT_MEMORY_METRIC, {5: 3, 0: "NaN"}), limit]).resources.memory_ratio == 0.6
    assert (
        used(prometheus, [], [own(RESIDENT_MEMORY_METRIC, {5: 3, 0: "+Inf"}), limit]).resources.memory_ratio == math.inf
    )


@pytest.mark.parametrize("metric", [*COUNTS, *SECONDS, *GAUGES, INFO_METRIC])
def test_a_series_of_nobody_is_refused(prometheus: Prometheus, metric: str) -> None:  # noqa: F811
    """It would be counted, or believed, although no scrape vouches for it."""
    start = window(prometheus, [], [own(metric, {0: 1}, instance="stranger")])
    assert "belongs to no scraped target" in refused(prometheus, start)


def test_lengths_are_by_the_replicas_edges(prometheus: Prometheus) -> None:  # noqa: F811
    """Each text in its own bucket, and the tokens of all."""
    before = lengths({"4.0": {10: 1}, "16.0": {10: 2}, "+Inf": {10: 2}}, {10: 13})
    after = lengths({"4.0": {0: 3}, "16.0": {0: 5}, "+Inf": {0: 9}}, {0: 113})
    counts = look(prometheus, window(prometheus, before, after))
    assert counts.token_edges == (4, 16)
    assert (counts.usage["7"].token_counts, counts.usage["7"].texts, counts.usage["7"].tokens) == ((2, 1, 4), 7, 100)


def failures(values: Mapping[float, object], **more: str) -> dict[str, Any]:
    return own(FAILURES_METRIC, values, **{"traffic": "live", **more})


@pytest.mark.parametrize(
    ("errors_after", "causes_after", "counted"),
    [({10: 3, 5: 9, 0: 12}, {10: 2, 0: 4}, (9, 2)), ({10: 3, 5: 3, 0: 3}, {10: 2, 0: 3}, (0, 0))],
    ids=["as the replica counts them", "a scrape fell between an error and its cause"],
)
def test_errors_of_one_cause_are_a_cluster(prometheus: Prometheus, errors_after, causes_after, counted) -> None:  # type: ignore[no-untyped-def]  # noqa: F811
    """The replica alone knows which requests failed together; there are never more causes than errors."""
    before = [requests({10: 3}, code="500"), failures({10: 2})]
    start = window(prometheus, before, [requests(errors_after, code="500"), failures(causes_after)])
    arm = look(prometheus, start).live["7"]
    assert (arm.errors, arm.error_clusters) == counted


def test_a_replaced_replica_begins_to_count_causes_anew(prometheus: Prometheus) -> None:  # noqa: F811
    """As with all of its counters."""
    old = [requests({10: 5}), requests({10: 3}, code="500"), failures({10: 3}), begun({10: 1})]
    start = started(prometheus, up({10: 1}), *old)
    prometheus.series = [up({0: 1}), requests({0: 2}), requests({0: 4}, code="500"), failures({0: 1})]
    prometheus.series.append(begun({0: NOW_S - 1}))
    arm = look(prometheus, start).live["7"]
    assert (arm.errors, arm.error_clusters) == (4, 1)


def test_causes_that_one_replica_does_not_count_are_not_counted(prometheus: Prometheus) -> None:  # noqa: F811
    """A sum without it would be too small; without an error of its own it is complete."""
    start = started(prometheus, up({10: 1}), requests({10: 5}), requests({10: 0}, code="500"), failures({10: 0}))
    other = {"instance": "second"}
    counted = [up({10: 1, 0: 1}), requests({10: 5, 0: 6}), requests({10: 0, 0: 2}, code="500"), failures({0: 1})]
    prometheus.series = [*counted, up({0: 1}, **other), requests({0: 4}, **other)]
    assert look(prometheus, start).live["7"].error_clusters == 1
    prometheus.series.append(requests({0: 1}, code="500", **other))
    arm = look(prometheus, start).live["7"]
    assert (arm.errors, arm.error_clusters) == (3, None)


VALUES = st.one_of(st.just("NaN"), st.just("+Inf"), st.integers(-3, 9).map(str), st.floats(-2, 20).map(str))


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.tuples(st.sampled_from([*COUNTS, *SECONDS, *GAUGES]), VALUES, VALUES), max_size=4))
def test_whatever_a_replica_says_of_itself_it_is_an_error_or_evidence(prometheus: Prometheus, said) -> None:  # type: ignore[no-untyped-def]  # noqa: F811
    """No crash, no count below zero, and the requests as they were."""
    names = {name: (before, after) for name, before, after in said}
    after = [own(name, {10: values[0], 0: values[1]}) for name, values in names.items()]
    try:
        start = window(prometheus, [own(name, {10: values[0]}) for name, values in names.items()], after)
        counts = look(prometheus, start)
    except TransientError:
        return
    assert counts.live["7"].requests == 4
    found = counts.usage["7"]
    for number in (
        found.unknown_tokens,
        found.truncated,
        found.resources.cold_starts,
        found.worker_restarts,
        found.busy_s,
    ):
        assert number is None or number >= 0
