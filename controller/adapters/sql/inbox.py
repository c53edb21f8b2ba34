"""The inbox: commands that wait, and the result of each one that ever arrived."""

import time
from collections.abc import Callable, Sequence
from typing import Final

from sqlalchemy import delete, func, select, update

from controller.adapters.sql import streams
from controller.adapters.sql.database import Database, Prepared, insert_if_new
from controller.adapters.sql.schema import commands
from controller.core.commands import Ask, Command
from controller.errors import ConflictError, Source
from controller.journal.codec import entry_of
from controller.journal.notes import CommandDiscarded, stream_of
from controller.ports.people import WAITING_MAX

_SOURCE = Source.INBOX
_KNOWN: Final = {ask.value: ask for ask in Ask}  # a later version of Serin may ask for more
_WAITING: Final = Prepared(select(commands).where(commands.c.waiting.is_(True)).order_by(commands.c.id))


class SqlInbox:
    """``controller.ports.Inbox`` on SQL. The journal takes commands out in its own transaction."""

    def __init__(self, database: Database, now_s: Callable[[], float] = time.time) -> None:
        """``now_s`` is the time at which a command is discarded."""
        self._database = database
        self._now_s = now_s

    def put(self, command: Command) -> bool:
        row = {
            "command_id": command.id,
            "ask": command.ask.value,
            "model": command.model,
            "version": command.version,
            "reason": command.reason,
            "by": command.by,
            "at_s": command.at_s,
            "waiting": True,
        }
        alike = (commands.c.model == command.model, commands.c.ask == command.ask.value, commands.c.waiting.is_(True))
        with self._database.write_durably(_SOURCE) as connection:
            new = insert_if_new(connection, commands, row)
            count = connection.execute(select(func.count()).where(*alike)).scalar_one()
            if new and count > WAITING_MAX:
                raise ConflictError(
                    Source.INBOX,
                    f"{WAITING_MAX} commands to {command.ask} {command.model} wait already: does the controller run?",
                )
            return new

    def waiting(self) -> Sequence[Command]:
        with self._database.read(_SOURCE) as connection:
            return tuple(
                Command(
                    id=row.command_id,
                    ask=_KNOWN[row.ask],
                    model=row.model,
                    version=row.version,
                    reason=row.reason,
                    by=row.by,
                    at_s=row.at_s,
                )
                for row in _WAITING.run(connection, {})
                if row.ask in _KNOWN
            )

    def discard(self, command_id: str, outcome: str) -> None:
        waits = (commands.c.command_id == command_id, commands.c.waiting.is_(True))
        with self._database.write_durably(_SOURCE) as connection:
            row = connection.execute(select(commands).where(*waits).with_for_update()).one_or_none()
            if row is None:
                return
            connection.execute(update(commands).where(*waits).values(waiting=False, outcome=outcome))
            noted = CommandDiscarded(
                row.command_id, row.ask, row.model, row.version, row.reason, row.by, row.at_s, outcome
            )
            streams.append(connection, stream_of(row.model), [entry_of(noted, self._now_s())])

    def prune(self, before_s: float) -> int:
        old = (commands.c.at_s < before_s, commands.c.waiting.is_(False), commands.c.release_id.is_(None))
        with self._database.write_durably(_SOURCE) as connection:
            return connection.execute(delete(commands).where(*old)).rowcount

    def outcome(self, command_id: str) -> str | None:
        query = select(commands.c.outcome).where(commands.c.command_id == command_id)
        with self._database.read(_SOURCE) as connection:
            return connection.execute(query).scalar_one_or_none()
