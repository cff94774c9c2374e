"""What was found in a sealed revision, as it stands now: the sealed inspection, or the newest one that the ledger names."""

from __future__ import annotations

import hashlib

from weighbridge.core.errors import StatementMismatch
from weighbridge.core.finding import Inspection
from weighbridge.core.layout import record_key
from weighbridge.core.ports import ObjectStore
from weighbridge.store.ledger import Ledger
from weighbridge.vault.events import ENTERED, RESCANNED
from weighbridge.vault.records import SealedRevision, read_record


def latest_inspection(store: ObjectStore, revision: SealedRevision, ledger: Ledger) -> Inspection:
    """The newest inspection of a revision: the last one in the ledger, or the sealed one.

    Raises:
        StatementMismatch, StoreError: the record is not the one that the ledger names.
    """
    digest = ""
    kinds = (RESCANNED, *ENTERED)
    for event in ledger.events(subject=revision.manifest.reference, kinds=kinds):
        if event.payload.get("store") == store.address:
            digest = str(event.payload.get("inspection_digest", "")) if event.kind == RESCANNED else ""
    return read_inspection(store, revision, digest) if digest else revision.inspection


def read_inspection(store: ObjectStore, revision: SealedRevision, digest: str) -> Inspection:
    """A later inspection by the digest that the ledger names.

    Raises:
        StatementMismatch: other bytes lie there. StoreError: none do.
    """
    data = read_record(store, inspection_key(revision, digest))
    if hashlib.sha256(data).hexdigest() != digest:
        raise StatementMismatch(f"an inspection of {revision.manifest.reference} is not the one in the ledger")
    return Inspection.from_bytes(data)


def inspection_key(revision: SealedRevision, digest: str) -> str:
    """Where a later inspection lies."""
    return record_key(revision.manifest.model_name, revision.manifest.revision, f"inspections/{digest}.json")
