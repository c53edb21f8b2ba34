"""What the adapter makes of answers that Prometheus, or something in front of it, may send; each over a real socket."""

import contextlib
import json
import socket
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from http.server import BaseHTTPRequestHandler
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from controller.adapters.local.loopback import free_port
from controller.adapters.prometheus.metrics import PrometheusMetrics
from controller.errors import TransientError
from controller.ports.metrics import CounterCursor, MetricCounts
from gates.evidence import ArmCounts
from serving.contract import DURATION_METRIC, REQUESTS_METRIC, START_METRIC, USERS_METRIC
from tests.controller.http_support import http_server
from tests.patience import PATIENCE_S

NOW_S = 1_800_000_000.0
BUCKET = f"{DURATION_METRIC}_bucket"
Samples = Sequence[tuple[float, str]]
Reply = Callable[[BaseHTTPRequestHandler], None]


def target(version: str = "7", **more: str) -> dict[str, str]:
    return {
        "instance": f"intent-v{version}",
        "job": "serin",
        "model": "intent",
        "model_version": version,
        **more,
    }


def series(name: str, values: Mapping[float, object], **labels: str) -> dict[str, Any]:
    """One series; sample times are seconds before now."""
    at = sorted((NOW_S - ago_s, str(value)) for ago_s, value in values.items())
    return {"metric": {"__name__": name, **(labels or target())}, "values": [list(pair) for pair in at]}


def up(values: Mapping[float, object], version: str = "7", **more: str) -> dict[str, Any]:
    return series("up", values, **target(version, **more))


def requests(values: Mapping[float, object], code: str = "422", traffic: str = "live", **more: str) -> dict[str, Any]:
    """Requests that nobody times, unless another code is given: only of answers there must be a histogram."""
    return series(REQUESTS_METRIC, values, **target(**{"traffic": traffic, "code": code, **more}))


def begun(values: Mapping[float, object], **more: str) -> dict[str, Any]:
    """When the process began, as it told."""
    return series(START_METRIC, values, **target(**more))


def buckets(by_edge: Mapping[str, Mapping[float, object]], version: str = "7", **more: str) -> list[dict[str, Any]]:
    return [
        series(BUCKET, values, **target(version, **{"traffic": "live", "le": edge, **more}))
        for edge, values in by_edge.items()
    ]


class Prometheus:
    """Answers queries from a list of series, or by a ``reply`` of the test's."""

    def __init__(self) -> None:
        self.url = ""
        self.series: list[dict[str, Any]] = []
        self.envelope: dict[str, Any] = {"status": "success"}
        self.reply: Reply | None = None
        self.queries: list[dict[str, str]] = []

    def body(self, query: str) -> bytes:
        """Series whose name stands in the query; all times, as the adapter has to know by itself what it read."""
        found = [one for one in self.series if f'"{one["metric"]["__name__"]}' in query.replace("|", '"')]
        return json.dumps({"data": {"resultType": "matrix", "result": found}, **self.envelope}).encode()


@pytest.fixture
def prometheus() -> Iterator[Prometheus]:
    server = Prometheus()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked = {name: values[0] for name, values in parse_qs(urlsplit(self.path).query).items()}
            server.queries.append(asked)
            if server.reply is not None:
                server.reply(self)
                return
            send(self, 200, server.body(asked["query"]))

        def log_message(self, *_: object) -> None:
            """Quiet."""

    with http_server(Handler) as server.url:
        yield server


def send(handler: BaseHTTPRequestHandler, status: int, body: bytes, **headers: str) -> None:
    handler.send_response(status)
    for name, value in {"Content-Length": str(len(body)), **headers}.items():
        handler.send_header(name, value)
    handler.end_headers()
    handler.wfile.write(body)


def look(prometheus: Prometheus, cursor: CounterCursor | None = None, versions: Sequence[str] = ("7",)) -> MetricCounts:
    metrics = PrometheusMetrics(prometheus.url, scrape_interval_s=1.0, deadline_s=0.5, answer_bytes_max=100_000)
    return metrics.counts("intent", versions, cursor, at_s=NOW_S)


