"""Requests whose texts are kept are found newest first; how many recorded answers a replay has held against stable."""

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"


def upgrade() -> None:
    op.create_index(
        "ix_predictions_recorded",
        "predictions",
        ["model", "id"],
        sqlite_where=sa.text("text IS NOT NULL"),
        postgresql_where=sa.text("text IS NOT NULL"),
    )
    op.add_column("replays", sa.Column("checked", sa.Integer, nullable=False, server_default="0"))
