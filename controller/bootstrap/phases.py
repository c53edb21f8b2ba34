"""`serin up` says what becomes of releases, as the journal says it."""

from collections.abc import Callable
from typing import Final

from controller.adapters.sql.store import Store
from controller.bootstrap.stores import open_home
from controller.config.settings import Home
from controller.errors import UnreadableError
from controller.journal.codec import event_of
from controller.ports.journal import RecordedEntry, ReleaseLists, release_of_stream
from controller.subscribers.telling import OF_RELEASES, notice_of_release

_PAGE_ENTRIES: Final = 100


class PhaseChanges:
    """A chore: tell each change of a phase since this was made, in one line."""

    def __init__(self, home: Home, tell: Callable[[str], None]) -> None:
        self._home = home
        self._tell = tell
        self._store: Store | None = None  # opened at the first time; it ends with `serin up`
        self._reached: int | None = None  # None: nothing was read yet

    def __call__(self) -> None:
        """Raises SerinError where the journal cannot be read."""
        if self._store is None:
            self._store = open_home(self._home)
        journal = self._store.journal
        if self._reached is None:
            self._reached = journal.feed(after=0, limit=1, kinds=()).reached
            return
        page = journal.feed(after=self._reached, limit=_PAGE_ENTRIES, kinds=OF_RELEASES)
        for entry in page.entries:
            self._say(entry, journal)
        self._reached = page.reached

    def _say(self, entry: RecordedEntry, releases: ReleaseLists) -> None:
        release = releases.summary(release_of_stream(entry.stream))
        try:
            notice = notice_of_release(entry, event_of(entry), release) if release is not None else None
        except UnreadableError:  # of another version of Serin, whose controller says it
            return
        if notice is not None:
            self._tell(f"{notice.title}. {notice.reason}")