def refused(prometheus: Prometheus, cursor: CounterCursor | None = None, versions: Sequence[str] = ("7",)) -> str:
    with pytest.raises(TransientError) as caught:
        look(prometheus, cursor, versions)
    assert caught.value.source == "metrics"
    return str(caught.value)


# --- the transport ----------------------------------------------------------------------------------------------------


def test_a_web_page_is_no_answer(prometheus: Prometheus) -> None:
    """A log-in page or a proxy's error page, although its status is 200."""
    prometheus.reply = lambda handler: send(handler, 200, b"<html>please log in</html>")
    assert "other than JSON: '<html>please log in</html>'" in refused(prometheus)


def test_an_error_body_is_an_error_whatever_the_status(prometheus: Prometheus) -> None:
    """The envelope's own status counts, and its words reach the reader."""
    prometheus.envelope = {"status": "error", "errorType": "execution", "error": "too many samples"}
    assert "execution: too many samples" in refused(prometheus)
    prometheus.reply = lambda handler: send(handler, 503, b'{"status":"error","error":"shutting down"}')
    assert "503, error: shutting down" in refused(prometheus)


@pytest.mark.parametrize("doubt", [{"warnings": ["one store did not answer"]}, {"isPartial": True}])
def test_a_result_with_doubts_is_no_evidence(prometheus: Prometheus, doubt: dict[str, Any]) -> None:
    """Partial data looks like fewer requests and fewer errors."""
    prometheus.envelope = {"status": "success", **doubt}
    assert "warnings" in refused(prometheus) or "partial" in refused(prometheus)


@pytest.mark.parametrize(
    "body", [b"[]", b"{}", b'{"status":"success"}', b'{"status":"success","data":{"result":7}}', b""]
)
def test_a_success_without_a_result_is_no_answer(prometheus: Prometheus, body: bytes) -> None:
    """Whatever its shape, it never crashes the look."""
    prometheus.reply = lambda handler: send(handler, 200, body)
    assert "Prometheus answered" in refused(prometheus)


def test_redirects_are_not_followed(prometheus: Prometheus) -> None:
    """Where metrics are read is what the operator configured, nothing else."""
    prometheus.reply = lambda handler: send(handler, 302, b"", Location=prometheus.url + "/elsewhere")
    assert "a redirect (302)" in refused(prometheus)
    assert len(prometheus.queries) == 1


def test_a_proxy_in_the_environment_is_not_used(prometheus: Prometheus, monkeypatch: pytest.MonkeyPatch) -> None:
    """Variables meant for other programs send no metrics query elsewhere."""
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy"):
        monkeypatch.setenv(name, f"http://127.0.0.1:{free_port()}")
    prometheus.series = [up({1: 1}), requests({1: 0})]
    assert look(prometheus).live["7"].requests == 0


@pytest.mark.parametrize("pause_within", ["headers", "body"])
def test_an_answer_that_drips_in_ends_at_the_deadline(prometheus: Prometheus, pause_within: str) -> None:
    """Every byte would begin a socket's time-out anew; the deadline is for the whole answer."""
    with ExitStack() as stack:
        over = threading.Event()
        stack.callback(over.set)

        def drip(handler: BaseHTTPRequestHandler) -> None:
            if pause_within == "body":
                handler.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n")
            while not over.wait(0.02):
                try:
                    handler.wfile.write(b"H")
                except OSError:
                    return

        prometheus.reply = drip
        began_s = time.monotonic()
        assert "no answer in 0.5 s" in refused(prometheus)
        assert time.monotonic() - began_s < PATIENCE_S  # it drips for hours


def test_an_answer_without_end_is_cut_off(prometheus: Prometheus) -> None:
    """A query that matches the world does not fill the controller's memory."""
    prometheus.reply = lambda handler: send(handler, 200, b"[" * 1_000_000)
    assert "more than 100000 bytes" in refused(prometheus)


def test_an_answer_cut_short_is_no_answer(prometheus: Prometheus) -> None:
    """Fewer bytes than announced."""
    prometheus.reply = lambda handler: send(handler, 200, b"{}", **{"Content-Length": "10"})
    assert "not reachable: IncompleteRead" in refused(prometheus)


