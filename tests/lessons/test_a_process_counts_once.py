"""A process is known by what names it and by its start: other labels may come, go and change."""

from controller.adapters.prometheus import PrometheusMetrics
from controller.ports import CounterCursor, MetricCounts
from serving.contract import START_METRIC
from tests.controller.test_prometheus_wire import (
    NOW_S,
    Prometheus,
    look,
    prometheus,  # noqa: F401 - a fixture
    refused,
    requests,
    series,
    started,
    target,
    up,
)

ALL = range(11)  # seconds before now


def begun(values: dict[float, object], **more: str):  # type: ignore[no-untyped-def]
    return series(START_METRIC, values, **target(**more))


def gained(counts: MetricCounts) -> int:
    return counts.live["7"].requests


def test_one_replica_under_two_labels_of_a_pair_of_servers_is_ambiguous(prometheus: Prometheus) -> None:  # noqa: F811
    """200 requests are not 400: the label that differs is named, with both of its values."""
    start = started(prometheus, up({10: 1}), requests({10: 100}))
    prometheus.series = [
        part
        for replica in ("a", "b")
        for part in (
            up(dict.fromkeys(ALL, 1), replica=replica),
            requests({ago_s: 300 - 20 * ago_s for ago_s in ALL}, replica=replica),
        )
    ]
    said = refused(prometheus, start)
    assert "ambiguous" in said
    assert "replica ('a' and 'b')" in said


def test_a_pair_that_is_over_is_read_once(prometheus: Prometheus) -> None:  # noqa: F811
    """The error ends when its cause does, and the requests meanwhile are counted, once."""
    start = started(prometheus, up({10: 1}, replica="a"), requests({10: 100}, replica="a"))
    prometheus.series = [
        up({10: 1, 9: 1, 8: 1}, replica="a"),
        requests({10: 100, 9: 110, 8: 120}, replica="a"),
        up({9: 1, 8: 1, 1: 1, 0: 1}, replica="b"),
        requests({9: 110, 8: 120, 1: 150, 0: 160}, replica="b"),
    ]
    assert gained(look(prometheus, start)) == 60


def test_a_relabelled_process_goes_on_from_its_cursor(prometheus: Prometheus) -> None:  # noqa: F811
    """Not from all that it ever did: between two looks, and in the middle of a window."""
    start = started(prometheus, up({10: 1}, cluster="old"), requests({10: 5000}, cluster="old"))
    prometheus.series = [up({1: 1, 0: 1}, cluster="new"), requests({1: 5003, 0: 5004}, cluster="new")]
    assert gained(look(prometheus, start)) == 4
    prometheus.series += [up({10: 1, 5: 1}, cluster="old"), requests({10: 5000, 5: 5001}, cluster="old")]
    assert gained(look(prometheus, start)) == 4


def test_a_process_under_another_name_is_known_by_its_start(prometheus: Prometheus) -> None:  # noqa: F811
    """The label that names it was rewritten: the same start is the same process."""
    start = started(prometheus, up({10: 1}), requests({10: 5000}), begun({10: 77.25}))
    renamed = {"instance": "10.0.0.7:8000"}
    prometheus.series = [
        up({1: 1, 0: 1}, **renamed),
        requests({0: 5004}, **renamed),
        begun({1: 77.25, 0: 77.25}, **renamed),
    ]
    prometheus.series[1]["values"].insert(0, [NOW_S - 1, "5003"])
    counts = look(prometheus, start)
    assert gained(counts) == 4
    assert gained(look(prometheus, counts.cursor)) == 0


def test_two_names_of_one_start_at_a_time_are_ambiguous(prometheus: Prometheus) -> None:  # noqa: F811
    """Scraped by its pod's address and by its service's: twice the requests of one process."""
    both = ({"instance": "a"}, {"instance": "b"})
    prometheus.series = [
        part for names in both for part in (up({1: 1, 0: 1}, **names), begun({1: 5.5, 0: 5.5}, **names))
    ]
    assert "instance ('a' and 'b')" in refused(prometheus)


def test_a_new_process_that_has_overtaken_the_old_one_counts_from_zero(prometheus: Prometheus) -> None:  # noqa: F811
    """Its counter never fell at any scrape; its start tells."""
    start = started(prometheus, up({10: 1}), requests({10: 50}), begun({10: 100.5}))
    prometheus.series = [
        up({10: 1, 5: 1, 0: 1}),
        requests({10: 50, 5: 53, 0: 60}),
        begun({10: 100.5, 5: 100.5, 0: NOW_S - 4}),
    ]
    assert gained(look(prometheus, start)) == 3 + 60


def test_a_counter_that_came_later_is_no_restart_of_a_process_that_tells_its_start(prometheus: Prometheus) -> None:  # noqa: F811
    """A code that is gone for a scrape and comes back is counted on."""
    start = started(prometheus, up({10: 1}), requests({10: 50}), requests({10: 3}, code="500"), begun({10: 9.5}))
    prometheus.series = [
        up({10: 1, 5: 1, 0: 1}),
        requests({10: 50, 5: 51, 0: 52}),
        requests({10: 3, 0: 4}, code="500"),
        begun({10: 9.5, 5: 9.5, 0: 9.5}),
    ]
    arm = look(prometheus, start).live["7"]
    assert (arm.requests, arm.errors) == (3, 1)


def test_what_names_a_process_can_be_chosen(prometheus: Prometheus) -> None:  # noqa: F811
    """A pod behind one address that all share: two pods are two processes, and each counts."""
    pods = ({"pod": "x", "instance": "service"}, {"pod": "y", "instance": "service"})
    prometheus.series = [part for pod in pods for part in (up({1: 1}, **pod), requests({1: 4}, **pod))]
    assert "ambiguous" in refused(prometheus)
    metrics = PrometheusMetrics(prometheus.url, scrape_interval_s=1.0, process_labels=("pod",))
    first = metrics.counts("intent", ("7",), None, at_s=NOW_S - 1)
    prometheus.series = [part for pod in pods for part in (up({1: 1, 0: 1}, **pod), requests({1: 4, 0: 7}, **pod))]
    assert gained(metrics.counts("intent", ("7",), first.cursor, at_s=NOW_S)) == 6


def test_a_cursor_of_an_older_release_of_serin_is_read_on(prometheus: Prometheus) -> None:  # noqa: F811
    """It names a target by all of its labels; nothing is counted twice after an update."""
    key = "instance=intent-v7,job=serin,model=intent,model_version=7"
    cursor = CounterCursor({f"{key}||": NOW_S - 10, f"{key}|live|code=422": 40.0}, NOW_S - 10)
    prometheus.series = [up({10: 1, 0: 1}), requests({10: 40, 0: 45})]
    assert gained(look(prometheus, cursor)) == 5
