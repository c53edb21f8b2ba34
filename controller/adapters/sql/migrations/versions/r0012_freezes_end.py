"""Freezes that end by themselves."""

import sqlalchemy as sa
from alembic import op

revision = "0012"
down_revision = "0011"


def upgrade() -> None:
    op.add_column("freezes", sa.Column("ends_at_s", sa.Double))