def test_nobody_listening_is_told_at_once(prometheus: Prometheus) -> None:
    """No retries: the next look is the retry. Whoever listens and hangs up is asked once."""
    prometheus.url = f"http://127.0.0.1:{free_port()}"
    assert "not reachable" in refused(prometheus)
    with socket.create_server(("127.0.0.1", 0)) as listening:
        prometheus.url = f"http://127.0.0.1:{listening.getsockname()[1]}"
        asked: list[bytes] = []

        def hang_up() -> None:
            with contextlib.suppress(OSError):
                while True:
                    connection, _ = listening.accept()
                    with connection:
                        asked.append(connection.recv(65_536))

        thread = threading.Thread(target=hang_up)
        thread.start()
        assert "not reachable" in refused(prometheus)
        listening.shutdown(socket.SHUT_RDWR)
        thread.join()
    assert len(asked) == 1


# --- which samples count ----------------------------------------------------------------------------------------------


def test_both_queries_of_a_look_ask_for_the_same_explicit_time(prometheus: Prometheus) -> None:
    """One instant for all evidence; two queries, no more."""
    prometheus.series = [up({1: 1}), requests({1: 0})]
    look(prometheus)
    assert [query["time"] for query in prometheus.queries] == [f"{NOW_S:.3f}"] * 2


def test_a_version_not_scraped_is_told_by_name(prometheus: Prometheus) -> None:
    """No data is neither zero traffic nor health."""
    prometheus.series = [up({1: 1})]
    assert "version 8 has no samples" in refused(prometheus, versions=("7", "8"))


def test_stale_samples_are_told_with_their_age(prometheus: Prometheus) -> None:
    """A killed process's last counts keep answering: three missed scrapes are too many."""
    prometheus.series = [up({5: 1, 4: 1})]
    assert "version 7: its last sample is 4.0 s old" in refused(prometheus)


def test_a_process_that_does_not_answer_spoils_the_window(prometheus: Prometheus) -> None:
    """One of two replicas is missing: their sum would be partial."""
    prometheus.series = [up({1: 1}, instance="a"), up({2: 1, 1: 0}, instance="b")]
    assert "up is 0 for instance=b" in refused(prometheus)


@pytest.mark.parametrize("value", ["+Inf", "-1", "2.5"])
def test_what_no_counter_can_be_is_refused(prometheus: Prometheus, value: str) -> None:
    """What is no count compares as anything with a threshold, so it must not get that far."""
    prometheus.series = [up({1: 1}), requests({1: value})]
    said = refused(prometheus)
    assert said.startswith("serin_requests_total (live ")
    assert f"is {value}, which cannot be a count" in said


def test_a_second_series_where_one_is_expected_is_refused(prometheus: Prometheus) -> None:
    """An unknown label splits a counter, and a sum over it may count twice."""
    prometheus.series = [up({1: 1}), requests({1: 5}), requests({1: 5}, route="/predict")]
    assert "belongs to no scraped target" in refused(prometheus)


def test_a_process_scraped_by_two_jobs_is_refused(prometheus: Prometheus) -> None:
    """It would count twice."""
    prometheus.series = [up({1: 1}), up({1: 1}, job="other")]
    assert "ambiguous" in refused(prometheus)


def with_edges(prometheus: Prometheus, own: dict[str, int], others: dict[str, int]) -> None:
    """Version 7 and version 6 with these histograms, by edge."""
    prometheus.series = [
        up({1: 1}),
        up({1: 1}, "6"),
        requests({1: 1}),
        requests({1: 1}, model_version="6", instance="intent-v6"),
        *buckets({edge: {1: count} for edge, count in {**own, "+Inf": 9}.items()}),
        *buckets({edge: {1: count} for edge, count in {**others, "+Inf": 9}.items()}, "6"),
    ]


def test_histograms_of_different_kinds_are_refused(prometheus: Prometheus) -> None:
    """Their counts cannot be compared bucket by bucket; the edges that differ are named."""
    with_edges(prometheus, {"0.1": 1}, {"0.1": 1, "0.2": 1, "0.3": 1, "0.4": 1})
    assert "differ in their edges (s): 0.2, 0.3, 0.4" in refused(prometheus, versions=("6", "7"))


