"""The rows of answers as they arrive, one batch at a time."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from pydantic_core import to_json
from sqlalchemy import Connection, select

from controller.adapters.sql import schema
from controller.adapters.sql.classes import note_classes
from controller.adapters.sql.database import insert_new_rows
from controller.adapters.sql.texts import Texts
from controller.ports.samples import Prediction

_ONE_AT_A_TIME: Final = select(schema.intake.c.id).with_for_update()


def lock(connection: Connection) -> None:
    """Let one batch, or one look, in at a time. Ids then become visible in their order, and a cursor never passes over
    a row that is committed later (PostgreSQL would allow it; on SQLite the transaction itself is the lock)."""
    connection.execute(_ONE_AT_A_TIME).one()


@dataclass(frozen=True, slots=True)
class Rows:
    """Answers as they will be written, with their texts sealed: prepared before the transaction, because others wait
    for that."""

    predictions: Sequence[Prediction]
    values: Sequence[tuple[Any, ...]]

    @classmethod
    def of(cls, predictions: Sequence[Prediction], texts: Texts) -> "Rows":
        """Return the rows of these answers."""
        return cls(predictions, [_row(one, texts) for one in predictions])

    def insert(self, connection: Connection) -> None:
        """Write those that are new, and note the classes that they name. The caller holds the lock."""
        insert_new_rows(connection, schema.predictions, _COLUMNS, self.values)
        note_classes(connection, self.predictions)


_COLUMNS: Final = (
    "request_id",
    "model",
    "version",
    "traffic",
    "at_s",
    "label",
    "confidence",
    "probabilities",
    "inclusion_probability",
    "text_digest",
    "tokens",
    "text",
    "tags",
)


def _row(prediction: Prediction, texts: Texts) -> tuple[Any, ...]:
    """Return its values of ``_COLUMNS``."""
    return (
        prediction.request_id,
        prediction.model,
        prediction.version,
        str(prediction.traffic),
        prediction.at_s,
        prediction.label,
        prediction.confidence,
        _json(prediction.probabilities),
        prediction.inclusion_probability,
        prediction.text_digest,
        prediction.tokens,
        texts.kept(prediction.text),
        _json(prediction.tags) if prediction.tags else None,
    )


def _json(value: Mapping[str, object]) -> str:
    """Its numbers are finite: nothing else is taken in."""
    return to_json(dict(value)).decode()
