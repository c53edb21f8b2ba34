"""Attributes that clients give their requests, kept with the predictions."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    op.add_column("predictions", sa.Column("tags", sa.Text))