def test_an_objective_that_was_changed_leaves_the_grid_that_both_have(prometheus: Prometheus) -> None:
    """The next release is judged: what stable was started with before is no reason to wait."""
    with_edges(prometheus, {"0.1": 1, "0.15": 2, "0.2": 4}, {"0.1": 1, "0.18": 3, "0.2": 4})
    found = look(prometheus, versions=("6", "7"))
    assert found.latency_edges_ms == (100.0, 200.0)


def test_stable_started_anew_brings_no_edge_into_a_comparison_that_is_under_way(prometheus: Prometheus) -> None:
    """It has the new policy's objective then; the release is judged on by the edges that it began with."""
    with_edges(prometheus, {"0.1": 1, "0.18": 2, "0.2": 4}, {"0.1": 1, "0.2": 4})
    first = look(prometheus, versions=("6", "7"))
    assert first.latency_edges_ms == (100.0, 200.0)
    with_edges(prometheus, {"0.1": 1, "0.18": 2, "0.2": 4}, {"0.1": 1, "0.18": 3, "0.2": 4})
    assert look(prometheus, first.cursor, versions=("6", "7")).latency_edges_ms == (100.0, 200.0)
    assert look(prometheus, versions=("6", "7")).latency_edges_ms == (100.0, 180.0, 200.0)


def test_a_histogram_that_contradicts_itself_is_refused(prometheus: Prometheus) -> None:
    """A larger edge never holds fewer requests."""
    start = started(prometheus, up({10: 1}), requests({10: 0}))
    prometheus.series = [up({1: 1, 0: 1}), requests({0: 5}), *buckets({"0.1": {0: 5}, "+Inf": {0: 4}})]
    assert "contradict" in refused(prometheus, start)


# --- exact increments -------------------------------------------------------------------------------------------------


def started(prometheus: Prometheus, *at_first: dict[str, Any]) -> CounterCursor:
    """The cursor of a look 10 s ago."""
    prometheus.series = list(at_first)
    metrics = PrometheusMetrics(prometheus.url, scrape_interval_s=1.0)
    return metrics.counts("intent", ("7",), None, at_s=NOW_S - 10).cursor


def test_a_reset_is_found_between_two_scrapes_even_if_overtaken_since(prometheus: Prometheus) -> None:
    """5 before the cursor, 8 before the restart, 9 after it: 3 + 9, although 9 > 5."""
    start = started(prometheus, up({10: 1}), requests({10: 5}), begun({10: 1}))
    prometheus.series = [
        up(dict.fromkeys(range(11), 1)),
        requests({10: 5, 9: 8, 8: 1, 4: 7, 0: 9}),
        begun({ago_s: 1 if ago_s > 8 else NOW_S - 8.5 for ago_s in range(11)}),
    ]
    for gap in (7, 6, 5, 3, 2, 1):
        prometheus.series[1]["values"].append([NOW_S - gap, "1" if gap > 4 else "7"])
    prometheus.series[1]["values"].sort()
    assert look(prometheus, start).live["7"].requests == 12


def test_a_restart_resets_every_counter_of_the_process(prometheus: Prometheus) -> None:
    """One counter fell, so the other began at zero too, although it is above its old value."""
    start = started(prometheus, up({10: 1}), requests({10: 50}), requests({10: 1}, code="500"), begun({10: 1}))
    prometheus.series = [up({10: 1, 0: 1}), requests({10: 50, 0: 3}), requests({10: 1, 0: 2}, code="500")]
    prometheus.series.append(begun({10: 1, 0: NOW_S - 1}))
    assert look(prometheus, start).live["7"] == ArmCounts(5, 2, (0,), None)


def test_a_new_process_has_not_counted_yet_what_the_old_one_had(prometheus: Prometheus) -> None:
    """It has not met a 500."""
    start = started(prometheus, up({10: 1}), requests({10: 2}), requests({10: 1}, code="500"), begun({10: 1}))
    prometheus.series = [up({10: 1, 0: 1}), requests({10: 2, 0: 4}), begun({10: 1, 0: NOW_S - 1})]
    assert look(prometheus, start).live["7"] == ArmCounts(4, 0, (0,), 0)


