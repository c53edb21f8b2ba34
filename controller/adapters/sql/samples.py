"""Sampled predictions and labels: taken in by batches, read as evidence from a cursor on."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Any, Final

from sqlalchemy import (
    ColumnElement,
    Connection,
    FromClause,
    Row,
    ScalarSelect,
    Select,
    Table,
    and_,
    bindparam,
    case,
    delete,
    exists,
    func,
    select,
)

from controller.adapters.sql import answers, arrivals, evidence, schema, space
from controller.adapters.sql.classes import classes_of
from controller.adapters.sql.database import Database
from controller.adapters.sql.intake import Rows, lock
from controller.adapters.sql.labels import Aliases, note_looked, take
from controller.adapters.sql.pruning import UnmatchedLabels, prune
from controller.adapters.sql.reading import LabelReading, ReadPair
from controller.adapters.sql.schema import labelled_answers, labelled_pairs, pairs
from controller.adapters.sql.sources import label_sources
from controller.adapters.sql.suite_texts import asked_of_recorded, is_of_suite
from controller.adapters.sql.texts import NoTexts, Texts
from controller.core.labels import LabelNames, LabelsTaken
from controller.core.sampling import Labelled
from controller.errors import Source
from controller.ports.samples import (
    BY_CHANCE_BELOW,
    AnswerCounts,
    Label,
    LabelRequest,
    Prediction,
    SampleCursor,
    SampleEvidence,
    by_turns,
)
from gates.evidence import Answer, LabelledPair, LabelSource, Replayed, SlicePairs
from gates.online.slices import Attributes, Members

_SOURCE = Source.LABELS
_FILLED: Final = 0.9  # of the room that samples may take, after some were deleted for it

CHOSEN_FROM: Final = 1_000  # pairs that label requests by chance are chosen from
_NO_ALIASES: Final[Mapping[str, Mapping[str, str]]] = MappingProxyType({})
_ANY_NAME: Final = LabelNames()


@dataclass(frozen=True, slots=True)
class _Comparison:
    """The comparison of a release: the two versions, and the newest pair before it."""

    model: str
    stable: str
    candidate: str
    first_pair: int

    def has(self, table: Table, pair_id: ColumnElement[int]) -> ColumnElement[bool]:
        """Return whether a row of pairs, labelled or not, is evidence for the release: a pair of its own, whichever
        version was live, and the first with this text. Pairs of the same text depend on each other."""
        earlier = pairs.alias("earlier")
        seen = exists().where(
            earlier.c.text_digest == table.c.text_digest,
            self.compares(earlier),
            earlier.c.id > self.first_pair,
            earlier.c.id < pair_id,
        )
        return and_(self.compares(table), pair_id > self.first_pair, ~seen)

    def compares(self, table: FromClause) -> ColumnElement[bool]:
        versions = (self.stable, self.candidate)  # of a pair they are never the same
        columns = table.c
        return and_(
            columns.model == self.model, columns.live_version.in_(versions), columns.shadow_version.in_(versions)
        )


class SqlSamples:
    """``controller.ports.Samples``, ``SampleIntake`` and ``LabelArrivals`` on SQL."""

    def __init__(self, database: Database, texts: Texts | None = None) -> None:
        """``texts``: how captured texts are kept; without it they are not."""
        self._database = database
        self._texts = texts or NoTexts()

    def add_predictions(self, predictions: Sequence[Prediction]) -> int:
        if not predictions:
            return 0
        rows = Rows.of(predictions, self._texts)
        with self._database.write(_SOURCE) as connection:
            before = _locked_heads(connection)
            rows.insert(connection)
            evidence.after_predictions(connection, before, {str(one.traffic) for one in predictions})
            return _count_after(connection, before.prediction)

    def add_labels(self, labels: Sequence[Label], *, aliases: Aliases = _NO_ALIASES) -> LabelsTaken:
        if not labels:
            return LabelsTaken()
        with self._database.write(_SOURCE) as connection:
            lock(connection)
            return take(connection, labels, aliases)

    def latest(self) -> SampleCursor:
        with self._database.read(_SOURCE) as connection:
            return _latest(connection)

    def since(
        self,
        model: str,
        stable: str,
        candidate: str,
        cursor: SampleCursor,
        *,
        slices: Sequence[str] = (),
        names: LabelNames = _ANY_NAME,
        settled_before_s: float = math.inf,
    ) -> SampleEvidence:
        """Writes too: a correction that comes while this reads waits for it, and is told that it came too late."""
        members = Members(slices)
        with self._database.read(_SOURCE) as connection:  # no cursor moves by these, so that no writer waits for them
            sources = label_sources(connection, model, (stable, candidate), cursor, names, settled_before_s)
            unseen = answers.unseen_slices(connection, model, stable, slices)
        with self._database.write(_SOURCE) as connection:
            lock(connection)
            upto = replace(_later(cursor, _latest(connection)), names=names.after(cursor.names, cursor.labels_read))
            release = _Comparison(model, stable, candidate, cursor.first_pair)
            span = (cursor.pair, upto.pair)
            agreed, disagreed, replayed = _pair_counts(connection, release, span)
            paired, asked_again = _paired(connection, release, span)
            reading = LabelReading(names, cursor, upto)
            upto = replace(upto, least_likely=reading.least_likely(connection, model, (stable, candidate)))
            answered = (cursor.prediction, upto.prediction)
            note_looked(connection, model, names, upto)
            return SampleEvidence(
                pairs=_labelled_pairs(connection, release, reading, members),
                pairs_agreed=agreed,
                pairs_disagreed=disagreed,
                stable_labels=reading.label_counts(connection, model, stable),
                candidate_labels=reading.label_counts(connection, model, candidate),
                cursor=upto,
                slice_pairs=_slice_pairs(connection, release, (cursor.pair, upto.pair), members),
                stable_answers=answers.answer_counts(connection, model, stable, answered),
                candidate_answers=answers.answer_counts(connection, model, candidate, answered),
                label_sources=sources,
                unseen_slices=unseen,
                pair_counts=answers.pair_counts(
                    connection, _pairs_of(release, span).where(~is_of_suite(pairs)), release.stable
                ),
                paired=paired,
                replayed=Replayed(asked_again, *replayed) if asked_again else None,
            )

    def last_answers(self, model: str, version: str) -> Sequence[Attributes]:
        with self._database.read(_SOURCE) as connection:
            return answers.last(connection, model, version)

    def label_sources(
        self,
        model: str,
        stable: str,
        candidate: str,
        cursor: SampleCursor,
        *,
        names: LabelNames,
        settled_before_s: float,
    ) -> Sequence[LabelSource]:
        with self._database.read(_SOURCE) as connection:
            if not names.classes:
                names = replace(names, classes=classes_of(connection, [model]).get(model, ()))
            return label_sources(connection, model, (stable, candidate), cursor, names, settled_before_s)

    def labelled(self, model: str) -> Labelled | None:
        with self._database.read(_SOURCE) as connection:
            return arrivals.labelled(connection, model)

    def reference(
        self, model: str, version: str, cursor: SampleCursor, *, since_s: float, token_edges: Sequence[int]
    ) -> Sequence[AnswerCounts]:
        with self._database.read(_SOURCE) as connection:
            span = (min(answers.first_since(connection, since_s), cursor.prediction), cursor.prediction)
            return tuple(answers.reference(connection, model, version, span, token_edges))

    def label_requests(
        self, model: str, stable: str, candidate: str, *, first_pair: int, limit: int
    ) -> Sequence[LabelRequest]:
        """Those by chance are, of the newest ``CHOSEN_FROM``, the ones whose texts' digests come first."""
        release = _Comparison(model, stable, candidate, first_pair)
        by_chance = pairs.c.text_digest < BY_CHANCE_BELOW
        with self._database.read(_SOURCE) as connection:
            differing = _unlabelled(release).where(~pairs.c.agreed, ~by_chance).limit(limit)
            newest = _unlabelled(release).where(by_chance).limit(CHOSEN_FROM).subquery("newest")
            fair = select(newest).order_by(newest.c.text_digest).limit(limit)
            directed, others = (connection.execute(query).all() for query in (differing, fair))
        return by_turns(
            [_label_request(row, self._texts, directed=True) for row in directed],
            [_label_request(row, self._texts, directed=False) for row in others],
            limit,
        )

    @property
    def unmatched_labels(self) -> UnmatchedLabels:
        return UnmatchedLabels(self._database)

    def prune(self, before_s: float) -> int:
        """Delete what is older than ``before_s`` and return the number of rows. Cursors stay good: ids only grow.

        Evidence is never undone, but what no look has read by then is lost: keep samples for longer than the longest
        release lasts.
        """
        formed = (labelled_pairs, labelled_answers, pairs, schema.predictions)
        old = [(table, table.c.at_s, table.c.at_s < before_s) for table in formed]
        asked = schema.replayed_requests
        old.append((asked, asked.c.at_s, and_(asked.c.at_s < before_s, asked_of_recorded())))
        received = (schema.labels, schema.label_disputes)
        old += [(table, table.c.received_at_s, table.c.received_at_s < before_s) for table in received]
        total = sum(prune(self._database, *what) for what in old)
        with self._database.write(_SOURCE) as connection:  # named again where their version still answers
            connection.execute(delete(schema.version_classes).where(schema.version_classes.c.at_s < before_s))
        space.give_back(self._database)
        return total

    def prune_to(self, bytes_max: float) -> int:
        """Delete the oldest if all take more space than that, until a tenth of it is free, and return the number of
        rows."""
        with self._database.read(_SOURCE) as connection:
            found = space.sample_bytes(connection)
            if found <= bytes_max:
                return 0
            before_s = space.time_of_share(connection, 1 - _FILLED * bytes_max / found)
        return 0 if before_s is None else self.prune(before_s)


