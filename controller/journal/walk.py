"""The journal of a release from beginning to end, with one page in memory at a time."""

from collections.abc import Iterator, Sequence
from typing import Final

from controller.ports.journal import Journal, RecordedEntry, ReleaseRecord

PAGE_ENTRIES: Final = 100


def walk(journal: Journal, record: ReleaseRecord, *, after: int = 0) -> Iterator[RecordedEntry]:
    """Yield the release's entries after sequence ``after``, up to those that ``record`` counts, with the chain checked.

    Raises:
        PermanentError: the chain is broken; the entries yielded before are good.
    """
    for page in walk_pages(journal, record, after=after):
        yield from page


def walk_pages(journal: Journal, record: ReleaseRecord, *, after: int = 0) -> Iterator[Sequence[RecordedEntry]]:
    """Yield the entries as `walk` does, page by page. Raises as `walk`."""
    while after < record.sequence:
        page = journal.page(record.release_id, after=after, limit=min(PAGE_ENTRIES, record.sequence - after))
        if not page:
            return
        yield page
        after = page[-1].sequence
