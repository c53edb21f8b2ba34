"""The forming of evidence as predictions and labels arrive, in whatever order: set by set, in the writer's transaction.

Three facts about one request make a labelled pair: one version's live answer, another's shadow answer, the truth.
Whichever comes last completes it. Every row is formed once, and only from what is new, so the cost of a batch does not
depend on the past. Pairs of the same text are all kept: which one counts depends on the release that reads them.
"""

import json
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any, Final

from sqlalchemy import (
    ColumnElement,
    Connection,
    Double,
    Insert,
    Row,
    Select,
    and_,
    bindparam,
    case,
    delete,
    exists,
    func,
    select,
    update,
)

from controller.adapters.sql.database import insert_new, insert_new_on
from controller.adapters.sql.schema import BIG_ID, labelled_answers, labelled_pairs, labels, pairs, predictions
from controller.adapters.sql.scoring import brier
from serving.contract import Traffic

REPLAYED: Final = "replayed"
"""The kind of traffic of an answer to a recorded request that was asked again; none that a replica tells of."""

_LIVE = predictions.alias("live")
_SHADOW = predictions.alias("shadow")


@dataclass(frozen=True, slots=True)
class Heads:
    """Ids of the newest prediction, label and pair: what comes after them is new."""

    prediction: int
    label: int
    pair: int


# Statements are made once: SQLAlchemy takes longer to make one, and to find it compiled, than a database to run it.
_HEAD: Final = bindparam("head", type_=BIG_ID)
_HEADS: Final = select(
    *(select(func.coalesce(func.max(table.c.id), 0)).scalar_subquery() for table in (predictions, labels, pairs))
)
_MATCH: Final = (
    update(labels)
    .where(labels.c.request_id.in_(select(predictions.c.request_id).where(predictions.c.id > _HEAD)), ~labels.c.matched)
    .values(matched=True)
)


def heads(connection: Connection) -> Heads:
    return Heads(*connection.execute(_HEADS).one())


def after_predictions(connection: Connection, before: Heads, kinds: Collection[str]) -> None:
    """Form what the predictions newer than ``before`` complete; ``kinds`` are those of traffic among them."""
    dialect, head = connection.dialect.name, {"head": before.prediction}
    connection.execute(_MATCH, head)
    if Traffic.LIVE.value in kinds:
        connection.execute(_insert_pairs(dialect, _LIVE.c.id), head)
        connection.execute(_insert_labelled_answers(dialect, _LIVE.c.id), head)
    if Traffic.SHADOW.value in kinds:
        connection.execute(_insert_pairs(dialect, _SHADOW.c.id), head)
    _form_labelled_pairs(connection, pairs.c.id, before.pair)


def after_labels(connection: Connection, before: Heads) -> None:
    """Form what the labels newer than ``before`` complete."""
    new_requests = select(labels.c.request_id).where(labels.c.id > before.label)
    connection.execute(update(pairs).where(pairs.c.request_id.in_(new_requests)).values(labelled=True))
    _form_labelled_pairs(connection, labels.c.id, before.label)
    connection.execute(_insert_labelled_answers(connection.dialect.name, labels.c.id), {"head": before.label})


def after_replays(connection: Connection, before: Heads, *, labelled_since_s: float) -> None:
    """Form what the pairs newer than ``before`` complete, by labels that came at ``labelled_since_s`` or later."""
    _form_labelled_pairs(connection, pairs.c.id, before.pair, labelled_since_s)


_PAIR_COLUMNS = [
    "model",
    "live_version",
    "shadow_version",
    "request_id",
    "live_id",
    "shadow_id",
    "text_digest",
    "agreed",
    "labelled",
    "inclusion_probability",
    "at_s",
]


def _newer(query: Select[Any], new: ColumnElement[int]) -> Select[Any]:
    """The rows formed with something newer than the parameter ``head``, in its order. SQLite plans a join by its order:
    to sort by what is new makes it start there, and look up the rest by index, instead of reading all the past."""
    return query.where(new > _HEAD).order_by(new)


