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
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

import httpx

from serving.contract import LABELS_ROUTE, TAGS_HEADER
from suites.intents.generator import Example, held_out
from suites.intents.recipes import LOST, RECENT
from suites.load import TIMEOUT_S, Load, Plan

TEXTS: Final = 30_000
SUITE_TEXTS: Final = 600  # the first held-out texts make up the suite file, and are not sent
LABEL_BATCH_S: Final = 0.5


class Texts:
    """The texts that people write, without an end. ``turn_at``: until this version has answered one of them, nobody
    uses a wording that some version was not trained on; from then on, everybody uses those that v3 never learnt. None:
    any wording."""

    def __init__(self, turn_at: str | None) -> None:
        found = held_out(SUITE_TEXTS + TEXTS)[SUITE_TEXTS:]
        known = [one for one in found if one.family not in LOST | RECENT] if turn_at is not None else found
        self._turn_at = turn_at
        self._known: Iterator[Example] = itertools.cycle(known)
        self._lost: Iterator[Example] = itertools.cycle([one for one in found if one.family in LOST])
        self._turned = False

    def __iter__(self) -> "Texts":
        return self

    def __next__(self) -> Example:
        return next(self._lost if self._turned else self._known)

    def answered_by(self, version: str) -> None:
        self._turned = self._turned or version == self._turn_at


class Labels:
    """Sends the true labels of what was answered to the controller, ``delay_s`` seconds later."""

    def __init__(self, api: str, token: str, *, delay_s: float, named: Callable[[str], str] = str) -> None:
        """``named`` returns what the source of labels calls a class."""
        self.sent = 0
        self._url = f"{api}{LABELS_ROUTE}"
        self._headers = {"authorization": f"Bearer {token}"}
        self._delay_s = delay_s
        self._named = named
        self._waiting: collections.deque[tuple[float, str, str]] = collections.deque()

    def of(self, example: Example, request_id: str) -> None:
        self._waiting.append((time.monotonic() + self._delay_s, request_id, self._named(example.label)))

    async def send(self) -> None:
        """Send the labels that are due, again and again, until cancelled."""
        async with httpx.AsyncClient(timeout=TIMEOUT_S, trust_env=False) as client:
            while True:
                await asyncio.sleep(LABEL_BATCH_S)
                due: list[dict[str, str]] = []
                while self._waiting and self._waiting[0][0] <= time.monotonic():
                    _, request_id, label = self._waiting.popleft()
                    due.append({"request_id": request_id, "label": label, "source": "demo"})
                if not due:
                    continue
                try:
                    answer = await client.post(self._url, json={"labels": due}, headers=self._headers)
                except httpx.HTTPError:
                    continue  # the controller is away; these labels are lost, as some always are
                self.sent += len(due) if answer.is_success else 0


def as_title(label: str) -> str:
    """Return the label as a help desk writes it: ``Login Problem`` for ``login_problem``."""
    return label.replace("_", " ").title()


def main() -> None:
    flags = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    flags.add_argument("--gateway", required=True)
    flags.add_argument("--api", required=True)
    flags.add_argument("--label-token-file", type=Path, required=True, help="token with the role `labels`")
    flags.add_argument("--rate-per-s", type=float, default=60.0)
    flags.add_argument("--labels-as-titles", action="store_true", help="labels of another vocabulary: `Login Problem`")
    flags.add_argument(
        "--turn-at", metavar="VERSION", help="once this version has answered, send only wordings that v3 never learnt"
    )
    flags.add_argument("--label-delay-s", type=float, default=4.0)
    flags.add_argument("--for-s", type=float, default=300.0)
    chosen = flags.parse_args()
    token = chosen.label_token_file.read_text(encoding="ascii").strip()
    named = as_title if chosen.labels_as_titles else str
    labels = Labels(chosen.api, token, delay_s=chosen.label_delay_s, named=named)
    texts = Texts(chosen.turn_at)

    def answered(example: Example, request_id: str, version: str) -> None:
        texts.answered_by(version)
        labels.of(example, request_id)

    plan = Plan(f"{chosen.gateway}/models/intent/predict", chosen.rate_per_s, chosen.for_s, _tags)
    load = Load(plan, texts, answered)
    asyncio.run(_until_stopped(load, labels))
    tally = load.tally
    print(
        json.dumps(
            {
                "sent": tally.sent,
                "failed": tally.failures.total(),
                "failures": dict(tally.failures),
                "failed_requests": tally.failed,
                "skipped": tally.skipped,
                "labelled": labels.sent,
                "by_version": dict(sorted(tally.by_version.items())),
            }
        )
    )


def _tags(number: int) -> dict[str, str]:
    return {TAGS_HEADER: f"channel={'app' if number % 2 else 'mail'}"}


async def _until_stopped(load: Load[Example], labels: Labels) -> None:
    stopping = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stopping.set)
    sending = asyncio.create_task(labels.send())
    await load.run(stopping)
    sending.cancel()
    await asyncio.gather(sending, return_exceptions=True)


if __name__ == "__main__":
    main()
