"""Attestations and bills of materials of a sealed revision, opened and made: what holds of each kind, and what does not."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

from weighbridge.attest import bom as bills
from weighbridge.attest.attestations import Kind, inspection_named, open_inspection, open_provenance
from weighbridge.attest.summary import Freshness, open_summary
from weighbridge.core import canonical
from weighbridge.core.canonical import Fields, JsonValue
from weighbridge.core.errors import (
    FormatError,
    IntegrityError,
    NothingCollected,
    ObjectMissing,
    StatementMismatch,
    TrustError,
)
from weighbridge.core.finding import Inspection
from weighbridge.core.layout import record_key
from weighbridge.core.ports import ObjectStore, SignatureVerifier
from weighbridge.core.shown import plain
from weighbridge.posture.gathering import bounded, listed, sha256
from weighbridge.store.chain import Event
from weighbridge.store.ledger import Ledger
from weighbridge.vault.attested import ATTESTED, newest_decided_at
from weighbridge.vault.inspections import read_inspection
from weighbridge.vault.proven import ProvenReaders
from weighbridge.vault.records import SealedRevision, read_record

MAX_BOM_TEXT_BYTES: Final = 64 * 1024 * 1024
_FAILS: Final = (TrustError, FormatError, IntegrityError, ObjectMissing)


@dataclass(frozen=True, slots=True)
class Shelf:
    """Where the documents of a verified revision lie, and what they are verified with."""

    store: ObjectStore
    revision: SealedRevision
    ledger: Ledger
    verifier: SignatureVerifier


def attestations(shelf: Shelf, *, now: str) -> tuple[dict[str, JsonValue], str]:
    """What the newest attestation of each kind comes to at a time, and a digest over their envelopes.

    Raises:
        NothingCollected: there is none. StoreError: one cannot be reached.
    """
    store, revision = shelf.store, shelf.revision
    newest: dict[str, Event] = {}
    for event in shelf.ledger.events(subject=revision.manifest.reference, kinds=(ATTESTED,)):
        if event.payload.get("store") == store.address:
            newest[str(event.payload.get("type", ""))] = event
    if not newest:
        raise NothingCollected(
            f"nothing attests {revision.manifest.reference}",
            hint=f"Attest it: weighbridge attest {revision.manifest.reference}",
        )
    kinds: list[str] = []
    failed: list[JsonValue] = []
    digests: dict[str, JsonValue] = {}
    passed = False
    for kind, event in sorted(newest.items()):
        try:
            envelope = _envelope(store, revision, event)
            digests[kind] = sha256(envelope)
            passed = _opened(kind, envelope, shelf, now) or passed
            kinds.append(kind)
        except _FAILS as error:
            failed.append({"kind": plain(kind), "why": plain(error.message, 400)})
    value: dict[str, JsonValue] = {
        "holds": not failed,
        "why": "" if not failed else f"{len(failed)} attestations do not hold",
        "kinds": listed(kinds),
        "failed": bounded(failed),
        "passed": passed,
    }
    return value, canonical.digest(digests)


def _envelope(store: ObjectStore, revision: SealedRevision, event: Event) -> bytes:
    """The envelope that the ledger names, and no other."""
    fields = Fields(event.payload, what=f"the payload of event {event.sequence}")
    record, manifest = fields.text("record"), revision.manifest
    if not record.startswith("attestations/") or ".." in record:
        raise StatementMismatch(f"event {event.sequence} names an attestation elsewhere")
    envelope = read_record(store, record_key(manifest.model_name, manifest.revision, record))
    if sha256(envelope) != fields.text("envelope_digest"):
        raise StatementMismatch(f"'{plain(record)}' is not the attestation that the ledger names")
    return envelope


def _opened(kind: str, envelope: bytes, shelf: Shelf, now: str) -> bool:
    """Opens one; whether it is a summary that says PASSED."""
    manifest, verifier = shelf.revision.manifest, shelf.verifier
    if kind == Kind.PROVENANCE.value:
        open_provenance(envelope, manifest, verifier)
    elif kind == Kind.INSPECTION.value:
        open_inspection(envelope, manifest, _inspection_of(envelope, shelf.store, shelf.revision), verifier)
    elif kind == Kind.SUMMARY.value:
        moment = datetime.fromisoformat(now).astimezone(UTC)
        fresh = Freshness(now=moment, newest_decision=newest_decided_at(manifest, shelf.ledger))
        return open_summary(envelope, manifest, verifier, fresh=fresh).passed
    else:
        raise StatementMismatch(f"'{plain(kind)}' is no kind of attestation")
    return False


def _inspection_of(envelope: bytes, store: ObjectStore, revision: SealedRevision) -> Inspection:
    named = inspection_named(envelope)
    sealed = revision.inspection
    return sealed if sha256(sealed.to_bytes()) == named else read_inspection(store, revision, named)


def bom(store: ObjectStore, revision: SealedRevision, inspection: Inspection) -> dict[str, JsonValue]:
    """The bills of materials of the revision, made from files that are proven against the manifest.

    Raises:
        ConfigError: the extra is not installed. Others: a file is not what was sealed, or cannot be read.
    """
    readers = ProvenReaders(store, revision)

    def read(path: str) -> bytes | None:
        artifact = revision.manifest.artifact(path)
        if artifact is None or artifact.size_bytes > MAX_BOM_TEXT_BYTES:
            return None
        reader = readers(path)
        step = 4 * 1024 * 1024
        return b"".join(reader.read(offset, step) for offset in range(0, artifact.size_bytes, step))

    facts = bills.gather(read, revision.manifest, inspection=inspection, sealed_at=revision.seal.sealed_at)
    digests: dict[str, JsonValue] = {form: sha256(bills.write(facts, form)) for form in sorted(bills.FORMATS)}
    return {
        "holds": True,
        "why": "",
        "formats": listed(digests),
        "components": len(facts.parts),
        "digests": digests,
        "unread": listed(facts.unread),
    }
