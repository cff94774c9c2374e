"""What the ledger is told about revisions."""

from __future__ import annotations

import hashlib
from collections import Counter

from weighbridge.core.canonical import JsonObject, JsonValue
from weighbridge.core.errors import NothingCollected
from weighbridge.core.finding import Severity
from weighbridge.core.names import Reference
from weighbridge.core.ports import ObjectStore
from weighbridge.store.ledger import Ledger
from weighbridge.vault.records import SealedRevision

INGESTED = "revision.ingested"
RECOVERED = "revision.recovered"
RESCANNED = "revision.rescanned"
PROMOTED = "revision.promoted"
ENTERED = (INGESTED, RECOVERED, PROMOTED)
"""Kinds that say a sealed revision lies in a store."""


def record_ingested(
    ledger: Ledger,
    store: ObjectStore,
    revision: SealedRevision,
    *,
    actor: str,
    kind: str = INGESTED,
    more: JsonObject | None = None,
) -> bool:
    """Enters a sealed revision, unless it is there; whether it was entered. `more` is told beside what all events tell.

    Raises:
        LedgerError: the event could not be made durable.
    """
    seal_digest = hashlib.sha256(revision.seal_bytes).hexdigest()
    reference = Reference(revision.manifest.model_name, revision.manifest.revision)
    try:
        if ledger.catalog().resolve(reference, store=store.address).seal_digest == seal_digest:
            return False
    except NothingCollected:
        pass
    payload = {**_payload(store, revision, seal_digest), **(more or {})}
    ledger.append(kind, revision.manifest.reference, payload, actor=actor)
    return True


def _payload(store: ObjectStore, revision: SealedRevision, seal_digest: str) -> dict[str, JsonValue]:
    manifest = revision.manifest
    counts = Counter(finding.severity for finding in revision.inspection.findings)
    return {
        "store": store.address,
        "model": str(manifest.model_name),
        "revision": manifest.revision,
        "source": manifest.origin.address,
        "manifest_digest": manifest.digest,
        "seal_digest": seal_digest,
        "verdict": revision.seal.verdict.value,
        "findings": {severity.label: counts[severity] for severity in Severity},
        "total_bytes": manifest.total_bytes,
        "artifacts": [
            {
                "path": artifact.path,
                "size_bytes": artifact.size_bytes,
                "sha256": artifact.sha256,
                "git_sha1": artifact.git_sha1,
                "key": revision.placed[artifact.path].key,
                "version_id": revision.placed[artifact.path].version_id,
            }
            for artifact in manifest.artifacts
        ],
    }


def requester_of(ledger: Ledger, reference: str) -> str:
    """Who brought a revision in, as the ledger's actor; "" where nobody is on record."""
    entered = ledger.events(subject=reference, kinds=(INGESTED, RECOVERED))
    return next((event.actor for event in entered), "")
