"""The journal's hash chain: each entry's hash covers the one before, so that no entry can change, go or come unseen."""

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Final

from controller.errors import PermanentError
from controller.ports.journal import Entry, Json, RecordedEntry

GENESIS_HASH: Final = "0" * 64  # what the first entry of a release follows


def canonical_json(value: object) -> str:
    """One text per value: keys sorted, no spaces, floats by their shortest exact form.

    Raises:
        PermanentError: the value is not JSON; NaN and infinities are not.
    """
    try:
        return json.dumps(
            value, sort_keys=True, separators=(",", ":"), allow_nan=False, ensure_ascii=False, default=_mapping
        )
    except (TypeError, ValueError) as error:
        raise PermanentError(f"the journal takes only JSON values with finite numbers: {error}") from error


def extend(release_id: str, after: int, head_hash: str, entries: Iterable[Entry]) -> list[RecordedEntry]:
    """The entries with their places in the chain that stands at sequence ``after`` with ``head_hash``."""
    recorded: list[RecordedEntry] = []
    for sequence, entry in enumerate(entries, start=after + 1):
        # Through text and back, so that what is hashed is what will be read (tuples are lists, keys are strings).
        kept = Entry(entry.kind, entry.at_s, json.loads(canonical_json(entry.payload)))
        digest = entry_hash(release_id, sequence, kept, head_hash)
        recorded.append(RecordedEntry(sequence, kept, previous_hash=head_hash, hash=digest))
        head_hash = digest
    return recorded


def verify(
    release_id: str,
    recorded: Sequence[RecordedEntry],
    *,
    length: int,
    head_hash: str,
    after: int = 0,
    previous_hash: str = GENESIS_HASH,
    limit: int | None = None,
) -> None:
    """Check a release's chain against the length and the last hash that its release row names; or the page of at most
    ``limit`` entries that follows sequence ``after``, whose hash is ``previous_hash``.

    Raises:
        PermanentError: it is broken; the message names the first sequence number that does not fit.
    """
    previous = previous_hash
    for expected, found in enumerate(recorded, start=after + 1):
        digest = entry_hash(release_id, expected, found.entry, previous)
        if (found.sequence, found.previous_hash, found.hash) != (expected, previous, digest):
            raise PermanentError(f"journal of release {release_id}: the chain is broken at sequence {expected}")
        previous = digest
    reached, wanted = after + len(recorded), max(length - after, 0)
    whole = len(recorded) == (wanted if limit is None else min(limit, wanted))
    if not whole or (reached == length and previous != head_hash):
        raise PermanentError(
            f"journal of release {release_id}: the chain is broken at sequence {reached + 1}: "
            f"it ends there, and the release has {length} entries"
        )


def entry_hash(release_id: str, sequence: int, entry: Entry, previous_hash: str) -> str:
    """SHA-256, in hex, of the canonical JSON of the entry, its place and the hash before it."""
    document: Json = {
        "release_id": release_id,
        "sequence": sequence,
        "kind": entry.kind,
        "at_s": float(entry.at_s),
        "payload": entry.payload,
        "previous_hash": previous_hash,
    }
    return hashlib.sha256(canonical_json(document).encode()).hexdigest()


def _mapping(value: object) -> object:
    if isinstance(value, Mapping):
        return dict(value)
    raise TypeError(f"{type(value).__name__} is not a JSON value")
