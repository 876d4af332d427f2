"""The tables, as the newest migration leaves them."""

from __future__ import annotations

from sqlalchemy import (
    Boolean,
    Column,
    DateTime,
    ForeignKey,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    Text,
)

metadata = MetaData()

accounts = Table(
    "accounts",
    metadata,
    Column("name", String(255), primary_key=True),
    Column("role", String(16), nullable=False),
    Column("password_hash", Text, nullable=False),
    Column("create_time", DateTime, nullable=False),
    Column("has_default_password", Boolean, nullable=False),
    Column("must_change_password", Boolean, nullable=False, server_default="0"),
    # When the password was set; none is when the account was made.
    Column("password_time", DateTime),
)

old_passwords = Table(
    "old_passwords",
    metadata,
    Column(
        "account", String(255), ForeignKey("accounts.name", ondelete="CASCADE"), primary_key=True
    ),
    # 1 is the newest; the one in place is in the account.
    Column("age", Integer, primary_key=True),
    Column("password_hash", Text, nullable=False),
)

apop_secrets = Table(
    "apop_secrets",
    metadata,
    Column(
        "account", String(255), ForeignKey("accounts.name", ondelete="CASCADE"), primary_key=True
    ),
    Column("sealed", LargeBinary, nullable=False),
)

roles = Table(
    "roles",
    metadata,
    Column("name", String(16), primary_key=True),
    Column("rights", Text, nullable=False),
)
"""Roles that admins have made; their rights are a JSON list of names."""

settings = Table(
    "settings",
    metadata,
    Column("name", String(64), primary_key=True),
    Column("value", Text, nullable=False),
)

scram_verifiers = Table(
    "scram_verifiers",
    metadata,
    Column(
        "account", String(255), ForeignKey("accounts.name", ondelete="CASCADE"), primary_key=True
    ),
    Column("salt", LargeBinary, nullable=False),
    Column("iterations", Integer, nullable=False),
    Column("stored_key", LargeBinary, nullable=False),
    Column("server_key", LargeBinary, nullable=False),
)

secrets = Table(
    "secrets",
    metadata,
    Column("name", String(64), primary_key=True),
    Column("value", LargeBinary, nullable=False),
)

address_rules = Table(
    "address_rules",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("effect", String(16), nullable=False),
    Column("network", String(64), nullable=False),
    Column("scope", String(16), nullable=False),
    Column("subject", String(255), nullable=False),
    Column("service", String(16), nullable=False),
    Column("note", Text, nullable=False),
    Column("set_by", String(255), nullable=False),
    Column("set_time", DateTime, nullable=False),
    sqlite_autoincrement=True,
)

bans = Table(
    "bans",
    metadata,
    Column("network", String(64), primary_key=True),
    Column("reason", Text, nullable=False),
    Column("end_time", DateTime, nullable=True),
    Column("set_by", String(255), nullable=False),
    Column("set_time", DateTime, nullable=False),
)

suspensions = Table(
    "suspensions",
    metadata,
    Column(
        "account", String(255), ForeignKey("accounts.name", ondelete="CASCADE"), primary_key=True
    ),
    Column("reason", Text, nullable=False),
    Column("end_time", DateTime, nullable=True),
    Column("set_by", String(255), nullable=False),
    Column("set_time", DateTime, nullable=False),
)

automation_tokens = Table(
    "automation_tokens",
    metadata,
    Column("name", String(64), primary_key=True),
    Column("digest", LargeBinary, nullable=False, unique=True),
    Column("role", String(16), nullable=False),
    Column("networks", Text, nullable=False),
    Column("created_by", String(255), nullable=False),
    Column("create_time", DateTime, nullable=False),
    Column("expire_time", DateTime),
    Column("last_use_time", DateTime),
    Column("last_use_address", String(64), nullable=False),
)
