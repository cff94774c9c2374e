"""Seals a revision again whose key was revoked, once every byte was proven by what the ledger saw.

A revoked key's signature proves nothing, so nothing here rests on it: the ledger, whose head another key signed since, holds
the digests of seal and manifest from when they were made. In this order, each failure a typed error:

1. the seal that lies there is the one in the ledger, byte for byte, or one that an interrupted run of this announced there;
2. it is about that revision, and names the manifest, placement and inspection that lie there (the inspection may be a later
   one that the ledger names);
3. the manifest has the digest that the ledger holds;
4. the store's own records of every object are as they were when it was stored;
5. every chunk of every artifact is read, and is what the manifest says;
6. signature and seal are made anew, over the newest inspection that the ledger names; the ledger is told which seal is to come
   (`revision.resealed`), they are replaced, and the catalog follows (`revision.recovered`).

What this cannot find: a revision that somebody with the key put into store *and* ledger before the key was revoked. Look
through what came in since the key may have been stolen, and ingest that again.
"""

from __future__ import annotations

import hashlib
import os
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from weighbridge.attest.seal import make_seal, open_seal
from weighbridge.attest.sign import sign_model
from weighbridge.attest.statement import unverified
from weighbridge.core.canonical import Fields, JsonValue
from weighbridge.core.errors import IntegrityError, Interrupted, StatementMismatch
from weighbridge.core.finding import Inspection
from weighbridge.core.layout import INSPECTION, MANIFEST, PLACEMENT, SEAL, SIGNATURE, record_key
from weighbridge.core.manifest import Artifact, Manifest
from weighbridge.core.ports import ObjectStore, Observer, SignatureVerifier, Signer
from weighbridge.store.catalog import CataloguedRevision
from weighbridge.store.ledger import Ledger
from weighbridge.vault.chunks import prove_object
from weighbridge.vault.events import RECOVERED, RESCANNED, record_ingested
from weighbridge.vault.inspections import latest_inspection
from weighbridge.vault.recorded import check_recorded
from weighbridge.vault.records import SealedRevision, open_revision, placed_objects, read_record

RESEALED = "revision.resealed"


@dataclass(frozen=True, slots=True)
class Locksmith:
    """Who seals again: the keys trusted now, those with the revoked ones among them, and the key to sign with."""

    trusted: SignatureVerifier
    with_revoked: SignatureVerifier
    signer: Signer
    actor: str


def reseal(
    store: ObjectStore,
    row: CataloguedRevision,
    ledger: Ledger,
    locksmith: Locksmith,
    *,
    sealed_at: str,
    observer: Observer,
    cancelled: threading.Event,
) -> SealedRevision:
    """Seals a revision again by the steps above. `ledger` was verified; `sealed_at` is RFC 3339.

    Raises:
        StatementMismatch, SignatureInvalid, IntegrityError: a step failed; nothing was written.
        StoreError, LedgerError: it could not be read or written; run it again.
        Interrupted: cancelled; nothing was written.
    """
    claimed, old = _claimed(store, row, ledger, locksmith)
    problems = check_recorded(store, claimed)
    if problems:
        raise IntegrityError(
            f"{claimed.manifest.reference} is no longer as it was stored: {problems[0].message}",
            hint="`weighbridge verify` cannot say more while its key is revoked. Restore the objects, or ingest it again.",
        )
    _prove(store, claimed, observer, cancelled)
    name, revision = row.model_name, row.revision
    newest = latest_inspection(store, claimed, ledger)
    records = {
        MANIFEST: claimed.manifest.to_bytes(),
        PLACEMENT: read_record(store, record_key(name, revision, PLACEMENT)),
        INSPECTION: newest.to_bytes(),
        SIGNATURE: sign_model(claimed.manifest, locksmith.signer),
    }
    seal = make_seal(
        claimed.manifest,
        records,
        verdict=newest.verdict,
        rules_version=newest.rules_version,
        sealed_at=sealed_at,
        signer=locksmith.signer,
    )
    _announce(store, row, ledger, locksmith, before=old, seal=seal)
    for one, data in ((INSPECTION, records[INSPECTION]), (SIGNATURE, records[SIGNATURE]), (SEAL, seal)):
        store.put(record_key(name, revision, one), data, replace=True)
    sealed = open_revision(store, name, revision, locksmith.trusted)
    record_ingested(ledger, store, sealed, actor=locksmith.actor, kind=RECOVERED)
    return sealed


