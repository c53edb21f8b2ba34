"""Recorded requests that are asked again for a release: which, how far, and the pairs that they complete."""

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Final

from sqlalchemy import Connection, Row, func, select, update

from controller.adapters.sql import evidence
from controller.adapters.sql.database import Database, insert_new
from controller.adapters.sql.intake import Rows, lock
from controller.adapters.sql.recorded import recorded, trouble_of
from controller.adapters.sql.schema import labels, pairs, predictions, replayed_requests, replays
from controller.adapters.sql.streams import move_head
from controller.adapters.sql.suite_texts import NO_ANSWER, OfSuite, known_by_request, label, never_asked
from controller.adapters.sql.texts import NoTexts, Texts
from controller.adapters.sql.values import chunks
from controller.core.policy import LabelsBefore
from controller.errors import Source
from controller.ports.recordings import (
    AskedAgain,
    KnownText,
    KnownTexts,
    Outcome,
    Recorded,
    ReplayOrder,
    ReplayProgress,
    Scores,
)
from controller.ports.samples import Prediction
from serving.contract import text_digest

_SOURCE: Final = Source.PREDICTIONS
_ROWS_AT_ONCE: Final = 1_000
_USED: Final = (
    "every text of shadow_replay.suites was replayed in an earlier release, or is judged in "
    "suites: add texts that were not"
)

Digest = Callable[[str], str]
"""A text to the digest that replicas give it."""


