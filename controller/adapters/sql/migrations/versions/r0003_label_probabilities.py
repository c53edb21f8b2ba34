"""The probability of each label's being given. Labels that were there before count as they did: as equally likely."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    for table in ("labels", "labelled_answers"):
        op.add_column(table, sa.Column("inclusion_probability", sa.Double, nullable=False, server_default="1"))
    captured = "SELECT inclusion_probability FROM predictions WHERE predictions.id = labelled_answers.prediction_id"
    op.execute(f"UPDATE labelled_answers SET inclusion_probability = COALESCE(({captured}), 1)")  # noqa: S608
