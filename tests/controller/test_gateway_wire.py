"""What the adapter makes of what Prometheus may answer about the gateway; each over a real socket."""

from collections.abc import Mapping
from typing import Any

import pytest

from controller.adapters.prometheus.metrics import PrometheusMetrics
from controller.errors import AmbiguousError, TransientError
from controller.ports.metrics import CounterCursor, GatewayCounts
from serving.contract import (
    CLUSTER_LABEL,
    CODE_CLASS_LABEL,
    GATEWAY_COMPLETED_METRIC,
    GATEWAY_JOB,
    GATEWAY_REQUESTS_METRIC,
    GATEWAY_TIME_METRIC,
    GATEWAY_UPTIME_METRIC,
)
from tests.controller.test_prometheus_wire import (
    NOW_S,
    Prometheus,
    prometheus,  # noqa: F401 - a fixture
    series,
)

OWN = {"job": GATEWAY_JOB, "instance": "gateway"}
Values = Mapping[float, object]


def up(values: Values, **more: str) -> dict[str, Any]:
    return series("up", values, **OWN | more)


def uptime(values: Values, **more: str) -> dict[str, Any]:
    return series(GATEWAY_UPTIME_METRIC, values, **OWN | more)


def requests(values: Values, kind: str = "4", **more: str) -> dict[str, Any]:
    labels = {CLUSTER_LABEL: "intent-v7", CODE_CLASS_LABEL: kind}
    return series(GATEWAY_REQUESTS_METRIC, values, **OWN | labels | more)


def completed(values: Values) -> dict[str, Any]:
    return series(GATEWAY_COMPLETED_METRIC, values, **OWN | {CLUSTER_LABEL: "intent-v7"})


def times(by_edge: Mapping[str, Values]) -> list[dict[str, Any]]:
    name = f"{GATEWAY_TIME_METRIC}_bucket"
    return [series(name, values, **OWN | {CLUSTER_LABEL: "intent-v7", "le": edge}) for edge, values in by_edge.items()]


def got(prometheus: Prometheus, cursor: CounterCursor | None = None, at_s: float = NOW_S) -> GatewayCounts:  # noqa: F811
    metrics = PrometheusMetrics(prometheus.url, scrape_interval_s=1.0)
    return metrics.gateway("intent", ("7",), cursor, at_s=at_s)


def refused(prometheus: Prometheus, cursor: CounterCursor | None = None) -> str:  # noqa: F811
    with pytest.raises(TransientError) as caught:
        got(prometheus, cursor)
    assert caught.value.source == "gateway"
    return str(caught.value)


def started(prometheus: Prometheus, *at_first: dict[str, Any]) -> CounterCursor:  # noqa: F811
    """The cursor of a look 10 s ago."""
    prometheus.series = [up({10: 1}), uptime({10: 100}), *at_first]
    return got(prometheus, at_s=NOW_S - 10).cursor


def test_a_class_that_was_not_there_began_at_zero(prometheus: Prometheus) -> None:  # noqa: F811
    """Envoy counts a class from its first request on; the very first errors are errors."""
    start = started(prometheus, requests({10: 40}))
    prometheus.series = [up({10: 1, 0: 1}), uptime({10: 100, 0: 110}), requests({10: 40, 0: 44}), requests({0: 3}, "5")]
    arm = got(prometheus, start).live["7"]
    assert (arm.requests, arm.errors) == (7, 3)


def test_an_envoy_that_began_anew_and_overtook_itself_counts_from_zero(prometheus: Prometheus) -> None:  # noqa: F811
    """Its uptime fell, though no counter of the cluster did at any scrape."""
    start = started(prometheus, requests({10: 5}))
    prometheus.series = [up({10: 1, 0: 1}), uptime({10: 100, 0: 4}), requests({10: 5, 0: 9})]
    assert got(prometheus, start).live["7"].requests == 9


def test_what_ended_nobody_knows_how_is_no_error(prometheus: Prometheus) -> None:  # noqa: F811
    """A cluster made anew: what was completed since, and no scrape saw by class, is evidence of nothing."""
    start = started(prometheus, requests({10: 50}), completed({10: 50}))
    prometheus.series = [
        up({10: 1, 5: 1, 0: 1}),
        uptime({10: 100, 5: 105, 0: 110}),
        requests({10: 50, 5: 60, 0: 2}),
        completed({10: 50, 5: 60, 0: 75}),
    ]
    arm = got(prometheus, start).live["7"]
    assert (arm.requests, arm.errors) == (12, 0)


