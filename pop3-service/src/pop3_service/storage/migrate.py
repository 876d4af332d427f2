"""Bring a database to the newest schema. Alembic is imported only when there is something to do."""

from __future__ import annotations

from importlib.resources import files

from sqlalchemy import Connection, inspect, text

HEAD = "0003"
"""The newest migration; a test holds it against the files."""


class ForeignDatabase(Exception):
    """The file is a database, but not one of ours, or of a newer version."""


def migrate(connection: Connection) -> None:
    """Migrate to ``HEAD``.

    Raises:
        ForeignDatabase: the tables are not ours, or newer than this program.
    """
    names = inspect(connection).get_table_names()
    current = None
    if "alembic_version" in names:
        current = connection.execute(text("select version_num from alembic_version")).scalar()
    elif names:
        raise ForeignDatabase("it holds tables of another program")
    if current == HEAD:
        return
    if current is not None and current > HEAD:
        raise ForeignDatabase("it was written by a newer version")
    from alembic import command
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(files("pop3_service.storage") / "migrations"))
    config.attributes["connection"] = connection
    command.upgrade(config, "head")
