"""Brings an admitted revision into the approved store: copied by the store itself, by version and digest, sealed last.

The order of writing decides what a crash leaves behind:

1. artifacts appear one by one, each only where nothing is; a second run finds those of the first and goes on;
2. the prefix must then hold exactly the manifest's files;
3. records are written, the seal last: without it the revision does not exist in the approved store;
4. the ledger gets its event.

No byte comes through this machine where the service copies and records checksums or versions. Folders and services that do
neither are read once more: there, only reading proves that the copy is what was judged.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass

from weighbridge.core.errors import (
    AccessRefused,
    ConfigError,
    Conflict,
    DigestMismatch,
    IntegrityError,
    Interrupted,
)
from weighbridge.core.finding import Inspection
from weighbridge.core.layout import model_prefix, record_key
from weighbridge.core.manifest import Artifact
from weighbridge.core.ports import ObjectStore, Observer, SignatureVerifier, Signer, StoredObject, StoreFeature
from weighbridge.vault.chunks import prove_object
from weighbridge.vault.recorded import check_recorded
from weighbridge.vault.records import SealedRevision, is_sealed, open_revision, seal_revision

COPIES_AT_ONCE = 16


@dataclass(frozen=True, slots=True)
class Admission:
    """What is promoted: a sealed revision in the store it came into, its newest inspection, and the records that go along.

    `records` makes them, by name below the revision's records: decision, approvals, attestations, bills of materials. It is
    asked only where they are to be written.
    """

    origin: ObjectStore
    revision: SealedRevision
    inspection: Inspection
    records: Callable[[], Mapping[str, bytes]]


@dataclass(frozen=True, slots=True)
class Passage:
    """How copying is done, and who is told."""

    signer: Signer
    verifier: SignatureVerifier
    observer: Observer
    cancelled: threading.Event
    sealed_at: str


def promote(admission: Admission, approved: ObjectStore, passage: Passage) -> SealedRevision:
    """The revision in the approved store; may be called again after an interruption, and when it is there already.

    Raises:
        ConfigError: the two stores are one, or of different services.
        IntegrityError: what lies in the first store is not what was sealed, or a copy is not equal.
        Conflict: something else lies where the revision belongs.
        StoreError, TrustError: a store did not answer, or records do not hold.
        Interrupted: cancelled; run again to go on.
    """
    origin, manifest = admission.origin, admission.revision.manifest
    if origin.address == approved.address:
        raise ConfigError(
            f"the approved store and the one the model came into are the same: {approved.address}",
            hint="Give the approved store a place of its own: store.approved.",
        )
    approved.check()
    if is_sealed(approved, manifest.model_name, manifest.revision):
        return _already_there(admission, approved, passage)
    problems = check_recorded(origin, admission.revision)
    if problems:
        raise IntegrityError(
            f"{manifest.reference} is in {origin.address}, but no longer as it was sealed: {problems[0].message}",
            hint=f"`weighbridge verify {manifest.reference}` lists all differences.",
        )
    placed = _copy_all(admission, approved, passage)
    _check_exact(approved, admission.revision)
    for name, data in admission.records().items():
        approved.put(record_key(manifest.model_name, manifest.revision, name), data, replace=True)
    seal_revision(approved, manifest, placed, admission.inspection, passage.signer, sealed_at=passage.sealed_at)
    return open_revision(approved, manifest.model_name, manifest.revision, passage.verifier)


def _already_there(admission: Admission, approved: ObjectStore, passage: Passage) -> SealedRevision:
    manifest = admission.revision.manifest
    there = open_revision(approved, manifest.model_name, manifest.revision, passage.verifier)
    if there.manifest.digest != manifest.digest:
        raise Conflict(
            f"another {manifest.reference} is in {approved.address} already: its manifest is {there.manifest.digest}",
            hint="One revision has one manifest. Find out which of the two is the upstream's.",
        )
    problems = check_recorded(approved, there)
    if problems:
        raise IntegrityError(
            f"{manifest.reference} in {approved.address} is no longer as it was promoted: {problems[0].message}",
            hint="Restore the objects from their versions; `weighbridge check` lists all differences.",
        )
    for artifact in manifest.artifacts:
        passage.observer.finished(artifact.path, "kept")
    return there


def _copy_all(admission: Admission, approved: ObjectStore, passage: Passage) -> dict[str, StoredObject]:
    manifest = admission.revision.manifest
    passage.observer.planned(len(manifest.artifacts), manifest.total_bytes, 0)
    with ThreadPoolExecutor(COPIES_AT_ONCE, thread_name_prefix="promote") as threads:
        waiting = [threads.submit(_copy, admission, artifact, approved, passage) for artifact in manifest.artifacts]
        try:
            placed = [one.result() for one in waiting]
        except BaseException:
            for one in waiting:
                one.cancel()
            raise
    return dict(zip((artifact.path for artifact in manifest.artifacts), placed, strict=True))


def _copy(admission: Admission, artifact: Artifact, approved: ObjectStore, passage: Passage) -> StoredObject:
    if passage.cancelled.is_set():
        raise Interrupted("the promotion was stopped", hint="Run the same command again; it goes on where it stopped.")
    manifest, origin = admission.revision.manifest, admission.origin
    stored = admission.revision.placed[artifact.path]
    key = f"{model_prefix(manifest.model_name, manifest.revision)}{artifact.path}"
    copied = approved.take(origin, stored.key, key, version_id=stored.version_id)
    try:
        _prove(admission, artifact, approved, copied)
    except IntegrityError:
        # What was not judged must not lie where an engine could be pointed at, nor in the way of the next promotion.
        with suppress(AccessRefused):
            approved.delete(copied.key, version_id=copied.version_id)
        raise
    passage.observer.advanced(artifact.path, artifact.size_bytes, artifact.size_bytes)
    passage.observer.finished(artifact.path, "copied")
    return copied


def _prove(admission: Admission, artifact: Artifact, approved: ObjectStore, copied: StoredObject) -> None:
    origin, stored = admission.origin, admission.revision.placed[artifact.path]
    if copied.size_bytes != artifact.size_bytes:
        raise DigestMismatch(f"the copy of '{artifact.path}' has {copied.size_bytes} of {artifact.size_bytes} bytes")
    checksums = StoreFeature.RECORDED_CHECKSUMS in origin.features & approved.features
    if checksums and stored.crc64nvme:
        if copied.crc64nvme != stored.crc64nvme:
            raise DigestMismatch(
                f"the copy of '{artifact.path}' is recorded with {copied.crc64nvme or 'no checksum'}, the one that was "
                f"judged with {stored.crc64nvme}",
                hint="Somebody wrote to one of the two stores meanwhile. Find out who; then promote again.",
            )
    elif not (StoreFeature.VERSIONS in origin.features and stored.version_id):
        prove_object(approved, copied, artifact)


def _check_exact(approved: ObjectStore, revision: SealedRevision) -> None:
    """An engine is pointed at the prefix: whatever lies there is loaded."""
    manifest = revision.manifest
    prefix = model_prefix(manifest.model_name, manifest.revision)
    expected = {f"{prefix}{artifact.path}" for artifact in manifest.artifacts}
    found = {stored.key for stored in approved.list(prefix)}
    for key in sorted(found ^ expected):
        what = "is missing" if key in expected else "is no part of the revision"
        raise Conflict(
            f"'{key}' in {approved.address} {what}",
            hint="The prefix must hold exactly the revision's files. Find out who writes there; then promote again.",
        )