@pytest.mark.parametrize(
    ("before", "after", "requests_and_errors"),
    [
        (([8, None], 8), ([9, None], 14), (1, 0)),
        (([8, 5], 13), ([9, None], 14), (1, 0)),
        (([8, 5], 13), ([2, 1], 16), (3, 1)),
        (([8, None], 8), ([4_000, None], 4_002), (3_992, 0)),
    ],
    ids=["a class that no scrape saw", "one class alone began anew", "both", "a scrape between two counters"],
)
def test_each_class_of_a_cluster_begins_anew_by_itself(prometheus, before, after, requests_and_errors) -> None:  # type: ignore[no-untyped-def]  # noqa: F811
    """As Envoy has it where a cluster is made anew, on a machine too busy for the two to be told by one scrape."""

    def told(found: tuple[list[int | None], int], ago_s: int) -> list[dict[str, Any]]:
        (refused, failed), all_of_them = found
        parts = [requests({ago_s: refused}), completed({ago_s: all_of_them})]
        return parts if failed is None else [*parts, requests({ago_s: failed}, "5")]

    start = started(prometheus, *told(before, 10))
    prometheus.series = [up({0: 1}), uptime({0: 110}), *told(after, 0)]
    arm = got(prometheus, start).live["7"]
    assert (arm.requests, arm.errors) == requests_and_errors


def test_a_relabelled_gateway_does_not_begin_again_from_all_it_ever_did(prometheus: Prometheus) -> None:  # noqa: F811
    """It ran long before the look: of what it has, only what came while it was seen is of this window."""
    start = started(prometheus, requests({10: 5_000}))
    other = {"instance": "other"}
    prometheus.series = [
        up({2: 1, 0: 1}, **other), uptime({2: 108, 0: 110}, **other), requests({2: 5_001, 0: 5_004}, **other),
    ]  # fmt: skip
    counts = got(prometheus, start)
    assert counts.live["7"].requests == 3
    prometheus.series[0]["values"].append([NOW_S + 5, "1"])
    prometheus.series[1]["values"].append([NOW_S + 5, "115"])
    prometheus.series[2]["values"].append([NOW_S + 5, "5010"])
    assert got(prometheus, counts.cursor, NOW_S + 5).live["7"].requests == 6


def test_a_second_gateway_that_started_within_the_window_counts_from_zero(prometheus: Prometheus) -> None:  # noqa: F811
    """Two of them add up."""
    start = started(prometheus, requests({10: 5}))
    other = {"instance": "other"}
    prometheus.series = [up({10: 1, 0: 1}), uptime({10: 100, 0: 110}), requests({10: 5, 0: 7})]
    prometheus.series += [up({0: 1}, **other), uptime({0: 3}, **other), requests({0: 4}, **other)]
    assert got(prometheus, start).live["7"].requests == 6


@pytest.mark.parametrize(
    ("found", "said"),
    [
        ([], "the gateway is not scraped: there is no sample of a job 'serin-gateway'"),
        ([up({9: 1}), uptime({9: 5})], "the gateway's last sample is 9.0 s old"),
        ([up({1: 1, 0: 0}), uptime({1: 5})], "the gateway does not answer scrapes"),
        ([up({1: 1, 0: 1})], "does not export envoy_server_uptime: is it Envoy?"),
        ([up({1: 1, 0: 1}, replica=one) for one in "ab"], "replica ('a' and 'b')"),
    ],
    ids=["none", "stale", "down", "another", "doubled"],
)
def test_a_gateway_that_cannot_be_read_is_told_apart(prometheus: Prometheus, found, said: str) -> None:  # type: ignore[no-untyped-def]  # noqa: F811
    """Each with its reason, as a fault of the gateway; nothing is taken for no errors."""
    prometheus.series = found
    assert said in refused(prometheus)
    with pytest.raises(TransientError, match="gateway"):
        PrometheusMetrics(prometheus.url, scrape_interval_s=1.0).service_errors("intent", (60.0,), at_s=NOW_S)


def test_users_requests_counted_and_none_timed_are_an_error_that_names_the_metric(prometheus: Prometheus) -> None:  # noqa: F811
    """Histograms may be a scrape behind, but not a look."""
    start = started(prometheus, requests({10: 40}, "2"))
    prometheus.series = [up({10: 1, 0: 1}), uptime({10: 100, 0: 110}), requests({10: 40, 0: 80}, "2")]
    assert f"timed none: {GATEWAY_TIME_METRIC}_bucket is missing" in refused(prometheus, start)
    prometheus.series += times({"10": {0: 30}, "+Inf": {0: 80}})
    assert got(prometheus, start).live["7"].latency_counts == (30, 50)


