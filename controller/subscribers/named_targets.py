"""Notices for targets that the settings name no more are withdrawn: nobody would ever tell them."""

import logging
from collections.abc import Collection
from typing import Final

from controller.ports.clock import Clock
from controller.ports.notices import NoticeQueue

log = logging.getLogger(__name__)


class NamedTargets:
    """Implements ``CatchesUp``: once after a start, for the settings are read then, and by whoever leads."""

    name: Final = "named targets"

    def __init__(self, queue: NoticeQueue, named: Collection[str], clock: Clock) -> None:
        self._queue = queue
        self._named = named
        self._clock = clock
        self._is_done = False

    def catch_up(self) -> None:
        """Withdraw what is for others. Raises TransientError where the store does not answer."""
        if self._is_done:
            return
        if waited := self._queue.withdraw(self._named, at_s=self._clock.now_s()):
            log.warning("%d notices are told to nobody: their targets are not in settings.json any more", waited)
        self._is_done = True
