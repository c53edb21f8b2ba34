"""Notices on their way: each once a target, in messages that stay what they are until they are settled."""

import logging
from collections.abc import Collection, Sequence
from enum import StrEnum
from functools import cache
from typing import Any, Final

from pydantic import TypeAdapter, ValidationError
from sqlalchemy import Connection, Row, and_, func, or_, select, update

from controller.adapters.sql.database import Database, insert_if_new
from controller.adapters.sql.pruning import prune
from controller.adapters.sql.schema import notices
from controller.core.commands import ANY_MODEL
from controller.core.notices import Message, Notice, Severity
from controller.errors import Source
from controller.ports.notices import WAITING_MAX, Standing

log = logging.getLogger(__name__)

_SOURCE: Final = Source.NOTICES
_C: Final = notices.c
_URGENCIES: Final = {severity: number for number, severity in enumerate(Severity)}
_UNREADABLE: Final = (
    "another version of Serin wrote it, and this one cannot read it: `serin release list` shows what happened"
)


class State(StrEnum):
    """The fate of a notice."""

    WAITING = "waiting"
    DELIVERED = "delivered"
    GIVEN_UP = "given_up"
    SILENT = "silent"  # a freeze kept it so
    WITHDRAWN = "withdrawn"  # its target is named no more


class SqlNotices:
    """``controller.ports.notices.NoticeQueue`` on SQL. Any thread may use it; no transaction is open while anybody is
    told."""

    def __init__(self, database: Database, *, waiting_max: int = WAITING_MAX) -> None:
        self._database = database
        self._waiting_max = waiting_max

    def put(self, notice: Notice, targets: Sequence[str], *, due_at_s: float, silent: bool = False) -> None:
        document = _adapter().dump_json(notice).decode()
        with self._database.write_durably(_SOURCE) as connection:
            for target in targets:
                state, trouble = (State.SILENT, "") if silent else self._room(connection, target)
                row = {
                    "target": target,
                    "event_id": notice.id,
                    "model": notice.model,
                    "version": notice.version,
                    "urgency": _URGENCIES[notice.severity],
                    "at_s": notice.at_s,
                    "document": document,
                    "state": state,
                    "attempts": 0,
                    "due_at_s": due_at_s,
                    "trouble": trouble,
                    "settled_at_s": None if state is State.WAITING else notice.at_s,
                }
                insert_if_new(connection, notices, row)

    def _room(self, connection: Connection, target: str) -> tuple[State, str]:
        waiting = connection.execute(select(func.count()).where(*_waiting(target))).scalar_one()
        if waiting < self._waiting_max:
            return State.WAITING, ""
        return State.GIVEN_UP, f"{self._waiting_max:,} wait for it already"

    def next(self, target: str, *, now_s: float, group_max: int) -> Message | None:
        while rows := self._next_rows(target, now_s, group_max):
            read = [(row, _read(row)) for row in rows]
            if unreadable := [row for row, notice in read if notice is None]:
                self._give_up(unreadable, now_s)
            if held := tuple(notice for _, notice in read if notice is not None):
                return Message(rows[0].message_id, held, max(row.attempts for row in rows))
        return None

    def _next_rows(self, target: str, now_s: float, group_max: int) -> Sequence[Row[Any]]:
        with self._database.read(_SOURCE) as connection:
            first = _first(connection, target, now_s)
            if first is not None and first.message_id is not None:
                return _held(connection, target, first.message_id)
        return () if first is None else self._sealed(target, now_s, group_max)

    def _sealed(self, target: str, now_s: float, group_max: int) -> Sequence[Row[Any]]:
        """Make a message of what is due, and store its contents before it is sent to anybody."""
        with self._database.write_durably(_SOURCE) as connection:
            first = _first(connection, target, now_s)
            if first is None:
                return ()
            if first.message_id is None:
                alike = (_C.model == first.model, _C.version == first.version, _C.urgency == first.urgency)
                held = select(_C.id).where(*_waiting(target), *alike, _C.message_id.is_(None), _C.due_at_s <= now_s)
                some = held.order_by(_C.id).limit(group_max)
                connection.execute(update(notices).where(_C.id.in_(some)).values(message_id=first.event_id))
            return _held(connection, target, first.message_id or first.event_id)

    def _give_up(self, rows: Sequence[Row[Any]], at_s: float) -> None:
        """Give up notices that cannot be read, so that nothing waits behind them."""
        lost = {"state": State.GIVEN_UP, "settled_at_s": at_s, "trouble": _UNREADABLE}
        with self._database.write_durably(_SOURCE) as connection:
            connection.execute(update(notices).where(_C.id.in_([row.id for row in rows])).values(lost))
        for row in rows:
            log.error("a notice to %s about model %s is not sent: %s", row.target, row.model, _UNREADABLE)

    def delivered(self, target: str, message_id: str, *, at_s: float) -> None:
        with self._database.write_durably(_SOURCE) as connection:
            arrived = {"state": State.DELIVERED, "settled_at_s": at_s, "trouble": "", "attempts": _C.attempts + 1}
            connection.execute(update(notices).where(*_waiting(target), _C.message_id == message_id).values(arrived))
            tried = (*_waiting(target), _C.attempts > 0, _C.due_at_s > at_s)
            connection.execute(update(notices).where(*tried).values(due_at_s=at_s))

    def failed(self, target: str, message_id: str, trouble: str, *, due_at_s: float | None, at_s: float) -> None:
        tried: dict[str, Any] = {"attempts": _C.attempts + 1, "trouble": trouble}
        if due_at_s is None:
            tried |= {"state": State.GIVEN_UP, "settled_at_s": at_s}
        else:
            tried |= {"due_at_s": due_at_s}
        with self._database.write(_SOURCE) as connection:
            connection.execute(update(notices).where(*_waiting(target), _C.message_id == message_id).values(tried))

    def withdraw(self, named: Collection[str], *, at_s: float) -> int:
        others = _C.target.not_in(named)
        with self._database.write(_SOURCE) as connection:
            over = {"state": State.WITHDRAWN, "settled_at_s": at_s}
            waited = connection.execute(update(notices).where(others, _C.state == State.WAITING).values(over)).rowcount
            lost = {"state": State.WITHDRAWN}
            connection.execute(update(notices).where(others, _C.state == State.GIVEN_UP).values(lost))
        return waited

    def standing(self) -> Sequence[Standing]:
        untold = select(_C.target).where(_C.state.in_((State.WAITING, State.GIVEN_UP))).distinct()
        with self._database.read(_SOURCE) as connection:
            targets = connection.execute(untold.order_by(_C.target)).scalars().all()
            return tuple(_standing(connection, target) for target in targets)

    def kept_silent(self, model: str, *, since_s: float) -> int:
        query = select(func.count(_C.event_id.distinct())).where(_C.state == State.SILENT, _C.at_s >= since_s)
        if model != ANY_MODEL:
            query = query.where(_C.model == model)
        with self._database.read(_SOURCE) as connection:
            return connection.execute(query).scalar_one()

    def prune(self, before_s: float) -> int:
        untold = and_(_C.state == State.WAITING, _C.at_s < before_s)
        return prune(self._database, notices, _C.id, or_(_C.settled_at_s < before_s, untold))


