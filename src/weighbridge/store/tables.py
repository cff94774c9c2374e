"""The tables of ledger and catalog, and the schema version this code reads and writes.

The ledger's only table is `ledger_events`; everything named `catalog_*` is a projection of it and may be dropped at any
time. Times are RFC 3339 text, digests lowercase hexadecimal, payloads canonical JSON as text: the database must hand back
exactly the bytes that were hashed, which no JSON column type promises.
"""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    Column,
    Connection,
    ForeignKey,
    Index,
    Integer,
    MetaData,
    String,
    Table,
    Text,
    UniqueConstraint,
)

SCHEMA_VERSIONS = ("0001",)
"""Every schema version this code knows, oldest first; the last is current."""

VERSION_TABLE = "weighbridge_schema"
"""Where the version is kept; a name of its own, so that a database shared with other tools is no trouble."""

METADATA = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "fk": "fk_%(table_name)s_%(column_0_N_name)s",
        "pk": "pk_%(table_name)s",
    }
)

LONG = BigInteger().with_variant(Integer(), "sqlite")
"""64 bits in both databases; SQLite then holds nothing but whole numbers in a primary key of this type."""

EVENTS = Table(
    "ledger_events",
    METADATA,
    Column("sequence", LONG, primary_key=True, autoincrement=False),
    Column("time", Text, nullable=False),
    Column("actor", Text, nullable=False),
    Column("kind", Text, nullable=False),
    Column("subject", Text, nullable=False),
    Column("payload", Text, nullable=False),
    Column("previous", Text, nullable=False),
    Column("digest", Text, nullable=False),
    Index(None, "subject", "sequence"),
)

REVISIONS = Table(
    "catalog_revisions",
    METADATA,
    Column("sequence", LONG, primary_key=True, autoincrement=False),
    Column("store", Text, nullable=False),
    Column("model_name", Text, nullable=False),
    Column("revision", Text, nullable=False),
    Column("source", Text, nullable=False),
    Column("manifest_digest", Text, nullable=False),
    Column("seal_digest", Text, nullable=False),
    Column("verdict", Text, nullable=False),
    Column("findings", Text, nullable=False),
    Column("artifact_count", LONG, nullable=False),
    Column("total_bytes", LONG, nullable=False),
    Column("ingested_at", Text, nullable=False),
    UniqueConstraint("model_name", "revision", "store"),
    Index(None, "model_name", "sequence"),
)

ARTIFACTS = Table(
    "catalog_artifacts",
    METADATA,
    Column("sequence", LONG, ForeignKey("catalog_revisions.sequence", ondelete="CASCADE"), primary_key=True),
    Column("path", Text, primary_key=True),
    Column("key", Text, nullable=False),
    Column("version_id", Text, nullable=False),
    Column("size_bytes", LONG, nullable=False),
    Column("sha256", Text, nullable=False),
    Column("git_sha1", Text, nullable=False),
    Index(None, "sha256"),
    Index(None, "git_sha1"),
)

CHANNELS = Table(
    "catalog_channels",
    METADATA,
    Column("model_name", Text, primary_key=True),
    Column("channel", Text, primary_key=True),
    Column("revision", Text, nullable=False),
    Column("sequence", LONG, nullable=False),
)

CATALOG_TABLES = (ARTIFACTS, REVISIONS, CHANNELS)


def create_schema(connection: Connection) -> None:
    """Creates all tables in their current form and notes the version, as running every migration would."""
    versions = Table(VERSION_TABLE, MetaData(), Column("version_num", String(32), primary_key=True))
    METADATA.create_all(connection)
    versions.create(connection)
    connection.execute(versions.insert().values(version_num=SCHEMA_VERSIONS[-1]))
