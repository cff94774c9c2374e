"""Where the statement about a derived revision lies, and what it says once it was verified."""

from __future__ import annotations

from collections.abc import Collection
from typing import Final

from weighbridge.attest.remediation import REMEDIATION, Remediation, open_remediation
from weighbridge.core.errors import ObjectMissing, StatementMismatch
from weighbridge.core.layout import record_key
from weighbridge.core.names import ModelName
from weighbridge.core.ports import ObjectStore, SignatureVerifier
from weighbridge.remediate.derived import KIND
from weighbridge.store.ledger import Ledger
from weighbridge.vault.records import SealedRevision, read_record

REMEDIATED: Final = "revision.remediated"
"""The kind of the ledger's event; its subject is the derived revision."""


def remediation_key(revision: SealedRevision) -> str:
    """Where the statement lies."""
    return record_key(revision.manifest.model_name, revision.manifest.revision, REMEDIATION)


def with_parents(ledger: Ledger, model_name: ModelName, revisions: Collection[str]) -> set[str]:
    """Revisions of a model, and those that they were derived from, however often, by the ledger.

    Raises:
        LedgerError, StoreError: the ledger cannot be read.
    """
    found: set[str] = set()
    waiting = [*revisions]
    while waiting:
        revision = waiting.pop()
        if revision in found:
            continue
        found.add(revision)
        for event in ledger.events(subject=f"{model_name}@{revision}", kinds=(REMEDIATED,)):
            name, _, parent = str(event.payload.get("parent", "")).rpartition("@")
            if name == str(model_name):
                waiting.append(parent)
    return found


def read_remediation(store: ObjectStore, revision: SealedRevision, verifier: SignatureVerifier) -> Remediation | None:
    """What is known of how a revision was derived; None for one that was not.

    Raises:
        StatementMismatch: the revision says that it was derived, and no statement says how: its remediation was
            interrupted, or the statement was removed. It must not be used.
        TrustError: the statement does not hold. StoreError: it cannot be read.
    """
    if revision.manifest.origin.kind != KIND:
        return None
    try:
        envelope = read_record(store, remediation_key(revision))
    except ObjectMissing as error:
        raise StatementMismatch(
            f"{revision.manifest.reference} was derived from {revision.manifest.origin.address}, and nothing says how",
            hint="Run the same `weighbridge remediate` again: it goes on where it was stopped.",
        ) from error
    return open_remediation(envelope, revision.manifest, verifier)
