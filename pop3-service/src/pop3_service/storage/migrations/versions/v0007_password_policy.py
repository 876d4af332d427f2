"""Passwords: how old they are, those before them, and whether they must be changed."""

from datetime import UTC, datetime

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column(
        "accounts",
        sa.Column("must_change_password", sa.Boolean, nullable=False, server_default="0"),
    )
    op.add_column("accounts", sa.Column("password_time", sa.DateTime))
    # Nobody knows when these passwords were set: they count from now, so that none expires at once.
    accounts = sa.table("accounts", sa.column("password_time", sa.DateTime))
    now = datetime.now(UTC).replace(tzinfo=None)
    op.execute(accounts.update().values(password_time=now))
    op.create_table(
        "old_passwords",
        sa.Column(
            "account",
            sa.String(255),
            sa.ForeignKey("accounts.name", ondelete="CASCADE"),
            primary_key=True,
        ),
        sa.Column("age", sa.Integer, primary_key=True),
        sa.Column("password_hash", sa.Text, nullable=False),
    )
