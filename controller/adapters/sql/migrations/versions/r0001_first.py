"""The first schema: journal, inbox, freezes, webhook deliveries, samples."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None

_BIG_ID = sa.BigInteger().with_variant(sa.Integer, "sqlite")


def upgrade() -> None:
    _decided()
    _asked()
    _captured()
    _labelled()


def _id() -> sa.Column[int]:
    return sa.Column("id", _BIG_ID, primary_key=True)


def _texts(*names: str) -> list[sa.Column[str]]:
    return [sa.Column(name, sa.Text, nullable=False) for name in names]


def _numbers(*names: str) -> list[sa.Column[float]]:
    return [sa.Column(name, sa.Double, nullable=False) for name in names]


def _flags(*names: str) -> list[sa.Column[bool]]:
    return [sa.Column(name, sa.Boolean, nullable=False) for name in names]


def _unique(table: str, *columns: str) -> sa.UniqueConstraint:
    return sa.UniqueConstraint(*columns, name=f"uq_{table}_{'_'.join(columns)}")


def _index(table: str, *columns: str) -> None:
    op.create_index(f"ix_{table}_{'_'.join(columns)}", table, list(columns))


def _release_key(table: str) -> sa.ForeignKeyConstraint:
    return sa.ForeignKeyConstraint(["release_id"], ["releases.release_id"], name=f"fk_{table}_release_id")


def _decided() -> None:
    op.create_table(
        "releases",
        sa.Column("release_id", sa.Text, nullable=False),
        *_texts("model", "version", "phase"),
        *_flags("active"),
        sa.Column("sequence", sa.Integer, nullable=False),
        *_numbers("started_at_s"),
        *_texts("state", "head_hash"),
        sa.PrimaryKeyConstraint("release_id", name="pk_releases"),
    )
    _index("releases", "model", "started_at_s")
    _index("releases", "started_at_s")
    op.create_table(
        "entries",
        *_texts("release_id"),
        sa.Column("sequence", sa.Integer, nullable=False),
        *_texts("kind"),
        *_numbers("at_s"),
        *_texts("payload", "previous_hash", "hash"),
        sa.PrimaryKeyConstraint("release_id", "sequence", name="pk_entries"),
        _release_key("entries"),
    )


def _asked() -> None:
    op.create_table(
        "commands",
        _id(),
        *_texts("command_id", "ask", "model"),
        sa.Column("version", sa.Text),
        *_texts("reason", "by"),
        *_numbers("at_s"),
        *_flags("waiting"),
        sa.Column("release_id", sa.Text),
        sa.Column("outcome", sa.Text),
        _unique("commands", "command_id"),
        _release_key("commands"),
        sqlite_autoincrement=True,
    )
    _index("commands", "waiting", "id")
    op.create_table(
        "freezes",
        _id(),
        *_texts("model", "reason", "by"),
        *_numbers("at_s"),
        sa.Column("lifted_at_s", sa.Double),
        sa.Column("lifted_by", sa.Text),
        sa.Column("lifted_reason", sa.Text),
        _unique("freezes", "model", "reason", "by", "at_s"),
        sqlite_autoincrement=True,
    )
    op.create_table(
        "deliveries",
        sa.Column("delivery_id", sa.Text, nullable=False),
        *_numbers("at_s"),
        sa.PrimaryKeyConstraint("delivery_id", name="pk_deliveries"),
    )
    _index("deliveries", "at_s")


def _captured() -> None:
    intake = op.create_table("intake", sa.Column("id", sa.Integer, primary_key=True, autoincrement=False))
    op.bulk_insert(intake, [{"id": 1}])
    op.create_table(
        "predictions",
        _id(),
        *_texts("request_id", "model", "version", "traffic"),
        *_numbers("at_s"),
        *_texts("label"),
        *_numbers("confidence"),
        *_texts("probabilities"),
        *_numbers("inclusion_probability"),
        *_texts("text_digest"),
        sa.Column("tokens", sa.Integer),
        sa.Column("text", sa.Text),
        _unique("predictions", "request_id", "model", "traffic", "version"),
        sqlite_autoincrement=True,
    )
    _index("predictions", "at_s")
    op.create_table(
        "labels",
        _id(),
        *_texts("request_id", "source", "label"),
        *_numbers("at_s"),
        *_flags("directed", "is_truth"),
        _unique("labels", "request_id", "source"),
        sqlite_autoincrement=True,
    )
    _index("labels", "at_s")
    op.create_table(
        "pairs",
        _id(),
        *_texts("model", "live_version", "shadow_version", "request_id"),
        sa.Column("live_id", _BIG_ID, nullable=False),
        sa.Column("shadow_id", _BIG_ID, nullable=False),
        *_texts("text_digest"),
        *_flags("agreed", "labelled"),
        *_numbers("inclusion_probability", "at_s"),
        _unique("pairs", "request_id", "model", "live_version", "shadow_version"),
        sqlite_autoincrement=True,
    )
    _index("pairs", "text_digest", "model", "id")
    _index("pairs", "at_s")
    op.create_index(
        "ix_pairs_to_label",
        "pairs",
        ["model", "agreed", "id"],
        sqlite_where=sa.text("labelled = 0"),
        postgresql_where=sa.text("NOT labelled"),
    )


def _labelled() -> None:
    op.create_table(
        "labelled_pairs",
        _id(),
        sa.Column("pair_id", _BIG_ID, nullable=False),
        *_texts("model", "live_version", "shadow_version", "text_digest", "truth"),
        *_flags("directed"),
        *_texts("live_label"),
        *_numbers("live_confidence", "live_brier"),
        *_texts("shadow_label"),
        *_numbers("shadow_confidence", "shadow_brier", "inclusion_probability", "at_s"),
        _unique("labelled_pairs", "pair_id"),
        sqlite_autoincrement=True,
    )
    _index("labelled_pairs", "model", "id")
    _index("labelled_pairs", "at_s")
    op.create_table(
        "labelled_answers",
        _id(),
        sa.Column("prediction_id", _BIG_ID, nullable=False),
        *_texts("model", "version"),
        *_flags("correct", "directed"),
        *_numbers("at_s"),
        _unique("labelled_answers", "prediction_id"),
        sqlite_autoincrement=True,
    )
    _index("labelled_answers", "model", "id", "version", "directed", "correct")
    _index("labelled_answers", "at_s")
