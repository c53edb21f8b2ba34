"""The pulse of a service: the requests, errors and latencies that its users got in the last minutes, by version."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from controller.errors import SerinError
from controller.ports.clock import Clock
from controller.ports.metrics import Metrics
from controller.report.tallies import edge_at
from gates.evidence import ArmCounts

WINDOWS_S: Final = (300.0, 60.0)  # the longest that can be read: a gateway that has just started tells of less
EVERY_S: Final = 15.0
KEPT_S: Final = 60.0  # what is older is not shown
_P95: Final = 0.95


@dataclass(frozen=True, slots=True)
class Served:
    """The answers of one version that users got. ``p95_ms`` is a bucket's edge; None: nothing was timed, or it lies
    ``beyond_ms``, the last edge."""

    requests: int
    errors: int
    p95_ms: float | None
    beyond_ms: float | None = None


@dataclass(frozen=True, slots=True)
class Pulse:
    """The last ``window_s`` up to ``at_s``. ``untold`` says why nothing is known, where that is so."""

    at_s: float
    window_s: float = WINDOWS_S[0]
    versions: Mapping[str, Served] = field(default_factory=dict)
    untold: str = ""


class Pulses:
    """The pulses of models, as they were read last. One thread reads, any may ask."""

    def __init__(self, metrics: Metrics, clock: Clock) -> None:
        self._metrics = metrics
        self._clock = clock
        self._known: dict[str, Pulse] = {}

    def of(self, model: str) -> Pulse | None:
        """Return the model's pulse; None where none was read lately."""
        found = self._known.get(model)
        return found if found is not None and self._clock.now_s() - found.at_s <= KEPT_S else None

    def read(self, versions: Mapping[str, Sequence[str]]) -> None:
        """Read those of these models, with their versions, that are due. What cannot be read is told as that."""
        now_s = self._clock.now_s()
        for model in [known for known in self._known if known not in versions]:
            del self._known[model]
        for model, asked in versions.items():
            last = self._known.get(model)
            others = last is not None and not last.untold and set(asked) != set(last.versions)
            if last is None or others or now_s - last.at_s >= EVERY_S:
                self._known[model] = self._read(model, asked, now_s)

    def _read(self, model: str, versions: Sequence[str], now_s: float) -> Pulse:
        untold = ""
        for window_s in WINDOWS_S:
            try:
                before = self._metrics.gateway(model, versions, None, at_s=now_s - window_s)
                found = self._metrics.gateway(model, versions, before.cursor, at_s=now_s)
            except SerinError as error:
                untold = str(error)
                continue
            served = {name: _served(arm, found.latency_edges_ms) for name, arm in found.live.items()}
            return Pulse(now_s, window_s, served)
        return Pulse(now_s, untold=untold)


def _served(arm: ArmCounts, edges_ms: Sequence[float]) -> Served:
    timed = sum(arm.latency_counts)
    p95_ms = edge_at(arm.latency_counts, edges_ms, _P95) if timed else None
    beyond = edges_ms[-1] if timed and p95_ms is None and edges_ms else None
    return Served(arm.requests, arm.errors, p95_ms, beyond)
