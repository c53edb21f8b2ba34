"""Routes of the journal: a release's entries, and all streams in the order of their positions. Payloads go out as they
are stored, and none is decoded on the way."""

import json
from collections.abc import Iterable, Sequence
from http import HTTPStatus
from typing import Final, Protocol

from controller.api.errors import ApiError
from controller.api.http import JSON_LINES_TYPE, Call, Chunks, Raw, limit_of, number_of
from controller.journal.chain import canonical_json
from controller.journal.walk import walk_pages
from controller.ports.journal import Feed, Journal, RecordedEntry

ENTRIES_MAX: Final = 500  # in one page; a look with its pairs may have 100 kB
ENTRIES_DEFAULT: Final = 100
ENTRY_MAX: Final = 2**31 - 1  # what a store counts them with
_TEXT: Final = "text"


class EveryStream(Journal, Feed, Protocol):
    """A journal that can be followed, too."""


class EntryRoutes:
    def __init__(self, journal: EveryStream) -> None:
        self._journal = journal

    def of_release(self, call: Call) -> Raw | Chunks:
        """The release's journal, with its chain checked: a page, whose ``next`` asks for the one after as ``after``; or
        all of it, as lines. ``length`` is how many entries there are: the last one's hash stands for them all."""
        release_id = call.path["release_id"]
        record = self._journal.release(release_id)
        if record is None:
            raise ApiError(HTTPStatus.NOT_FOUND, "not_found", f"there is no release {release_id!r}")
        after, as_text = number_of(call, "after", default=0, least=0, most=ENTRY_MAX), _as_text(call)
        if JSON_LINES_TYPE in call.headers.get("accept", ""):
            return Chunks(_lines(page, as_text=as_text) for page in walk_pages(self._journal, record, after=after))
        page = self._journal.page(release_id, after=after, limit=_limit(call))
        reached = page[-1].sequence if page else record.sequence
        following = reached if reached < record.sequence else None
        about = {"release_id": release_id, "length": record.sequence, "next": following}
        return _page(about, page, as_text=as_text)

    def of_all(self, call: Call) -> Raw:
        """Entries of every stream that follow position ``after``; ``reached`` is what to ask for next as ``after``."""
        after = number_of(call, "after", default=0, least=0, most=ENTRY_MAX)
        found = self._journal.feed(after=after, limit=_limit(call))
        return _page({"reached": found.reached}, found.entries, as_text=_as_text(call))


def _limit(call: Call) -> int:
    return limit_of(call, default=ENTRIES_DEFAULT, most=ENTRIES_MAX)


def _as_text(call: Call) -> bool:
    """Return whether payloads are wanted as the bytes that their hashes are of, in a string each.

    Raises:
        ApiError: ``payload`` says something else.
    """
    wanted = call.query.get("payload", "json")
    if wanted not in ("json", _TEXT):
        message = "payload: must be json, or text for the bytes that the hashes are of"
        raise ApiError(HTTPStatus.UNPROCESSABLE_ENTITY, "invalid", message, field="payload")
    return wanted == _TEXT


def _page(about: dict[str, object], entries: Sequence[RecordedEntry], *, as_text: bool) -> Raw:
    shown = ",".join(_entry(one, as_text=as_text) for one in entries)
    return Raw(f'{canonical_json(about)[:-1]},"entries":[{shown}]}}'.encode())


def _lines(entries: Iterable[RecordedEntry], *, as_text: bool) -> bytes:
    return "".join(f"{_entry(one, as_text=as_text)}\n" for one in entries).encode()


def _entry(one: RecordedEntry, *, as_text: bool) -> str:
    """One JSON object. Stored texts are JSON themselves and stand in it as they are."""
    outer = {
        "position": one.position,
        "stream": one.stream,
        "sequence": one.sequence,
        "kind": one.kind,
        "at_s": one.at_s,
        "schema": one.schema,
        "chain": one.chain,
        "head": one.head,
        "previous_hash": one.previous_hash,
        "hash": one.hash,
    }
    shown = f'{canonical_json(outer)[:-1]},"payload":{_stored(one.text, as_text=as_text)}'
    summary = f',"summary":{_entry(one.summary, as_text=as_text)}' if one.summary is not None else ""
    return f"{shown}{summary}}}"


def _stored(text: str | None, *, as_text: bool) -> str:
    if text is None:
        return "null"
    return json.dumps(text, ensure_ascii=False) if as_text else text
