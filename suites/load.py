"""Steady traffic to one model at a gateway, bounded in rate and time: it ends by itself."""

import asyncio
import collections
import math
import time
import uuid
from array import array
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Final, Generic, NamedTuple, Protocol, TypeVar

import httpx

from serving.contract import MODEL_VERSION_HEADER, REQUEST_ID_HEADER

RATE_PER_S_MAX: Final = 200.0  # the most that one process can send evenly
FOR_S_MAX: Final = 3_600.0
IN_FLIGHT_MAX: Final = 64
TIMEOUT_S: Final = 10.0
FAILED_MAX: Final = 10_000  # how many failed requests are kept with their times
_QUOTED: Final = 80


class Written(Protocol):
    """One text that somebody writes."""

    @property
    def text(self) -> str: ...


Text = TypeVar("Text", bound=Written)


@dataclass(frozen=True, slots=True)
class Plan:
    """Where requests go, how many a second, and for how long. ``headers`` returns those of a request by its number,
    from 1."""

    url: str
    rate_per_s: float
    for_s: float
    headers: Callable[[int], Mapping[str, str]] = lambda _: {}

    def __post_init__(self) -> None:
        """Raises ValueError if the rate or the time is not above 0, or is larger than a load may have."""
        for name, value, most in (
            ("rate_per_s", self.rate_per_s, RATE_PER_S_MAX),
            ("for_s", self.for_s, FOR_S_MAX),
        ):
            if not 0 < value <= most:
                raise ValueError(f"{name} {value:g}: must be above 0 and at most {most:g}")


class Failed(NamedTuple):
    """A request that got no successful answer: when it was sent and when it ended (monotonic), and how."""

    asked_s: float
    ended_s: float
    how: str


@dataclass(slots=True)
class Tally:
    """The counts of what has happened so far. ``took_ms``: the times of successful answers, as the client saw them."""

    sent: int = 0
    failures: collections.Counter[str] = field(default_factory=collections.Counter)  # by status or kind of error
    failed: list[Failed] = field(default_factory=list)  # the first of them
    skipped: int = 0  # not sent, because too many were in flight
    by_version: collections.Counter[str] = field(default_factory=collections.Counter)
    took_ms: "array[float]" = field(default_factory=lambda: array("d"))

    def quantile_ms(self, share: float) -> float | None:
        """Return the time in ms within which this share (0 to 1) of the answers came, by nearest rank; None if none
        came."""
        if not self.took_ms:
            return None
        ordered = sorted(self.took_ms)
        return ordered[max(1, math.ceil(share * len(ordered))) - 1]


class Load(Generic[Text]):
    """Sends requests at a constant rate, however long the answers take."""

    def __init__(
        self, plan: Plan, texts: Iterator[Text], answered: Callable[[Text, str, str], None] = lambda *_: None
    ) -> None:
        """``texts`` never ends. ``answered`` is called for each success, with the text, the request's id and the
        version."""
        self.tally = Tally()
        self._plan = plan
        self._texts = texts
        self._answered = answered
        self._in_flight: set[asyncio.Task[None]] = set()

    async def run(self, stopping: asyncio.Event) -> None:
        """Send until the plan's time is over or ``stopping`` is set; then wait for the answers that are still to
        come."""
        limits = httpx.Limits(max_connections=IN_FLIGHT_MAX, max_keepalive_connections=IN_FLIGHT_MAX)
        async with httpx.AsyncClient(timeout=TIMEOUT_S, trust_env=False, limits=limits) as client:
            await self._send(client, stopping)
            await asyncio.gather(*self._in_flight)

    async def _send(self, client: httpx.AsyncClient, stopping: asyncio.Event) -> None:
        start_s, plan = time.monotonic(), self._plan
        for number in range(max(1, int(plan.for_s * plan.rate_per_s))):
            await _until(start_s + number / plan.rate_per_s, stopping)
            if stopping.is_set():
                return
            if len(self._in_flight) >= IN_FLIGHT_MAX:
                self.tally.skipped += 1
                continue
            task = asyncio.create_task(self._ask(client, next(self._texts)))
            self._in_flight.add(task)
            task.add_done_callback(self._in_flight.discard)

    async def _ask(self, client: httpx.AsyncClient, wanted: Text) -> None:
        request_id = str(uuid.uuid4())
        self.tally.sent += 1
        headers = {REQUEST_ID_HEADER: request_id, **self._plan.headers(self.tally.sent)}
        asked_s = time.monotonic()
        try:
            answer = await client.post(self._plan.url, json={"text": wanted.text}, headers=headers)
        except httpx.HTTPError as error:
            self._failed(type(error).__name__, asked_s)
            return
        if not answer.is_success:  # also a redirect, which is not followed
            self._failed(f"{answer.status_code} {answer.text[:_QUOTED]}".strip(), asked_s)
            return
        self.tally.took_ms.append(1_000 * (time.monotonic() - asked_s))
        version = answer.headers.get(MODEL_VERSION_HEADER, "?")
        self.tally.by_version[version] += 1
        self._answered(wanted, request_id, version)

    def _failed(self, how: str, asked_s: float) -> None:
        self.tally.failures[how] += 1
        if len(self.tally.failed) < FAILED_MAX:
            self.tally.failed.append(Failed(asked_s, time.monotonic(), how))


async def _until(at_s: float, stopping: asyncio.Event) -> None:
    """Wait until the monotonic time ``at_s``, or until ``stopping`` is set."""
    wait_s = at_s - time.monotonic()
    if wait_s > 0:
        try:
            await asyncio.wait_for(stopping.wait(), wait_s)
        except TimeoutError:
            return
