"""A bounded, steady load: held-out texts to the gateway, and their true labels to the controller some seconds later.

    python -m suites.intents.demo.load --gateway URL --api URL --label-token-file FILE --rate-per-s 60 --for-s 300

Stops by itself after ``--for-s`` seconds; on SIGTERM at once. The last line on standard output is a JSON summary.
"""

import argparse
import asyncio
import collections
import itertools
import json
import signal
import time
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import httpx

from suites.intents.generator import Example, held_out
from suites.intents.recipes import LOST, RECENT

TEXTS: Final = 30_000
SUITE_TEXTS: Final = 600  # the first held-out texts are the suite file
IN_FLIGHT_MAX: Final = 64
LABEL_BATCH_S: Final = 0.5
FAILED_MAX: Final = 10_000  # of which it is kept when they were asked
REQUEST_ID_HEADER: Final = "x-request-id"
TAGS_HEADER: Final = "x-serin-tags"
VERSION_HEADER: Final = "x-serin-model-version"


@dataclass(slots=True)
class Tally:
    """The counts of what happened so far."""

    sent: int = 0
    failures: collections.Counter[str] = field(default_factory=collections.Counter)  # by status or kind of error
    failed: list[tuple[float, float]] = field(default_factory=list)  # the first of them: asked, ended (monotonic s)
    skipped: int = 0  # not sent, because too many were in flight
    labelled: int = 0
    by_version: collections.Counter[str] = field(default_factory=collections.Counter)


class Texts:
    """The texts that people write, without an end. ``turn_at``: until this version has answered one of them, nobody
    uses a wording that any version was not trained on; from then on everybody uses those that v3 never learnt."""

    def __init__(self, turn_at: str | None) -> None:
        found = held_out(SUITE_TEXTS + TEXTS)[SUITE_TEXTS:]
        known = [one for one in found if one.family not in LOST | RECENT] if turn_at is not None else found
        self._turn_at = turn_at
        self._known: Iterator[Example] = itertools.cycle(known)
        self._lost: Iterator[Example] = itertools.cycle([one for one in found if one.family in LOST])
        self._turned = False

    def __next__(self) -> Example:
        return next(self._lost if self._turned else self._known)

    def answered_by(self, version: str) -> None:
        self._turned = self._turned or version == self._turn_at


