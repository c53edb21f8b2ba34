"""What every ``Metrics`` does. Subclass, and give the fixture ``world``."""

import json
from collections.abc import Mapping, Sequence
from typing import Protocol

import pytest

from controller.errors import TransientError
from controller.ports.metrics import CounterCursor, GatewayCounts, MetricCounts
from gates.evidence import ArmCounts
from serving.contract import Traffic
from tests.patience import PATIENCE_S

EDGES_MS = (10.0, 50.0, 200.0)
TOKEN_EDGES = (4, 8, 16)
NONE = ArmCounts(0, 0, (0, 0, 0, 0), 0)


class MetricsWorld(Protocol):
    """Versions 6 and 7 of a model run and are scraped; buckets have the edges ``EDGES_MS``,
    those of tokens ``TOKEN_EDGES``."""

    def serve(
        self,
        version: str,
        *,
        traffic: Traffic = Traffic.LIVE,
        latencies_ms: Sequence[float] = (),
        codes: Mapping[int, int] | None = None,
        failures: int | None = None,
    ) -> None:
        """Let a version answer: 200 after each latency, and further answers by status code. ``failures``: what made
        the server errors among them; each has a cause of its own unless told otherwise."""

    def deal(self, version: str, *, latencies_ms: Sequence[float] = (), codes: Mapping[int, int] | None = None) -> None:
        """Let the gateway answer users for a version that the requests never reached. What ``serve`` lets it answer,
        the gateway answers too."""

    def lose_gateway(self) -> None:
        """From now on, nobody tells what the gateway did."""

    def users(self, cursor: CounterCursor | None, versions: Sequence[str] = ("6", "7")) -> GatewayCounts:
        """``Metrics.gateway``, once all that was answered can be seen."""

    def restart_gateway(self) -> None:
        """Replace the gateway's process, after its counters have been read a last time."""

    def read(self, version: str, tokens: Sequence[int], *, traffic: Traffic = Traffic.LIVE) -> None:
        """Let a version take in texts of so many tokens, which takes it some time."""

    def use(self, version: str, **amounts: float) -> None:
        """Raise the version's counters: ``unknown_tokens``, ``truncated``, ``cold_requests``, ``worker_restarts``."""

    def stand(self, version: str, *, memory_ratio: float, queue_depth: float, tokenizer: str) -> None:
        """Set what the version's gauges say."""

    def service_errors(self, windows_s: Sequence[float]) -> Mapping[float, tuple[int, int]]:
        """``Metrics.service_errors``, once all that was served can be seen."""

    def restart(self, version: str) -> None:
        """Replace the version's process, after its counters have been read a last time."""

    def look(self, cursor: CounterCursor | None, versions: Sequence[str] = ("6", "7")) -> MetricCounts:
        """``Metrics.counts``, once all that was served can be seen."""


