"""Labels as they arrive: accepted, known already, corrected, or refused; and which of them are kept.

The first label of a request that names a class is its truth; one that names none gives way, unless a look has read it
as one. What contradicts the truth is kept on record, as a dispute of the source that came later: another label from the
same source, another from a second one, or a correction of what a look has read already.
"""

import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Final

from sqlalchemy import Connection, delete, insert, select, update

from controller.adapters.sql import evidence
from controller.adapters.sql.classes import classes_of
from controller.adapters.sql.database import insert_new
from controller.adapters.sql.schema import (
    label_disputes,
    labelled_answers,
    labelled_pairs,
    labels,
    looked_at,
    pairs,
    predictions,
)
from controller.adapters.sql.values import chunks
from controller.core.labels import (
    NAMES_TOLD,
    NOTHING_READ,
    LabelNames,
    LabelsTaken,
    NamesRead,
    RefusedLabel,
    UnknownName,
)
from controller.ports.samples import Label, SampleCursor
from gates.wording import nearest_name

UNMATCHED_MAX: Final = 100_000  # labels that wait for the sample of their request; beyond, the oldest are dropped
DISPUTES_MAX: Final = 100_000


class Dispute(StrEnum):
    """The way a label contradicts another."""

    ITSELF = "itself"  # the source said another thing before; this one is refused
    OTHERS = "others"  # another source was first, and its label stays the truth
    LATE = "late"  # a correction of a label that was judged already


Aliases = Mapping[str, Mapping[str, str]]  # by model: what names mean


@dataclass(slots=True)
class _Said:
    """The latest label from a source for a request, as far as this batch was read."""

    label: str
    is_truth: bool
    stored_id: int | None  # None: new in this batch
    row: dict[str, object] | None = None  # to be written


@dataclass(slots=True)
class _Batch:
    """A batch on its way in."""

    said: dict[tuple[str, str], _Said]
    first: dict[str, tuple[str, str]]  # request -> (source, label) that is its truth
    judged: set[str]  # requests whose truth a look has read
    models: Mapping[str, set[str]]  # request -> models of its samples
    aliases: Aliases
    names: Mapping[str, LabelNames]  # by model: what its labels may name
    taken: int = 0
    repeated: int = 0
    corrected_late: int = 0
    refused: list[RefusedLabel] = field(default_factory=list)
    replaced: list[int] = field(default_factory=list)  # ids of labels that give way to corrected ones
    undone: list[str] = field(default_factory=list)  # requests whose truth is corrected
    given_way: list[int] = field(default_factory=list)  # ids of labels that name no class and are truths no more
    disputes: list[dict[str, object]] = field(default_factory=list)

    def take(self, place: int, label: Label) -> bool:
        """Return whether the label was accepted, or already known."""
        before = self.said.get((label.request_id, label.source))
        if before is None:
            self._take_new(label)
        elif self._same(label.request_id, before.label, label.label):
            self.repeated += 1
        elif not label.corrects:
            self.refused.append(RefusedLabel(place, label.request_id, label.source, before.label, label.label))
            self._dispute(Dispute.ITSELF, label, before.label, label.source)
            return False
        elif before.is_truth and before.stored_id is not None and label.request_id in self.judged:
            self.corrected_late += 1
            self._dispute(Dispute.LATE, label, before.label, label.source)
        else:
            self._correct(label, before)
        return True

    def _take_new(self, label: Label) -> None:
        source, said = self.first.setdefault(label.request_id, (label.source, label.label))
        if source != label.source and self.gives_way(label.request_id, said, label.label):
            self._give_way(self.said[label.request_id, source], label)
            source, said = self.first[label.request_id]
        if source != label.source and not self._same(label.request_id, said, label.label):
            self._dispute(Dispute.OTHERS, label, said, source)
        is_truth = source == label.source
        row = _row(label, is_truth=is_truth, matched=label.request_id in self.models)
        self.said[label.request_id, label.source] = _Said(label.label, is_truth, None, row)
        self.taken += 1

    def gives_way(self, request_id: str, said: str, to: str) -> bool:
        """Return whether what was said names no class of any model of the request, and what is said now names one."""
        named = [self.names[model] for model in self.models.get(request_id, ()) if model in self.names]
        known, knows_now = (any(one.truth(name) is not None for one in named) for name in (said, to))
        return knows_now and not known and request_id not in self.judged

    def _give_way(self, before: _Said, to: Label) -> None:
        before.is_truth = False
        if before.row is not None:
            before.row["is_truth"] = False
        elif before.stored_id is not None:
            self.given_way.append(before.stored_id)
            self.undone.append(to.request_id)
        self.first[to.request_id] = (to.source, to.label)

    def _correct(self, label: Label, before: _Said) -> None:
        if before.stored_id is not None and before.row is None:
            self.replaced.append(before.stored_id)
            self.undone += [label.request_id] if before.is_truth else []
        before.label = label.label
        before.row = _row(label, is_truth=before.is_truth, matched=label.request_id in self.models)
        if before.is_truth:
            self.first[label.request_id] = (label.source, label.label)
        self.taken += 1

    def _same(self, request_id: str, one: str, other: str) -> bool:
        """Return whether two names mean one class, to every model that the request may be of."""
        models = self.models.get(request_id) or self.aliases.keys()
        meanings = [self.aliases.get(model, {}) for model in models] or [{}]
        return one == other or all(names.get(one, one) == names.get(other, other) for names in meanings)

    def _dispute(self, kind: Dispute, label: Label, was: str, was_source: str) -> None:
        self.disputes.append(
            {
                "kind": kind.value,
                "request_id": label.request_id,
                "source": label.source,
                "says": label.label,
                "was": was,
                "was_source": was_source,
                "received_at_s": _received(label),
            }
        )