def _locked_heads(connection: Connection) -> evidence.Heads:
    lock(connection)
    return evidence.heads(connection)


def _count_after(connection: Connection, head: int) -> int:
    return connection.execute(_NEW_PREDICTIONS, {"head": head}).scalar_one()


_NEW_PREDICTIONS: Final = (
    select(func.count()).select_from(schema.predictions).where(schema.predictions.c.id > bindparam("head"))
)


def _latest(connection: Connection) -> SampleCursor:
    tables = (pairs, labelled_pairs, labelled_answers, schema.predictions, schema.labels, schema.label_disputes)
    newest = (select(func.coalesce(func.max(table.c.id), 0)).scalar_subquery() for table in tables)
    pair, labelled_pair, labelled_answer, prediction, label, dispute = connection.execute(select(*newest)).one()
    return SampleCursor(
        pair=pair,
        labelled_pair=labelled_pair,
        labelled_answer=labelled_answer,
        prediction=prediction,
        first_pair=pair,
        first_labelled_answer=labelled_answer,
        first_label=label,
        first_dispute=dispute,
    )


def _later(cursor: SampleCursor, latest: SampleCursor) -> SampleCursor:
    """Never behind either: where everything was pruned, the newest id that is left says nothing."""
    return replace(
        cursor,
        pair=max(cursor.pair, latest.pair),
        labelled_pair=max(cursor.labelled_pair, latest.labelled_pair),
        labelled_answer=max(cursor.labelled_answer, latest.labelled_answer),
        prediction=max(cursor.prediction, latest.prediction),
    )