def test_a_replica_that_came_counts_from_zero_and_one_that_went_keeps_its_counts(prometheus: Prometheus) -> None:
    """Replaced in the middle of the window: 6 gained by the old one before it went, 4 by the new."""
    start = started(prometheus, up({10: 1}, instance="old"), requests({10: 20}, instance="old"))
    prometheus.series = [
        up({10: 1, 7: 1}, instance="old"),
        requests({10: 20, 7: 26}, instance="old"),
        up({2: 1, 0: 1}, instance="new"),
        requests({2: 3, 0: 4}, instance="new"),
    ]
    counts = look(prometheus, start)
    assert counts.live["7"].requests == 10
    assert look(prometheus, counts.cursor).live["7"].requests == 0


def test_of_several_replicas_it_is_told_what_each_of_them_served(prometheus: Prometheus) -> None:
    """Of one alone nothing."""
    names = ("a", "b", "c", "d")
    begun_at = [one for name in names for one in (up({10: 1}, instance=name), requests({10: 0}, instance=name))]
    start = started(prometheus, *begun_at)
    prometheus.series = [
        one
        for place, name in enumerate(names)
        for one in (
            up({10: 1, 0: 1}, instance=name),
            requests({0: 10**place}, instance=name),
            requests({0: place}, code="500", instance=name),
        )
    ]
    counts = look(prometheus, start)
    assert (counts.live["7"].requests, counts.live["7"].errors) == (1111 + 6, 6)
    parts = counts.parts["7"]
    assert [(part.requests, part.errors) for part in parts] == [(10**place + place, place) for place in range(4)]
    alone = started(prometheus, up({10: 1}), requests({10: 5}))
    prometheus.series = [up({10: 1, 0: 1}), requests({10: 5, 0: 9})]
    assert look(prometheus, alone).parts["7"] == ()


def served(counts: MetricCounts) -> list[int]:
    return [part.requests for part in counts.parts["7"]]


def test_a_replica_keeps_its_part_whoever_comes_or_goes(prometheus: Prometheus) -> None:
    """A new one, whose name stands first, becomes a part of its own, and the one after another has gone that one's."""
    start = started(
        prometheus, *(one for name in "bc" for one in (up({10: 1}, instance=name), requests({10: 0}, instance=name)))
    )
    prometheus.series = [
        *(one for name in "bc" for one in (up({10: 1, 5: 1}, instance=name), requests({10: 0, 5: 100}, instance=name))),
        *(up({5: 1}, instance="a"), requests({5: 7}, instance="a")),
    ]
    metrics = PrometheusMetrics(prometheus.url, scrape_interval_s=1.0)
    counts = metrics.counts("intent", ("7",), start, at_s=NOW_S - 5)
    assert served(counts) == [100, 100, 7]
    prometheus.series = [
        *(up({5: 1, 0: 1}, instance="c"), requests({5: 100, 0: 101}, instance="c")),
        *(up({5: 1, 0: 1}, instance="a"), requests({5: 7, 0: 9}, instance="a")),
        *(up({0: 1}, instance="new"), requests({0: 30}, instance="new")),
    ]
    assert served(look(prometheus, counts.cursor)) == [30, 1, 2]


def test_more_replicas_than_parts_are_taken_together_evenly(prometheus: Prometheus) -> None:
    names = [f"r{number:02d}" for number in range(20)]
    start = started(
        prometheus, *(one for name in names for one in (up({10: 1}, instance=name), requests({10: 0}, instance=name)))
    )
    prometheus.series = [
        one for name in names for one in (up({10: 1, 0: 1}, instance=name), requests({10: 0, 0: 1}, instance=name))
    ]
    assert served(look(prometheus, start)) == [3, 3, 3, 3, 2, 2, 2, 2]


