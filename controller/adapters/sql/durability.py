"""One sync of SQLite's log for everything that was committed since the last one: a disk that takes thirty milliseconds
for it is asked once, however many models decide then, and nobody waits for it with the write lock in hand."""

import os
from pathlib import Path
from threading import Lock

from controller.files import sync_directory


class SharedSync:
    """The syncs of one write-ahead log. Any thread may ask.

    SQLite syncs the log itself where ``synchronous`` is FULL: at each commit, before the next writer's turn. With
    NORMAL it leaves that to whoever wants it, and a sync of the file that follows a commit keeps the same promise
    (https://sqlite.org/pragma.html#pragma_synchronous). The log has no locks of SQLite's, so opening it harms none.
    """

    def __init__(self, log: Path) -> None:
        """``log``: as SQLite itself calls it, for a database may be found by another name than it has."""
        self._log = log
        self.failed = False  # some of it may be in memory alone, and no later sync would tell
        self._counting = Lock()
        self._syncing = Lock()
        self.asked = 0  # how many commits were to be on the disk
        self._synced = 0  # all that asked up to this one are on the disk
        self._known: tuple[int, int] | None = None  # the file whose name is on the disk, too

    def wait(self) -> None:
        """Return once everything that the caller committed is on the disk.

        Raises:
            OSError: the disk did not take it.
        """
        with self._counting:
            self.asked += 1
            mine = self.asked
        with self._syncing:
            if self._synced >= mine:  # by somebody who began after our commit
                return
            with self._counting:
                upto = self.asked
            try:
                self._sync()
            except OSError:
                self.failed = True
                raise
            if self.failed:  # the disk tells of an error once only
                raise OSError("an earlier sync of the log failed")
            self._synced = upto

    def _sync(self) -> None:
        try:
            log = os.open(self._log, os.O_RDONLY)
        except FileNotFoundError:  # its last user has gone: what it held was synced into the database
            return
        try:
            os.fdatasync(log)
            found = os.fstat(log)
        finally:
            os.close(log)
        if (found.st_dev, found.st_ino) != self._known:
            sync_directory(self._log.parent)
            self._known = (found.st_dev, found.st_ino)
