"""Labels read as evidence: by the names of classes, and by what a policy says other names mean.

A label is kept as its source named it. What it means is found when it is read, so that a name which nobody knew is
evidence from the look on that knows it.
"""

import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from sqlalchemy import ColumnElement, Connection, Row, Select, Table, and_, func, or_, select

from controller.adapters.sql.schema import labelled_answers, labelled_pairs, pairs, predictions
from controller.adapters.sql.scoring import brier
from controller.adapters.sql.values import chunks
from controller.core.labels import LabelNames, Position
from controller.ports.samples import SampleCursor
from gates.evidence import LabelChance, LabelCounts, LeastLikely, label_counts


@dataclass(frozen=True, slots=True)
class ReadPair:
    """A row of ``labelled_pairs`` whose truth is a class, and the scores by it."""

    row: Row[Any]
    truth: str
    live_brier: float
    shadow_brier: float


@dataclass(frozen=True)
class LabelReading:
    """The labels that lie between two cursors, by names; and of what lies before, what no look knew that could have
    read it."""

    names: LabelNames
    after: SampleCursor
    upto: SampleCursor

    @cached_property
    def _unread(self) -> Mapping[Position, list[str]]:
        """Names that are known again, or at last, by how far labels were read by them."""
        by_position: dict[Position, list[str]] = {}
        if self.after.names is not None:
            for name, position in self.names.unread(self.after.names).items():
                by_position.setdefault(position, []).append(name)
        return by_position

    def _new(self, table: Table, first: int, after: int, upto: int) -> ColumnElement[bool]:
        of_table = 0 if table is labelled_pairs else 1
        passed_over = [
            and_(table.c.id > max(first, position[of_table]), table.c.id <= after, table.c.truth.in_(some))
            for position, names in self._unread.items()
            for some in chunks(names)
        ]
        return or_(and_(table.c.id > after, table.c.id <= upto), *passed_over)

    def labelled_pairs(self, connection: Connection, query: Select[Any]) -> Iterator[ReadPair]:
        """Those of the query, in their order. One whose scores by its truth cannot be told any more is left out."""
        new = self._new(labelled_pairs, 0, self.after.labelled_pair, self.upto.labelled_pair)
        rows = connection.execute(query.where(new).order_by(labelled_pairs.c.id)).all()
        renamed = [row.pair_id for row in rows if self.names.truth(row.truth) not in (None, row.truth)]
        probabilities = _probabilities(connection, renamed) if renamed else {}
        for row in rows:
            truth = self.names.truth(row.truth)
            if truth is not None and truth == row.truth:
                yield ReadPair(row, truth, row.live_brier, row.shadow_brier)
            elif truth is not None and row.pair_id in probabilities:
                live, shadow = probabilities[row.pair_id]
                yield ReadPair(row, truth, brier(live, truth), brier(shadow, truth))

    def label_counts(self, connection: Connection, model: str, version: str) -> LabelCounts:
        """Return the counts of the version's live answers that were labelled by chance."""
        columns = labelled_answers.c
        new = self._new(
            labelled_answers, self.after.first_labelled_answer, self.after.labelled_answer, self.upto.labelled_answer
        )
        query = (
            select(columns.inclusion_probability, columns.truth, columns.answer, func.count())
            .where(columns.model == model, columns.version == version, ~columns.directed, new)
            .group_by(columns.inclusion_probability, columns.truth, columns.answer)
        )
        labelled, wrong = Counter[float](), Counter[float]()
        for chance, name, answer, number in connection.execute(query):
            truth = self.names.truth(name)
            if truth is not None:
                labelled[chance] += number
                wrong[chance] += number if answer != truth else 0
        return label_counts(LabelChance(chance, labelled[chance], wrong[chance]) for chance in sorted(labelled))

    def least_likely(self, connection: Connection, model: str, versions: Sequence[str]) -> LeastLikely | None:
        """The least likely one of the labels of live answers that were read so far; None: all were certain."""
        before = self.after.least_likely
        columns = labelled_answers.c
        new = self._new(
            labelled_answers, self.after.first_labelled_answer, self.after.labelled_answer, self.upto.labelled_answer
        )
        query = (
            select(columns.source, columns.truth, columns.inclusion_probability, predictions.c.request_id)
            .join(predictions, predictions.c.id == columns.prediction_id)
            .where(columns.model == model, columns.version.in_(versions), new)
            .where(columns.inclusion_probability < (before.inclusion_probability if before is not None else 1.0))
            .order_by(columns.inclusion_probability, columns.id)
        )
        for row in connection.execute(query):
            if self.names.truth(row.truth) is not None:
                return LeastLikely(row.source, row.request_id, row.inclusion_probability)
        return before


Scores = dict[str, float]


def _probabilities(connection: Connection, pair_ids: list[int]) -> dict[int, tuple[Scores, Scores]]:
    live, shadow = predictions.alias("live"), predictions.alias("shadow")
    query = (
        select(pairs.c.id, live.c.probabilities.label("live"), shadow.c.probabilities.label("shadow"))
        .select_from(pairs)
        .join(live, live.c.id == pairs.c.live_id)
        .join(shadow, shadow.c.id == pairs.c.shadow_id)
    )
    found = {}
    for some in chunks(pair_ids):
        for row in connection.execute(query.where(pairs.c.id.in_(some))):
            found[row.id] = (json.loads(row.live), json.loads(row.shadow))
    return found
