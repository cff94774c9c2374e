"""What lies under a bucket's prefix, held against the signed records: extra, missing and other objects, models without proof.

The store's own records are compared and content is not read, as in `weighbridge verify` without `--deep`.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Final

from weighbridge.core.canonical import JsonValue
from weighbridge.core.config import StoreSettings
from weighbridge.core.errors import (
    FormatError,
    LimitExceeded,
    NothingCollected,
    ObjectMissing,
    TrustError,
    UnsafePath,
)
from weighbridge.core.finding import Inspection, Verdict
from weighbridge.core.layout import AUDIT, INCOMING, INDEX, MODELS, RECORDS, model_prefix, revision_of
from weighbridge.core.names import Address, ModelName
from weighbridge.core.ports import ObjectStore, SignatureVerifier
from weighbridge.posture.bucket_asking import BucketAsking, text
from weighbridge.posture.evidence import Evidence
from weighbridge.posture.gathering import Gathered, Notes, gathered, listed
from weighbridge.posture.hub_files import measured
from weighbridge.vault.recorded import check_recorded
from weighbridge.vault.records import SealedRevision, open_revision
from weighbridge.wire.http import Http

HELD_IDS: Final = ("bucket.objects.extra", "bucket.objects.missing", "bucket.objects.differ")
MODEL_IDS: Final = ("bucket.models.unsigned", "bucket.models.unscanned")
LOAD_IDS: Final = ("bucket.load_seconds", "bucket.load.measured")
IDS: Final = (*HELD_IDS, *MODEL_IDS, *LOAD_IDS)
SAMPLE_IDS: Final = ("bucket.object_lock.sample",)
MAX_SAMPLED: Final = 20
MAX_KEYS: Final = 500_000
MAX_MODELS: Final = 2_000
WEIGHTS: Final = (".safetensors", ".gguf", ".bin", ".pt", ".pth", ".onnx", ".h5", ".keras", ".msgpack", ".ckpt", ".pkl")
_OURS: Final = (INDEX, INCOMING, AUDIT)
_NO_LOCK: Final = (
    *("NoSuchObjectLockConfiguration", "ObjectLockConfigurationNotFoundError", "InvalidRequest"),
    *("NoSuchObjectLegalHold", "NoSuchObjectRetention"),
)
"""Codes by which servers say that an object is not locked; the last ones are SeaweedFS's."""


@dataclass(frozen=True, slots=True)
class ObjectsQuestion:
    """Which objects: those of a store, and of the model's revision in it; None for what there is not."""

    address: Address
    store: ObjectStore | None
    revision: SealedRevision | None
    verifier: SignatureVerifier | None


def read_objects(
    notes: Notes, asked: ObjectsQuestion, http: Http, settings: StoreSettings, *, measure_bytes: int
) -> Gathered:
    """The facts of the objects; never raises for what cannot be read."""
    yield from gathered(HELD_IDS, lambda: _held(notes, asked))
    yield from gathered(MODEL_IDS, lambda: _models(notes, asked))
    yield from gathered(LOAD_IDS, lambda: _load(notes, asked, http, settings, measure_bytes))


def _revision(asked: ObjectsQuestion) -> SealedRevision:
    if asked.revision is None:
        raise NothingCollected(
            f"no sealed revision of this model is in {asked.address}, so there is nothing to compare with",
            hint="Bring it over: weighbridge ingest, then weighbridge promote.",
        )
    return asked.revision


def _held(notes: Notes, asked: ObjectsQuestion) -> Iterator[Evidence]:
    revision = _revision(asked)
    if asked.store is None:
        raise NothingCollected(f"{asked.address} was not opened as a store")
    problems = check_recorded(asked.store, revision)
    source = f"listing and HeadObject of {asked.address}, against the signed manifest"
    digest = revision.seal.manifest_digest
    for id_, kinds in zip(HELD_IDS, (("extra",), ("missing",), ()), strict=True):
        paths = [one.path for one in problems if (one.kind in kinds if kinds else one.kind not in ("extra", "missing"))]
        yield notes.saw(id_, listed(paths), source, digest=digest)


