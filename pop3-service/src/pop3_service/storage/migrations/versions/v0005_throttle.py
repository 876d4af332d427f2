"""What the throttle knows."""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "login_failures",
        sa.Column("kind", sa.String(8), primary_key=True),
        sa.Column("key", sa.String(255), primary_key=True),
        sa.Column("failures", sa.Integer, nullable=False),
        sa.Column("last_time", sa.Float, nullable=False),
    )
    op.create_index("ix_login_failures_last_time", "login_failures", ["last_time"])
    op.create_table(
        "known_places",
        sa.Column(
            "account",
            sa.String(255),
            sa.ForeignKey("accounts.name", ondelete="CASCADE"),
            primary_key=True,
        ),
        sa.Column("network", sa.String(64), primary_key=True),
        sa.Column("day", sa.Integer, nullable=False),
    )