class SqlRecordings:
    """``controller.ports.recordings.Recordings`` on SQL."""

    def __init__(
        self,
        database: Database,
        texts: Texts | None = None,
        digest: Digest | None = None,
        known_texts: KnownTexts | None = None,
    ) -> None:
        """``digest``: tells a text that was kept as it was from one that redaction changed; without it all count as
        changed, so that both versions are asked anew. ``known_texts``: what stands in suites; without it nothing."""
        self._database = database
        self._texts = texts or NoTexts()
        self._digest = digest
        self._known_texts = known_texts or _none_known

    def choose(self, order: ReplayOrder, *, now_s: float, fence: int | None = None) -> ReplayProgress:
        known = self.progress(order.release_id)
        if known is not None and (known.chosen or known.trouble):
            return known
        suites = self._of_suites(order)
        with self._database.read(_SOURCE) as connection:
            of_suites = [suites[one][0] for one in never_asked(connection, list(suites))]
            found = recorded(connection, order) if order.policy.requests_max else ()
            ids = [row.id for row in found]
            trouble = trouble_of(connection, order, ids) if order.policy.requests_max else _USED
        chosen: list[Row[Any] | OfSuite] = [*(() if trouble else found), *of_suites]
        trouble = "" if chosen else trouble
        with self._database.write(_SOURCE) as connection:
            connection.execute(
                insert_new(connection, replays),
                {"release_id": order.release_id, "model": order.model, "at_s": now_s, "trouble": ""},
            )
            connection.execute(
                update(replays).where(replays.c.release_id == order.release_id).values(trouble=trouble, at_s=now_s)
            )
            for start in range(0, len(chosen), _ROWS_AT_ONCE):
                part = chosen[start : start + _ROWS_AT_ONCE]
                rows = [_request_row(order, row, now_s) for row in part]
                connection.execute(insert_new(connection, replayed_requests), rows)
            move_head(connection, 0, fence)
            return _progress(connection, order.release_id) or ReplayProgress(0)

    def waiting(self, order: ReplayOrder, limit: int) -> Sequence[Recorded]:
        columns = replayed_requests.c
        query = (
            select(
                columns.id,
                columns.request_id,
                columns.recorded_id,
                predictions.c.text,
                predictions.c.text_digest,
                predictions.c.version,
                predictions.c.probabilities,
            )
            .outerjoin(predictions, predictions.c.id == columns.recorded_id)
            .where(columns.release_id == order.release_id, columns.outcome == Outcome.WAITING)
            .order_by(columns.id)
            .limit(limit)
        )
        suites = self._of_suites(order)
        with self._database.read(_SOURCE) as connection:
            return tuple(self._request(order, row, suites) for row in connection.execute(query))

    def _of_suites(self, order: ReplayOrder) -> Mapping[str, tuple[OfSuite, KnownText]]:
        if not order.policy.suites:
            return {}
        return known_by_request(order, self._known_texts, self._digest or _unkeyed)

    def _request(self, order: ReplayOrder, row: Any, suites: Mapping[str, tuple[OfSuite, KnownText]]) -> Recorded:
        if row.recorded_id == NO_ANSWER:
            known_text = suites[row.request_id][1].text if row.request_id in suites else None
            return Recorded(row.id, row.request_id, known_text, None)
        text = self._texts.shown(row.text)
        same = text is not None and self._digest is not None and self._digest(text) == row.text_digest
        known = json.loads(row.probabilities) if same and row.version == order.stable else None
        return Recorded(row.id, row.request_id, text, known)

    def asked(
        self,
        order: ReplayOrder,
        found: Sequence[AskedAgain],
        *,
        now_s: float,
        inclusion_probability: float,
        fence: int | None = None,
    ) -> None:
        answered = [one for one in found if one.outcome is Outcome.ANSWERED]
        suites = self._of_suites(order)
        with self._database.write(_SOURCE) as connection:
            lock(connection)
            before = evidence.heads(connection)
            for one in found:
                columns = replayed_requests.c
                connection.execute(
                    update(replayed_requests)
                    .where(columns.id == one.recorded.place)
                    .values(outcome=one.outcome.value, at_s=now_s)
                )
            if not answered:
                move_head(connection, 0, fence)
                return
            by_place: dict[int, Row[Any] | OfSuite] = {}
            by_place |= _recorded_rows(connection, [one.recorded.place for one in answered])
            of_suites = [one.recorded for one in answered if one.recorded.request_id in suites]
            by_place |= {one.place: suites[one.request_id][0] for one in of_suites}
            known = {one.request_id: suites[one.request_id][1] for one in of_suites}
            label(connection, known, max(now_s, order.began_at_s))  # of the release, also where the clock was set back
            new = [
                _prediction(order, by_place[one.recorded.place], version, scores, now_s, inclusion_probability)
                for one in answered
                for version, scores in ((order.candidate, one.candidate), (order.stable, one.stable))
                if scores is not None and one.recorded.place in by_place
            ]
            Rows.of(new, NoTexts()).insert(connection)
            rows = _pair_rows(connection, order, by_place.values(), now_s, inclusion_probability)
            if rows:
                connection.execute(insert_new(connection, pairs), rows)
            counts_all = order.policy.labels_before is LabelsBefore.HELD_OUT
            evidence.after_replays(connection, before, labelled_since_s=0.0 if counts_all else order.began_at_s)
            move_head(connection, 0, fence)

    def note(
        self, release_id: str, *, trouble: str, reuses: bool | None, checked: int, fence: int | None = None
    ) -> None:
        values = {"trouble": trouble, "reuses": reuses, "checked": checked}
        with self._database.write(_SOURCE) as connection:
            connection.execute(update(replays).where(replays.c.release_id == release_id).values(**values))
            move_head(connection, 0, fence)

    def progress(self, release_id: str) -> ReplayProgress | None:
        with self._database.read(_SOURCE) as connection:
            return _progress(connection, release_id)


def _none_known(suites: Sequence[str]) -> Sequence[KnownText]:  # noqa: ARG001 - named as the port names it
    return ()


def _unkeyed(text: str) -> str:
    return text_digest(text, b"")


def _request_row(order: ReplayOrder, row: Row[Any] | OfSuite, now_s: float) -> dict[str, object]:
    return {
        "release_id": order.release_id,
        "request_id": row.request_id,
        "outcome": Outcome.WAITING.value,
        "recorded_id": row.id,
        "at_s": now_s,
    }


