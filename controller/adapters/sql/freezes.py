"""Freezes in force, and the history of those that are over: who froze what and why, and who lifted it and why."""

from collections.abc import Sequence
from dataclasses import asdict
from typing import Final

from sqlalchemy import func, select, update

from controller.adapters.sql import streams
from controller.adapters.sql.database import Database, insert_if_new
from controller.adapters.sql.schema import freezes
from controller.core.commands import Freeze
from controller.errors import ConflictError, Source
from controller.journal.codec import entry_of
from controller.journal.notes import FreezeEnded, FreezeLifted, Frozen, stream_of
from controller.ports.people import WAITING_MAX

_SOURCE = Source.FREEZES
_IDENTITY: Final = ("model", "reason", "by", "at_s")


class SqlFreezes:
    """``controller.ports.Freezes`` on SQL. A freeze is identified by its four values, so repeating one that has been
    lifted does not bring it back."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def freeze(self, freeze: Freeze) -> None:
        row = asdict(freeze)
        holding = (freezes.c.model == freeze.model, freezes.c.lifted_at_s.is_(None))
        with self._database.write_durably(_SOURCE) as connection:
            new = insert_if_new(connection, freezes, row)
            if new and connection.execute(select(func.count()).where(*holding)).scalar_one() > WAITING_MAX:
                raise ConflictError(Source.FREEZES, f"{WAITING_MAX} freezes hold {freeze.model} already: one is enough")
            if new:
                noted = Frozen(freeze.model, freeze.reason, freeze.by, freeze.silent, freeze.ends_at_s)
                streams.append(connection, stream_of(freeze.model), [entry_of(noted, freeze.at_s)])

    def lift(self, model: str, *, reason: str, by: str, at_s: float) -> bool:
        """Lift every freeze in force of exactly this model (``*`` counts as a model of its own)."""
        with self._database.write_durably(_SOURCE) as connection:
            lifted = connection.execute(
                update(freezes)
                .where(freezes.c.model == model, freezes.c.lifted_at_s.is_(None))
                .values(lifted_at_s=at_s, lifted_by=by, lifted_reason=reason)
            )
            if lifted.rowcount:
                noted = FreezeLifted(model, reason, by, lifted.rowcount)
                streams.append(connection, stream_of(model), [entry_of(noted, at_s)])
            return lifted.rowcount > 0

    def end(self, freeze: Freeze, *, at_s: float) -> bool:
        """Record that its time is over; its own entry in the journal tells that nobody lifted it."""
        with self._database.write_durably(_SOURCE) as connection:
            ended = connection.execute(
                update(freezes)
                .where(*(freezes.c[name] == getattr(freeze, name) for name in _IDENTITY))
                .where(freezes.c.lifted_at_s.is_(None))
                .values(lifted_at_s=at_s)
            )
            if ended.rowcount:
                noted = FreezeEnded(freeze.model, freeze.reason, freeze.by)
                streams.append(connection, stream_of(freeze.model), [entry_of(noted, at_s)])
            return ended.rowcount > 0

    def in_force(self) -> Sequence[Freeze]:
        """Oldest first."""
        query = select(freezes).where(freezes.c.lifted_at_s.is_(None)).order_by(freezes.c.id)
        with self._database.read(_SOURCE) as connection:
            return tuple(
                Freeze(row.model, row.reason, row.by, row.at_s, silent=row.silent, ends_at_s=row.ends_at_s)
                for row in connection.execute(query)
            )