@cache
def _insert_pairs(dialect: str, new: ColumnElement[int]) -> Insert:
    """Live and shadow answers of two versions to one request.

    The texts' digests must be equal: a client that gives two requests one id makes no pair.
    The samples of both versions are consistent, so the smaller one lies within the larger: a pair is included with the
    smaller of the two probabilities.
    """
    live, shadow = _LIVE.c, _SHADOW.c
    smaller = case(
        (live.inclusion_probability < shadow.inclusion_probability, live.inclusion_probability),
        else_=shadow.inclusion_probability,
    )
    query = (
        select(
            live.model,
            live.version,
            shadow.version,
            live.request_id,
            live.id,
            shadow.id,
            live.text_digest,
            live.label == shadow.label,
            exists().where(labels.c.request_id == live.request_id),
            smaller,
            case((live.at_s > shadow.at_s, live.at_s), else_=shadow.at_s),
        )
        .select_from(_LIVE)
        .join(_SHADOW, and_(shadow.request_id == live.request_id, shadow.model == live.model))
        .where(
            live.traffic == Traffic.LIVE.value,
            shadow.traffic == Traffic.SHADOW.value,
            live.version != shadow.version,
            live.text_digest == shadow.text_digest,
        )
    )
    return insert_new_on(dialect, pairs).from_select(_PAIR_COLUMNS, _newer(query, new), include_defaults=False)


def _form_labelled_pairs(
    connection: Connection, new: ColumnElement[int], head: int, labelled_since_s: float = 0.0
) -> None:
    found = connection.execute(_labelled_pairs_newer(new), {"head": head, "since_s": labelled_since_s})
    rows = [_labelled_pair(row) for row in found]
    if rows:
        connection.execute(insert_new(connection, labelled_pairs), rows)


@cache
def _labelled_pairs_newer(new: ColumnElement[int]) -> Select[Any]:
    query = (
        select(
            pairs.c.id,
            pairs.c.model,
            pairs.c.live_version,
            pairs.c.shadow_version,
            pairs.c.text_digest,
            pairs.c.replayed,
            (pairs.c.inclusion_probability * labels.c.inclusion_probability).label("inclusion_probability"),
            labels.c.label,
            labels.c.directed,
            labels.c.at_s,
            _LIVE.c.label.label("live_label"),
            _LIVE.c.confidence.label("live_confidence"),
            _LIVE.c.probabilities.label("live_probabilities"),
            _SHADOW.c.label.label("shadow_label"),
            _SHADOW.c.confidence.label("shadow_confidence"),
            _SHADOW.c.probabilities.label("shadow_probabilities"),
        )
        .select_from(pairs)
        .join(labels, and_(labels.c.request_id == pairs.c.request_id, labels.c.is_truth))
        .join(_LIVE, _LIVE.c.id == pairs.c.live_id)
        .join(_SHADOW, _SHADOW.c.id == pairs.c.shadow_id)
        .where(labels.c.received_at_s >= bindparam("since_s", type_=Double))
    )
    return _newer(query, new)


def _labelled_pair(row: Row[Any]) -> dict[str, object]:
    return {
        "pair_id": row.id,
        "model": row.model,
        "live_version": row.live_version,
        "shadow_version": row.shadow_version,
        "text_digest": row.text_digest,
        "truth": row.label,
        "directed": row.directed,
        "live_label": row.live_label,
        "live_confidence": row.live_confidence,
        "live_brier": brier(json.loads(row.live_probabilities), row.label),
        "shadow_label": row.shadow_label,
        "shadow_confidence": row.shadow_confidence,
        "shadow_brier": brier(json.loads(row.shadow_probabilities), row.label),
        "inclusion_probability": row.inclusion_probability,
        "at_s": row.at_s,
        "replayed": row.replayed,
    }


@cache
def _insert_labelled_answers(dialect: str, new: ColumnElement[int]) -> Insert:
    live = _LIVE.c
    formed = (
        select(
            live.id,
            live.model,
            live.version,
            live.label,
            labels.c.label,
            labels.c.source,
            labels.c.directed,
            labels.c.at_s,
            live.inclusion_probability * labels.c.inclusion_probability,
        )
        .select_from(_LIVE)
        .join(labels, and_(labels.c.request_id == live.request_id, labels.c.is_truth))
        .where(live.traffic == Traffic.LIVE.value)
    )
    columns = ["prediction_id", "model", "version", "answer", "truth", "source", "directed", "at_s"]
    columns.append("inclusion_probability")
    return insert_new_on(dialect, labelled_answers).from_select(columns, _newer(formed, new), include_defaults=False)


def undo_labels(connection: Connection, requests: Sequence[str]) -> None:
    """Take back what labels of these requests formed, none of which a look has read. What replaces them is formed
    again."""
    of_requests = select(pairs.c.id).where(pairs.c.request_id.in_(requests))
    connection.execute(delete(labelled_pairs).where(labelled_pairs.c.pair_id.in_(of_requests)))
    answered = select(predictions.c.id).where(predictions.c.request_id.in_(requests))
    connection.execute(delete(labelled_answers).where(labelled_answers.c.prediction_id.in_(answered)))
