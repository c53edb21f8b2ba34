"""Recorded requests that are asked again for a release, and the pairs that they complete."""

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"

_BIG_ID = sa.BigInteger().with_variant(sa.Integer, "sqlite")


def upgrade() -> None:
    for table in ("pairs", "labelled_pairs"):
        op.add_column(table, sa.Column("replayed", sa.Boolean, nullable=False, server_default=sa.false()))
    op.create_table(
        "replays",
        sa.Column("release_id", sa.Text, primary_key=True),
        sa.Column("model", sa.Text, nullable=False),
        sa.Column("at_s", sa.Double, nullable=False),
        sa.Column("reuses", sa.Boolean),
        sa.Column("trouble", sa.Text, nullable=False, server_default=""),
    )
    op.create_table(
        "replayed_requests",
        sa.Column("id", _BIG_ID, primary_key=True),
        sa.Column("release_id", sa.Text, nullable=False),
        sa.Column("request_id", sa.Text, nullable=False),
        sa.Column("outcome", sa.Text, nullable=False),
        sa.Column("recorded_id", _BIG_ID, nullable=False),
        sa.Column("at_s", sa.Double, nullable=False),
        sa.UniqueConstraint("release_id", "request_id", name="uq_replayed_requests_release_id_request_id"),
        sqlite_autoincrement=True,
    )
    for columns in (["request_id"], ["release_id", "outcome", "id"], ["at_s"]):
        op.create_index(f"ix_replayed_requests_{'_'.join(columns)}", "replayed_requests", columns)
