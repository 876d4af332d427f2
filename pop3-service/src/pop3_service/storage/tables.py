"""The tables, as the newest migration leaves them."""

from __future__ import annotations

from sqlalchemy import (
    Boolean,
    Column,
    DateTime,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    Text,
    UniqueConstraint,
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

transforms = Table(
    "transforms",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("name", String(32), nullable=False),
    Column("version", Integer, nullable=False),
    Column("command_line", Text, nullable=False),
    # A JSON list of programs, each a list of words.
    Column("programs", Text, nullable=False),
    Column("on_failure", String(16), nullable=False),
    Column("note", Text, nullable=False),
    Column("created_by", String(255), nullable=False),
    Column("create_time", DateTime, nullable=False),
    # A version that was deleted stays for the history, and its number is not given again.
    Column("delete_time", DateTime),
    UniqueConstraint("name", "version"),
    sqlite_autoincrement=True,
)

transform_activations = Table(
    "transform_activations",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("scope", String(16), nullable=False),
    Column("subject", String(255), nullable=False),
    Column("transform", Integer, ForeignKey("transforms.id")),
    Column("mode", String(16), nullable=False),
    Column("former", Integer, ForeignKey("transforms.id")),
    Column("inherits", Boolean, nullable=False),
    # The activation that a rollback brings back.
    Column("before", Integer, ForeignKey("transform_activations.id")),
    # A JSON list of names.
    Column("accounts", Text, nullable=False),
    Column("share", Integer, nullable=False),
    Column("failure_limit", Integer, nullable=False),
    Column("set_by", String(255), nullable=False),
    Column("set_time", DateTime, nullable=False),
    # None while it is in force.
    Column("end_time", DateTime),
    Column("ended_by", String(255), nullable=False, server_default=""),
    Column("end_reason", String(32), nullable=False, server_default=""),
    # What came of it, as far as that is stored; a JSON object.
    Column("counts", Text, nullable=False, server_default="{}"),
    Index("transform_activations_by_subject", "scope", "subject", "end_time"),
    sqlite_autoincrement=True,
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

revoked_secrets = Table(
    "revoked_secrets",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("digest", LargeBinary, nullable=False, unique=True),
    # Whose app password it was, also after the account is gone; empty for an automation token.
    Column("account", String(255), nullable=False),
    Index("revoked_secrets_by_account", "account", "id"),
    sqlite_autoincrement=True,
)
