"""What was revoked, so that no restore of a backup brings it back."""

import sqlalchemy as sa
from alembic import op

revision = "0012"
down_revision = "0011"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "revoked_secrets",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("digest", sa.LargeBinary, nullable=False, unique=True),
        sa.Column("account", sa.String(255), nullable=False),
        sa.Index("revoked_secrets_by_account", "account", "id"),
        sqlite_autoincrement=True,
    )
