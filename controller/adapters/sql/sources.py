"""The state of each source of labels lately: of the last labels of a release, whatever came before."""

import math
from collections import Counter
from collections.abc import Sequence

from sqlalchemy import Connection, func, select

from controller.adapters.sql.labels import Dispute
from controller.adapters.sql.schema import label_disputes, labelled_answers, labels, predictions
from controller.core.labels import LabelNames
from controller.ports.samples import SOURCE_LABELS_MAX, SOURCES_MAX, SampleCursor
from gates.evidence import LabelSource, NameCount
from gates.online.label_sources import told

NAMES_MAX = 5  # unknown names that are told of a source
_NAME_CHARS_MAX = 200
_SAMPLES = 200  # the newest samples that tell how large a share of the requests is sampled


def label_sources(
    connection: Connection,
    model: str,
    versions: Sequence[str],
    cursor: SampleCursor,
    names: LabelNames,
    settled_before_s: float,
) -> tuple[LabelSource, ...]:
    """Return what was said since the release began, by name of the source (`gates.online.label_sources.told`).
    ``cursor`` tells where it began."""
    labelled, unknown = _named(connection, model, versions, cursor, names)
    settled, unmatched, since_s = _settled(connection, cursor, settled_before_s)
    disputes = _disputes(connection, cursor, since_s)
    heard = {*labelled, *settled, *(source for source, *_ in disputes)}
    kinds = Counter[tuple[str, str]]()
    against: dict[str, set[str]] = {}
    for (source, kind, was_source), number in disputes.items():
        kinds[source, kind] += number
        if kind == Dispute.OTHERS:
            against.setdefault(source, set()).add(was_source)
    sampled_ratio = _sampled_ratio(connection)
    every = [
        LabelSource(
            source=source,
            labelled=labelled[source],
            unknown=sum(unknown.get(source, Counter()).values()),
            unknown_names=_most_frequent(unknown.get(source, Counter()), names),
            settled=settled[source],
            unmatched=unmatched[source],
            expected_matched=settled[source] * sampled_ratio,
            contradicts_itself=kinds[source, Dispute.ITSELF],
            contradicts_others=kinds[source, Dispute.OTHERS],
            corrected_late=kinds[source, Dispute.LATE],
            others_labels=sum(max(labelled[other], settled[other]) for other in against.get(source, ())),
        )
        for source in heard
    ]
    return told(every, SOURCES_MAX)


def _most_frequent(unknown: Counter[str], names: LabelNames) -> tuple[NameCount, ...]:
    ordered = sorted(unknown.items(), key=lambda item: (-item[1], item[0]))[:NAMES_MAX]
    meant = {name: names.aliases.get(name, name) for name, _ in ordered}
    return tuple(
        NameCount(name[:_NAME_CHARS_MAX], number, meant[name][:_NAME_CHARS_MAX] if meant[name] != name else "")
        for name, number in ordered
    )


def _named(
    connection: Connection, model: str, versions: Sequence[str], cursor: SampleCursor, names: LabelNames
) -> tuple[Counter[str], dict[str, Counter[str]]]:
    """Labels of live answers of the versions, by source; and those that name no class, by source and name."""
    columns = labelled_answers.c
    newest = (
        select(columns.source, columns.truth)
        .where(columns.model == model, columns.version.in_(versions), columns.id > cursor.first_labelled_answer)
        .order_by(columns.id.desc())
        .limit(SOURCE_LABELS_MAX)
        .subquery("newest")
    )
    counted = select(newest.c.source, newest.c.truth, func.count()).group_by(newest.c.source, newest.c.truth)
    labelled: Counter[str] = Counter()
    unknown: dict[str, Counter[str]] = {}
    for source, truth, number in connection.execute(counted):
        labelled[source] += number
        if names.truth(truth) is None:
            unknown.setdefault(source, Counter())[truth] += number
    return labelled, unknown


def _settled(
    connection: Connection, cursor: SampleCursor, settled_before_s: float
) -> tuple[Counter[str], Counter[str], float]:
    """Labels of whatever request that had time to meet its sample, by source; those of them that met none; and when the
    oldest of them all came, where older ones are left out: what is held against these came since."""
    columns = labels.c
    had_time = () if math.isinf(settled_before_s) else (columns.received_at_s <= settled_before_s,)
    newest = (
        select(columns.source, columns.matched, columns.received_at_s)
        .where(columns.id > cursor.first_label, *had_time)
        .order_by(columns.id.desc())
        .limit(SOURCE_LABELS_MAX)
        .subquery("newest")
    )
    counted = select(newest.c.source, newest.c.matched, func.count(), func.min(newest.c.received_at_s))
    settled: Counter[str] = Counter()
    unmatched: Counter[str] = Counter()
    oldest_s = math.inf
    for source, matched, number, first_s in connection.execute(counted.group_by(newest.c.source, newest.c.matched)):
        settled[source] += number
        unmatched[source] += 0 if matched else number
        oldest_s = min(oldest_s, first_s)
    return settled, unmatched, oldest_s if settled.total() == SOURCE_LABELS_MAX else -math.inf


def _disputes(connection: Connection, cursor: SampleCursor, since_s: float) -> Counter[tuple[str, str, str]]:
    """Return how many, by source, kind, and the source that was first."""
    columns = label_disputes.c
    newest = (
        select(columns.source, columns.kind, columns.was_source, columns.received_at_s)
        .where(columns.id > cursor.first_dispute)
        .order_by(columns.id.desc())
        .limit(SOURCE_LABELS_MAX)
        .subquery("newest")
    )
    by = (newest.c.source, newest.c.kind, newest.c.was_source)
    counted = select(*by, func.count()).group_by(*by)
    if math.isfinite(since_s):
        counted = counted.where(newest.c.received_at_s >= since_s)
    return Counter({(source, kind, was): number for source, kind, was, number in connection.execute(counted)})


def _sampled_ratio(connection: Connection) -> float:
    """The smallest share of requests that the newest samples were taken with; 0 where there are none."""
    columns = predictions.c
    newest = select(func.max(columns.id)).scalar_subquery()
    least = connection.execute(
        select(func.min(columns.inclusion_probability)).where(columns.id > newest - _SAMPLES)
    ).scalar_one()
    return float(least) if least is not None else 0.0
