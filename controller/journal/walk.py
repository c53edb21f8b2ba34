"""A release's journal from beginning to end, however long it is, a page in memory at a time."""

from collections.abc import Iterator
from typing import Final

from controller.ports.journal import Journal, RecordedEntry, ReleaseRecord

PAGE_ENTRIES: Final = 100


def walk(journal: Journal, record: ReleaseRecord, *, after: int = 0) -> Iterator[RecordedEntry]:
    """The entries that the release had at ``record``, those that follow sequence ``after``; with the chain checked.

    Raises:
        PermanentError: the chain is broken; what came before it was good.
    """
    while after < record.sequence:
        limit = min(PAGE_ENTRIES, record.sequence - after)
        page = journal.page(record.release_id, after=after, limit=limit)
        if not page:
            return
        yield from page
        after = page[-1].sequence
