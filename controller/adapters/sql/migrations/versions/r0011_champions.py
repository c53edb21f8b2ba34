"""The knowledge of the version that serves everybody, by model."""

import sqlalchemy as sa
from alembic import op

revision = "0011"
down_revision = "0010"


def upgrade() -> None:
    op.create_table(
        "champions",
        sa.Column("model", sa.Text, primary_key=True),
        sa.Column("version", sa.Text, nullable=False),
        sa.Column("state", sa.Text, nullable=False),
    )
