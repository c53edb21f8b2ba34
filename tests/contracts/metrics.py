"""What every ``Metrics`` does. Subclass, and give the fixture ``world``."""

import json
from collections.abc import Mapping, Sequence
from typing import Protocol

import pytest

from controller.errors import TransientError
from controller.ports import CounterCursor, MetricCounts
from gates.evidence import ArmCounts
from serving.contract import Traffic

EDGES_MS = (10.0, 50.0, 200.0)
NONE = ArmCounts(0, 0, (0, 0, 0, 0))


class MetricsWorld(Protocol):
    """Versions 6 and 7 of a model run and are scraped; buckets have the edges ``EDGES_MS``."""

    def serve(
        self,
        version: str,
        *,
        traffic: Traffic = Traffic.LIVE,
        latencies_ms: Sequence[float] = (),
        codes: Mapping[int, int] | None = None,
    ) -> None:
        """Let a version answer: 200 after each latency, and further answers by status code."""

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
        assert counts.shadow["7"] == ArmCounts(6, 2, (0, 4, 0, 0))
        assert counts.live["7"] == ArmCounts(1, 0, (0, 1, 0, 0))

    def test_errors_are_5xx_and_are_within_requests(self, world: MetricsWorld) -> None:
        """A client's mistake is no error of the model's; only answers that succeeded are timed."""
        start = world.look(None).cursor
        world.serve("7", latencies_ms=[1.0] * 2, codes={422: 3, 500: 1, 503: 4})
        assert world.look(start).live["7"] == ArmCounts(10, 5, (2, 0, 0, 0))

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
        assert world.look(start).live["7"] == ArmCounts(13, 1, (0, 12, 0, 0))

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
        assert world.look(again).live["6"] == ArmCounts(2, 0, (1, 0, 0, 1))
