"""Transforms, their versions, and for whom they are active; the setting becomes one of them."""

import json
import shlex
from datetime import UTC, datetime

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "transforms",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("name", sa.String(32), nullable=False),
        sa.Column("version", sa.Integer, nullable=False),
        sa.Column("command_line", sa.Text, nullable=False),
        sa.Column("programs", sa.Text, nullable=False),
        sa.Column("on_failure", sa.String(16), nullable=False),
        sa.Column("note", sa.Text, nullable=False),
        sa.Column("created_by", sa.String(255), nullable=False),
        sa.Column("create_time", sa.DateTime, nullable=False),
        sa.Column("delete_time", sa.DateTime),
        sa.UniqueConstraint("name", "version"),
        sqlite_autoincrement=True,
    )
    op.create_table(
        "transform_activations",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("scope", sa.String(16), nullable=False),
        sa.Column("subject", sa.String(255), nullable=False),
        sa.Column("transform", sa.Integer, sa.ForeignKey("transforms.id")),
        sa.Column("mode", sa.String(16), nullable=False),
        sa.Column("former", sa.Integer, sa.ForeignKey("transforms.id")),
        sa.Column("inherits", sa.Boolean, nullable=False),
        sa.Column("before", sa.Integer, sa.ForeignKey("transform_activations.id")),
        sa.Column("accounts", sa.Text, nullable=False),
        sa.Column("share", sa.Integer, nullable=False),
        sa.Column("failure_limit", sa.Integer, nullable=False),
        sa.Column("set_by", sa.String(255), nullable=False),
        sa.Column("set_time", sa.DateTime, nullable=False),
        sa.Column("end_time", sa.DateTime),
        sa.Column("ended_by", sa.String(255), nullable=False, server_default=""),
        sa.Column("end_reason", sa.String(32), nullable=False, server_default=""),
        sa.Column("counts", sa.Text, nullable=False, server_default="{}"),
        sa.Index("transform_activations_by_subject", "scope", "subject", "end_time"),
        sqlite_autoincrement=True,
    )
    _take_over_the_setting()


def _take_over_the_setting() -> None:
    """Make the transform that is set an unnamed one, active for everyone."""
    settings = sa.table("settings", sa.column("name"), sa.column("value"))
    connection = op.get_bind()
    is_it = settings.c.name == "transform"
    stored = connection.scalar(sa.select(settings.c.value).where(is_it))
    connection.execute(sa.delete(settings).where(is_it))
    command_line, words = _read(stored)
    if not words:
        return
    now = datetime.now(UTC).replace(tzinfo=None)
    transforms = sa.table(
        "transforms",
        *map(
            sa.column, ("id", "name", "version", "command_line", "programs", "on_failure", "note")
        ),
        sa.column("created_by"),
        sa.column("create_time", sa.DateTime),
    )
    connection.execute(
        sa.insert(transforms).values(
            id=1, name="", version=1, command_line=command_line, programs=json.dumps([words]),
            on_failure="refuse", note="", created_by="migration", create_time=now,
        )
    )  # fmt: skip
    activations = sa.table(
        "transform_activations",
        *map(sa.column, ("scope", "subject", "transform", "mode", "accounts", "share", "set_by")),
        sa.column("inherits", sa.Boolean),
        sa.column("failure_limit"),
        sa.column("set_time", sa.DateTime),
    )
    connection.execute(
        sa.insert(activations).values(
            scope="everyone", subject="", transform=1, mode="on", inherits=True, accounts="[]",
            share=0, failure_limit=5, set_by="migration", set_time=now,
        )
    )  # fmt: skip


def _read(stored: str | None) -> tuple[str, list[str]]:
    """Give the command line that is stored, and its words; no words if it cannot be one."""
    try:
        command_line = json.loads(stored or "null")
        return command_line, shlex.split(command_line) if isinstance(command_line, str) else []
    except ValueError:
        return "", []
