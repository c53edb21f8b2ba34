"""The course of a release: what its journal tells from the beginning on, read once and then only what came since."""

from collections import OrderedDict
from threading import Lock
from typing import Final

from controller.journal.walk import walk
from controller.ports.journal import Journal, ReleaseRecord
from controller.report.build import ReportTally
from controller.report.data import ReportData

KEPT_MAX: Final = 8  # releases whose sums stay in memory
AT_ONCE_MAX: Final = 200  # entries that whoever asks waits for; a look with its labels has up to 100 kB


class Courses:
    """The courses that were asked for last. One is read at a time: that costs the processor which releases are judged
    by."""

    def __init__(self, journal: Journal) -> None:
        self._journal = journal
        self._tallies: OrderedDict[str, ReportTally] = OrderedDict()
        self._lock = Lock()

    def at_once(self, record: ReleaseRecord) -> ReportData | None:
        """Return the course, if little of it is still to be read and none is being read; else None. Raises as
        `read`."""
        if not self._lock.acquire(blocking=False):  # whoever waited would keep a thread from those who take back
            return None
        try:
            tally = self._tallies.get(record.release_id)
            missing = record.sequence - (tally.counted if tally is not None else 0)
            return self._read(record) if missing <= AT_ONCE_MAX else None
        finally:
            self._lock.release()

    def read(self, record: ReleaseRecord) -> ReportData:
        """Read on, up to the record, and return the course.

        Raises:
            PermanentError: the chain of the journal is broken, or this version of Serin cannot read an entry.
            TransientError: the journal does not answer.
        """
        with self._lock:
            return self._read(record)

    def _read(self, record: ReleaseRecord) -> ReportData:
        tally = self._tallies.pop(record.release_id, None) or ReportTally(record)  # where it fails, begun anew
        for entry in walk(self._journal, record, after=tally.counted):
            tally.add(entry)
        found = tally.result(record)
        self._tallies[record.release_id] = tally
        while len(self._tallies) > KEPT_MAX:
            self._tallies.popitem(last=False)
        return found
