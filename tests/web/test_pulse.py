"""The rates of the last minutes: read when they are due, for those that are looked at, and never shown when old."""

from collections.abc import Sequence

import pytest

from controller.errors import Source, TransientError
from controller.ports.metrics import CounterCursor, GatewayCounts
from controller.web.pulse import EVERY_S, KEPT_S, WINDOWS_S, Pulses
from gates.evidence import ArmCounts
from tests.controller.api_support import StoppedClock
from tests.web.support import GatewayMetrics


@pytest.fixture
def clock() -> StoppedClock:
    return StoppedClock(1_000.0)


def test_the_last_minutes_are_told_by_version(clock: StoppedClock) -> None:
    """From a reading of then to one of now; P95 is the edge of a bucket, or beyond the last."""
    metrics = GatewayMetrics()
    pulses = Pulses(metrics, clock)  # type: ignore[arg-type]
    pulses.read({"intent": ("6", "7")})
    assert [(with_cursor, at_s) for *_, with_cursor, at_s in metrics.asked] == [
        (False, 1_000 - WINDOWS_S[0]),
        (True, 1_000),
    ]
    found = pulses.of("intent")
    assert found is not None
    assert (found.versions["6"].requests, found.versions["6"].errors, found.versions["6"].p95_ms) == (9_500, 3, 50.0)
    assert found.versions["7"].p95_ms == 100.0


def test_what_lies_beyond_the_last_bucket_is_told_as_that(clock: StoppedClock) -> None:
    metrics = GatewayMetrics({"6": ArmCounts(10, 0, (0, 0, 0, 5, 5)), "7": ArmCounts(3, 3, (0, 0, 0, 0, 0))})
    pulses = Pulses(metrics, clock)  # type: ignore[arg-type]
    pulses.read({"intent": ("6", "7")})
    found = pulses.of("intent")
    assert found is not None
    assert (found.versions["6"].p95_ms, found.versions["6"].beyond_ms) == (None, 100.0)
    assert (found.versions["7"].p95_ms, found.versions["7"].beyond_ms) == (None, None)  # none was timed


def test_a_gateway_that_has_just_started_tells_of_less(clock: StoppedClock) -> None:
    metrics = GatewayMetrics()
    real = metrics.gateway

    def young(model: str, versions: Sequence[str], cursor: CounterCursor | None, *, at_s: float) -> GatewayCounts:
        if at_s < 1_000 - 100:
            raise TransientError(Source.GATEWAY, "the gateway is not scraped")
        return real(model, versions, cursor, at_s=at_s)

    metrics.gateway = young  # type: ignore[method-assign]
    pulses = Pulses(metrics, clock)  # type: ignore[arg-type]
    pulses.read({"intent": ("6",)})
    found = pulses.of("intent")
    assert found is not None
    assert (found.window_s, found.untold, found.versions["6"].requests) == (60.0, "", 9_500)


def test_they_are_read_when_they_are_due_or_another_version_serves(clock: StoppedClock) -> None:
    metrics = GatewayMetrics()
    pulses = Pulses(metrics, clock)  # type: ignore[arg-type]
    pulses.read({"intent": ("6",)})
    pulses.read({"intent": ("6",)})
    assert len(metrics.asked) == 2
    pulses.read({"intent": ("6", "7")})
    assert len(metrics.asked) == 4
    clock.at_s += EVERY_S
    pulses.read({"intent": ("6", "7")})
    assert len(metrics.asked) == 6
    pulses.read({})
    assert pulses.of("intent") is None  # nobody looks: nothing is kept
    pulses.read({"intent": ("6",)})
    clock.at_s += KEPT_S + 1
    assert pulses.of("intent") is None


def test_what_cannot_be_read_says_why(clock: StoppedClock) -> None:
    metrics = GatewayMetrics()

    def away(*_: object, **__: object) -> None:
        raise TransientError(Source.GATEWAY, "the gateway is not scraped")

    metrics.gateway = away  # type: ignore[method-assign, assignment]
    pulses = Pulses(metrics, clock)  # type: ignore[arg-type]
    pulses.read({"intent": ("6",)})
    found = pulses.of("intent")
    assert found is not None
    assert (found.untold, found.versions) == ("the gateway is not scraped", {})
