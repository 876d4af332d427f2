"""Address rules, bans of networks, suspensions of accounts."""

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "address_rules",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("effect", sa.String(16), nullable=False),
        sa.Column("network", sa.String(64), nullable=False),
        sa.Column("scope", sa.String(16), nullable=False),
        sa.Column("subject", sa.String(255), nullable=False),
        sa.Column("service", sa.String(16), nullable=False),
        sa.Column("note", sa.Text, nullable=False),
        sa.Column("set_by", sa.String(255), nullable=False),
        sa.Column("set_time", sa.DateTime, nullable=False),
        sqlite_autoincrement=True,
    )
    op.create_table(
        "bans",
        sa.Column("network", sa.String(64), primary_key=True),
        sa.Column("reason", sa.Text, nullable=False),
        sa.Column("end_time", sa.DateTime, nullable=True),
        sa.Column("set_by", sa.String(255), nullable=False),
        sa.Column("set_time", sa.DateTime, nullable=False),
    )
    op.create_table(
        "suspensions",
        sa.Column(
            "account",
            sa.String(255),
            sa.ForeignKey("accounts.name", ondelete="CASCADE"),
            primary_key=True,
        ),
        sa.Column("reason", sa.Text, nullable=False),
        sa.Column("end_time", sa.DateTime, nullable=True),
        sa.Column("set_by", sa.String(255), nullable=False),
        sa.Column("set_time", sa.DateTime, nullable=False),
    )
