"""Texts of suites that are asked like recorded requests: each in one release, with its known label.

Of a text only the digest is kept, which names its request. The file has the text, for as long as it is to be asked.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Final, NamedTuple

from sqlalchemy import ColumnElement, Connection, FromClause, and_, exists, select

from controller.adapters.sql.database import insert_new
from controller.adapters.sql.schema import labels, replayed_requests
from controller.adapters.sql.values import chunks
from controller.ports.recordings import KnownText, KnownTexts, Outcome, ReplayOrder

NO_ANSWER: Final = 0
"""In the place of the recorded answer that holds the text."""
_REQUEST: Final = "suite:"


class OfSuite(NamedTuple):
    """A text of a suite, as a recorded answer would tell of its request: nobody answered it."""

    request_id: str
    text_digest: str
    tags: str | None
    tokens: int | None = None
    version: str = ""
    id: int = NO_ANSWER
    label: str = ""


def known_by_request(
    order: ReplayOrder, texts: KnownTexts, digest: Callable[[str], str]
) -> Mapping[str, tuple[OfSuite, KnownText]]:
    """The texts of the order's suites by the request that each stands for; without those that are judged otherwise.

    Raises:
        TransientError: a file cannot be read.
    """
    judged = {known.text for known in texts(order.judged)} if order.policy.suites and order.judged else set()
    found = {}
    for known in texts(order.policy.suites):
        if known.text not in judged:
            text_digest = digest(known.text)
            tags = json.dumps(known.tags) if known.tags else None
            found[_REQUEST + text_digest] = OfSuite(_REQUEST + text_digest, text_digest, tags), known
    return found


def never_asked(connection: Connection, requests: Sequence[str]) -> list[str]:
    """Those of the requests that no release has asked yet, in the order of their digests."""
    columns = replayed_requests.c
    asked: set[str] = set()
    for some in chunks(requests):
        query = select(columns.request_id).where(columns.request_id.in_(some), columns.outcome != Outcome.WAITING)
        asked.update(connection.execute(query).scalars())
    return sorted(set(requests) - asked)


def label(connection: Connection, known: Mapping[str, KnownText], now_s: float) -> None:
    """Give the requests the known labels of their texts."""
    rows: list[dict[str, object]] = [
        {
            "request_id": request_id,
            "source": f"{_REQUEST}{one.source}",
            "label": one.truth,
            "at_s": now_s,
            "directed": False,
            "is_truth": True,
            "inclusion_probability": 1.0,
            "received_at_s": now_s,
            "matched": True,
        }
        for request_id, one in known.items()
    ]
    if rows:
        connection.execute(insert_new(connection, labels), rows)


def is_of_suite(pair: FromClause) -> ColumnElement[bool]:
    """Return whether a pair is of a text of a suite. ``pair``: the table of pairs, or an alias of it."""
    of_request = exists().where(
        replayed_requests.c.request_id == pair.c.request_id, replayed_requests.c.recorded_id == NO_ANSWER
    )
    return and_(pair.c.replayed, of_request)


def asked_of_recorded() -> ColumnElement[bool]:
    """The condition of what was asked of recorded requests: of suites it is kept, so that each text serves once."""
    return replayed_requests.c.recorded_id != NO_ANSWER
