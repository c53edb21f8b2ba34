"""The fence in the row that every append to the journal holds."""

from sqlalchemy import select, update

from controller.adapters.sql.database import Database
from controller.adapters.sql.schema import journal_head
from controller.errors import Source


class SqlFences:
    """``controller.ports.fences.Fences`` on SQL. Any thread may use it."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def highest(self) -> int:
        with self._database.read(Source.LEADERSHIP) as connection:
            return int(connection.execute(select(journal_head.c.fence)).scalar_one())

    def raise_to(self, fence: int) -> bool:
        raised = update(journal_head).where(journal_head.c.fence < fence).values(fence=fence)
        with self._database.write_durably(Source.LEADERSHIP) as connection:
            return connection.execute(raised).rowcount == 1
