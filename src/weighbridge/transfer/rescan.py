"""Inspects stored revisions again, by today's rules, and enters what came out into the ledger.

The sealed inspection stays what it was. A later one is a record of its own under the revision
(`inspections/<sha256>.json`), and the ledger's event holds its digest, so that it is as tamper-evident as the rest.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from dataclasses import dataclass

from weighbridge.core.errors import Conflict
from weighbridge.core.finding import Finding, Inspection, Severity
from weighbridge.core.ports import ObjectStore
from weighbridge.store.ledger import Ledger
from weighbridge.transfer.scan import Scanned, Scanner
from weighbridge.vault.events import RESCANNED
from weighbridge.vault.inspections import inspection_key, latest_inspection, read_inspection
from weighbridge.vault.records import SealedRevision
from weighbridge.vault.stored import StoredSource


@dataclass(frozen=True, slots=True)
class Rescanned:
    """A revision's inspection now and before; `entered` is false when nothing changed and no event was needed."""

    scanned: Scanned
    before: Inspection
    entered: bool

    @property
    def new(self) -> tuple[Finding, ...]:
        """Findings that were not there before."""
        known = set(self.before.findings)
        return tuple(finding for finding in self.scanned.inspection.findings if finding not in known)

    @property
    def gone(self) -> tuple[Finding, ...]:
        """Findings that are not there any more."""
        known = set(self.scanned.inspection.findings)
        return tuple(finding for finding in self.before.findings if finding not in known)


def rescan(scanner: Scanner, store: ObjectStore, revision: SealedRevision, ledger: Ledger, *, actor: str) -> Rescanned:
    """Inspects a sealed revision and records the result if it says anything new.

    Raises:
        StoreError, IntegrityError: the stored bytes cannot be read.
        LedgerError: the event could not be made durable.
        Interrupted: cancelled.
    """
    before = latest_inspection(store, revision, ledger)
    scanned = scanner.scan(StoredSource(store, revision))
    data = scanned.inspection.to_bytes()
    if data == before.to_bytes():
        return Rescanned(scanned, before, entered=False)
    digest = hashlib.sha256(data).hexdigest()
    manifest = revision.manifest
    try:
        store.put(inspection_key(revision, digest), data)
    except Conflict:
        # Named by its digest: what is there is what an earlier run wrote; reading it will tell.
        read_inspection(store, revision, digest)
    counts = Counter(finding.severity for finding in scanned.inspection.findings)
    ledger.append(
        RESCANNED,
        manifest.reference,
        {
            "store": store.address,
            "model": str(manifest.model_name),
            "revision": manifest.revision,
            "rules_version": scanned.inspection.rules_version,
            "verdict": scanned.inspection.verdict.value,
            "findings": {severity.label: counts[severity] for severity in Severity},
            "inspection_digest": digest,
        },
        actor=actor,
    )
    return Rescanned(scanned, before, entered=True)
