"""The sampled answers to live requests, and the slices that their pairs belong to: counts from a cursor on.

Each answer is read once per release, and nothing here depends on how many came before.
"""

import bisect
import itertools
import json
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Final

from sqlalchemy import ColumnElement, Connection, Row, Select, case, func, select

from controller.adapters.sql.schema import pairs, predictions
from controller.ports.samples import (
    CONFIDENCE_BINS,
    LAST_ANSWERS_MAX,
    REFERENCE_ANSWERS_MAX,
    AnswerCounts,
    PairCounts,
)
from gates.evidence import PAIR_CONFIDENCE_EDGES, SlicePairs, UnseenSlice
from gates.online.slices import CLASS, TOKENS, Attributes, Members, parts_of, unseen_tags
from serving.contract import Traffic

BLOCKS: Final = 8
BLOCK_ROWS_MAX: Final = REFERENCE_ANSWERS_MAX // BLOCKS
SLICE_IDS_MAX: Final = 50_000  # among the newest samples of all models: older ones of a quiet model tell nothing

_LIVE = predictions.alias("slice_live")
_SHADOW = predictions.alias("slice_shadow")


# --- answers ----------------------------------------------------------------------------------------------------------
def answer_counts(connection: Connection, model: str, version: str, span: tuple[int, int]) -> AnswerCounts:
    """Return the counts of the live answers whose ids are after the first and up to the second of ``span``."""
    edges = [step / CONFIDENCE_BINS for step in range(1, CONFIDENCE_BINS)]
    at_least = [func.sum(case((predictions.c.confidence >= edge, 1), else_=0)) for edge in edges]
    columns = (predictions.c.label, func.count(), *at_least)
    query = select(*columns).where(*_live(model, version, span)).group_by(predictions.c.label)
    classes: dict[str, int] = {}
    above = [0] * (CONFIDENCE_BINS + 1)
    for label, total, *reached in connection.execute(query):
        classes[label] = int(total)
        above = [so_far + int(more) for so_far, more in zip(above, (total, *reached, 0), strict=True)]
    return AnswerCounts(classes, tuple(more - fewer for more, fewer in itertools.pairwise(above)))


