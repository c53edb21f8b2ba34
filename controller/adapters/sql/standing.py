"""The standing queue of requests to label, chosen from the newest answers whose texts are kept."""

from collections.abc import Sequence
from typing import Final

from sqlalchemy import exists, select

from controller.adapters.sql.database import Database
from controller.adapters.sql.schema import labels, predictions
from controller.adapters.sql.texts import NoTexts, Texts
from controller.errors import Source
from controller.ports.samples import LabelRequest
from controller.ports.standing import ANSWERS_MAX, Answered, chosen
from serving.contract import Traffic

_SOURCE: Final = Source.LABELS


class SqlStandingRequests:
    """``controller.ports.standing.StandingRequests`` on SQL."""

    def __init__(self, database: Database, texts: Texts | None = None) -> None:
        """``texts``: how captured texts are kept; without it there are none."""
        self._database = database
        self._texts = texts or NoTexts()

    def standing_requests(self, model: str, version: str, *, since_s: float, limit: int) -> Sequence[LabelRequest]:
        own = predictions.c
        kept = (own.model == model, own.text.is_not(None))
        of_version = (own.version == version, own.traffic == Traffic.LIVE.value, own.at_s >= since_s)
        labelled = exists().where(labels.c.request_id == own.request_id).label("labelled")
        newest = select(own.request_id, own.text_digest, own.label, own.confidence, labelled, own.id)
        newest = newest.where(*kept, *of_version).order_by(own.id.desc()).limit(ANSWERS_MAX)
        with self._database.read(_SOURCE) as connection:
            rows = connection.execute(newest).all()
            ids = {row.request_id: row.id for row in rows}
            answered = [
                Answered(row.request_id, row.text_digest, row.label, row.confidence, bool(row.labelled)) for row in rows
            ]
            asked = chosen(answered, limit)
            texts = select(own.request_id, own.text).where(own.id.in_([ids[one.request_id] for one, _ in asked]))
            sealed = {row.request_id: row.text for row in connection.execute(texts)}
        return tuple(
            LabelRequest(
                request_id=one.request_id,
                model=model,
                answers={version: one.label},
                disagree=False,
                directed=False,
                text=self._texts.shown(sealed[one.request_id]),
                inclusion_probability=probability,
            )
            for one, probability in asked
        )
