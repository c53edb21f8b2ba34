"""Labels by the names that their sources gave, when they came, and what became of contradictions."""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"

_BIG_ID = sa.BigInteger().with_variant(sa.Integer, "sqlite")


def upgrade() -> None:
    _labels()
    _labelled_answers()
    _tables()


def _labels() -> None:
    op.add_column("labels", sa.Column("received_at_s", sa.Double, nullable=False, server_default="0"))
    op.add_column("labels", sa.Column("matched", sa.Boolean, nullable=False, server_default=sa.false()))
    sampled = "EXISTS (SELECT 1 FROM predictions WHERE predictions.request_id = labels.request_id)"
    op.execute(f"UPDATE labels SET received_at_s = at_s, matched = {sampled}")  # noqa: S608
    op.drop_index("ix_labels_at_s", "labels")
    op.create_index("ix_labels_received_at_s", "labels", ["received_at_s"])
    op.create_index(
        "ix_labels_unmatched",
        "labels",
        ["id"],
        sqlite_where=sa.text("matched = 0"),
        postgresql_where=sa.text("NOT matched"),
    )


def _labelled_answers() -> None:
    """Tell the names of labelled answers. Where the sample has expired, nothing more is told: no release that goes on
    is as old."""
    op.drop_index("ix_labelled_answers_model_id_version_directed_correct", "labelled_answers")
    for name in ("answer", "truth", "source"):
        op.add_column("labelled_answers", sa.Column(name, sa.Text, nullable=False, server_default=""))
    answered = "FROM predictions WHERE predictions.id = labelled_answers.prediction_id"
    labelled = "FROM labels JOIN predictions ON predictions.request_id = labels.request_id"
    labelled += " WHERE predictions.id = labelled_answers.prediction_id AND labels.is_truth"
    op.execute(
        f"UPDATE labelled_answers SET answer = COALESCE((SELECT predictions.label {answered}), ''), "  # noqa: S608
        f"truth = COALESCE((SELECT labels.label {labelled}), ''), "
        f"source = COALESCE((SELECT labels.source {labelled}), '')"
    )
    op.drop_column("labelled_answers", "correct")
    op.create_index(
        "ix_labelled_answers_model_id_version_directed", "labelled_answers", ["model", "id", "version", "directed"]
    )


def _tables() -> None:
    op.create_table(
        "label_disputes",
        sa.Column("id", _BIG_ID, primary_key=True),
        *(
            sa.Column(name, sa.Text, nullable=False)
            for name in ("kind", "request_id", "source", "says", "was", "was_source")
        ),
        sa.Column("received_at_s", sa.Double, nullable=False),
        sa.UniqueConstraint(
            "request_id", "source", "kind", "says", name="uq_label_disputes_request_id_source_kind_says"
        ),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_label_disputes_received_at_s", "label_disputes", ["received_at_s"])
    op.create_table(
        "version_classes",
        sa.Column("model", sa.Text, primary_key=True),
        sa.Column("version", sa.Text, primary_key=True),
        sa.Column("classes", sa.Text, nullable=False),
        sa.Column("at_s", sa.Double, nullable=False),
    )
    op.create_table(
        "looked_at",
        sa.Column("model", sa.Text, primary_key=True),
        sa.Column("labelled_pairs", _BIG_ID, nullable=False),
        sa.Column("labelled_answers", _BIG_ID, nullable=False),
        sa.Column("names", sa.Text),
    )