def _announce(
    store: ObjectStore, row: CataloguedRevision, ledger: Ledger, locksmith: Locksmith, *, before: str, seal: bytes
) -> None:
    payload: dict[str, JsonValue] = {
        "store": store.address,
        "model": str(row.model_name),
        "revision": row.revision,
        "before": {"seal_digest": row.seal_digest, "key_id": before},
        "now": {"seal_digest": hashlib.sha256(seal).hexdigest(), "key_id": locksmith.signer.key_id},
    }
    ledger.append(RESEALED, f"{row.model_name}@{row.revision}", payload, actor=locksmith.actor)


def _announced(store: ObjectStore, row: CataloguedRevision, ledger: Ledger) -> set[str]:
    """The digests of the seals that runs of this were about to put in place."""
    found = set()
    for event in ledger.events(subject=f"{row.model_name}@{row.revision}", kinds=(RESEALED,)):
        if event.payload.get("store") == store.address:
            found.add(Fields(event.payload, what="the event").fields("now").text("seal_digest"))
    return found


def _claimed(
    store: ObjectStore, row: CataloguedRevision, ledger: Ledger, locksmith: Locksmith
) -> tuple[SealedRevision, str]:
    """The revision as its records claim it, and the id of the key that sealed it; steps 1 to 3."""
    seal_bytes = read_record(store, record_key(row.model_name, row.revision, SEAL))
    key_id = unverified(seal_bytes)[0]
    seal = open_seal(seal_bytes, locksmith.with_revoked)
    if hashlib.sha256(seal_bytes).hexdigest() not in {row.seal_digest, *_announced(store, row, ledger)}:
        raise StatementMismatch(
            f"the seal of {row.model_name}@{row.revision} is not the one in the ledger",
            hint="Somebody with a key sealed other records in its place. Ingest the revision again.",
        )
    seal.check_about(row.model_name, row.revision)
    records = {
        one: read_record(store, record_key(row.model_name, row.revision, one))
        for one in (MANIFEST, PLACEMENT, INSPECTION)
    }
    for one, data in records.items():
        if one != INSPECTION or hashlib.sha256(data).hexdigest() not in _inspections(ledger, row, store):
            seal.check_record(one, data)
    manifest = Manifest.from_bytes(records[MANIFEST])
    seal.check_manifest(manifest)
    if manifest.digest != row.manifest_digest:
        raise StatementMismatch(
            f"the manifest of {manifest.reference} is not the one in the ledger",
            hint="Somebody with the revoked key sealed other records in its place. Ingest the revision again.",
        )
    placed = placed_objects(records[PLACEMENT], manifest)
    return SealedRevision(manifest, placed, seal, seal_bytes, Inspection.from_bytes(records[INSPECTION]), b""), key_id


def _inspections(ledger: Ledger, row: CataloguedRevision, store: ObjectStore) -> set[str]:
    """The digests of later inspections that the ledger names: an interrupted run may have put one in place."""
    events = ledger.events(subject=f"{row.model_name}@{row.revision}", kinds=(RESCANNED,))
    return {str(one.payload.get("inspection_digest")) for one in events if one.payload.get("store") == store.address}


def _prove(store: ObjectStore, claimed: SealedRevision, observer: Observer, cancelled: threading.Event) -> None:
    manifest = claimed.manifest
    observer.planned(len(manifest.artifacts), manifest.total_bytes, 0)

    def prove(artifact: Artifact) -> None:
        if not cancelled.is_set():
            prove_object(store, claimed.placed[artifact.path], artifact)
            observer.advanced(artifact.path, artifact.size_bytes, artifact.size_bytes)

    with ThreadPoolExecutor(max(2, min(8, os.cpu_count() or 2)), thread_name_prefix="reseal") as threads:
        for _ in threads.map(prove, manifest.artifacts):
            pass
    if cancelled.is_set():
        raise Interrupted("the sealing was stopped; nothing was written")
