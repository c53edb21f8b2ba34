"""The identities of versions: written with the releases that they take part in, read by an index."""

from collections.abc import Sequence

from sqlalchemy import Connection, select, update

from controller.adapters.sql.database import insert_if_new
from controller.adapters.sql.schema import versions
from controller.ports.journal import Sighting

_COLUMNS = versions.c


def note(connection: Connection, model: str, sightings: Sequence[Sighting], position: int) -> None:
    """Take in what a release has come to know at ``position`` of the journal. The first fingerprint of a version
    stays."""
    for sighting in sightings:
        key = {"model": model, "number": sighting.number, "source_id": sighting.source_id}
        same = [_COLUMNS[name] == value for name, value in key.items()]
        found = connection.execute(select(versions).where(*same).with_for_update()).one_or_none()
        if found is None:
            empty = {"fingerprint": "", "seen": 0, "served": 0, "released": 0}
            insert_if_new(connection, versions, {**key, **empty})
        first = found.fingerprint if found is not None else ""
        changes: dict[str, object] = {}
        if not first and sighting.fingerprint:
            changes["fingerprint"] = sighting.fingerprint
        if first or sighting.fingerprint:
            changes["seen"] = position
            if sighting.served:
                changes["served"] = position
        if sighting.released and not (found is not None and found.released):
            changes["released"] = position
        if changes:
            connection.execute(update(versions).where(*same).values(changes))


def known(connection: Connection, model: str, number: str) -> tuple[str, str] | None:
    """Source and fingerprint of the version that last served under the number, or else was last seen."""
    query = (
        select(_COLUMNS.source_id, _COLUMNS.fingerprint)
        .where(_COLUMNS.model == model, _COLUMNS.number == number, _COLUMNS.fingerprint != "")
        .order_by(_COLUMNS.served.desc(), _COLUMNS.seen.desc())
        .limit(1)
    )
    row = connection.execute(query).one_or_none()
    return None if row is None else (row.source_id, row.fingerprint)


def fingerprint(connection: Connection, model: str, number: str, source_id: str) -> str:
    """Return the fingerprint of its first sight; empty where it was never verified."""
    return _value(connection, "fingerprint", model, number, source_id) or ""


def released(connection: Connection, model: str, number: str, source_id: str) -> bool:
    """Return whether a release to promote it was ever begun."""
    return bool(_value(connection, "released", model, number, source_id))


def _value(connection: Connection, column: str, model: str, number: str, source_id: str) -> str | None:
    same = (_COLUMNS.model == model, _COLUMNS.number == number, _COLUMNS.source_id == source_id)
    value: str | None = connection.execute(select(_COLUMNS[column]).where(*same)).scalar_one_or_none()
    return value
