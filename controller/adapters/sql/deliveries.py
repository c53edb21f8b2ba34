"""Webhook deliveries already seen, so that a recorded one cannot be played again."""

from sqlalchemy import delete

from controller.adapters.sql.database import Database, insert_if_new
from controller.adapters.sql.schema import deliveries
from controller.errors import Source

_SOURCE = Source.DELIVERIES


class SqlDeliveries:
    """``controller.api.signed.Deliveries`` on SQL."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def is_new(self, delivery_id: str, *, at_s: float, forget_before_s: float) -> bool:
        """Remember the delivery; False if it was seen since ``forget_before_s``. Older ones are forgotten."""
        with self._database.write(_SOURCE) as connection:
            connection.execute(delete(deliveries).where(deliveries.c.at_s < forget_before_s))
            return insert_if_new(connection, deliveries, {"delivery_id": delivery_id, "at_s": at_s})
