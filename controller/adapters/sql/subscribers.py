"""The position of each follower of the journal."""

from sqlalchemy import Connection, select, update

from controller.adapters.sql.database import insert_if_new
from controller.adapters.sql.schema import subscribers

_COLUMNS = subscribers.c


def position_of(connection: Connection, name: str) -> int:
    """The position that it is done with; 0 where it never began."""
    found = connection.execute(select(_COLUMNS.position).where(_COLUMNS.name == name)).scalar_one_or_none()
    return found or 0


def advance(connection: Connection, name: str, position: int) -> None:
    """Remember the position, unless it has come further already."""
    if not insert_if_new(connection, subscribers, {"name": name, "position": position}):
        behind = (_COLUMNS.name == name, _COLUMNS.position < position)
        connection.execute(update(subscribers).where(*behind).values(position=position))