class MetricsContract:
    def test_the_first_look_counts_nothing(self, world: MetricsWorld) -> None:
        """What was served before anybody looked is not of this release."""
        world.serve("6", latencies_ms=[20.0] * 5)
        counts = world.look(None)
        assert counts.live["6"].requests == 0
        assert sum(counts.live["6"].latency_counts) == 0

    def test_each_look_counts_what_came_since_the_one_before(self, world: MetricsWorld) -> None:
        """Increments are exact and none is counted twice."""
        world.serve("6", latencies_ms=[20.0] * 5)
        first = world.look(None)
        world.serve("6", latencies_ms=[20.0] * 3)
        world.serve("7", latencies_ms=[20.0])
        second = world.look(first.cursor)
        assert (second.live["6"].requests, second.live["7"].requests) == (3, 1)
        third = world.look(second.cursor)
        assert (third.live["6"].requests, third.live["7"].requests) == (0, 0)

    def test_live_and_shadow_are_counted_apart(self, world: MetricsWorld) -> None:
        """Nobody waits for a mirrored answer: it is not what users got."""
        start = world.look(None).cursor
        world.serve("7", traffic=Traffic.SHADOW, latencies_ms=[20.0] * 4, codes={500: 2})
        world.serve("7", traffic=Traffic.LIVE, latencies_ms=[20.0])
        counts = world.look(start)
        assert counts.shadow["7"] == ArmCounts(6, 2, (0, 4, 0, 0), 2)
        assert counts.live["7"] == ArmCounts(1, 0, (0, 1, 0, 0), 0)

    def test_errors_are_5xx_and_are_within_requests(self, world: MetricsWorld) -> None:
        """A client's mistake is no error of the model's; only answers that succeeded are timed."""
        start = world.look(None).cursor
        world.serve("7", latencies_ms=[1.0] * 2, codes={422: 3, 500: 1, 503: 4})
        assert world.look(start).live["7"] == ArmCounts(10, 5, (2, 0, 0, 0), 5)

    def test_a_latency_belongs_to_the_first_edge_that_it_does_not_exceed(self, world: MetricsWorld) -> None:
        """A request that takes exactly the objective has met it."""
        start = world.look(None).cursor
        world.serve("7", latencies_ms=[9.0, 10.0, 10.5, 50.0, 200.0, 201.0, 9999.0])
        counts = world.look(start)
        assert counts.latency_edges_ms == EDGES_MS
        assert counts.live["7"].latency_counts == (2, 2, 1, 2)

    def test_a_version_that_has_served_nothing_counts_zero(self, world: MetricsWorld) -> None:
        """Zero traffic is known to be none: neither an error nor a success."""
        world.serve("6", latencies_ms=[20.0])
        start = world.look(None).cursor
        world.serve("6", latencies_ms=[20.0])
        counts = world.look(start)
        assert counts.live["6"].requests == 1
        assert counts.live["7"] == counts.shadow["7"] == NONE

    def test_a_replaced_process_loses_and_doubles_nothing(self, world: MetricsWorld) -> None:
        """Counters that begin again at zero, and overtake what they were, still add up."""
        world.serve("7", latencies_ms=[20.0] * 2)
        start = world.look(None).cursor
        world.serve("7", latencies_ms=[20.0] * 3, codes={500: 1})
        world.restart("7")
        world.serve("7", latencies_ms=[20.0] * 9)
        assert world.look(start).live["7"] == ArmCounts(13, 1, (0, 12, 0, 0), 1)

    def test_a_version_without_samples_is_no_evidence_and_its_name_is_told(self, world: MetricsWorld) -> None:
        """Missing data is an error, never zero."""
        with pytest.raises(TransientError, match=r"version 8\b") as caught:
            world.look(None, ("6", "8"))
        assert caught.value.source == "metrics"

    def test_a_cursor_reads_the_same_again_and_survives_json(self, world: MetricsWorld) -> None:
        """A look that was not recorded is repeated from the same cursor, which came out of the journal."""
        world.serve("6", latencies_ms=[20.0] * 5)
        start = world.look(None).cursor
        world.serve("6", latencies_ms=[5.0, 300.0])
        stored = json.loads(json.dumps({"values": dict(start.values), "at_s": start.at_s}))
        again = CounterCursor(stored["values"], stored["at_s"])
        assert world.look(start).live == world.look(again).live
        assert world.look(again).live["6"] == ArmCounts(2, 0, (1, 0, 0, 1), 0)

    def test_texts_are_counted_by_their_tokens(self, world: MetricsWorld) -> None:
        """Lengths of live texts, by edge; what they hold, of all traffic. Nobody asked is none; the first look, nobody
        knows."""
        world.read("6", [3])
        world.read("7", [9])
        first = world.look(None)
        assert (first.usage["7"].texts, first.usage["7"].token_counts) == (None, ())
        world.read("7", [4, 5, 16, 17])
        world.read("7", [9], traffic=Traffic.SHADOW)
        world.use("7", unknown_tokens=3, truncated=1, cold_requests=2, worker_restarts=1)
        counts = world.look(first.cursor)
        used = counts.usage["7"]
        assert counts.token_edges == TOKEN_EDGES
        assert (used.token_counts, used.texts, used.tokens) == ((1, 1, 1, 1), 5, 51)
        assert (used.unknown_tokens, used.truncated, used.resources.cold_starts, used.worker_restarts) == (3, 1, 2, 1)
        assert used.busy_s is not None
        assert used.busy_s > 0
        assert (counts.usage["6"].token_counts, counts.usage["6"].texts) == ((0, 0, 0, 0), 0)

    def test_a_replaced_process_keeps_what_its_texts_were(self, world: MetricsWorld) -> None:
        """The counters beside the requests begin again together with them, and only then."""
        world.serve("7", latencies_ms=[20.0])
        world.read("7", [5, 5, 5])
        start = world.look(None).cursor
        world.serve("7", latencies_ms=[20.0])
        world.read("7", [5])
        world.restart("7")
        world.serve("7", latencies_ms=[20.0])
        world.read("7", [17, 17])
        world.use("7", truncated=2)
        used = world.look(start).usage["7"]
        assert (used.tokens, used.token_counts, used.truncated) == (5 + 34, (0, 1, 0, 2), 2)

    def test_gauges_tell_how_the_replicas_stand(self, world: MetricsWorld) -> None:
        """Of what they may use; a tokenizer by its digest."""
        world.read("6", [5])
        world.read("7", [5])
        world.stand("7", memory_ratio=0.5, queue_depth=3.0, tokenizer="abc")
        start = world.look(None).cursor
        world.read("7", [5])
        used = world.look(start).usage["7"]
        assert (used.replicas, used.resources.memory_ratio, used.tokenizer) == (1, 0.5, "abc")
        assert used.resources.queue_depth == pytest.approx(3.0)
        assert used.resources.cpu_ratio is not None
        assert used.resources.cpu_ratio > 0

    def test_errors_come_in_clusters_that_count_once(self, world: MetricsWorld) -> None:
        """What made requests fail is counted by the replica, by kind of traffic, and over its restarts."""
        start = world.look(None).cursor
        world.serve("7", codes={500: 7}, failures=2)
        world.serve("7", traffic=Traffic.SHADOW, codes={503: 1}, failures=1)
        first = world.look(start)
        world.restart("7")
        world.serve("7", codes={500: 4}, failures=1)
        second = world.look(first.cursor)
        found = [first.live["7"], first.shadow["7"], second.live["7"], second.live["6"]]
        assert [(arm.errors, arm.error_clusters) for arm in found] == [(7, 2), (1, 1), (4, 1), (0, 0)]

    def test_a_service_without_requests_has_no_errors(self, world: MetricsWorld) -> None:
        """Known to be none, in each window that was asked for."""
        world.look(None)
        assert world.service_errors((300.0, 3600.0)) == {300.0: (0, 0), 3600.0: (0, 0)}

    def test_the_services_errors_are_those_of_all_its_versions(self, world: MetricsWorld) -> None:
        """Of live requests; nobody waits for a mirrored one."""
        world.look(None)
        world.serve("6", latencies_ms=[20.0] * 90, codes={500: 10})
        world.serve("7", latencies_ms=[20.0] * 50, codes={503: 50})
        world.serve("7", traffic=Traffic.SHADOW, codes={500: 99})
        errors, requests = world.service_errors((300.0,))[300.0]
        assert requests == pytest.approx(200, rel=0.6)  # Prometheus sums up with an allowance for what no scrape saw
        assert errors / requests == pytest.approx(0.3, abs=0.15)  # which is large where it was watched for seconds

    def test_what_users_got_is_what_the_gateway_answered(self, world: MetricsWorld) -> None:
        """Each request once, by version: also those that no replica ever saw."""
        world.serve("6", latencies_ms=[20.0] * 9)
        start = world.users(None)
        assert (start.live["6"].requests, start.copies["6"], start.since_s) == (0, 0, None)
        world.serve("6", latencies_ms=[20.0] * 5, codes={422: 2, 500: 1})
        world.deal("6", codes={503: 7})
        world.serve("7", latencies_ms=[20.0])
        found = world.users(start.cursor)
        assert (found.live["6"].requests, found.live["6"].errors) == (15, 8)
        assert (found.live["7"].requests, found.live["7"].errors) == (1, 0)
        assert found.since_s is not None
        assert start.cursor.at_s - PATIENCE_S < found.since_s <= start.cursor.at_s
        assert world.users(found.cursor).live["6"].requests == 0

    def test_copies_are_counted_apart_from_what_users_got(self, world: MetricsWorld) -> None:
        """Nobody waits for them, and nobody's error is theirs."""
        start = world.users(None).cursor
        world.serve("7", traffic=Traffic.SHADOW, latencies_ms=[20.0] * 4, codes={500: 2})
        found = world.users(start)
        assert (found.copies["7"], found.live["7"].requests, found.live["7"].errors) == (6, 0, 0)
        assert (found.copies_failed["7"], found.copies_failed["6"]) == (2, 0)

    def test_users_times_are_counted_below_whole_milliseconds(self, world: MetricsWorld) -> None:
        """A time is cut to whole milliseconds, and one of exactly an edge is above it."""
        start = world.users(None).cursor
        world.serve("7", latencies_ms=[9.9, 10.0, 10.9, 49.5, 50.0, 9999.0])
        found = world.users(start)
        assert found.latency_edges_ms == EDGES_MS
        assert found.live["7"].latency_counts == (1, 3, 1, 1)

    def test_a_gateway_that_was_replaced_loses_and_doubles_nothing(self, world: MetricsWorld) -> None:
        """Its counters begin again, and overtake what they were."""
        world.serve("7", latencies_ms=[20.0] * 2)
        start = world.users(None).cursor
        world.serve("7", latencies_ms=[20.0] * 3)
        world.restart_gateway()
        world.serve("7", latencies_ms=[20.0] * 9, codes={503: 1})
        arm = world.users(start).live["7"]
        assert (arm.requests, arm.errors, arm.latency_counts) == (13, 1, (0, 12, 0, 0))

    def test_a_gateway_that_nobody_reads_is_a_fault_of_the_gateway(self, world: MetricsWorld) -> None:
        """Known by its name, so that nothing else is blamed or doubted; and no errors are not none."""
        world.lose_gateway()
        with pytest.raises(TransientError) as caught:
            world.users(None)
        assert caught.value.source == "gateway"
        with pytest.raises(TransientError):
            world.service_errors((300.0,))

    def test_the_services_errors_hold_those_that_no_version_answered(self, world: MetricsWorld) -> None:
        """The gateway's own answers are what users got, too."""
        world.look(None)
        world.serve("6", latencies_ms=[20.0] * 50)
        world.deal("6", codes={503: 50})
        errors, requests = world.service_errors((300.0,))[300.0]
        assert errors / requests == pytest.approx(0.5, abs=0.2)
