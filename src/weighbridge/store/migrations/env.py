"""Runs the migrations on the connection it is handed; there is no configuration file and no offline mode."""

from __future__ import annotations

from alembic import context

from weighbridge.store.tables import METADATA, VERSION_TABLE

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=METADATA,
    version_table=VERSION_TABLE,
)
with context.begin_transaction():
    context.run_migrations()
