"""Payloads of old looks are replaced in the journal by their sums (`controller.journal.summary`)."""

import itertools
import logging
from collections.abc import Callable, Iterator
from typing import Final

from sqlalchemy import func, select, update

from controller.adapters.sql import streams
from controller.adapters.sql.database import Database
from controller.adapters.sql.schema import entries
from controller.adapters.sql.subscribers import advance, position_of
from controller.core.events import Looked
from controller.errors import Source, UnreadableError
from controller.journal.codec import entry_of
from controller.journal.notes import LooksThinned
from controller.journal.summary import SUMMED_S, summaries_of
from controller.ports.journal import RecordedEntry, release_stream, summary_stream

log = logging.getLogger(__name__)

_SOURCE: Final = Source.JOURNAL
_NAME: Final = "thinning"  # what its position is kept by
_PAGE_ENTRIES: Final = 100
_SUMS_AT_ONCE: Final = 20  # in one transaction: who appends waits for it
_COLUMNS: Final = entries.c


class SqlThinning:
    """``controller.loop.retention.Prunable`` for looks."""

    def __init__(self, database: Database, fence: Callable[[], int | None] = lambda: None) -> None:
        self._database = database
        self._fence = fence

    def led_by(self, fence: Callable[[], int | None]) -> "SqlThinning":
        """The same, for whoever leads: ``fence`` is asked before each transaction."""
        return SqlThinning(self._database, fence)

    def prune(self, before_s: float) -> int:
        """Thin out looks of before the last full hour at ``before_s``; how many payloads went. A run that was cut short
        is begun anew and finds what is left.

        Raises:
            ConflictError: another controller leads, or a later one has written.
        """
        before_s = before_s // SUMMED_S * SUMMED_S
        old = (_COLUMNS.at_s < before_s, _COLUMNS.kind == Looked.__name__, _COLUMNS.payload.is_not(None))
        with self._database.read(_SOURCE) as connection:
            after = position_of(connection, _NAME)
            upto = connection.execute(
                select(func.max(_COLUMNS.position)).where(_COLUMNS.at_s < before_s, _COLUMNS.position > after)
            ).scalar_one()
            found = select(_COLUMNS.stream).where(*old, _COLUMNS.position > after).distinct()
            names = connection.execute(found).scalars().all()
        thinned = 0
        for stream in names:
            try:
                thinned += self._thin(stream, after, before_s)
            except UnreadableError as error:  # its other looks stay; those of other releases are summed
                log.warning("%s: its old looks are kept: %s", stream, error)
        if upto is not None:
            fence = self._fence()
            with self._database.write(_SOURCE) as connection:
                streams.move_head(connection, 0, fence)
                advance(connection, _NAME, upto)
        return thinned

    def _thin(self, stream: str, after: int, before_s: float) -> int:
        thinned = 0
        sums = summaries_of(self._looks(stream, after, before_s))
        while some := list(itertools.islice(sums, _SUMS_AT_ONCE)):
            thinned += sum(self._replace(some, before_s))
        return thinned

    def _looks(self, stream: str, after: int, before_s: float) -> Iterator[RecordedEntry]:
        reached = 0
        wanted = (_COLUMNS.stream == stream, _COLUMNS.kind == Looked.__name__, _COLUMNS.payload.is_not(None))
        while True:
            rest = (_COLUMNS.sequence > reached, _COLUMNS.position > after, _COLUMNS.at_s < before_s)
            query = select(entries).where(*wanted, *rest).order_by(_COLUMNS.sequence).limit(_PAGE_ENTRIES)
            with self._database.read(_SOURCE) as connection:
                page = streams.recorded_of(connection.execute(query))
            if not page:
                return
            yield from page
            reached = page[-1].sequence

    def _replace(self, sums: list[LooksThinned], at_s: float) -> Iterator[int]:
        """Write the sums and remove what they stand for, in one transaction."""
        fence = self._fence()
        with self._database.write_durably(_SOURCE) as connection:
            for one in sums:
                stream = summary_stream(one.release_id)
                position = streams.append(connection, stream, [entry_of(one, at_s)], fence=fence)
                between = _COLUMNS.sequence.between(one.first, one.last)
                changed = update(entries).where(_COLUMNS.stream == release_stream(one.release_id), between)
                connection.execute(changed.values(payload=None, summarised_by=position))
                yield one.last - one.first + 1
