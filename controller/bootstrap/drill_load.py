"""The drill's own requests, at a steady rate beside everything else."""

import asyncio
import collections
import itertools
import threading
import uuid
from array import array
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final

from controller.core.drills import Counted
from controller.ports.drills import Mark
from serving.contract import DRILL_REQUEST_PREFIX, REQUEST_ID_HEADER
from suites.load import Load, Plan, Tally

_END_WITHIN_S: Final = 30.0


@dataclass(frozen=True, slots=True)
class _Text:
    text: str


class LoadUsers:
    """Implements ``controller.ports.drills.Users`` on the tally of a load."""

    def __init__(self, tally: Tally) -> None:
        self._tally = tally

    def mark(self) -> Mark:
        return Mark(self._tally.sent, len(self._tally.took_ms), dict(self._tally.failures))

    def between(self, first: Mark, last: Mark) -> Counted:
        part = Tally(took_ms=array("d", self._tally.took_ms[first.answered : last.answered]))
        failures = collections.Counter(last.failures) - collections.Counter(first.failures)
        return Counted(
            sent=last.sent - first.sent,
            answered=last.answered - first.answered,
            failures=dict(failures),
            p50_ms=part.quantile_ms(0.50),
            p95_ms=part.quantile_ms(0.95),
        )


@contextmanager
def loading(
    url: str, texts: Sequence[str], rate_per_s: float, for_s: float, token: str | None = None
) -> Iterator[LoadUsers]:
    """Send the texts in turn while the block lasts, and ``for_s`` at most. By their ids they are no samples.

    Raises:
        ValueError: as `suites.load.Plan`.
    """
    shown = {} if token is None else {"authorization": f"Bearer {token}"}

    def headers(_number: int) -> Mapping[str, str]:
        return {**shown, REQUEST_ID_HEADER: f"{DRILL_REQUEST_PREFIX}{uuid.uuid4()}"}

    load = Load(Plan(url, rate_per_s, for_s, headers), itertools.cycle(map(_Text, texts)))
    loop, stopping = asyncio.new_event_loop(), asyncio.Event()
    thread = threading.Thread(target=lambda: loop.run_until_complete(load.run(stopping)), name="drill-load")
    thread.start()
    try:
        yield LoadUsers(load.tally)
    finally:
        if thread.is_alive():
            loop.call_soon_threadsafe(stopping.set)
        thread.join(_END_WITHIN_S)
        loop.close()