def _within(query: Select[Any], table: Table, span: tuple[int, int]) -> Select[Any]:
    after, upto = span
    return query.where(table.c.id > after, table.c.id <= upto)


def _pair_counts(
    connection: Connection, release: _Comparison, span: tuple[int, int]
) -> tuple[int, int, tuple[int, int]]:
    """Return how many pairs agreed and disagreed, and the same of those that were replayed."""
    query = select(pairs.c.replayed, pairs.c.agreed, func.count()).where(release.has(pairs, pairs.c.id))
    found = connection.execute(_within(query, pairs, span).group_by(pairs.c.replayed, pairs.c.agreed))
    counts = {(replayed, agreed): int(number) for replayed, agreed, number in found}
    again = counts.get((True, True), 0), counts.get((True, False), 0)
    return counts.get((False, True), 0) + again[0], counts.get((False, False), 0) + again[1], again


def _pairs_of(release: _Comparison, span: tuple[int, int]) -> Select[Any]:
    return _within(select(pairs.c.id).where(release.has(pairs, pairs.c.id)), pairs, span)


def _paired(connection: Connection, release: _Comparison, span: tuple[int, int]) -> tuple[int, int]:
    """Return every pair of the gateway's copies, and every replayed one, also of a text that was seen before: what was
    answered twice, and not what is evidence."""
    query = select(func.count(), func.coalesce(func.sum(case((pairs.c.replayed, 1), else_=0)), 0))
    query = query.select_from(pairs).where(release.compares(pairs))
    total, replayed = connection.execute(_within(query, pairs, span)).one()
    return int(total) - int(replayed), int(replayed)