def take(connection: Connection, batch: Sequence[Label], aliases: Aliases) -> LabelsTaken:
    """Write the batch, within the writer's transaction, and form the evidence that it completes."""
    before = evidence.heads(connection)
    requests = list(dict.fromkeys(label.request_id for label in batch))
    reading = _batch(connection, batch, requests, aliases)
    accepted = [label for place, label in enumerate(batch) if reading.take(place, label)]
    for some in chunks(reading.replaced):
        connection.execute(delete(labels).where(labels.c.id.in_(some)))
    for some in chunks(reading.given_way):
        connection.execute(update(labels).where(labels.c.id.in_(some)).values(is_truth=False))
    for of_requests in chunks(reading.undone):
        evidence.undo_labels(connection, of_requests)
    fresh = [said.row for said in reading.said.values() if said.row is not None]
    if fresh:
        connection.execute(insert(labels), fresh)
        evidence.after_labels(connection, before)
    if reading.disputes:
        connection.execute(insert_new(connection, label_disputes), reading.disputes)
        _keep_newest(connection, label_disputes, DISPUTES_MAX)
    unmatched = [label.request_id for label in accepted if label.request_id not in reading.models]
    if unmatched:
        _keep_newest(connection, labels, UNMATCHED_MAX, ~labels.c.matched)
    unknown_classes, unknown_names = _unknown(accepted, reading.models, reading.names)
    return LabelsTaken(
        taken=reading.taken,
        repeated=reading.repeated,
        corrected_late=reading.corrected_late,
        refused=tuple(reading.refused),
        unknown_classes=unknown_classes,
        unknown_names=unknown_names,
        unmatched_requests=len(unmatched),
        unmatched_ids=tuple(dict.fromkeys(unmatched))[:NAMES_TOLD],
    )


def _batch(connection: Connection, batch: Sequence[Label], requests: Sequence[str], aliases: Aliases) -> _Batch:
    said: dict[tuple[str, str], _Said] = {}
    first: dict[str, tuple[str, str]] = {}
    models: dict[str, set[str]] = {}
    columns = labels.c
    for some in chunks(requests):
        known = select(columns.id, columns.request_id, columns.source, columns.label, columns.is_truth)
        for row in connection.execute(known.where(columns.request_id.in_(some))):
            said[row.request_id, row.source] = _Said(row.label, row.is_truth, row.id)
            if row.is_truth:
                first[row.request_id] = (row.source, row.label)
        sampled = select(predictions.c.request_id, predictions.c.model).distinct()
        for request_id, model in connection.execute(sampled.where(predictions.c.request_id.in_(some))):
            models.setdefault(request_id, set()).add(model)
    names = _names_by_model(connection, models, aliases)
    # Of what is not corrected and whose truth stays, it need not be known whether it was judged.
    reading = _Batch(said, first, set(), models, aliases, names)
    at_stake = {
        label.request_id
        for label in batch
        if label.request_id in first
        and (label.corrects or reading.gives_way(label.request_id, first[label.request_id][1], label.label))
    }
    reading.judged |= _judged(connection, at_stake) if at_stake else set()
    return reading


