"""The keys that all controllers of the database share, each by what tells it from another."""

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"


def upgrade() -> None:
    op.create_table(
        "keys",
        sa.Column("name", sa.Text, primary_key=True),
        sa.Column("check_value", sa.Text, nullable=False),
    )
