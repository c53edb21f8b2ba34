"""The courier: delivers messages from the queue to their targets, with one thread per target. A target that hangs or
fails delays no round, no rollback and no other target."""

import logging
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final

from controller.core.notices import Message
from controller.errors import SerinError
from controller.ports.clock import Clock
from controller.ports.notices import Channel, NoticeQueue, UndeliveredError

log = logging.getLogger(__name__)

POLL_S: Final = 1.0
BACKOFF_FIRST_S: Final = 2.0
BACKOFF_MAX_S: Final = 300.0
GIVEN_UP_AFTER_S: Final = 86_400.0
"""A notice that could not be delivered for this long is given up."""
_LAST_MOMENT_S: Final = 1.0
_PAUSE_MAX_S: Final = 30.0  # the longest pause before a failing target is tried with another message


@dataclass(slots=True)
class Tally:
    """The numbers for one target since this process began: notices delivered, and attempts that failed."""

    delivered: int = 0
    failed: int = 0


class Courier:
    """The deliverer of due messages to the channels, each at least once. ``leads``: whether this controller leads;
    only the leader delivers."""

    def __init__(
        self, queue: NoticeQueue, channels: Sequence[Channel], clock: Clock, leads: Callable[[], bool] = lambda: True
    ) -> None:
        self._queue = queue
        self._channels = channels
        self._clock = clock
        self._leads = leads
        self._tallies = {channel.name: Tally() for channel in channels}
        self._in_a_row = {channel.name: 0 for channel in channels}
        self._told: dict[str, str] = {}

    @property
    def tallies(self) -> Mapping[str, Tally]:
        """Return the tallies, by target. Any thread may call."""
        return self._tallies

    def turn(self, channel: Channel) -> float:
        """Send the messages that are due to the channel, and return the seconds to wait before the next turn."""
        try:
            while self._leads():
                now_s = self._clock.now_s()
                message = self._queue.next(channel.name, now_s=now_s, group_max=channel.group_max)
                if message is None:
                    break
                if not self._delivered(channel, message):
                    return min(backoff_s(self._in_a_row[channel.name]), _PAUSE_MAX_S)
        except SerinError as error:  # the store does not answer, which the rounds log
            log.debug("notices to %s wait: %s", channel.name, error)
        except Exception:  # a defect must not end the thread: the target would get no more notices
            log.exception("notices to %s wait: this turn failed", channel.name)
            return _PAUSE_MAX_S
        return POLL_S

    def _delivered(self, channel: Channel, message: Message) -> bool:
        name, tally = channel.name, self._tallies[channel.name]
        try:
            channel.send(message)
        except UndeliveredError as error:
            self._failed(name, message, str(error), error.again_s)
            return False
        except Exception as error:  # a defect in one channel must not end the thread
            log.exception("a notice to %s could not be sent", name)
            self._failed(name, message, f"{type(error).__name__}: {error}", None)
            return False
        self._queue.delivered(name, message.id, at_s=self._clock.now_s())
        tally.delivered += len(message.notices)
        self._in_a_row[name] = 0
        if self._told.pop(name, None) is not None:
            log.info("notices to %s arrive again", name)
        return True

    def _failed(self, name: str, message: Message, trouble: str, again_s: float | None) -> None:
        now_s = self._clock.now_s()
        over = now_s - min(notice.at_s for notice in message.notices) > GIVEN_UP_AFTER_S
        due_at_s = None if over else now_s + max(backoff_s(message.attempts + 1), again_s or 0.0)
        self._tallies[name].failed += 1
        self._in_a_row[name] += 1
        if self._told.get(name) != trouble:
            self._told[name] = trouble
            then = "are given up" if over else "will be tried again"
            log.warning("notices to %s do not arrive and %s: %s", name, then, trouble)
        self._queue.failed(name, message.id, trouble, due_at_s=due_at_s, at_s=now_s)


def backoff_s(attempts: int) -> float:
    """Return the seconds to wait after this number of failed attempts."""
    return float(min(BACKOFF_FIRST_S * 2.0 ** min(max(attempts - 1, 0), 16), BACKOFF_MAX_S))


@contextmanager
def delivering(courier: Courier, channels: Sequence[Channel]) -> Iterator[None]:
    """Deliver while the block lasts. At its end, deliveries in progress have a second to finish; a thread that hangs at
    its target does not keep the process from ending."""
    stopping = threading.Event()

    def run(channel: Channel) -> None:
        pause_s = 0.0
        while not stopping.wait(pause_s):
            pause_s = courier.turn(channel)

    threads = [
        threading.Thread(target=run, args=(channel,), name=f"notify {channel.name}", daemon=True)
        for channel in channels
    ]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        stopping.set()
        until_s = time.monotonic() + _LAST_MOMENT_S
        for thread in threads:
            thread.join(max(until_s - time.monotonic(), 0.0))