def test_what_parts_of_the_users_got_is_told_where_the_gateway_says_who_asks(prometheus: Prometheus) -> None:
    """Series come with their first request: what a cursor does not know was nothing."""

    def of_users(part: int, took: str, samples: Mapping[float, float]) -> dict[str, Any]:
        return series(USERS_METRIC, samples, **target(users=str(part), took=took))

    start = started(prometheus, up({10: 1}), requests({10: 5}), of_users(3, "0.002", {10: 4}))
    prometheus.series = [
        *(up({10: 1, 0: 1}), requests({10: 5, 0: 16})),
        of_users(3, "0.002", {10: 4, 0: 9}),
        of_users(3, "failed", {0: 2}),
        of_users(15, "longer", {0: 1}),
        of_users(15, "refused", {0: 3}),
    ]
    users = look(prometheus, start).users["7"]
    assert len(users) == 16
    assert (users[3].requests, users[3].errors, users[3].latency_counts[0]) == (7, 2, 5)
    assert (users[15].requests, users[15].errors, users[15].latency_counts[-1]) == (4, 0, 1)
    assert sum(part.requests for part in users) == 11
    prometheus.series = [up({10: 1, 0: 1}), requests({10: 5, 0: 16})]
    assert look(prometheus, start).users["7"] == ()


def test_buckets_follow_the_lives_that_the_request_counters_tell(prometheus: Prometheus) -> None:
    """Histogram counts of both lives add up, each request in its own bucket."""
    start = started(
        prometheus,
        up({10: 1}),
        requests({10: 5}),
        begun({10: 1}),
        *buckets({"0.1": {10: 4}, "0.2": {10: 5}, "+Inf": {10: 5}}),
    )
    prometheus.series = [
        up({10: 1, 5: 1, 0: 1}),
        begun({10: 1, 5: 1, 0: NOW_S - 1}),
        requests({10: 5, 5: 8, 0: 3}),
        *buckets({"0.1": {10: 4, 5: 5, 0: 0}, "0.2": {10: 5, 5: 7, 0: 2}, "+Inf": {10: 5, 5: 8, 0: 3}}),
    ]
    counts = look(prometheus, start)
    assert counts.latency_edges_ms == (100.0, 200.0)
    assert counts.live["7"] == ArmCounts(6, 0, (1, 3, 2), 0)


def test_a_sample_that_arrived_late_is_counted_once(prometheus: Prometheus) -> None:
    """A scrape that began before a look and was stored after it belongs to the next look, restart or not."""
    start = started(prometheus, up({11: 1}), requests({11: 5}), begun({11: 1}))
    prometheus.series = [up({11: 1, 10.5: 1, 0: 1}), requests({11: 5, 10.5: 9, 0: 2})]
    prometheus.series.append(begun({11: 1, 10.5: 1, 0: NOW_S - 1}))
    assert look(prometheus, start).live["7"].requests == 6


def test_a_histogram_that_fell_alone_is_refused(prometheus: Prometheus) -> None:
    """No restart explains it, so nothing is known of the window."""
    start = started(prometheus, up({10: 1}), requests({10: 5}), *buckets({"+Inf": {10: 5}}))
    prometheus.series = [up({10: 1, 0: 1}), requests({10: 5, 0: 6}), *buckets({"+Inf": {10: 5, 0: 4}})]
    assert "fell by 1 without a restart" in refused(prometheus, start)


def test_a_cursor_keeps_the_steps_of_a_histogram_only(prometheus: Prometheus) -> None:
    """Every look is recorded, so a cursor does not repeat 92 buckets where three differ."""
    edges: dict[str, dict[float, object]] = {
        f"{number / 100:g}": {10: 2 if number < 50 else 7} for number in range(1, 92)
    }
    start = started(prometheus, up({10: 1}), requests({10: 7}), *buckets({**edges, "+Inf": {10: 8}}))
    assert len(start.values) == 5  # the scrape's time, the requests, and the steps at 0.01, 0.5 and +Inf


def test_a_quote_in_a_name_does_not_leave_the_query(prometheus: Prometheus) -> None:
    """Names are data."""
    prometheus.series = []
    metrics = PrometheusMetrics(prometheus.url, scrape_interval_s=1.0)
    with pytest.raises(TransientError):
        metrics.counts('a"} or up{x="', ('7"}',), None, at_s=NOW_S)
    assert r'model="a\"} or up{x=\""' in prometheus.queries[0]["query"]
    assert r'model_version=~"7\"\\}"' in prometheus.queries[0]["query"]
