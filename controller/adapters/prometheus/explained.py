"""Counts that cannot be read, and why: the error of a look also names the link to a version that is broken."""

from collections.abc import Mapping, Sequence
from typing import Final, Protocol

from controller.errors import TransientError
from controller.ports.clock import Clock
from controller.ports.metrics import CounterCursor, GatewayCounts, MetricCounts, Metrics

_ASKED_EVERY_S: Final = 60.0  # of one model


class _Linked(Metrics, Protocol):
    def broken_links(self, model: str, versions: Sequence[str], *, at_s: float) -> Sequence[str]:
        """See `PrometheusMetrics.broken_links`."""


class ExplainedMetrics:
    """The port ``Metrics`` around another one. If counts cannot be read, the broken links are asked for, at most once a
    minute for a model and its versions, so that the message stays the same from look to look."""

    def __init__(self, metrics: _Linked, clock: Clock) -> None:
        self._metrics = metrics
        self._clock = clock
        self._told: dict[tuple[str, ...], tuple[float, str]] = {}  # by model and versions: when it was asked, and why

    def counts(self, model: str, versions: Sequence[str], cursor: CounterCursor | None, *, at_s: float) -> MetricCounts:
        """Return what each version did; see the port."""
        try:
            found = self._metrics.counts(model, versions, cursor, at_s=at_s)
        except TransientError as error:
            if not (why := self._why(model, versions, at_s)):
                raise
            error.args = (f"{error}; {why}",)  # its type and its source stay
            raise
        self._told.pop((model, *versions), None)
        return found

    def gateway(
        self, model: str, versions: Sequence[str], cursor: CounterCursor | None, *, at_s: float
    ) -> GatewayCounts:
        """Return what users got; see the port."""
        return self._metrics.gateway(model, versions, cursor, at_s=at_s)

    def service_errors(self, model: str, windows_s: Sequence[float], *, at_s: float) -> Mapping[float, tuple[int, int]]:
        """Return errors and requests by window; see the port."""
        return self._metrics.service_errors(model, windows_s, at_s=at_s)

    def _why(self, model: str, versions: Sequence[str], at_s: float) -> str:
        key, now_s = (model, *versions), self._clock.monotonic_s()
        asked_s, why = self._told.get(key, (None, ""))
        if asked_s is not None and now_s - asked_s < _ASKED_EVERY_S:
            return why
        try:
            why = "; ".join(self._metrics.broken_links(model, versions, at_s=at_s))
        except TransientError:  # Prometheus does not answer, as the look's own error says already
            why = ""
        self._told[key] = now_s, why
        return why
