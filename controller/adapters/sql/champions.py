"""The store of the watch over champions: new samples of all models in one pass, and the findings, kept together with
how far was read."""

import itertools
from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any, Final

from pydantic import TypeAdapter, ValidationError
from sqlalchemy import Connection, and_, case, delete, func, insert, select

from controller.adapters.sql import streams, subscribers
from controller.adapters.sql.classes import classes_of
from controller.adapters.sql.database import Database
from controller.adapters.sql.schema import champions, labelled_answers, labels, predictions
from controller.core.champion import CLASSES, CONFIDENCE, TOKENS
from controller.errors import Source
from controller.journal.codec import entry_of
from controller.journal.notes import RetrainAsked, stream_of
from controller.ports.champions import Asked, LabelledAnswer, Seen, VersionOf, WatchCursor, Watched
from controller.ports.samples import CONFIDENCE_BINS
from serving.contract import TOKEN_EDGES, Traffic

_SOURCE: Final = Source.LABELS
_ANSWERS, _LABELLED = "watch of answers", "watch of labels"  # as followers of samples
Counts = dict[VersionOf, dict[str, dict[str, int]]]


class SqlChampions:
    """``controller.ports.champions.Champions`` on SQL."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def head(self) -> WatchCursor:
        with self._database.read(_SOURCE) as connection:
            return _head(connection)

    def seen(self, after: WatchCursor, *, ids_max: int) -> Seen:
        with self._database.read(_SOURCE) as connection:
            head = _head(connection)
            upto = WatchCursor(
                max(after.answer, min(head.answer, after.answer + ids_max)),
                max(after.labelled, min(head.labelled, after.labelled + ids_max)),
            )
            counts: Counts = {}
            _count_answers(connection, (after.answer, upto.answer), counts)
            _count_lengths(connection, (after.answer, upto.answer), counts)
            found = _labelled(connection, (after.labelled, upto.labelled))
            classes = classes_of(connection, {model for model, _ in found}) if found else {}
        more = upto.answer < head.answer or upto.labelled < head.labelled
        return Seen(upto, counts, found, classes, more)

    def kept(self) -> tuple[WatchCursor | None, Mapping[str, Watched]]:
        with self._database.read(_SOURCE) as connection:
            read = WatchCursor(*(subscribers.position_of(connection, name) for name in (_ANSWERS, _LABELLED)))
            states = connection.execute(select(champions.c.model, champions.c.state)).all()
        found = {}
        for model, state in states:
            try:
                found[model] = _adapter().validate_json(state)
            except ValidationError:  # of another version of Serin: what is known of it begins anew
                continue
        return (None if read == WatchCursor() else read), found

    def keep(
        self, cursor: WatchCursor, changed: Mapping[str, Watched], asked: Sequence[Asked] = (), *, fence: int | None
    ) -> None:
        rows = [
            {"model": model, "version": one.champion.version, "state": _adapter().dump_json(one).decode()}
            for model, one in changed.items()
        ]
        begin = self._database.write_durably if asked else self._database.write
        with begin(_SOURCE) as connection:
            streams.move_head(connection, 0, fence)
            for one in asked:
                note = RetrainAsked(one.model, one.version, one.asking)
                streams.append(connection, stream_of(one.model), [entry_of(note, one.at_s)], fence=fence)
            subscribers.advance(connection, _ANSWERS, cursor.answer)
            subscribers.advance(connection, _LABELLED, cursor.labelled)
            for row in rows:
                connection.execute(delete(champions).where(champions.c.model == row["model"]))
            if rows:
                connection.execute(insert(champions), rows)


def _head(connection: Connection) -> WatchCursor:
    newest = (func.coalesce(func.max(table.c.id), 0) for table in (predictions, labelled_answers))
    return WatchCursor(*(connection.execute(select(one)).scalar_one() for one in newest))


def _of_span(span: tuple[int, int]) -> tuple[Any, ...]:
    return (predictions.c.id > span[0], predictions.c.id <= span[1], predictions.c.traffic == Traffic.LIVE.value)


def _count_answers(connection: Connection, span: tuple[int, int], counts: Counts) -> None:
    edges = [step / CONFIDENCE_BINS for step in range(1, CONFIDENCE_BINS)]
    reached = [func.sum(case((predictions.c.confidence >= edge, 1), else_=0)) for edge in edges]
    by = (predictions.c.model, predictions.c.version, predictions.c.label)
    query = select(*by, func.count(), *reached).where(*_of_span(span)).group_by(*by)
    for model, version, label, total, *above in connection.execute(query):
        of_version = counts.setdefault((model, version), {})
        of_version.setdefault(CLASSES, {})[label] = int(total)
        bins = of_version.setdefault(CONFIDENCE, {})
        for place, (more, fewer) in enumerate(itertools.pairwise((total, *above, 0))):
            if more > fewer:
                bins[str(place)] = bins.get(str(place), 0) + int(more) - int(fewer)


def _count_lengths(connection: Connection, span: tuple[int, int], counts: Counts) -> None:
    spans = [(predictions.c.tokens <= edge, place) for place, edge in enumerate(TOKEN_EDGES)]
    length = case(*spans, else_=len(TOKEN_EDGES)).label("length")
    by = (predictions.c.model, predictions.c.version, length)
    query = select(*by, func.count()).where(*_of_span(span), predictions.c.tokens.is_not(None)).group_by(*by)
    for model, version, place, total in connection.execute(query):
        counts.setdefault((model, version), {}).setdefault(TOKENS, {})[str(place)] = int(total)


def _labelled(connection: Connection, span: tuple[int, int]) -> dict[VersionOf, list[LabelledAnswer]]:
    own = labelled_answers.c
    of_request = and_(labels.c.request_id == predictions.c.request_id, labels.c.is_truth)
    joined = labelled_answers.outerjoin(predictions, predictions.c.id == own.prediction_id)
    joined = joined.outerjoin(labels, of_request)
    columns = (own.model, own.version, own.answer, own.truth, own.inclusion_probability)
    waited = labels.c.received_at_s - predictions.c.at_s
    query = select(*columns, predictions.c.confidence, waited).select_from(joined)
    found: dict[VersionOf, list[LabelledAnswer]] = {}
    for model, version, *rest in connection.execute(
        query.where(own.id > span[0], own.id <= span[1], ~own.directed).order_by(own.id)
    ):
        found.setdefault((model, version), []).append(LabelledAnswer(*rest))
    return found


@cache
def _adapter() -> TypeAdapter[Watched]:
    return TypeAdapter(Watched)
