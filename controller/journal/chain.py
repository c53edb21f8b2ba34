"""The journal's hash chains, one for each stream. Each hash covers the entry and the hash before it, so that no entry
can be changed, removed or added unnoticed. The stored bytes are hashed: a check needs only SHA-256 and a JSON reader.

Chain 2, written now: ``hash`` is the SHA-256 of ``head``, the canonical JSON of ``at_s``, ``kind``, ``payload_sha256``,
``position``, ``previous_hash``, ``schema``, ``sequence`` and ``stream``. A payload can therefore be removed without
breaking the chain. Chain 1, of earlier versions of Serin: ``hash`` covers one document that includes the payload.
"""

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Final

from controller.errors import PermanentError
from controller.ports.journal import Entry, RecordedEntry, release_of_stream

GENESIS_HASH: Final = "0" * 64  # the previous hash of a stream's first entry
OLD_CHAIN, CHAIN = 1, 2


def canonical_json(value: object) -> str:
    """Return the only text for the value: keys sorted, no spaces, floats in their shortest exact form.

    Raises:
        PermanentError: the value is not JSON; NaN and infinities are not.
    """
    try:
        return json.dumps(
            value, sort_keys=True, separators=(",", ":"), allow_nan=False, ensure_ascii=False, default=_mapping
        )
    except (TypeError, ValueError) as error:
        raise PermanentError(f"the journal takes only JSON values with finite numbers: {error}") from error


def sha256(text: str) -> str:
    """Return the SHA-256, in hex, of the text in UTF-8."""
    return hashlib.sha256(text.encode()).hexdigest()


def extend(stream: str, *, position: int, after: int, head_hash: str, entries: Iterable[Entry]) -> list[RecordedEntry]:
    """Return the entries as they are to be stored. The first one follows ``position`` in the journal and sequence
    ``after`` in the stream, whose last hash is ``head_hash``."""
    recorded: list[RecordedEntry] = []
    for number, entry in enumerate(entries, start=1):
        text = canonical_json(entry.payload)
        placed = RecordedEntry(
            position=position + number,
            stream=stream,
            sequence=after + number,
            kind=entry.kind,
            at_s=float(entry.at_s),
            schema=entry.schema,
            text=text,
            head="",
            previous_hash=head_hash,
            hash="",
        )
        head = canonical_json(_head(placed, sha256(text)))
        head_hash = sha256(head)
        recorded.append(replace(placed, head=head, hash=head_hash))
    return recorded


def verify(
    stream: str,
    recorded: Sequence[RecordedEntry],
    *,
    length: int,
    head_hash: str,
    after: int = 0,
    previous_hash: str = GENESIS_HASH,
    limit: int | None = None,
) -> None:
    """Check a stream's chain against its ``length`` and its last hash (``head_hash``). With ``limit``, check the page
    of at most that many entries after sequence ``after``, whose hash is ``previous_hash``.

    Raises:
        PermanentError: the chain is broken; the message names the first sequence number that does not fit.
    """
    previous = previous_hash
    for expected, found in enumerate(recorded, start=after + 1):
        placed = (found.stream, found.sequence, found.previous_hash) == (stream, expected, previous)
        if not placed or not is_whole(found):
            raise PermanentError(f"journal of {_named(stream)}: the chain is broken at sequence {expected}")
        previous = found.hash
    reached, wanted = after + len(recorded), max(length - after, 0)
    whole = len(recorded) == (wanted if limit is None else min(limit, wanted))
    if not whole or (reached == length and previous != head_hash):
        raise PermanentError(
            f"journal of {_named(stream)}: the chain is broken at sequence {reached + 1}: "
            f"it ends there, and the stream has {length} entries"
        )


def is_whole(found: RecordedEntry) -> bool:
    """Return whether the entry matches its hash in every byte, except a payload that was thinned out.

    A thinned entry of chain 1 counts as whole: its hash needs the payload, so only its neighbours' hashes protect it.
    """
    if found.chain == OLD_CHAIN:
        return found.text is None or found.hash == sha256(_old_document(found, found.text))
    if found.hash != sha256(found.head):
        return False
    try:
        head = json.loads(found.head)
    except ValueError:
        return False
    digest = head.get("payload_sha256") if isinstance(head, dict) else None
    return head == _head(found, digest) and (found.text is None or digest == sha256(found.text))


def _head(found: RecordedEntry, payload_sha256: object) -> dict[str, object]:
    return {
        "at_s": found.at_s,
        "kind": found.kind,
        "payload_sha256": payload_sha256,
        "position": found.position,
        "previous_hash": found.previous_hash,
        "schema": found.schema,
        "sequence": found.sequence,
        "stream": found.stream,
    }


def _old_document(found: RecordedEntry, text: str) -> str:
    """Return the document that chain 1 hashed, with its keys in order and the payload as stored."""
    parts = (
        ("at_s", canonical_json(found.at_s)),
        ("kind", canonical_json(found.kind)),
        ("payload", text),
        ("previous_hash", canonical_json(found.previous_hash)),
        ("release_id", canonical_json(release_of_stream(found.stream))),
        ("sequence", str(found.sequence)),
    )
    return "{" + ",".join(f'"{name}":{value}' for name, value in parts) + "}"


def _named(stream: str) -> str:
    release_id = release_of_stream(stream)
    return f"release {release_id}" if release_id != stream else stream


def _mapping(value: object) -> object:
    if isinstance(value, Mapping):
        return dict(value)
    raise TypeError(f"{type(value).__name__} is not a JSON value")