class Load:
    """Sends requests at a constant rate whatever the answers take, and labels late."""

    def __init__(
        self,
        gateway: str,
        api: str,
        label_token: str,
        *,
        rate_per_s: float,
        label_delay_s: float,
        named: Callable[[str], str] = str,
        turn_at: str | None = None,
    ) -> None:
        """``named``: what the source of labels calls a class. ``turn_at``: of `Texts`."""
        self._named = named
        self._texts = Texts(turn_at)
        self._predict = f"{gateway}/models/intent/predict"
        self._labels = f"{api}/v1/labels"
        self._label_headers = {"authorization": f"Bearer {label_token}"}
        self._rate_per_s = rate_per_s
        self._label_delay_s = label_delay_s
        self._waiting: collections.deque[tuple[float, str, str]] = collections.deque()
        self._in_flight: set[asyncio.Task[None]] = set()
        self.tally = Tally()

    async def run(self, for_s: float, stopping: asyncio.Event) -> None:
        limits = httpx.Limits(max_connections=IN_FLIGHT_MAX, max_keepalive_connections=IN_FLIGHT_MAX)
        async with httpx.AsyncClient(timeout=10, trust_env=False, limits=limits) as client:
            labels = asyncio.create_task(self._send_labels(client))
            await self._send_requests(client, for_s, stopping)
            await asyncio.gather(*self._in_flight)
            labels.cancel()
            await asyncio.gather(labels, return_exceptions=True)

    async def _send_requests(self, client: httpx.AsyncClient, for_s: float, stopping: asyncio.Event) -> None:
        start_s = time.monotonic()
        for number in range(int(for_s * self._rate_per_s)):
            wait_s = start_s + number / self._rate_per_s - time.monotonic()
            if wait_s > 0:
                await asyncio.sleep(wait_s)
            if stopping.is_set():
                return
            if len(self._in_flight) >= IN_FLIGHT_MAX:
                self.tally.skipped += 1
                continue
            task = asyncio.create_task(self._ask(client, next(self._texts)))
            self._in_flight.add(task)
            task.add_done_callback(self._in_flight.discard)

    async def _ask(self, client: httpx.AsyncClient, example: Example) -> None:
        request_id = str(uuid.uuid4())
        self.tally.sent += 1
        asked_s = time.monotonic()
        try:
            tags = f"channel={'app' if self.tally.sent % 2 else 'mail'}"
            headers = {REQUEST_ID_HEADER: request_id, TAGS_HEADER: tags}
            answer = await client.post(self._predict, json={"text": example.text}, headers=headers)
        except httpx.HTTPError as error:
            self._failed(type(error).__name__, asked_s)
            return
        if answer.is_error:
            self._failed(f"{answer.status_code} {answer.text[:80]}", asked_s)
            return
        version = answer.headers.get(VERSION_HEADER, "?")
        self.tally.by_version[version] += 1
        self._texts.answered_by(version)
        self._waiting.append((time.monotonic() + self._label_delay_s, request_id, self._named(example.label)))

    def _failed(self, how: str, asked_s: float) -> None:
        self.tally.failures[how] += 1
        if len(self.tally.failed) < FAILED_MAX:
            self.tally.failed.append((asked_s, time.monotonic()))

    async def _send_labels(self, client: httpx.AsyncClient) -> None:
        while True:
            await asyncio.sleep(LABEL_BATCH_S)
            due: list[dict[str, str]] = []
            while self._waiting and self._waiting[0][0] <= time.monotonic():
                _, request_id, label = self._waiting.popleft()
                due.append({"request_id": request_id, "label": label, "source": "demo"})
            if not due:
                continue
            try:
                answer = await client.post(self._labels, json={"labels": due}, headers=self._label_headers)
            except httpx.HTTPError:
                continue  # the controller is away; these labels are lost, as some always are
            self.tally.labelled += len(due) if answer.is_success else 0


def as_title(label: str) -> str:
    """As a help desk writes it: ``Login Problem`` for ``login_problem``."""
    return label.replace("_", " ").title()


def main() -> None:
    flags = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    flags.add_argument("--gateway", required=True)
    flags.add_argument("--api", required=True)
    flags.add_argument("--label-token-file", type=Path, required=True, help="token with the role `labels`")
    flags.add_argument("--rate-per-s", type=float, default=60.0)
    flags.add_argument("--labels-as-titles", action="store_true", help="labels of another vocabulary: `Login Problem`")
    flags.add_argument(
        "--turn-at", metavar="VERSION", help="once it answers somebody, everybody writes as v3 never learnt to read"
    )
    flags.add_argument("--label-delay-s", type=float, default=4.0)
    flags.add_argument("--for-s", type=float, default=300.0)
    chosen = flags.parse_args()
    token = chosen.label_token_file.read_text(encoding="ascii").strip()
    named = as_title if chosen.labels_as_titles else str
    rate_per_s, label_delay_s = chosen.rate_per_s, chosen.label_delay_s
    load = Load(
        chosen.gateway,
        chosen.api,
        token,
        rate_per_s=rate_per_s,
        label_delay_s=label_delay_s,
        named=named,
        turn_at=chosen.turn_at,
    )
    asyncio.run(_until_stopped(load, chosen.for_s))
    tally = load.tally
    print(
        json.dumps(
            {
                "sent": tally.sent,
                "failed": tally.failures.total(),
                "failures": dict(tally.failures),
                "failed_at_s": tally.failed,
                "skipped": tally.skipped,
                "labelled": tally.labelled,
                "by_version": dict(sorted(tally.by_version.items())),
            }
        )
    )


async def _until_stopped(load: Load, for_s: float) -> None:
    stopping = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stopping.set)
    await load.run(for_s, stopping)


if __name__ == "__main__":
    main()
