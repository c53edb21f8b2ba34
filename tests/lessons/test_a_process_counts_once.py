"""A process is known by what names it and by its start: other labels may come, go and change."""

import pytest

from controller.adapters.prometheus.metrics import PrometheusMetrics
from controller.ports.metrics import CounterCursor, MetricCounts
from serving.contract import START_METRIC
from tests.controller.test_prometheus_wire import (
    NOW_S,
    Prometheus,
    begun,
    look,
    prometheus,  # noqa: F401 - a fixture
    refused,
    requests,
    started,
    up,
)

ALL = range(11)  # seconds before now


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


def test_a_start_that_is_told_no_more_is_no_restart(prometheus: Prometheus) -> None:  # noqa: F811
    """Where one side alone tells it, the counters say whether they went on: 90 requests, not a thousand more."""
    start = started(prometheus, up({10: 1}), requests({10: 1000}), begun({10: 100.5}))
    prometheus.series = [
        up(dict.fromkeys(ALL, 1)),
        requests({ago_s: 1090 - 9 * ago_s for ago_s in ALL}),
        begun({ago_s: 100.5 for ago_s in ALL if ago_s > 5}),
    ]
    counts = look(prometheus, start)
    assert gained(counts) == 90
    prometheus.series = [up({0: 1}), requests({0: 1090}), begun({0: 100.5})]
    assert gained(look(prometheus, counts.cursor)) == 0


@pytest.mark.parametrize("value", ["+Inf", "-Inf", "-5", "0"])
def test_a_start_that_no_process_can_have_is_refused(prometheus: Prometheus, value: str) -> None:  # noqa: F811
    """By name: it would tell no process from another."""
    prometheus.series = [up({1: 1, 0: 1}), requests({1: 4, 0: 5}), begun({1: value, 0: value})]
    said = refused(prometheus)
    assert f"{START_METRIC} of instance=intent-v7" in said
    assert "cannot be the start of a process" in said


@pytest.mark.parametrize("other", [99.5, 200.0])
def test_two_processes_behind_one_address_are_ambiguous(prometheus: Prometheus, other: float) -> None:  # noqa: F811
    """They answer by turns; a start that goes back is no restart, and nothing is counted again at every scrape."""
    start = started(prometheus, up({10: 1}), requests({10: 1000}), begun({10: 100.5}))
    prometheus.series = [
        up(dict.fromkeys(ALL, 1)),
        requests({ago_s: (1100 if ago_s % 2 else 500) - ago_s for ago_s in ALL}),
        begun({ago_s: 100.5 if ago_s % 2 else other for ago_s in ALL}),
    ]
    said = refused(prometheus, start)
    assert "ambiguous: two processes seem to answer as instance=intent-v7" in said
    assert START_METRIC in said


def test_two_pods_of_one_name_are_told_the_setting_that_tells_them_apart(prometheus: Prometheus) -> None:  # noqa: F811
    """Their starts differ: they are no copies of one process, and each has to count."""
    prometheus.series = [
        part
        for pod, began_s in (("x", 100.5), ("y", 200.5))
        for part in (up({1: 1, 0: 1}, pod=pod), begun({1: began_s, 0: began_s}, pod=pod))
    ]
    said = refused(prometheus)
    assert "two processes have one name" in said
    assert "pod ('x' and 'y')" in said
    assert "process_labels" in said


@pytest.mark.parametrize("other", [300, 4999])
def test_two_processes_that_tell_no_start_are_ambiguous(prometheus: Prometheus, other: int) -> None:  # noqa: F811
    """Their counters go up and down: no restart, and none of what either ever did is counted."""
    start = started(prometheus, up({10: 1}), requests({10: 5000}))
    prometheus.series = [
        up(dict.fromkeys(ALL, 1)),
        requests({ago_s: 5010 - ago_s if ago_s % 2 == 0 else other for ago_s in ALL}),
    ]
    said = refused(prometheus, start)
    assert "ambiguous: two processes seem to answer as instance=intent-v7" in said
    assert "fell from 5000" in said
    assert f"export no {START_METRIC}; export it, or have each process scraped at an address of its own" in said


