"""The labels of sampled answers where the last ones came: how many answers got one, and how late."""

from statistics import median

from sqlalchemy import Connection, and_, func, select

from controller.adapters.sql.schema import labelled_answers, labels, predictions
from controller.core.sampling import Labelled
from controller.ports.samples import ARRIVALS_MAX, ARRIVALS_MIN
from serving.contract import Traffic

IDS_MAX = 1_000_000
"""Samples of all models among which those of one are counted: labels that lie further apart tell nothing of now."""


def labelled(connection: Connection, model: str) -> Labelled | None:
    """Return how labels of the model's live answers arrive, by its last randomly chosen ones (`LabelArrivals`)."""
    newest = (
        select(labelled_answers.c.prediction_id)
        .where(labelled_answers.c.model == model, ~labelled_answers.c.directed)
        .order_by(labelled_answers.c.id.desc())
        .limit(ARRIVALS_MAX)
        .subquery("newest")
    )
    of_request = and_(labels.c.request_id == predictions.c.request_id, labels.c.is_truth)
    query = (
        select(predictions.c.id, predictions.c.at_s, labels.c.received_at_s)
        .join(newest, newest.c.prediction_id == predictions.c.id)
        .join(labels, of_request)
    )
    rows = connection.execute(query).all()
    if len(rows) < ARRIVALS_MIN:
        return None
    first, last = min(row.id for row in rows), max(row.id for row in rows)
    if last - first > IDS_MAX:
        return None
    live = select(func.count()).where(
        predictions.c.id.between(first, last),
        predictions.c.model == model,
        predictions.c.traffic == Traffic.LIVE.value,
    )
    answers = connection.execute(live).scalar_one()
    return Labelled(len(rows) / answers, max(median(row.received_at_s - row.at_s for row in rows), 0.0))
