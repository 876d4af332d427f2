"""App passwords, and accounts' preferences."""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    def account() -> sa.Column[str]:
        owner = sa.ForeignKey("accounts.name", ondelete="CASCADE")
        return sa.Column("account", sa.String(255), owner, primary_key=True)

    op.create_table(
        "app_passwords",
        account(),
        sa.Column("name", sa.String(64), primary_key=True),
        sa.Column("digest", sa.LargeBinary, nullable=False),
        sa.Column("salt", sa.LargeBinary, nullable=False),
        sa.Column("iterations", sa.Integer, nullable=False),
        sa.Column("stored_key", sa.LargeBinary, nullable=False),
        sa.Column("server_key", sa.LargeBinary, nullable=False),
        sa.Column("create_time", sa.DateTime, nullable=False),
        sa.Column("last_use_time", sa.DateTime),
        sa.Column("last_use_peer", sa.String(64), nullable=False),
        sa.UniqueConstraint("account", "digest", name="uq_app_passwords_digest"),
    )
    op.create_table(
        "preferences",
        account(),
        sa.Column("language", sa.String(16), nullable=False),
        sa.Column("retention_days", sa.Integer, nullable=False),
        sa.Column("transform", sa.Boolean, nullable=False),
    )
