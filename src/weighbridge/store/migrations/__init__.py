"""Brings a database's schema to the current version.

Importing Alembic costs as much as everything else together, so nobody imports this module for a database whose schema is
already current.
"""

from __future__ import annotations

from pathlib import Path

from alembic import command
from alembic.config import Config
from sqlalchemy import Connection

from weighbridge.store.tables import SCHEMA_VERSIONS


def migrate(connection: Connection) -> None:
    """Runs the missing migrations inside the transaction that `connection` is in; the caller commits."""
    config = Config()
    # The configuration is read as an INI file would be, where a lone '%' in a folder's name means interpolation.
    config.set_main_option("script_location", str(Path(__file__).parent).replace("%", "%%"))
    config.set_main_option("path_separator", "os")
    config.attributes["connection"] = connection
    command.upgrade(config, SCHEMA_VERSIONS[-1])
