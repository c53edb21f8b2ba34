"""Refusals as metrics count them: what is told of strangers to somebody who reads no log."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from controller.adapters.remote.wire import Wire
from controller.core.drills import Check
from controller.errors import TransientError
from serving.contract import API_REFUSED_METRIC, API_REFUSED_SINCE_METRIC, METRICS_ROUTE

_READ_FIRST: Final = 5  # times: several controllers may answer at one address in turns


@dataclass
class Counts:
    """Implements ``controller.adapters.local.drill_strangers.Witness``. ``read``: how many were refused so far, by the
    process that counts; may raise TransientError. One that is found later counts from then on. ``who`` counts them."""

    read: Callable[[], Mapping[str, float]]
    who: str
    _first: dict[str, float] = field(default_factory=dict)

    def begin(self) -> None:
        for _ in range(_READ_FIRST):
            self._first |= self.read()

    def told(self) -> str:
        try:
            now = self.read()
        except TransientError:
            return ""
        grown = sum(count - self._first.setdefault(process, count) for process, count in now.items())
        return f"{self.who} count {grown:.0f} refused" if grown > 0 else ""

    def checks(self, _sent: int, _word: str) -> Sequence[Check]:
        return ()


def refused_by_interface(wire: Wire) -> Mapping[str, float]:
    """Return how many requests a controller's interface has refused, by the time since which it counts. Raises as
    `Wire.ask`."""
    found = dict(_samples(wire.ask("GET", METRICS_ROUTE).body.decode("utf-8", errors="replace")))
    if not {API_REFUSED_METRIC, API_REFUSED_SINCE_METRIC} <= found.keys():  # an earlier release counts none
        return {}
    return {str(found[API_REFUSED_SINCE_METRIC]): found[API_REFUSED_METRIC]}


def _samples(page: str) -> Iterator[tuple[str, float]]:
    """Yield those without a label."""
    for line in page.splitlines():
        name, _, value = line.partition(" ")
        if name in (API_REFUSED_METRIC, API_REFUSED_SINCE_METRIC):
            yield name, float(value)