@pytest.mark.parametrize("tells", [True, False])
def test_one_that_answers_after_another_for_long_is_no_new_process(prometheus: Prometheus, *, tells: bool) -> None:  # noqa: F811
    """A balancer that keeps its connections: the turn comes seldom, and what the other one ever did is no gain."""
    old, other = (begun({10: NOW_S - 5000}), begun({0: NOW_S - 4000})) if tells else (up({}), up({}))
    start = started(prometheus, up({10: 1}), requests({10: 5000}), old)
    prometheus.series = [up({0: 1}), requests({0: 4000}), other]
    assert "ambiguous" in refused(prometheus, start)


@pytest.mark.parametrize("tells", [True, False])
def test_an_ambiguity_ends_with_the_window_and_counts_nothing_twice(prometheus: Prometheus, *, tells: bool) -> None:  # noqa: F811
    """What was unread when it began is not known: counting goes on from the first scrape that is read."""
    before = begun({1000: NOW_S - 5000}) if tells else up({})
    prometheus.series = [up({1000: 1}), requests({1000: 5000}), before]
    metrics = PrometheusMetrics(prometheus.url, scrape_interval_s=1.0)
    start = metrics.counts("intent", ("7",), None, at_s=NOW_S - 1000).cursor
    after = begun(dict.fromkeys(ALL, NOW_S - 4000)) if tells else up({})
    prometheus.series = [up(dict.fromkeys(ALL, 1)), requests({ago_s: 4100 - ago_s for ago_s in ALL}), after]
    counts = look(prometheus, start)
    assert gained(counts) == 10
    assert gained(look(prometheus, counts.cursor)) == 0


def test_a_process_that_is_seen_late_brings_nothing_of_before(prometheus: Prometheus) -> None:  # noqa: F811
    """It ran for an hour before it was found: its first scrape is where counting begins."""
    late = {"instance": "late"}
    start = started(prometheus, up({10: 1}), requests({10: 5}), begun({10: NOW_S - 9000}))
    here = [up({10: 1, 0: 1}), requests({10: 5, 0: 6}), begun({10: NOW_S - 9000, 0: NOW_S - 9000})]
    there = [up({2: 1, 0: 1}, **late), requests({2: 70_000, 0: 70_003}, **late)]
    prometheus.series = [*here, *there, begun({2: NOW_S - 3600, 0: NOW_S - 3600}, **late)]
    assert gained(look(prometheus, start)) == 1 + 3
    prometheus.series = [*here, *there[:1], requests({2: 3, 0: 7}, **late), begun({2: NOW_S - 4, 0: NOW_S - 4}, **late)]
    assert gained(look(prometheus, start)) == 1 + 7


def test_a_process_that_tells_no_start_and_is_renamed_brings_nothing_of_before(prometheus: Prometheus) -> None:  # noqa: F811
    """It goes on from what one that is gone had counted: nothing tells whether it is another one."""
    start = started(prometheus, up({10: 1}, instance="old"), requests({10: 5000}, instance="old"))
    prometheus.series = [up({3: 1, 0: 1}, instance="new"), requests({3: 5004, 0: 5006}, instance="new")]
    counts = look(prometheus, start)
    assert gained(counts) == 2
    assert gained(look(prometheus, counts.cursor)) == 0


def test_a_counter_of_nothing_that_is_gone_is_no_restart(prometheus: Prometheus) -> None:  # noqa: F811
    """Zeros come and go: what stands beside them is not counted again."""
    start = started(prometheus, up({10: 1}), requests({10: 1000}), requests({10: 0}, code="500"))
    prometheus.series = [up({10: 1, 0: 1}), requests({10: 1000, 0: 1010})]
    assert gained(look(prometheus, start)) == 10
