"""Labelled production texts, as they are in the database: read a page at a time, however many there are."""

from collections.abc import Iterator
from typing import Final

from sqlalchemy import and_, select

from controller.adapters.sql.classes import classes_of
from controller.adapters.sql.database import Database
from controller.adapters.sql.schema import labels, predictions
from controller.adapters.sql.texts import Texts
from controller.errors import Source
from controller.ports.dataset import LabelledText
from serving.contract import Traffic

_SOURCE: Final = Source.LABELS
_PAGE_ROWS: Final = 500


class SqlLabelledTexts:
    """``controller.ports.dataset.LabelledTexts`` on SQL."""

    def __init__(self, database: Database, texts: Texts) -> None:
        """``texts``: how captured texts are kept."""
        self._database = database
        self._texts = texts

    def classes(self, model: str) -> tuple[str, ...]:
        with self._database.read(_SOURCE) as connection:
            return classes_of(connection, [model]).get(model, ())

    def labelled(self, model: str, *, since_s: float) -> Iterator[LabelledText]:
        after = 0
        own, said = predictions.c, labels.c
        truth = and_(said.request_id == own.request_id, said.is_truth)
        columns = (own.id, own.request_id, own.version, own.text, own.label.label("answer"), own.confidence, own.at_s)
        given = (said.label, said.source, said.at_s.label("labelled_at_s"), said.directed)
        chance = (own.inclusion_probability * said.inclusion_probability).label("probability")
        query = select(*columns, *given, chance).select_from(predictions.join(labels, truth))
        query = query.where(own.model == model, own.text.is_not(None), own.traffic == Traffic.LIVE.value)
        query = query.where(own.at_s >= since_s).order_by(own.id).limit(_PAGE_ROWS)
        while True:
            with self._database.read(_SOURCE) as connection:
                rows = connection.execute(query.where(own.id > after)).all()
            for row in rows:
                text = self._texts.shown(row.text)
                if text is not None:
                    yield LabelledText(
                        text=text,
                        label=row.label,
                        request_id=row.request_id,
                        model_version=row.version,
                        answer=row.answer,
                        confidence=row.confidence,
                        answered_at_s=row.at_s,
                        labelled_at_s=row.labelled_at_s,
                        source=row.source,
                        directed=row.directed,
                        inclusion_probability=row.probability,
                    )
            if len(rows) < _PAGE_ROWS:
                return
            after = rows[-1].id
