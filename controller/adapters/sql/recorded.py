"""The requests from before a release that may be asked again for it, and why there may be none."""

from collections.abc import Sequence
from typing import Any, Final

from sqlalchemy import Connection, Row, and_, exists, select

from controller.adapters.sql.schema import labels, predictions, replayed_requests
from controller.adapters.sql.values import chunks
from controller.core.policy import LabelsBefore
from controller.ports.recordings import Outcome, ReplayOrder
from gates.online.labels_before import Recorded, are_chosen
from serving.contract import Traffic

_PAGE_ROWS: Final = 2_000  # looked at in one statement, whatever of them may be asked


def recorded(connection: Connection, order: ReplayOrder) -> Sequence[Row[Any]]:
    """Return the requests to choose from: of each text the newest, of those the newest, in the order of their digests.

    The search begins with the newest, by an index of requests with a text, and ends when there are enough.
    """
    found: dict[str, Row[Any]] = {}
    below: int | None = None
    while len(found) < order.policy.requests_max:
        page = connection.execute(_page(order, below)).all()
        for row in page:
            if row.may_be_asked and len(found) < order.policy.requests_max:
                found.setdefault(row.text_digest, row)
        if len(page) < _PAGE_ROWS:
            break
        below = page[-1].id
    return [found[digest] for digest in sorted(found)]


def _page(order: ReplayOrder, below: int | None) -> Any:
    """The newest rows below an id that have a text, each with whether it may be asked."""
    columns = predictions.c
    kept = select(columns.id, columns.request_id, columns.traffic, columns.at_s, columns.text_digest)
    kept = kept.where(columns.model == order.model, columns.text.is_not(None))
    if below is not None:
        kept = kept.where(columns.id < below)
    page = kept.order_by(columns.id.desc()).limit(_PAGE_ROWS).subquery("page")
    other, again = predictions.alias("other").c, replayed_requests.c
    otherwise_answered = exists().where(
        other.request_id == page.c.request_id, other.model == order.model, other.traffic != Traffic.LIVE.value
    )
    replayed = exists().where(again.request_id == page.c.request_id, again.outcome != Outcome.WAITING)
    may_be_asked = and_(
        page.c.traffic == Traffic.LIVE.value, page.c.at_s < order.began_at_s, ~otherwise_answered, ~replayed
    )
    query = select(page.c.id, page.c.request_id, page.c.text_digest, may_be_asked.label("may_be_asked"))
    return query.order_by(page.c.id.desc())


def trouble_of(connection: Connection, order: ReplayOrder, ids: Sequence[int]) -> str:
    """Return why these cannot be replayed, and what to do for the next release; empty if they can."""
    if not ids:
        return (
            "no request from before the release is recorded with its text, except those that were "
            "replayed or copied already. For the next release: keep texts (`serin up --capture-text`) "
            "and let some requests arrive before it begins"
        )
    if order.policy.labels_before is LabelsBefore.HELD_OUT:
        return ""
    found: list[Recorded] = []
    chances = set()
    columns = predictions.c
    for some in chunks(ids):
        query = (
            select(columns.version, columns.label, columns.confidence, labels.c.inclusion_probability)
            .outerjoin(labels, (labels.c.request_id == columns.request_id) & labels.c.is_truth)
            .where(columns.id.in_(some))
        )
        for version, label, confidence, chance in connection.execute(query):
            found.append(Recorded((version, label), confidence, labelled=chance is not None))
            chances |= {chance} - {None}
    if len(chances) > 1 or are_chosen(found, order.chosen_ratio_max):
        return (
            "labels that recorded requests had before the release were chosen by doubt, so the other "
            "requests are no fair sample without them. For the next release: set "
            "shadow_replay.labels_before: held_out if the candidate was not trained on them, and they "
            "count; or have the texts to label drawn at random"
        )
    return ""