def _progress(connection: Connection, release_id: str) -> ReplayProgress | None:
    replay = connection.execute(select(replays).where(replays.c.release_id == release_id)).first()
    if replay is None:
        return None
    columns = replayed_requests.c
    query = select(columns.outcome, func.count()).where(columns.release_id == release_id).group_by(columns.outcome)
    counts: dict[str, int] = {outcome: int(number) for outcome, number in connection.execute(query)}
    return ReplayProgress(
        chosen=sum(counts.values()),
        answered=counts.get(Outcome.ANSWERED, 0),
        refused=counts.get(Outcome.REFUSED, 0),
        failed=counts.get(Outcome.FAILED, 0),
        unreadable=counts.get(Outcome.UNREADABLE, 0),
        reuses=replay.reuses,
        trouble=replay.trouble,
        checked=replay.checked,
    )


def _recorded_rows(connection: Connection, places: Sequence[int]) -> dict[int, Row[Any]]:
    """The recorded answers by place; those that were pruned meanwhile are left out."""
    query = select(replayed_requests.c.id.label("place"), predictions).join(
        predictions, predictions.c.id == replayed_requests.c.recorded_id
    )
    found = {}
    for some in chunks(places):
        for row in connection.execute(query.where(replayed_requests.c.id.in_(some))):
            found[row.place] = row
    return found


def _prediction(
    order: ReplayOrder, row: Row[Any] | OfSuite, version: str, scores: Scores, now_s: float, chance: float
) -> Prediction:
    """``row``: the recorded answer, or the text of a suite. The text stays where it is."""
    label = max(scores, key=lambda name: scores[name])
    return Prediction(
        request_id=row.request_id,
        model=order.model,
        version=version,
        traffic=evidence.REPLAYED,
        at_s=now_s,
        label=label,
        confidence=scores[label],
        probabilities=scores,
        inclusion_probability=chance,
        text_digest=row.text_digest,
        tokens=row.tokens,
        tags=json.loads(row.tags) if row.tags else {},
    )


def _pair_rows(
    connection: Connection, order: ReplayOrder, rows: Iterable[Row[Any] | OfSuite], now_s: float, chance: float
) -> list[dict[str, object]]:
    """Return the pair of each request: stable's new answer, or what is recorded of it, beside the candidate's."""
    by_request = {row.request_id: row for row in rows}
    found: dict[tuple[str, str], tuple[int, str]] = {}
    columns = predictions.c
    query = select(columns.request_id, columns.version, columns.id, columns.label).where(
        columns.model == order.model, columns.traffic == evidence.REPLAYED
    )
    for some in chunks(list(by_request)):
        for answer in connection.execute(query.where(columns.request_id.in_(some))):
            found[answer.request_id, answer.version] = answer.id, answer.label
    labelled = _labelled(connection, list(by_request))
    found_pairs: list[dict[str, object]] = []
    for request_id, row in by_request.items():
        candidate = found.get((request_id, order.candidate))
        stable = found.get((request_id, order.stable))
        if stable is None and row.version == order.stable:
            stable = row.id, row.label
        if candidate is None or stable is None:
            continue
        found_pairs.append(
            {
                "model": order.model,
                "live_version": order.stable,
                "shadow_version": order.candidate,
                "request_id": request_id,
                "live_id": stable[0],
                "shadow_id": candidate[0],
                "text_digest": row.text_digest,
                "agreed": stable[1] == candidate[1],
                "labelled": request_id in labelled,
                "inclusion_probability": chance,
                "at_s": now_s,
                "replayed": True,
            }
        )
    return found_pairs


def _labelled(connection: Connection, requests: list[str]) -> set[str]:
    found: set[str] = set()
    for some in chunks(requests):
        found.update(connection.execute(select(labels.c.request_id).where(labels.c.request_id.in_(some))).scalars())
    return found
