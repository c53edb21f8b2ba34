"""A release's journal from beginning to end, however long it is, a page in memory at a time."""

from collections.abc import Iterator, Sequence
from typing import Final

from controller.ports.journal import Journal, RecordedEntry, ReleaseRecord

PAGE_ENTRIES: Final = 100


def walk(journal: Journal, record: ReleaseRecord, *, after: int = 0) -> Iterator[RecordedEntry]:
    """The entries that the release had at ``record``, those that follow sequence ``after``; with the chain checked.

    Raises:
        PermanentError: the chain is broken; what came before it was good.
    """
    for page in walk_pages(journal, record, after=after):
        yield from page


def walk_pages(journal: Journal, record: ReleaseRecord, *, after: int = 0) -> Iterator[Sequence[RecordedEntry]]:
    """The same entries, as `walk` gives them, some at a time. Raises as `walk`."""
    while after < record.sequence:
        page = journal.page(record.release_id, after=after, limit=min(PAGE_ENTRIES, record.sequence - after))
        if not page:
            return
        yield page
        after = page[-1].sequence