def reference(
    connection: Connection, model: str, version: str, span: tuple[int, int], token_edges: Sequence[int]
) -> Iterator[AnswerCounts]:
    """Up to ``BLOCKS`` blocks of neighbours, evenly spread over the ids of ``span``; none that is empty."""
    after, upto = span
    bounds = [after + (upto - after) * number // BLOCKS for number in range(BLOCKS + 1)]
    columns = (predictions.c.label, predictions.c.confidence, predictions.c.tokens)
    for low, high in itertools.pairwise(bounds):
        query = select(*columns).where(*_live(model, version, (low, high))).order_by(predictions.c.id)
        rows = connection.execute(query.limit(BLOCK_ROWS_MAX)).all()
        if rows:
            yield _block(rows, token_edges)


def first_since(connection: Connection, since_s: float) -> int:
    """The id before the first prediction of that time or later; of none, the largest id that there could be."""
    columns = predictions.c
    query = select(columns.id).where(columns.at_s >= since_s).order_by(columns.at_s, columns.id).limit(1)
    found = connection.execute(query).scalar_one_or_none()
    return found - 1 if found is not None else 2**62


def _live(model: str, version: str, span: tuple[int, int]) -> tuple[ColumnElement[bool], ...]:
    columns = predictions.c
    of_version = (columns.model == model, columns.version == version, columns.traffic == Traffic.LIVE.value)
    return (columns.id > span[0], columns.id <= span[1], *of_version)


def _block(rows: Sequence[Any], token_edges: Sequence[int]) -> AnswerCounts:
    confidences = Counter(min(int(row.confidence * CONFIDENCE_BINS), CONFIDENCE_BINS - 1) for row in rows)
    tokens = Counter(bisect.bisect_left(token_edges, row.tokens) for row in rows if row.tokens is not None)
    return AnswerCounts(
        Counter(row.label for row in rows),
        tuple(confidences[place] for place in range(CONFIDENCE_BINS)),
        tuple(tokens[place] for place in range(len(token_edges) + 1)),
    )


# --- pairs ------------------------------------------------------------------------------------------------------------
def pair_counts(connection: Connection, query: Select[Any], stable: str) -> PairCounts:
    """Return the counts of the pairs that the query is of; it has none but their columns' conditions."""
    live, shadow = (predictions.alias(name) for name in ("pair_live", "pair_shadow"))
    reached = [
        func.coalesce(func.sum(case((part.c.confidence >= edge, 1), else_=0)), 0)
        for part in (live, shadow)
        for edge in PAIR_CONFIDENCE_EDGES
    ]
    by = (pairs.c.live_version, live.c.label, shadow.c.label)
    joined = query.with_only_columns(*by, func.count(), *reached, maintain_column_froms=True)
    joined = joined.join(live, live.c.id == pairs.c.live_id).join(shadow, shadow.c.id == pairs.c.shadow_id)
    bins = len(PAIR_CONFIDENCE_EDGES)
    sides: dict[bool, dict[str, list[int]]] = {True: {}, False: {}}  # of stable and of the candidate, from each edge on
    agreed = Counter[str]()
    for live_version, live_label, shadow_label, total, *above in connection.execute(joined.group_by(*by)):
        was_live = live_version == stable
        name = live_label if was_live else shadow_label
        agreed[name] += int(total) if live_label == shadow_label else 0
        for of_stable, counts in ((was_live, above[:bins]), (not was_live, above[bins:])):
            before = sides[of_stable].get(name, [0] * (bins + 2))
            sides[of_stable][name] = [a + int(b) for a, b in zip(before, (total, *counts, 0), strict=True)]
    own, others = (
        {name: tuple(more - less for more, less in itertools.pairwise(counts)) for name, counts in sides[side].items()}
        for side in (True, False)
    )
    return PairCounts(own, others, agreed)


# --- slices -----------------------------------------------------------------------------------------------------------
def slice_counts(rows: Iterable[Row[Any]], members: Members) -> tuple[SlicePairs, ...]:
    """Return the counts of what ``of_slices`` grouped."""
    agreed, disagreed = Counter[str](), Counter[str]()
    for row in rows:
        count = agreed if row.agreed else disagreed
        for name in members.of(_attributes(row.label, row.length, row.tags)):
            count[name] += row.number
    return tuple(SlicePairs(name, agreed[name], disagreed[name]) for name in members.names)


def of_slices(query: Select[Any], stable: str, members: Members) -> Select[Any]:
    """The query of ``pairs``, counted by whether they agree and by what their slices are told by: there are as many
    groups as classes, spans of lengths and kinds of tags, whatever the traffic."""
    was_live = pairs.c.live_version == stable
    label = case((was_live, _LIVE.c.label), else_=_SHADOW.c.label)
    tokens = case((was_live, _LIVE.c.tokens), else_=_SHADOW.c.tokens)
    spans = [(tokens < bound, before) for before, bound in zip((0, *members.bounds), members.bounds, strict=False)]
    length = case((tokens.is_(None), None), *spans, else_=members.bounds[-1] if members.bounds else 0)
    by = (pairs.c.agreed.label("agreed"), label.label("label"), length.label("length"), _LIVE.c.tags.label("tags"))
    chosen = query.select_from(_with_answers(pairs)).with_only_columns(*by).subquery()
    return select(*chosen.c, func.count().label("number")).group_by(*chosen.c)


def slices_of(row: Row[Any], stable: str, members: Members) -> tuple[str, ...]:
    """The slices that a row's pair belongs to; its answers may have been pruned, and then only some are known."""
    stable_was_live = row.live_version == stable
    label, tokens = (row.live_answer, row.live_tokens) if stable_was_live else (row.shadow_answer, row.shadow_tokens)
    return members.of(_attributes(label, tokens, row.tags))


def _attributes(label: str | None, tokens: int | None, tags: str | None) -> Attributes:
    return Attributes(label or "", tokens, json.loads(tags) if tags else {})


def _with_answers(source: Any) -> Any:
    """``pairs``, or what holds them, beside the two answers of each, if they were not pruned."""
    return source.outerjoin(_LIVE, _LIVE.c.id == pairs.c.live_id).outerjoin(_SHADOW, _SHADOW.c.id == pairs.c.shadow_id)


def with_attributes(query: Select[Any], source: Any) -> Select[Any]:
    """The query with what slices are told by. ``source`` is what it selects from; it holds ``pairs``."""
    return query.select_from(_with_answers(source)).add_columns(
        _LIVE.c.label.label("live_answer"),
        _LIVE.c.tokens.label("live_tokens"),
        _LIVE.c.tags.label("tags"),
        _SHADOW.c.label.label("shadow_answer"),
        _SHADOW.c.tokens.label("shadow_tokens"),
    )


def unseen_slices(connection: Connection, model: str, version: str, slices: Sequence[str]) -> tuple[UnseenSlice, ...]:
    """Slices by a tag that none of the version's last live answers belongs to (`gates.online.slices.unseen_tags`)."""
    tagged = [name for name in slices if parts_of(name)[0] not in (CLASS, TOKENS)]
    return unseen_tags(tagged, [one.tags for one in last(connection, model, version)]) if tagged else ()


def last(connection: Connection, model: str, version: str) -> list[Attributes]:
    """Return what identifies the slices of the version's last live answers. Only the newest ``SLICE_IDS_MAX`` samples
    are searched."""
    columns = predictions.c
    head = connection.execute(select(func.coalesce(func.max(columns.id), 0))).scalar_one()
    span = (head - SLICE_IDS_MAX, head)
    newest = select(columns.label, columns.tokens, columns.tags).where(*_live(model, version, span))
    rows = connection.execute(newest.order_by(columns.id.desc()).limit(LAST_ANSWERS_MAX))
    return [_attributes(*row) for row in rows]
