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
from serving.contract import REQUEST_ID_HEADER, is_sampled
from suites.load import Load, Plan, Tally

_SAMPLED_LAST: Final = 0.99
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
    """Send the texts in turn while the block lasts, and ``for_s`` at most. Their ids are those that are sampled last:
    where not every request is sampled, none of these is.

    Raises:
        ValueError: as `suites.load.Plan`.
    """
    shown = {} if token is None else {"authorization": f"Bearer {token}"}
    ids = _ids_sampled_last()

    def headers(_number: int) -> Mapping[str, str]:
        return {**shown, REQUEST_ID_HEADER: next(ids)}

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


def _ids_sampled_last() -> Iterator[str]:
    while True:
        request_id = str(uuid.uuid4())
        if not is_sampled(request_id, _SAMPLED_LAST):
            yield request_id
