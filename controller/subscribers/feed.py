"""Following the journal: what every subscriber has in common."""

import logging
from collections.abc import Sequence
from typing import Final, Protocol

from controller.errors import SerinError, TransientError
from controller.ports.journal import Feed, RecordedEntry

log = logging.getLogger(__name__)

PAGE_ENTRIES: Final = 100
SKIPPED_MAX: Final = 1_000  # entries of no concern, after which the position is kept all the same


class Subscriber(Protocol):
    """The one who is told of entries, each at least once and in order; to be told again must change nothing."""

    @property
    def name(self) -> str:
        """Return what its position is kept by."""

    @property
    def kinds(self) -> Sequence[str]:
        """Return which entries it is told of."""

    def take(self, entry: RecordedEntry) -> None:
        """Do what the entry asks for.

        Raises:
            TransientError: not now; it is told again.
            SerinError: never; the next entry's turn comes.
        """


class CatchesUp(Protocol):
    """The one whom rounds call from time to time, beside what they decide."""

    @property
    def name(self) -> str:
        """Return what people know it by."""

    def catch_up(self) -> None:
        """Bring what it keeps up to date. Raises SerinError where that is not possible now."""


class Follower:
    """Brings one subscriber up to date. Calls come one at a time."""

    def __init__(self, journal: Feed, subscriber: Subscriber) -> None:
        self._journal = journal
        self._subscriber = subscriber
        self.name = subscriber.name
        self._kept: int | None = None  # the position as it is stored; None: not read yet
        self._reached = 0

    def catch_up(self) -> None:
        """Tell the subscriber of everything up to the journal's end, or until it cannot take more now.

        Raises:
            SerinError: the journal cannot be read or written.
        """
        if self._kept is None:
            self._kept = self._reached = self._journal.position_of(self.name)
        while True:
            page = self._journal.feed(after=self._reached, limit=PAGE_ENTRIES, kinds=self._subscriber.kinds)
            for entry in page.entries:
                if not self._told(entry):
                    return
                self._keep(entry.position)
            self._reached = page.reached
            if self._reached - self._kept >= SKIPPED_MAX:
                self._keep(self._reached)
            if len(page.entries) < PAGE_ENTRIES:
                return

    def _told(self, entry: RecordedEntry) -> bool:
        try:
            self._subscriber.take(entry)
        except TransientError as error:
            log.debug("%s waits at entry %d: %s", self.name, entry.position, error)
            return False
        except SerinError as error:
            log.warning("%s passed over entry %d of the journal: %s", self.name, entry.position, error)
        return True

    def _keep(self, position: int) -> None:
        self._journal.advance(self.name, position)
        self._kept = self._reached = position