def _waiting(target: str) -> tuple[Any, ...]:
    return (_C.target == target, _C.state == State.WAITING)


def _first(connection: Connection, target: str, now_s: float) -> Row[Any] | None:
    query = select(notices).where(*_waiting(target), _C.due_at_s <= now_s).order_by(_C.urgency, _C.id).limit(1)
    return connection.execute(query).one_or_none()


def _held(connection: Connection, target: str, message_id: str) -> Sequence[Row[Any]]:
    query = select(notices).where(*_waiting(target), _C.message_id == message_id).order_by(_C.id)
    return connection.execute(query).all()


def _read(row: Row[Any]) -> Notice | None:
    """Return the notice in a row; None if this version of Serin cannot read it."""
    try:
        return _adapter().validate_json(row.document)
    except ValidationError:
        return None


def _standing(connection: Connection, target: str) -> Standing:
    waiting, oldest_s = connection.execute(select(func.count(), func.min(_C.at_s)).where(*_waiting(target))).one()
    arrived = select(func.max(_C.settled_at_s)).where(_C.target == target, _C.state == State.DELIVERED)
    last_s = connection.execute(arrived).scalar_one()
    lost = (_C.target == target, _C.state == State.GIVEN_UP, _C.settled_at_s > (last_s or 0.0))
    given_up = connection.execute(select(func.count()).where(*lost)).scalar_one()
    told = select(_C.trouble).where(_C.target == target, _C.trouble != "", _C.state != State.DELIVERED)
    trouble = connection.execute(told.order_by(_C.attempts.desc(), _C.id.desc()).limit(1)).scalar_one_or_none()
    return Standing(target, waiting, oldest_s, given_up, trouble or "")


@cache
def _adapter() -> TypeAdapter[Notice]:
    return TypeAdapter(Notice)
