"""A revision's records: written once, the seal last; read back only through the seal.

Verification, in this order, each failure a typed error:

1. the seal is signed by a trusted key;
2. the seal is about the model and revision that were asked for;
3. each record is, byte for byte, the one the seal names;
4. the manifest has the digest the seal names, and its own canonical form;
5. the model signature is by a trusted key and lists the manifest's artifacts;
6. the placement names exactly the manifest's artifacts, with their sizes, under the revision's own prefix.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from weighbridge.attest.seal import Seal, make_seal, open_seal
from weighbridge.attest.sign import sign_model, verify_model
from weighbridge.core import canonical
from weighbridge.core.canonical import Fields
from weighbridge.core.errors import Conflict, ObjectMissing, StatementMismatch, StoreError
from weighbridge.core.finding import Inspection
from weighbridge.core.layout import (
    INSPECTION,
    MANIFEST,
    PLACEMENT,
    SEAL,
    SEALED_RECORDS,
    SIGNATURE,
    model_prefix,
    record_key,
)
from weighbridge.core.manifest import Manifest
from weighbridge.core.names import ModelName
from weighbridge.core.ports import ObjectStore, SignatureVerifier, Signer, StoredObject
from weighbridge.vault.reading import read_range

PLACEMENT_FORMAT = "weighbridge.placement/1"


@dataclass(frozen=True, slots=True)
class SealedRevision:
    """A revision whose records have passed all steps above; `placed` is by artifact path."""

    manifest: Manifest
    placed: Mapping[str, StoredObject]
    seal: Seal
    seal_bytes: bytes
    inspection: Inspection
    signature: bytes


def seal_revision(
    store: ObjectStore,
    manifest: Manifest,
    placed: Mapping[str, StoredObject],
    inspection: Inspection,
    signer: Signer,
    *,
    sealed_at: str,
) -> bytes:
    """Writes a revision's records, the seal last, and returns the seal. `sealed_at` is RFC 3339.

    The manifest is the claim: it is never replaced, so of two machines that ingest one revision one seals and the other
    is told. Whoever finds its own manifest, to the microsecond of its time, may write the other records again: an
    earlier run of the same ingest was killed here.

    Raises:
        Conflict: other records are already there.
        StoreError: they could not be written.
    """
    name, revision = manifest.model_name, manifest.revision
    records = {
        MANIFEST: manifest.to_bytes(),
        SIGNATURE: sign_model(manifest, signer),
        PLACEMENT: placement_bytes(store.address, placed),
        INSPECTION: inspection.to_bytes(),
    }
    seal = make_seal(
        manifest,
        records,
        verdict=inspection.verdict,
        rules_version=inspection.rules_version,
        sealed_at=sealed_at,
        signer=signer,
    )
    try:
        store.put(record_key(name, revision, MANIFEST), records.pop(MANIFEST))
        for record, data in records.items():
            store.put(record_key(name, revision, record), data, replace=True)
        store.put(record_key(name, revision, SEAL), seal)
    except Conflict as error:
        raise Conflict(
            f"other records of {manifest.reference} are already in {store.address}",
            hint="Another machine ingests it, or an older run left them: see `weighbridge check`, then `weighbridge gc`.",
        ) from error
    return seal


def placement_bytes(address: str, placed: Mapping[str, StoredObject]) -> bytes:
    """The record of where each artifact lies and what the store answered for it."""
    return canonical.encode(
        {
            "format": PLACEMENT_FORMAT,
            "store": address,
            "objects": {
                path: {
                    "key": stored.key,
                    "size_bytes": stored.size_bytes,
                    "version_id": stored.version_id,
                    "etag": stored.etag,
                    "crc64nvme": stored.crc64nvme,
                }
                for path, stored in placed.items()
            },
        }
    )


def is_sealed(store: ObjectStore, model_name: ModelName, revision: str) -> bool:
    """Whether the revision exists in the store."""
    try:
        store.head(record_key(model_name, revision, SEAL))
    except ObjectMissing:
        return False
    return True


def read_record(store: ObjectStore, key: str) -> bytes:
    """A whole record, bounded by what a record may be.

    Raises:
        ObjectMissing: it is not there.
        LimitExceeded, StoreError: it is too large or cannot be read.
    """
    size = store.head(key).size_bytes
    if size > canonical.MAX_RECORD_BYTES:
        raise StoreError(f"'{key}' in {store.address} is {size} bytes, too large for a record")
    return read_range(store, key, 0, size)


def open_revision(
    store: ObjectStore, model_name: ModelName, revision: str, verifier: SignatureVerifier
) -> SealedRevision:
    """Reads and verifies the records of a revision, by the steps above.

    Raises:
        ObjectMissing: the revision or one of its records is not there.
        TrustError, FormatError: a step failed.
    """
    # (1) and (2)
    seal_bytes = read_record(store, record_key(model_name, revision, SEAL))
    seal = open_seal(seal_bytes, verifier)
    seal.check_about(model_name, revision)
    # (3)
    records = {name: read_record(store, record_key(model_name, revision, name)) for name in SEALED_RECORDS}
    for name, data in records.items():
        seal.check_record(name, data)
    # (4)
    manifest = Manifest.from_bytes(records[MANIFEST])
    seal.check_manifest(manifest)
    # (5)
    verify_model(records[SIGNATURE], manifest, verifier)
    # (6)
    placed = placed_objects(records[PLACEMENT], manifest)
    inspection = Inspection.from_bytes(records[INSPECTION])
    return SealedRevision(manifest, placed, seal, seal_bytes, inspection, records[SIGNATURE])


def placed_objects(data: bytes, manifest: Manifest) -> dict[str, StoredObject]:
    """Reads the record of where each artifact lies, by path.

    Raises:
        Malformed, StatementMismatch: it is not a placement of exactly the manifest's artifacts.
    """
    what = f"the placement of {manifest.reference}"
    fields = Fields(canonical.decode_object(data, what=what), what=what)
    if fields.text("format") != PLACEMENT_FORMAT:
        raise StatementMismatch(f"{what} has a format this version does not read")
    objects = fields.fields("objects")
    prefix = model_prefix(manifest.model_name, manifest.revision)
    placed: dict[str, StoredObject] = {}
    for artifact in manifest.artifacts:
        found = objects.fields(artifact.path)
        stored = StoredObject(
            found.text("key"),
            found.integer("size_bytes"),
            found.text("version_id"),
            found.text("etag"),
            found.text("crc64nvme"),
        )
        if stored.key != f"{prefix}{artifact.path}" or stored.size_bytes != artifact.size_bytes:
            raise StatementMismatch(f"{what} puts '{artifact.path}' elsewhere, or with another size")
        placed[artifact.path] = stored
    objects.done()
    return placed
