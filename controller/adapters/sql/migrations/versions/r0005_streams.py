"""The journal as streams with one position over all; versions, models and subscribers by an index of their own."""

import json
from collections.abc import Iterator
from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"

_BIG_ID = sa.BigInteger().with_variant(sa.Integer, "sqlite")
_SERVED = ("promoted", "probation")


def upgrade() -> None:
    _streams()
    _releases()
    _versions()
    _subscribers()


def _texts(*names: str) -> list[sa.Column[str]]:
    return [sa.Column(name, sa.Text, nullable=False) for name in names]


def _bigs(*names: str) -> list[sa.Column[int]]:
    return [sa.Column(name, _BIG_ID, nullable=False) for name in names]


def _streams() -> None:
    """Entries keep the hashes that they were recorded with (chain 1) and get a position, in order of their times."""
    op.create_table(
        "streams",
        sa.Column("stream", sa.Text, primary_key=True),
        sa.Column("sequence", sa.Integer, nullable=False),
        *_texts("head_hash"),
    )
    op.rename_table("entries", "old_entries")
    op.create_table(
        "entries",
        sa.Column("position", _BIG_ID, nullable=False, autoincrement=False),
        *_texts("stream"),
        sa.Column("sequence", sa.Integer, nullable=False),
        *_texts("kind"),
        sa.Column("at_s", sa.Double, nullable=False),
        sa.Column("event_schema", sa.Integer, nullable=False),
        sa.Column("chain", sa.Integer, nullable=False),
        *_texts("previous_hash", "hash", "head"),
        sa.Column("payload", sa.Text),
        sa.Column("summarised_by", _BIG_ID),
        sa.PrimaryKeyConstraint("position", name="pk_entries_by_position"),
        sa.ForeignKeyConstraint(["stream"], ["streams.stream"], name="fk_entries_stream"),
        sa.UniqueConstraint("stream", "sequence", name="uq_entries_stream_sequence"),
    )
    op.execute(
        "INSERT INTO streams (stream, sequence, head_hash) "
        "SELECT 'release:' || release_id, sequence, head_hash FROM releases WHERE sequence > 0"
    )
    # A clock that was set back must not move an entry before the one that it follows.
    since = "MAX(at_s) OVER (PARTITION BY release_id ORDER BY sequence) AS since_s"
    placed = f"SELECT release_id, sequence, {since} FROM old_entries"  # noqa: S608
    numbered = "SELECT release_id, sequence, ROW_NUMBER() OVER (ORDER BY since_s, release_id, sequence) AS position"
    op.execute(
        "INSERT INTO entries (position, stream, sequence, kind, at_s, event_schema, chain, previous_hash, hash, head, "  # noqa: S608
        "payload) SELECT position, 'release:' || release_id, sequence, kind, at_s, 1, 1, previous_hash, hash, '', "
        f"payload FROM ({numbered} FROM ({placed}) AS placed) AS numbered "
        "JOIN old_entries USING (release_id, sequence) ORDER BY position"
    )
    op.drop_table("old_entries")
    op.create_table(
        "journal_head",
        sa.Column("id", sa.Integer, primary_key=True, autoincrement=False),
        *_bigs("position", "fence"),
    )
    op.execute("INSERT INTO journal_head (id, position, fence) SELECT 1, COALESCE(MAX(position), 0), 0 FROM entries")


def _releases() -> None:
    op.drop_column("releases", "head_hash")
    op.add_column("releases", sa.Column("phase_since_s", sa.Double, nullable=False, server_default="0"))
    op.add_column("releases", sa.Column("reason", sa.Text, nullable=False, server_default=""))
    op.add_column("releases", sa.Column("sightings", sa.Text, nullable=False, server_default="[]"))
    op.create_index("ix_releases_model_version", "releases", ["model", "version"])
    op.create_index(
        "ix_releases_active",
        "releases",
        ["model"],
        sqlite_where=sa.text("active = 1"),
        postgresql_where=sa.text("active"),
    )
    op.create_table(
        "models",
        sa.Column("model", sa.Text, primary_key=True),
        *_texts("release_id"),
        sa.ForeignKeyConstraint(["release_id"], ["releases.release_id"], name="fk_models_release_id"),
    )


def _versions() -> None:
    """From the states of all releases, the oldest first, one in memory at a time."""
    versions = op.create_table(
        "versions",
        sa.Column("model", sa.Text, primary_key=True),
        sa.Column("number", sa.Text, primary_key=True),
        sa.Column("source_id", sa.Text, primary_key=True),
        *_texts("fingerprint"),
        *_bigs("seen", "served", "released"),
    )
    known: dict[tuple[str, str, str], dict[str, Any]] = {}
    newest: dict[str, str] = {}
    connection = op.get_bind()
    ordered = "SELECT release_id FROM releases ORDER BY started_at_s, release_id"
    for place, (release_id,) in enumerate(connection.execute(sa.text(ordered)).all(), start=1):
        one = connection.execute(
            sa.text("SELECT model, active, state FROM releases WHERE release_id = :id"), {"id": release_id}
        ).one()
        state = json.loads(one.state)
        connection.execute(
            sa.text("UPDATE releases SET phase_since_s = :since_s, reason = :reason WHERE release_id = :id"),
            {"since_s": state.get("phase_since_s", 0.0), "reason": state.get("reason", ""), "id": release_id},
        )
        newest[one.model] = release_id
        for version, served, released in _sighted(state):
            key = (one.model, version["number"], version["source_id"])
            row = known.setdefault(key, {"fingerprint": "", "seen": 0, "served": 0, "released": 0})
            row["fingerprint"] = row["fingerprint"] or version.get("fingerprint", "")
            if row["fingerprint"]:
                row["seen"] = place
                row["served"] = place if served else row["served"]
            row["released"] = row["released"] or (place if released else 0)
    if known:
        names = ("model", "number", "source_id")
        op.bulk_insert(versions, [{**dict(zip(names, key, strict=True)), **row} for key, row in known.items()])
    for model, release_id in newest.items():
        connection.execute(
            sa.text("INSERT INTO models (model, release_id) VALUES (:model, :id)"), {"model": model, "id": release_id}
        )


def _sighted(state: dict[str, Any]) -> Iterator[tuple[dict[str, Any], bool, bool]]:
    """The versions of a release that their source tells apart; whether all users got each one's answers, and whether
    the release was to promote it."""
    for name in ("stable", "fallback", "candidate"):
        version = state.get(name)
        if version is None or not version.get("source_id"):
            continue
        candidate = name == "candidate"
        yield version, not candidate or state["phase"] in _SERVED, candidate and state.get("purpose") == "promote"


def _subscribers() -> None:
    """Begin at the journal's end: what ended before was told to the registry by the controller itself: the tags go on
    from here."""
    op.create_table("subscribers", sa.Column("name", sa.Text, primary_key=True), *_bigs("position"))
    op.execute("INSERT INTO subscribers (name, position) SELECT 'registry tags', position FROM journal_head")