def _models(notes: Notes, asked: ObjectsQuestion) -> Iterator[Evidence]:
    store, verifier = asked.store, asked.verifier
    if store is None or verifier is None:
        raise NothingCollected(f"{asked.address} was not opened as a store, with keys to verify by")
    models, loose = _found(store)
    unsigned, unscanned = list(loose), list(loose)
    for name, revision in models:
        reference = f"{name}@{revision}"
        try:
            sealed = open_revision(store, name, revision, verifier)
        except (TrustError, FormatError, ObjectMissing, UnsafePath):
            unsigned.append(reference)
            unscanned.append(reference)
            continue
        if not is_scanned(sealed.inspection, sealed):
            unscanned.append(reference)
    source = f"listing of {asked.address}; seals and inspections of {len(models)} revisions"
    yield notes.saw(MODEL_IDS[0], listed(unsigned), source)
    yield notes.saw(MODEL_IDS[1], listed(unscanned), source)


def _found(store: ObjectStore) -> tuple[list[tuple[ModelName, str]], list[str]]:
    """Revisions by their keys, and folders of weights that are no revision's."""
    models: set[tuple[ModelName, str]] = set()
    loose: set[str] = set()
    for number, stored in enumerate(store.list("")):
        if number >= MAX_KEYS:
            raise LimitExceeded(f"{store.address} holds more than {MAX_KEYS} objects")
        belongs = revision_of(stored.key) if stored.key.startswith(MODELS) else None
        if belongs is not None:
            models.add(belongs)
        elif not stored.key.startswith((*_OURS, RECORDS)) and stored.key.lower().endswith(WEIGHTS):
            loose.add(f"{stored.key.rpartition('/')[0]}/")
        if len(models) > MAX_MODELS:
            raise LimitExceeded(f"{store.address} holds more than {MAX_MODELS} revisions")
    return sorted(models, key=lambda one: (str(one[0]), one[1])), sorted(loose)


def is_scanned(inspection: Inspection, revision: SealedRevision) -> bool:
    """Whether every artifact was inspected, and every byte of it accounted for."""
    reported = {report.path for report in inspection.reports}
    whole = all(artifact.path in reported for artifact in revision.manifest.artifacts)
    return whole and inspection.verdict is not Verdict.UNKNOWN


def sample(notes: Notes, bucket: BucketAsking, address: Address, revision: SealedRevision | None) -> Iterator[Evidence]:
    """Whether objects of the revision are retained: settings of a bucket hold for what comes after them."""
    if revision is None:
        raise NothingCollected(f"no sealed revision of this model is in {address}")
    prefix = f"{address.prefix}/" if address.prefix else ""
    placed = sorted(revision.placed.values(), key=lambda one: one.key)
    step = max(1, len(placed) // MAX_SAMPLED)
    chosen = placed[::step][:MAX_SAMPLED]
    retained = held = 0
    until: list[str] = []
    for one in chosen:
        where: dict[str, str | int] = {"Key": f"{prefix}{one.key}"}
        if one.version_id:
            where["VersionId"] = one.version_id
        found = bucket.setting("GetObjectRetention", "s3:GetObjectRetention", none=_NO_LOCK, **where)
        kept = found.fields.get("Retention") if found else None
        if isinstance(kept, dict) and text(kept, "Mode"):
            retained += 1
            until.append(text(kept, "RetainUntilDate"))
        hold = bucket.setting("GetObjectLegalHold", "s3:GetObjectLegalHold", none=_NO_LOCK, **where)
        state = hold.fields.get("LegalHold") if hold else None
        held += isinstance(state, dict) and text(state, "Status") == "ON"
    value: dict[str, JsonValue] = {
        "objects": len(chosen),
        "retained": retained,
        "held": held,
        "until": min(until, default="") if len(until) == len(chosen) else "",
    }
    yield notes.saw(SAMPLE_IDS[0], value, f"GetObjectRetention and GetObjectLegalHold of {len(chosen)} objects")


def _load(
    notes: Notes, asked: ObjectsQuestion, http: Http, settings: StoreSettings, measure_bytes: int
) -> Iterator[Evidence]:
    from weighbridge.source.bucket import S3Source

    revision = _revision(asked)
    name = revision.manifest.model_name
    prefix = model_prefix(name, revision.manifest.revision).rstrip("/")
    address = replace(asked.address, location=f"{asked.address.location}/{prefix}")
    if measure_bytes <= 0:
        raise NothingCollected("it was not measured", hint="Ask for it: --measure.")
    source = S3Source(address, http=http, settings=settings, as_name=name)
    yield from measured(notes, "bucket", source, source.pin(), measure_bytes)
