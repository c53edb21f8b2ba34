"""The keys that all controllers of one database share: which key it was, but nothing of the key itself."""

import hashlib
import hmac
from typing import Final

from sqlalchemy import delete, select

from controller.adapters.sql.database import Database, insert_new
from controller.adapters.sql.schema import keys
from controller.errors import Source

_SHOWN: Final = 16  # hexadecimal digits: enough to tell keys apart


class SqlKeys:
    """Any thread may use it."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def claim(self, name: str, key: bytes) -> tuple[str, str]:
        """Record which key is called so, unless one is on record; return what tells the recorded one from others, and
        the same of this one: equal where it is that key.

        Raises:
            TransientError: the store does not answer.
        """
        mine = hmac.digest(key, f"serin {name}".encode(), hashlib.sha256).hex()[:_SHOWN]
        with self._database.write_durably(Source.STORE) as connection:
            connection.execute(insert_new(connection, keys).values(name=name, check_value=mine))
            recorded = connection.execute(select(keys.c.check_value).where(keys.c.name == name)).scalar_one()
        return str(recorded), mine

    def forget(self, name: str) -> bool:
        """Accept the next key that is claimed under the name; False if none was on record."""
        with self._database.write_durably(Source.STORE) as connection:
            return connection.execute(delete(keys).where(keys.c.name == name)).rowcount == 1
