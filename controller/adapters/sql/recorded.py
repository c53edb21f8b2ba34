"""The requests of before a release that may be asked again for it, and why there may be none."""

from collections.abc import Sequence
from typing import Any, Final

from sqlalchemy import Connection, Select, exists, func, select

from controller.adapters.sql.schema import labels, predictions, replayed_requests
from controller.adapters.sql.values import chunks
from controller.core.policy import LabelsBefore
from controller.ports.recordings import Outcome, ReplayOrder
from serving.contract import Traffic

_BY_DOUBT_Z: Final = 5.0  # standard errors between confidences of labelled and other requests, beyond chance


def recorded(order: ReplayOrder) -> Select[Any]:
    """The requests to choose from: of each text the newest, of those the newest, in the order of their digests."""
    other = predictions.alias("other")
    columns, again = predictions.c, replayed_requests.c
    otherwise_answered = exists().where(
        other.c.request_id == columns.request_id, other.c.model == order.model, other.c.traffic != Traffic.LIVE.value
    )
    replayed = exists().where(again.request_id == columns.request_id, again.outcome != Outcome.WAITING)
    newest = (
        select(func.max(columns.id).label("id"), columns.text_digest)
        .where(
            columns.model == order.model,
            columns.traffic == Traffic.LIVE.value,
            columns.text.is_not(None),
            columns.at_s < order.began_at_s,
            ~otherwise_answered,
            ~replayed,
        )
        .group_by(columns.text_digest)
        .order_by(func.max(columns.id).desc())
        .limit(order.policy.requests_max)
        .subquery("newest")
    )
    return (
        select(predictions.c.id, predictions.c.request_id, newest.c.text_digest)
        .join(newest, newest.c.id == predictions.c.id)
        .order_by(newest.c.text_digest)
    )


def trouble_of(connection: Connection, order: ReplayOrder, ids: Sequence[int]) -> str:
    """Return why these cannot be replayed; empty where they can."""
    if not ids:
        return (
            "no request of before the release is recorded with its text, but for those that were replayed or copied "
            "already: capture texts (`serin up --capture-text`) and let some come"
        )
    if order.policy.labels_before is LabelsBefore.HELD_OUT:
        return ""
    confidences: dict[bool, list[float]] = {True: [], False: []}
    chances = set()
    for some in chunks(ids):
        query = (
            select(predictions.c.confidence, labels.c.inclusion_probability)
            .outerjoin(labels, (labels.c.request_id == predictions.c.request_id) & labels.c.is_truth)
            .where(predictions.c.id.in_(some))
        )
        for confidence, chance in connection.execute(query):
            confidences[chance is not None].append(confidence)
            chances |= {chance} - {None}
    if len(chances) > 1 or _apart(confidences[True], confidences[False]):
        return (
            "labels that recorded requests had before the release were chosen by doubt, so that the others are no "
            "fair sample without them: say shadow_replay.labels_before: held_out where the candidate was not "
            "trained on them, and they count"
        )
    return ""


def _apart(some: Sequence[float], others: Sequence[float]) -> bool:
    """Return whether two samples of confidences differ by more than chance makes of them."""
    if len(some) < 2 or len(others) < 2:
        return False
    means = [sum(part) / len(part) for part in (some, others)]
    errors = [
        sum((value - mean) ** 2 for value in part) / (len(part) - 1) / len(part)
        for part, mean in zip((some, others), means, strict=True)
    ]
    return (means[0] - means[1]) ** 2 > _BY_DOUBT_Z**2 * sum(errors)
