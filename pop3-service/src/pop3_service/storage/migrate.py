"""Bring a database to the newest schema. Alembic is imported only when there is something to do."""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path
from typing import Any

from sqlalchemy import URL, Connection, create_engine, event, text

HEAD = "0012"
"""The newest migration; a test holds it against the files."""
SCRIPTS = str(files("pop3_service.storage") / "migrations")


class BrokenReference(Exception):
    """A row names one that is not there."""


def migrate(path: Path, revision: str | None = None) -> None:
    """Migrate a database file to a revision, or to the newest, in one transaction.

    Raises:
        BrokenReference: a row would name one that is not there; nothing was changed.
        sqlalchemy.exc.DBAPIError: the file cannot be read or written; nothing was changed.
    """
    from alembic import command
    from alembic.config import Config

    engine = create_engine(URL.create("sqlite", database=str(path)))
    event.listen(engine, "connect", _set_up)
    event.listen(engine, "begin", _begin)
    config = Config()
    config.set_main_option("script_location", SCRIPTS)
    try:
        with engine.begin() as connection:
            config.attributes["connection"] = connection
            command.upgrade(config, revision or HEAD)
            broken = connection.execute(text("PRAGMA foreign_key_check")).first()
            if broken is not None:
                raise BrokenReference(f"a row of {broken[0]} names one of {broken[2]} that is gone")
    finally:
        engine.dispose()


def _set_up(connection: Any, _: object) -> None:
    # The driver opens no transactions by itself, so that BEGIN can be IMMEDIATE and a change of the
    # schema is part of it. References are off meanwhile: a table that is rebuilt is dropped, and
    # what names its rows would go with them.
    connection.isolation_level = None
    connection.execute("PRAGMA foreign_keys = OFF")
    connection.execute("PRAGMA synchronous = FULL")


def _begin(connection: Connection) -> None:
    connection.execute(text("BEGIN IMMEDIATE"))
