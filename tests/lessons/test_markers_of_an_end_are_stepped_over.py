"""Prometheus ends a series with a marker (NaN): it is no value, and nothing is read again because of it."""

import pytest

from serving.contract import DURATION_METRIC, INFO_METRIC, QUEUE_DEPTH_METRIC, RESIDENT_MEMORY_METRIC
from tests.controller.test_prometheus_wire import (
    Prometheus,
    buckets,
    look,
    prometheus,  # noqa: F401 - a fixture
    refused,
    requests,
    series,
    started,
    target,
    up,
)


def test_a_failed_scrape_leaves_markers_that_are_no_samples(prometheus: Prometheus) -> None:  # noqa: F811
    """All series but ``up`` end at a scrape that failed, and go on at the next."""
    start = started(prometheus, up({10: 1}), requests({10: 5}))
    prometheus.series = [
        up({10: 1, 6: 0, 5: 1, 0: 1}),
        requests({10: 5, 6: "NaN", 5: 7, 0: 9}),
        series(QUEUE_DEPTH_METRIC, {6: "NaN", 5: 2, 0: 4}, **target()),
        *buckets({"0.1": {10: 0, 6: "NaN", 0: 0}, "+Inf": {10: 0, 6: "NaN", 0: 0}}),
    ]
    counts = look(prometheus, start)
    assert counts.live["7"].requests == 4
    assert counts.usage["7"].resources.queue_depth == 3.0


def test_a_marker_at_a_scrape_that_was_taken_counts_nothing_twice(prometheus: Prometheus) -> None:  # noqa: F811
    """The scrape is stepped over: 5, nothing, 9 are four requests, whether or not the process tells its start."""
    start = started(prometheus, up({10: 1}), requests({10: 5}))
    prometheus.series = [up({10: 1, 5: 1, 0: 1}), requests({10: 5, 5: "NaN", 0: 9})]
    assert look(prometheus, start).live["7"].requests == 4


def test_a_target_that_left_ends_in_markers_alone(prometheus: Prometheus) -> None:  # noqa: F811
    """Its last true scrape is its last one; what replaced it is read."""
    start = started(prometheus, up({10: 1}, instance="old"), requests({10: 20}, instance="old"))
    prometheus.series = [
        up({10: 1, 7: 1, 6: "NaN"}, instance="old"),
        requests({10: 20, 7: 26, 6: "NaN"}, instance="old"),
        up({2: 1, 0: 1}, instance="new"),
        requests({2: 3, 0: 4}, instance="new"),
    ]
    assert look(prometheus, start).live["7"].requests == 10


@pytest.mark.parametrize("name", ["up", RESIDENT_MEMORY_METRIC, INFO_METRIC, f"{DURATION_METRIC}_bucket"])
def test_a_series_without_samples_is_none(prometheus: Prometheus, name: str) -> None:  # noqa: F811
    """Of a stranger too: there is nothing in it that could be believed."""
    start = started(prometheus, up({10: 1}), requests({10: 5}))
    prometheus.series = [up({10: 1, 0: 1}), requests({10: 5, 0: 9}), series(name, {}, **target(instance="gone"))]
    assert look(prometheus, start).live["7"].requests == 4


def test_markers_alone_are_no_samples(prometheus: Prometheus) -> None:  # noqa: F811
    """A version of which nothing else is left is told by name."""
    prometheus.series = [up({1: 1}), requests({1: "NaN"})]
    assert "does not export serin_requests_total" in refused(prometheus)
    prometheus.series = [up({1: "NaN"}), requests({1: "NaN"})]
    assert "version 7 has no samples" in refused(prometheus)
