"""A revision's attestations and decisions at rest: written once, named by what they say, told to the ledger.

- An attestation lies at `attestations/<kind>.<SHA-256 of the statement>.dsse.json`. ECDSA signs differently each time, so the
  name is of what is signed: attesting twice leaves one record and one event.
- One that is there already is kept when a trusted key signed it; signed by a key that was revoked since, it is replaced.
- A decision lies at `decisions/<decision digest>.json`; the newest is the one that the ledger's last event names.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

from weighbridge.attest.attestations import Kind, digest_of
from weighbridge.attest.statement import Statement, open_statement, sign_statement
from weighbridge.core import canonical
from weighbridge.core.canonical import JsonObject, JsonValue
from weighbridge.core.decision import Decision
from weighbridge.core.digests import is_sha256
from weighbridge.core.errors import Conflict, ObjectMissing, Revoked, StatementMismatch
from weighbridge.core.layout import record_key
from weighbridge.core.manifest import Manifest
from weighbridge.core.ports import ObjectStore, SignatureVerifier, Signer
from weighbridge.store.ledger import Ledger
from weighbridge.vault.records import read_record

ATTESTED = "revision.attested"
DECIDED = "revision.decided"


@dataclass(frozen=True, slots=True)
class Attested:
    """An attestation in the store. `record` is its name below the revision's records, `sha256` the envelope's."""

    kind: Kind
    record: str
    envelope: bytes
    sha256: str
    new: bool


@dataclass(frozen=True, slots=True)
class Desk:
    """Where attestations are written and told of, and who does it."""

    store: ObjectStore
    ledger: Ledger
    signer: Signer
    verifier: SignatureVerifier
    actor: str


def keep(desk: Desk, manifest: Manifest, kind: Kind, statement: Statement) -> Attested:
    """Signs and stores a statement, unless it is there; safe to run again after a kill at any moment.

    Raises:
        SignatureInvalid, StatementMismatch: what is there was altered, or signed by a stranger.
        StoreError, LedgerError: it could not be written.
    """
    record = f"attestations/{kind.value}.{digest_of(statement)}.dsse.json"
    key = record_key(manifest.model_name, manifest.revision, record)
    envelope, new = _present(desk, key, statement), False
    if envelope is None:
        envelope, new = sign_statement(statement, desk.signer), True
        try:
            desk.store.put(key, envelope)
        except Conflict:
            # By a key that was revoked, or another process was first; the next look tells which.
            found = _present(desk, key, statement)
            if found is None:
                desk.store.put(key, envelope, replace=True)
            else:
                envelope, new = found, False
    sha256 = hashlib.sha256(envelope).hexdigest()
    _tell(desk, manifest, kind, {"record": record, "envelope_digest": sha256, "statement_digest": digest_of(statement)})
    return Attested(kind, record, envelope, sha256, new)


def _present(desk: Desk, key: str, statement: Statement) -> bytes | None:
    """The envelope that is there, if it is one of this statement by a key that is trusted."""
    try:
        envelope = read_record(desk.store, key)
    except ObjectMissing:
        return None
    try:
        found = open_statement(envelope, desk.verifier, predicate_type=statement.predicate_type)
    except Revoked:
        return None
    if found != statement:
        raise StatementMismatch(
            f"'{key}' in {desk.store.address} holds another statement than its name says",
            hint="Somebody put it there. Remove it, and find out who.",
        )
    return envelope


def _tell(desk: Desk, manifest: Manifest, kind: Kind, digests: dict[str, JsonValue]) -> None:
    for event in desk.ledger.events(subject=manifest.reference, kinds=(ATTESTED,)):
        known = (event.payload.get("store"), event.payload.get("envelope_digest"))
        if known == (desk.store.address, digests["envelope_digest"]):
            return
    desk.ledger.append(
        ATTESTED,
        manifest.reference,
        {
            "store": desk.store.address,
            "model": str(manifest.model_name),
            "revision": manifest.revision,
            "manifest_digest": manifest.digest,
            "type": kind.value,
            "predicate_type": kind.predicate_type,
            "key_id": desk.signer.key_id,
            **digests,
        },
        actor=desk.actor,
    )


def newest_decision(store: ObjectStore, manifest: Manifest, ledger: Ledger) -> Decision | None:
    """The newest decision on a revision that is recorded in that store; None where there is none.

    Raises:
        StatementMismatch: the record is not the decision that the ledger names, or is about another revision.
        StoreError, FormatError: it cannot be read.
    """
    last: JsonObject = {}
    for event in ledger.events(subject=manifest.reference, kinds=(DECIDED,)):
        if event.payload.get("store") == store.address:
            last = event.payload
    if not last:
        return None
    named = str(last.get("decision_digest", ""))
    what = f"the decision on {manifest.reference}"
    if not is_sha256(named):
        raise StatementMismatch(f"the ledger names {what} without a digest")
    data = read_record(store, record_key(manifest.model_name, manifest.revision, f"decisions/{named}.json"))
    decision = Decision.from_json(canonical.decode_object(data, what=what))
    if decision.digest != named or hashlib.sha256(data).hexdigest() != last.get("record_digest"):
        raise StatementMismatch(
            f"{what} is not the one in the ledger", hint="It was altered. Decide again: weighbridge decide MODEL@REV."
        )
    if (decision.model_name, decision.revision, decision.manifest_digest) != (
        manifest.model_name,
        manifest.revision,
        manifest.digest,
    ):
        raise StatementMismatch(f"{what} is about another revision")
    return decision


def newest_decided_at(manifest: Manifest, ledger: Ledger) -> str:
    """When the newest decision on a revision was made, in whatever store it is recorded, RFC 3339; "" without one."""
    newest = ""
    for event in ledger.events(subject=manifest.reference, kinds=(DECIDED,)):
        newest = str(event.payload.get("decided_at", "")) or newest
    return newest