def _judged(connection: Connection, requests: Iterable[str]) -> set[str]:
    """Those of the requests whose truth was evidence at some look: it was read, and is a class by the names of a
    look."""
    rows: list[tuple[int, Any]] = []
    for some in chunks(requests):
        columns = labelled_pairs.c
        of_pairs = select(columns.id, columns.model, columns.truth, pairs.c.request_id)
        of_pairs = of_pairs.join(pairs, pairs.c.id == columns.pair_id).where(pairs.c.request_id.in_(some))
        rows += [(0, row) for row in connection.execute(of_pairs)]
        columns = labelled_answers.c
        answered = select(columns.id, columns.model, columns.truth, predictions.c.request_id)
        answered = answered.join(predictions, predictions.c.id == columns.prediction_id)
        answered = answered.where(predictions.c.request_id.in_(some))
        rows += [(1, row) for row in connection.execute(answered)]
    looks = select(looked_at).where(looked_at.c.model.in_({row.model for _, row in rows}))
    marks = {row.model: row for row in connection.execute(looks)}
    names = {model: _names_of(row.names) for model, row in marks.items()}
    looked = {model: (row.labelled_pairs, row.labelled_answers) for model, row in marks.items()}
    found: set[str] = set()
    for of_table, row in rows:
        if row.model not in marks:
            continue
        known, read = names[row.model]
        upto = read.away.get(row.truth, looked[row.model])
        if row.id <= upto[of_table] and known.truth(row.truth) is not None:
            found.add(row.request_id)
    return found


def note_looked(connection: Connection, model: str, names: LabelNames, upto: SampleCursor) -> None:
    """Keep that a look has read so far, by these names: what it read is judged."""
    before = connection.execute(select(looked_at).where(looked_at.c.model == model)).one_or_none()
    known = _names_of(before.names)[1] if before is not None and before.names else None
    read_before = (before.labelled_pairs, before.labelled_answers) if before is not None else NOTHING_READ
    read = names.after(known, read_before)
    document = {"classes": names.classes, "aliases": read.aliases, "away": read.away}
    written = json.dumps(document, sort_keys=True)
    row = {
        "model": model,
        "labelled_pairs": max(upto.labelled_pair, before.labelled_pairs if before is not None else 0),
        "labelled_answers": max(upto.labelled_answer, before.labelled_answers if before is not None else 0),
        "names": written,
    }
    if before is None or any(getattr(before, key) != value for key, value in row.items()):
        connection.execute(delete(looked_at).where(looked_at.c.model == model))
        connection.execute(insert(looked_at).values(**row))


def _names_of(written: str | None) -> tuple[LabelNames, NamesRead]:
    """Return what is known by the names of all looks, and how far labels were read by those that are not known now."""
    document = json.loads(written) if written else {}
    aliases = document.get("aliases", {})
    away = {name: (pair, answer) for name, (pair, answer) in document.get("away", {}).items()}
    return LabelNames(tuple(document.get("classes", ())), aliases), NamesRead(aliases, away)


def _names_by_model(
    connection: Connection, models: Mapping[str, set[str]], aliases: Aliases
) -> Mapping[str, LabelNames]:
    known = classes_of(connection, {model for of_request in models.values() for model in of_request})
    return {model: LabelNames(classes, aliases.get(model, {})) for model, classes in known.items()}


def _unknown(
    batch: Sequence[Label], models: Mapping[str, set[str]], names: Mapping[str, LabelNames]
) -> tuple[int, tuple[UnknownName, ...]]:
    """Labels of sampled requests whose name is not a class of any version of their model: how many, and which names."""
    counts: Counter[str] = Counter()
    for label in batch:
        of_request = [names[model] for model in models.get(label.request_id, ()) if model in names]
        if of_request and all(one.truth(label.label) is None for one in of_request):
            counts[label.label] += 1
    classes = sorted({name for of_model in names.values() for name in of_model.classes})
    told = [
        UnknownName(name, number, nearest_name(name, classes) or "") for name, number in counts.most_common(NAMES_TOLD)
    ]
    return counts.total(), tuple(told)


def _keep_newest(connection: Connection, table: Any, most: int, *conditions: Any) -> None:
    beyond = select(table.c.id).where(*conditions).order_by(table.c.id.desc()).offset(most)
    connection.execute(delete(table).where(table.c.id.in_(beyond)))


def _row(label: Label, *, is_truth: bool, matched: bool) -> dict[str, object]:
    return {
        "request_id": label.request_id,
        "source": label.source,
        "label": label.label,
        "at_s": label.at_s,
        "directed": label.directed,
        "is_truth": is_truth,
        "inclusion_probability": label.inclusion_probability,
        "received_at_s": _received(label),
        "matched": matched,
    }


def _received(label: Label) -> float:
    return label.at_s if label.received_at_s is None else label.received_at_s
