"""The controller that is at work: one row."""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"

_BIG_ID = sa.BigInteger().with_variant(sa.Integer, "sqlite")


def upgrade() -> None:
    leadership = op.create_table(
        "leadership",
        sa.Column("id", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("holder", sa.Text),
        sa.Column("fence", _BIG_ID, nullable=False),
        sa.Column("beat", _BIG_ID, nullable=False),
        sa.Column("lease_s", sa.Double, nullable=False),
    )
    op.bulk_insert(leadership, [{"id": 1, "holder": None, "fence": 0, "beat": 0, "lease_s": 0.0}])