@pytest.mark.parametrize("survives", [False, True], ids=["Envoy began anew", "the replica came back elsewhere"])
def test_a_histogram_that_began_anew_is_not_missing_where_nobody_is_served(
    prometheus: Prometheus,  # noqa: F811
    survives: bool,
) -> None:
    """In probation the stable version serves nobody: nothing fills it again, and the candidate can still be judged."""
    start = started(prometheus, requests({10: 5_000}, "2"), *times({"10": {10: 4_000}, "+Inf": {10: 5_000}}))
    prometheus.series = [up({10: 1, 0: 1}), uptime({10: 100, 0: 110 if survives else 4})]
    if survives:
        prometheus.series.append(requests({10: 5_000, 0: 5_000}, "2"))
    counts = got(prometheus, start)
    assert counts.live["7"].requests == 0
    assert got(prometheus, counts.cursor).live["7"].requests == 0


def test_few_requests_a_look_that_nobody_times_are_an_error_too(prometheus: Prometheus) -> None:  # noqa: F811
    """A histogram that never was there needs no ten of them in one look."""
    start = started(prometheus, requests({10: 40}, "2"))
    prometheus.series = [up({10: 1, 0: 1}), uptime({10: 100, 0: 110}), requests({10: 40, 0: 43}, "2")]
    assert "answered 43 requests but timed none" in refused(prometheus, start)


def test_a_gateway_that_never_answered_a_scrape_counts_nothing(prometheus: Prometheus) -> None:  # noqa: F811
    """It came and went, or was a wrong address: the other one is read all the same."""
    start = started(prometheus, requests({10: 40}))
    prometheus.series = [
        up({10: 1, 0: 1}), uptime({10: 100, 0: 110}), requests({10: 40, 0: 44}), up({9: 0, 8: 0}, instance="gone"),
    ]  # fmt: skip
    assert got(prometheus, start).live["7"].requests == 4


WINDOW = range(9, -1, -1)  # seconds before now


def going_on(**more: Values) -> list[dict[str, Any]]:
    """A gateway that answers 10 requests a second since the look that left 1000 with status 2xx, and 3 with 5xx."""
    gained = {ago_s: 10 * (9 - ago_s) for ago_s in WINDOW}
    labels = OWN | {CLUSTER_LABEL: "intent-v7"}
    every = {ago_s: 1_003 + more_now for ago_s, more_now in gained.items()}
    return [
        up(dict.fromkeys(WINDOW, 1)),
        uptime({ago_s: 110 - ago_s for ago_s in WINDOW} | dict(more.get("uptime", {}))),
        requests({ago_s: 1_000 + more_now for ago_s, more_now in gained.items()}, "2"),
        completed(every | dict(more.get("completed", {}))),
        series(f"{GATEWAY_TIME_METRIC}_count", every, **labels),
        *times({"1": every, "+Inf": every}),
    ]


def left_at(prometheus: Prometheus) -> CounterCursor:  # noqa: F811
    timed = series(f"{GATEWAY_TIME_METRIC}_count", {10: 1_003}, **OWN | {CLUSTER_LABEL: "intent-v7"})
    buckets = times({"1": {10: 1_003}, "+Inf": {10: 1_003}})
    return started(
        prometheus, requests({10: 1_000}, "2"), requests({10: 3}, "5"), completed({10: 1_003}), timed, *buckets
    )


@pytest.mark.parametrize(
    ("refused_then", "errors"),
    [({9: 3, 8: 3, 7: 3, 6: "NaN"}, 0), ({9: 3, 8: 3, 7: 3, 6: "NaN", 5: 1, 4: 2, 3: 2, 2: 2, 1: 2, 0: 2}, 2)],
    ids=["for good", "begun anew"],
)
def test_a_class_that_ends_while_the_gateway_goes_on_keeps_it_readable(  # type: ignore[no-untyped-def]
    prometheus: Prometheus,  # noqa: F811
    refused_then,
    errors: int,
) -> None:
    """The marker at its end is of that series alone: the other counters of the scrape are read as they are."""
    cursor = left_at(prometheus)
    prometheus.series = [*going_on(), requests(refused_then, "5")]
    arm = got(prometheus, cursor).live["7"]
    assert (arm.requests, arm.errors, sum(arm.latency_counts)) == (90 + errors, errors, 90)


@pytest.mark.parametrize("name", ["completed", "uptime"])
def test_a_scrape_without_a_count_that_goes_on_is_stepped_over(prometheus: Prometheus, name: str) -> None:  # noqa: F811
    """What was completed does not begin anew with its cluster; nor does the uptime."""
    cursor = left_at(prometheus)
    prometheus.series = going_on(**{name: {5: "NaN"}})
    arm = got(prometheus, cursor).live["7"]
    assert (arm.requests, arm.errors) == (90, 0)


