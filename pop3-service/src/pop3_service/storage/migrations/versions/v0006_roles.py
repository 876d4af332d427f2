"""Roles that admins make."""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "roles",
        sa.Column("name", sa.String(16), primary_key=True),
        sa.Column("rights", sa.Text, nullable=False),
    )
