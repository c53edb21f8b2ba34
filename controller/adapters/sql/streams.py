"""Streams of the journal within a transaction: every table that is journalled appends through this."""

from collections.abc import Iterable, Sequence
from typing import Any, Final

from sqlalchemy import Connection, Row, bindparam, insert, select, update

from controller.adapters.sql import schema
from controller.adapters.sql.database import Prepared, insert_if_new
from controller.adapters.sql.values import chunks
from controller.errors import ConflictError, Source
from controller.journal import chain
from controller.journal.standing import Summary, stood_for, summary_of
from controller.ports.journal import Entry, RecordedEntry

# Statements of every append.
_HEAD: Final = schema.journal_head.c
_MINE: Final = bindparam("mine", type_=schema.BIG_ID)
_MOVED: Final = update(schema.journal_head).values(position=_HEAD.position + bindparam("more"))
_MOVE: Final = Prepared(_MOVED.returning(_HEAD.position))
_MOVE_FENCED: Final = Prepared(_MOVED.returning(_HEAD.position).where(_HEAD.fence <= _MINE).values(fence=_MINE))
_STANDS_AT: Final = Prepared(
    select(schema.streams.c.sequence, schema.streams.c.head_hash).where(schema.streams.c.stream == bindparam("name"))
)
_EXTEND: Final = Prepared(
    update(schema.streams)
    .where(schema.streams.c.stream == bindparam("name"))
    .values(sequence=bindparam("last"), head_hash=bindparam("last_hash"))
)
_INSERT: Final = Prepared(insert(schema.entries))


def append(
    connection: Connection,
    stream: str,
    entries: Sequence[Entry],
    *,
    expected: int | None = None,
    fence: int | None = None,
) -> int:
    """Append in the caller's transaction, and return the position of the last entry. Who appends holds the journal's
    head until the transaction ends, so that positions are committed in their order.

    Raises:
        ConflictError: the stream does not stand at sequence ``expected``, or a later leader than ``fence`` has written.
        PermanentError: a payload is not JSON.
    """
    position = move_head(connection, len(entries), fence)
    length, head_hash = stands_at(connection, stream)
    if expected is not None and length != expected:
        raise ConflictError(
            Source.JOURNAL, f"the journal of {stream} is at {length}, not at {expected}: there is another writer"
        )
    recorded = chain.extend(stream, position=position, after=length, head_hash=head_hash, entries=entries)
    if not recorded:
        return position
    last = recorded[-1]
    row = {"stream": stream, "sequence": last.sequence, "head_hash": last.hash}
    if length or not insert_if_new(connection, schema.streams, row):
        _EXTEND.run(connection, {"name": stream, "last": last.sequence, "last_hash": last.hash})
    for one in recorded:
        _INSERT.run(connection, _row(one))
    return last.position


def move_head(connection: Connection, more: int, fence: int | None) -> int:
    """The position of the journal's last entry, which so many more will follow. Nobody else appends until this
    transaction ends.

    Raises:
        ConflictError: a later leader than ``fence`` has written.
    """
    if fence is None:
        return int(_MOVE.run(connection, {"more": more}).scalar_one()) - more
    moved = _MOVE_FENCED.run(connection, {"more": more, "mine": fence}).scalar_one_or_none()
    if moved is None:
        highest = connection.execute(select(_HEAD.fence)).scalar_one()
        said = f"the journal is written by a later leader (its fence is {highest}, this one's is {fence})"
        raise ConflictError(Source.JOURNAL, said)
    return int(moved) - more


def stands_at(connection: Connection, stream: str) -> tuple[int, str]:
    """Return how many entries the stream has, and the hash of the last one."""
    row = _STANDS_AT.run(connection, {"name": stream}).one_or_none()
    return (row.sequence, str(row.head_hash)) if row else (0, chain.GENESIS_HASH)


def page(connection: Connection, stream: str, *, after: int, limit: int | None) -> tuple[RecordedEntry, ...]:
    """The entries that follow sequence ``after``, at most ``limit``, with the chain checked.

    Raises:
        PermanentError: it is broken; the message names the first sequence number that does not fit.
    """
    columns = schema.entries.c
    # The one before is read with them: its hash is what the first of the page follows.
    query = select(schema.entries).where(columns.stream == stream, columns.sequence >= after)
    if limit is not None:
        query = query.where(columns.sequence <= after + limit)
    length, head_hash = stands_at(connection, stream)
    rows = connection.execute(query.order_by(columns.sequence)).all()
    found = recorded_of(rows)
    found = _with_summaries(connection, rows, found)
    rest = tuple(one for one in found if one.sequence > after)
    previous = next((one.hash for one in found if one.sequence == after), chain.GENESIS_HASH)
    chain.verify(stream, rest, length=length, head_hash=head_hash, after=after, previous_hash=previous, limit=limit)
    return rest


def _with_summaries(
    connection: Connection, rows: Sequence[Row[Any]], found: Sequence[RecordedEntry]
) -> tuple[RecordedEntry, ...]:
    """The entries, where some were thinned out: the last of those with what stands for them.

    Raises:
        PermanentError: a payload is away, and nothing stands for it.
    """
    positions = {row.summarised_by for row in rows if row.summarised_by is not None}
    if not positions and all(one.text is not None for one in found):
        return tuple(found)
    columns = schema.entries.c
    standing: dict[int, Summary | None] = {}
    for some in chunks(positions):
        for one in recorded_of(connection.execute(select(schema.entries).where(columns.position.in_(some)))):
            standing[one.position] = summary_of(one)
    return tuple(
        one if one.text is not None else stood_for(one, standing.get(row.summarised_by))
        for row, one in zip(rows, found, strict=True)
    )


def recorded_of(rows: Iterable[Row[Any]]) -> tuple[RecordedEntry, ...]:
    """The entries that rows of the table ``entries`` hold."""
    return tuple(
        RecordedEntry(
            position=row.position,
            stream=row.stream,
            sequence=row.sequence,
            kind=row.kind,
            at_s=row.at_s,
            schema=row.event_schema,
            text=row.payload,
            head=row.head,
            previous_hash=row.previous_hash,
            hash=row.hash,
            chain=row.chain,
        )
        for row in rows
    )


def _row(one: RecordedEntry) -> dict[str, object]:
    return {
        "position": one.position,
        "stream": one.stream,
        "sequence": one.sequence,
        "kind": one.kind,
        "at_s": one.at_s,
        "event_schema": one.schema,
        "chain": one.chain,
        "previous_hash": one.previous_hash,
        "hash": one.hash,
        "head": one.head,
        "payload": one.text,
        "summarised_by": None,
    }