def test_a_scrape_that_does_not_tell_the_uptime_begins_nothing_anew(prometheus: Prometheus) -> None:  # noqa: F811
    """No marker stands there either: it is no uptime of zero."""
    cursor = left_at(prometheus)
    prometheus.series = going_on()
    prometheus.series[1]["values"] = [pair for pair in prometheus.series[1]["values"] if pair[0] != NOW_S - 5]
    arm = got(prometheus, cursor).live["7"]
    assert (arm.requests, arm.errors, sum(arm.latency_counts)) == (90, 0, 90)


def test_an_envoy_whose_uptime_overtook_the_old_one_began_anew(prometheus: Prometheus) -> None:  # noqa: F811
    """It is up for 8 s, and was for 5 s ten seconds ago: it began between the two."""
    prometheus.series = [up({10: 1}), uptime({10: 5}), requests({10: 40})]
    cursor = got(prometheus, at_s=NOW_S - 10).cursor
    prometheus.series = [up({1: 1, 0: 1}), uptime({1: 7, 0: 8}), requests({1: 60, 0: 70})]
    assert got(prometheus, cursor).live["7"].requests == 70
    prometheus.series[1] = uptime({1: 13, 0: 14})  # told a moment late: the same one
    assert got(prometheus, cursor).live["7"].requests == 30


def test_an_uptime_that_is_a_scrape_behind_is_the_same_gateways(prometheus: Prometheus) -> None:  # noqa: F811
    """Envoy tells the uptime that it found out at the scrape before: after 38 s without one it seems to leap."""
    prometheus.series = [up({40: 1}), uptime({40: 93}), requests({40: 40})]
    cursor = got(prometheus, at_s=NOW_S - 40).cursor
    prometheus.series = [
        up({39: 1, 1: 1, 0: 1}), uptime({39: 94, 1: 95, 0: 133}), requests({39: 41, 1: 68, 0: 70}),
    ]  # fmt: skip
    assert got(prometheus, cursor).live["7"].requests == 30


@pytest.mark.parametrize(("one", "other"), [(100, 50), (100, 98), (5_000, 90)])
def test_two_gateways_that_answer_by_turns_are_ambiguous(prometheus: Prometheus, one: int, other: int) -> None:  # noqa: F811
    """Neither went on from the other, nor began since: at every scrape all that one ever did would count."""
    cursor = left_at(prometheus)
    prometheus.series = going_on(
        uptime={ago_s: (one if ago_s % 2 else other) + 9 - ago_s for ago_s in WINDOW},
        completed={ago_s: (1_000 if ago_s % 2 else 500) for ago_s in WINDOW},
    )
    said = refused(prometheus, cursor)
    assert "ambiguous: two processes answer as instance=gateway" in said
    assert GATEWAY_UPTIME_METRIC in said


def test_after_a_step_of_envoys_clock_counting_begins_anew_from_what_came_since(prometheus: Prometheus) -> None:  # noqa: F811
    """Its uptime fell by 5 s and grows again. Read back over that it stays ambiguous, and says when that was."""
    cursor = left_at(prometheus)
    fell = {ago_s: 1_000 - ago_s - (5 if ago_s < 4 else 0) for ago_s in WINDOW}
    prometheus.series = going_on(uptime=fell)
    with pytest.raises(AmbiguousError, match="or its clock was set") as caught:
        got(prometheus, cursor)
    assert caught.value.seen_s == NOW_S - 3
    prometheus.series = [up({2: 1, 1: 1}), uptime({2: 993, 1: 994}), requests({2: 100, 1: 110})]
    anew = got(prometheus, at_s=NOW_S - 1)
    assert anew.live["7"].requests == 0
    prometheus.series = [up({1: 1, 0: 1}), uptime({1: 994, 0: 995}), requests({1: 110, 0: 117})]
    assert got(prometheus, anew.cursor).live["7"].requests == 7


@pytest.mark.parametrize("kind", ["2", "5"])
def test_a_class_that_comes_back_as_it_was_counts_nothing_twice(prometheus: Prometheus, kind: str) -> None:  # noqa: F811
    """It was not told at one scrape; no more requests than were completed can have been answered."""
    cursor = left_at(prometheus)
    prometheus.series = [*going_on(), requests(dict.fromkeys(WINDOW, 3), "5")]
    found = next(one for one in prometheus.series if one["metric"].get(CODE_CLASS_LABEL) == kind)
    found["values"][4][1] = "NaN"
    arm = got(prometheus, cursor).live["7"]
    assert (arm.requests, arm.errors) == (90, 0)
