"""Creates the ledger and its catalog.

Written out rather than taken from the tables' definitions: a migration describes the schema of its day.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None

_LONG = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    """Creates the four tables."""
    op.create_table(
        "ledger_events",
        sa.Column("sequence", _LONG, autoincrement=False, nullable=False),
        *[
            sa.Column(name, sa.Text(), nullable=False)
            for name in ("time", "actor", "kind", "subject", "payload", "previous", "digest")
        ],
        sa.PrimaryKeyConstraint("sequence", name="pk_ledger_events"),
    )
    op.create_index("ix_ledger_events_subject_sequence", "ledger_events", ["subject", "sequence"])
    _create_revisions()
    _create_artifacts()
    op.create_table(
        "catalog_channels",
        sa.Column("model_name", sa.Text(), nullable=False),
        sa.Column("channel", sa.Text(), nullable=False),
        sa.Column("revision", sa.Text(), nullable=False),
        sa.Column("sequence", _LONG, nullable=False),
        sa.PrimaryKeyConstraint("model_name", "channel", name="pk_catalog_channels"),
    )


def _create_revisions() -> None:
    op.create_table(
        "catalog_revisions",
        sa.Column("sequence", _LONG, autoincrement=False, nullable=False),
        *[
            sa.Column(name, sa.Text(), nullable=False)
            for name in (
                "store",
                "model_name",
                "revision",
                "source",
                "manifest_digest",
                "seal_digest",
                "verdict",
                "findings",
            )
        ],
        sa.Column("artifact_count", _LONG, nullable=False),
        sa.Column("total_bytes", _LONG, nullable=False),
        sa.Column("ingested_at", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("sequence", name="pk_catalog_revisions"),
        sa.UniqueConstraint("model_name", "revision", "store", name="uq_catalog_revisions_model_name_revision_store"),
    )
    op.create_index("ix_catalog_revisions_model_name_sequence", "catalog_revisions", ["model_name", "sequence"])


def _create_artifacts() -> None:
    op.create_table(
        "catalog_artifacts",
        sa.Column("sequence", _LONG, nullable=False),
        sa.Column("path", sa.Text(), nullable=False),
        sa.Column("key", sa.Text(), nullable=False),
        sa.Column("version_id", sa.Text(), nullable=False),
        sa.Column("size_bytes", _LONG, nullable=False),
        sa.Column("sha256", sa.Text(), nullable=False),
        sa.Column("git_sha1", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("sequence", "path", name="pk_catalog_artifacts"),
        sa.ForeignKeyConstraint(
            ["sequence"],
            ["catalog_revisions.sequence"],
            name="fk_catalog_artifacts_sequence",
            ondelete="CASCADE",
        ),
    )
    op.create_index("ix_catalog_artifacts_sha256", "catalog_artifacts", ["sha256"])
    op.create_index("ix_catalog_artifacts_git_sha1", "catalog_artifacts", ["git_sha1"])