def _slice_pairs(
    connection: Connection, release: _Comparison, span: tuple[int, int], members: Members
) -> tuple[SlicePairs, ...]:
    if not members.names:
        return ()
    query = answers.of_slices(_pairs_of(release, span), release.stable, members)
    return answers.slice_counts(connection.execute(query), members)


def _labelled_pairs(
    connection: Connection, release: _Comparison, reading: LabelReading, members: Members
) -> tuple[LabelledPair, ...]:
    said = schema.labels
    joined = labelled_pairs.outerjoin(pairs, pairs.c.id == labelled_pairs.c.pair_id)
    joined = joined.outerjoin(said, and_(said.c.request_id == pairs.c.request_id, said.c.is_truth))
    waited_s = (said.c.received_at_s - pairs.c.at_s).label("waited_s")
    query = select(labelled_pairs, waited_s, is_of_suite(pairs).label("of_suite"))
    query = query.where(release.has(labelled_pairs, labelled_pairs.c.pair_id))
    query = answers.with_attributes(query, joined) if members.names else query.select_from(joined)
    return tuple(
        _labelled_pair(
            read, release.stable, answers.slices_of(read.row, release.stable, members) if members.names else ()
        )
        for read in reading.labelled_pairs(connection, query)
    )


def _labelled_pair(read: ReadPair, stable: str, slices: tuple[str, ...]) -> LabelledPair:
    row = read.row
    live = Answer(row.live_label, row.live_confidence, read.live_brier)
    shadow = Answer(row.shadow_label, row.shadow_confidence, read.shadow_brier)
    stable_was_live = row.live_version == stable
    return LabelledPair(
        truth=read.truth,
        stable=live if stable_was_live else shadow,
        candidate=shadow if stable_was_live else live,
        inclusion_probability=row.inclusion_probability,
        directed=row.directed,
        slices=slices,
        waited_s=max(row.waited_s or 0.0, 0.0),
        replayed=row.replayed,
        of_suite=bool(row.of_suite),
    )


def _unlabelled(release: _Comparison) -> Select[Any]:
    """Newest first."""
    live, shadow = schema.predictions.alias("live"), schema.predictions.alias("shadow")
    return (
        select(
            pairs.c.request_id,
            pairs.c.model,
            pairs.c.live_version,
            pairs.c.shadow_version,
            pairs.c.text_digest,
            pairs.c.agreed,
            live.c.label.label("live_label"),
            shadow.c.label.label("shadow_label"),
            func.coalesce(live.c.text, shadow.c.text, _recorded_text()).label("text"),
        )
        .select_from(pairs)
        .join(live, live.c.id == pairs.c.live_id)
        .join(shadow, shadow.c.id == pairs.c.shadow_id)
        .where(release.has(pairs, pairs.c.id), ~pairs.c.labelled)
        .order_by(pairs.c.id.desc())
    )


def _recorded_text() -> ScalarSelect[Any]:
    """Return the text of a pair whose request was asked again of both versions: what is recorded of it holds it."""
    recorded = schema.predictions.alias("recorded")
    of_request = (recorded.c.request_id == pairs.c.request_id, recorded.c.model == pairs.c.model)
    return select(recorded.c.text).where(*of_request, recorded.c.text.is_not(None)).limit(1).scalar_subquery()


def _label_request(row: Row[Any], texts: Texts, *, directed: bool) -> LabelRequest:
    return LabelRequest(
        request_id=row.request_id,
        model=row.model,
        answers={row.live_version: row.live_label, row.shadow_version: row.shadow_label},
        disagree=not row.agreed,
        directed=directed,
        text=texts.shown(row.text),
    )
