"""What is counted and never timed is told by the metric's name: not "0 of 500 seen" until the deadline."""

from typing import Any

import pytest

from serving.contract import DURATION_METRIC, REQUESTS_METRIC, START_METRIC, TOKENS_METRIC
from tests.controller.test_prometheus_wire import (
    BUCKET,
    NOW_S,
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


def native() -> dict[str, Any]:
    """As Prometheus answers for a native histogram: no values at all."""
    found = series(DURATION_METRIC, {}, **target(traffic="live"))
    del found["values"]
    return {**found, "histograms": [[NOW_S, {"count": "500", "sum": "9", "buckets": []}]]}


@pytest.mark.parametrize(
    "timed",
    [
        [],
        [native()],
        buckets({"+Inf": {10: 100, 0: 500}}),
        buckets({"0.1": {10: 0, 0: 0}, "+Inf": {10: 0, 0: 0}}),
        buckets({"0.1": {10: 5, 0: 5}, "+Inf": {10: 5, 0: 5}}, traffic="shadow"),
    ],
    ids=["no histogram", "a native one", "no edges", "one that stands still", "of other traffic"],
)
def test_requests_counted_and_none_timed_are_an_error_that_names_the_metric(
    prometheus: Prometheus,  # noqa: F811
    timed: list[dict[str, Any]],
) -> None:
    """The classic buckets were dropped, or only native histograms are kept."""
    start = started(prometheus, up({10: 1}), requests({10: 0}))
    prometheus.series = [up({10: 1, 0: 1}), requests({10: 100, 0: 500}, code="200"), *timed]
    assert f"timed none: its {BUCKET}" in refused(prometheus, start)


def test_a_process_that_does_not_count_its_requests_is_an_error(prometheus: Prometheus) -> None:  # noqa: F811
    """It is scraped, so it is not idle: the counter was renamed or dropped on the way."""
    prometheus.series = [up({1: 1, 0: 1}), *buckets({"0.1": {1: 5, 0: 9}, "+Inf": {1: 5, 0: 9}})]
    assert f"does not export {REQUESTS_METRIC}" in refused(prometheus)


def test_texts_that_nobody_measures_are_an_error_of_a_replica_that_does(prometheus: Prometheus) -> None:  # noqa: F811
    """A rule that drops one histogram of ours is told by its name; a replica of another make has none to drop."""
    start = started(prometheus, up({10: 1}), requests({10: 0}))
    answered = [requests({10: 0, 0: 50}, code="200"), *buckets({"0.1": {0: 50}, "+Inf": {0: 50}})]
    prometheus.series = [up({10: 1, 0: 1}), *answered]
    assert look(prometheus, start).live["7"].requests == 50
    prometheus.series.append(series(START_METRIC, {10: 5.5, 0: 5.5}, **target()))
    assert f"no tokens: its {TOKENS_METRIC}_bucket is missing" in refused(prometheus, start)


def test_refusals_need_no_time(prometheus: Prometheus) -> None:  # noqa: F811
    """They are not timed by replicas either; a few answers may be counted a moment before they are timed."""
    start = started(prometheus, up({10: 1}), requests({10: 0}))
    prometheus.series = [
        up({10: 1, 0: 1}),
        requests({0: 500}),
        requests({0: 40}, code="503"),
        requests({0: 3}, code="200"),
        *buckets({"0.1": {0: 0}, "+Inf": {0: 0}}),
    ]
    assert look(prometheus, start).live["7"].requests == 543
