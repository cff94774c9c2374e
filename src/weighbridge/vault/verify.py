"""Proves that a revision in the store is still the one that was sealed, at one of three depths.

- *recorded*: signatures, records, and what the store itself says of each object (size, version, checksum), without reading
  content: seconds for 690 GB;
- *subset n/t*: besides, every t-th chunk is read and held against its digest, so that t runs cover everything;
- *deep*: besides, every chunk is read.

Each says what it proved and what it did not.
"""

from __future__ import annotations

import hashlib
import os
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import groupby

from weighbridge.core.digests import CHUNK_BYTES
from weighbridge.core.errors import IntegrityError, Interrupted, ObjectMissing, StatementMismatch
from weighbridge.core.manifest import Artifact
from weighbridge.core.ports import ObjectStore, Observer, SignatureVerifier, StoreFeature
from weighbridge.store.catalog import CataloguedRevision
from weighbridge.vault.chunks import read_chunks
from weighbridge.vault.recorded import Problem, check_recorded
from weighbridge.vault.records import SealedRevision, open_revision

SPAN_CHUNKS = 16
"""Consecutive chunks that one task reads by one request: 128 MiB."""


@dataclass(frozen=True, slots=True)
class Depth:
    """How deep to look: chunks whose number, counted over the whole revision, is `n - 1` modulo `t`; `t` = 0 reads none."""

    n: int = 0
    t: int = 0

    @property
    def name(self) -> str:
        """`recorded`, `deep` or `subset n/t`."""
        if not self.t:
            return "recorded"
        return "deep" if self.t == 1 else f"subset {self.n}/{self.t}"


RECORDED = Depth()
DEEP = Depth(1, 1)


@dataclass(frozen=True, slots=True)
class Verified:
    """What a verification found. No problems: everything in `proved` holds."""

    revision: SealedRevision
    depth: Depth
    problems: tuple[Problem, ...]
    proved: tuple[str, ...]
    not_proved: tuple[str, ...]
    read_bytes: int


def verify(
    store: ObjectStore,
    catalogued: CataloguedRevision,
    verifier: SignatureVerifier,
    *,
    depth: Depth,
    observer: Observer,
    cancelled: threading.Event,
) -> Verified:
    """Verifies one revision. Differences between store and record are returned, all of them.

    Raises:
        TrustError: a signature, or the seal's agreement with the ledger, does not hold.
        ObjectMissing, StoreError, FormatError: records cannot be read.
        Interrupted: cancelled.
    """
    revision = open_catalogued(store, catalogued, verifier)
    problems = check_recorded(store, revision)
    spans = list(_spans(revision.manifest.artifacts, depth))
    total = sum(_span_bytes(artifact, numbers) for artifact, numbers in spans)
    observer.planned(len(revision.manifest.artifacts), total, 0)
    problems += _read(store, revision, spans, observer, cancelled)
    proved, not_proved = _claims(store, depth)
    return Verified(revision, depth, tuple(sorted(set(problems))), proved, not_proved, total)


def open_catalogued(store: ObjectStore, catalogued: CataloguedRevision, verifier: SignatureVerifier) -> SealedRevision:
    """The records of a catalogued revision, verified, and sealed as the ledger saw it.

    Raises:
        ObjectMissing, StoreError: the revision or one of its records cannot be read.
        TrustError, FormatError: they do not hold.
    """
    revision = open_revision(store, catalogued.model_name, catalogued.revision, verifier)
    check_against_ledger(revision, catalogued)
    return revision


def check_against_ledger(revision: SealedRevision, catalogued: CataloguedRevision) -> None:
    """Returns when the seal in the store is the one that the ledger saw being made.

    Raises:
        StatementMismatch: another seal, however well signed, lies there.
    """
    if hashlib.sha256(revision.seal_bytes).hexdigest() != catalogued.seal_digest:
        raise StatementMismatch(
            f"the seal of {revision.manifest.reference} is not the one in the ledger",
            hint="Somebody with the key sealed other records in its place. See `weighbridge check`.",
        )


def _spans(artifacts: Sequence[Artifact], depth: Depth) -> Iterator[tuple[Artifact, list[int]]]:
    """Runs of consecutive chunks to read, at most `SPAN_CHUNKS` each."""
    if not depth.t:
        return
    base = 0
    for artifact in artifacts:
        chosen = [number for number in range(len(artifact.chunks)) if (base + number) % depth.t == depth.n - 1]
        base += len(artifact.chunks)
        for _, run in groupby(enumerate(chosen), key=lambda pair: pair[1] - pair[0]):
            numbers = [number for _, number in run]
            for start in range(0, len(numbers), SPAN_CHUNKS):
                yield artifact, numbers[start : start + SPAN_CHUNKS]


def _span_bytes(artifact: Artifact, numbers: Sequence[int]) -> int:
    return min(artifact.size_bytes, (numbers[-1] + 1) * CHUNK_BYTES) - numbers[0] * CHUNK_BYTES


def _read(
    store: ObjectStore,
    revision: SealedRevision,
    spans: Sequence[tuple[Artifact, list[int]]],
    observer: Observer,
    cancelled: threading.Event,
) -> list[Problem]:
    buffers = threading.local()

    def check(span: tuple[Artifact, list[int]]) -> Problem | None:
        artifact, numbers = span
        if cancelled.is_set():
            return None
        if not hasattr(buffers, "buffer"):
            buffers.buffer = bytearray(CHUNK_BYTES)
        try:
            for _, view in read_chunks(store, revision.placed[artifact.path], artifact, numbers, buffers.buffer):
                observer.advanced(artifact.path, len(view), artifact.size_bytes)
                if cancelled.is_set():
                    return None
        except (IntegrityError, ObjectMissing) as error:
            return Problem(artifact.path, "content", error.message)
        return None

    with ThreadPoolExecutor(max(2, min(8, os.cpu_count() or 2)), thread_name_prefix="verify") as threads:
        problems = [problem for problem in threads.map(check, spans) if problem is not None]
    if cancelled.is_set():
        raise Interrupted("the verification was stopped")
    return problems


def _claims(store: ObjectStore, depth: Depth) -> tuple[tuple[str, ...], tuple[str, ...]]:
    proved = [
        "the seal, the manifest and the model signature are signed by a trusted key and agree with the ledger",
        "exactly the manifest's artifacts lie under the revision, each with its size",
    ]
    not_proved = []
    if StoreFeature.RECORDED_CHECKSUMS in store.features:
        proved.append("the store's own checksum and version of each object are those it gave when it was stored")
    if depth.t == 1:
        proved.append("every byte is the one that was ingested (BLAKE3 of every chunk, from the signed manifest)")
    elif depth.t:
        proved.append(f"chunks {depth.n}/{depth.t} of the content are those that were ingested")
        not_proved.append(f"the content of the other {depth.t - 1}/{depth.t} of the chunks was not read")
    elif StoreFeature.RECORDED_CHECKSUMS in store.features:
        not_proved.append("the content was not read: whoever controls the store's own records could deceive this depth")
    else:
        not_proved.append("the content was not read, and this store records no checksums of its own: use --deep")
    return tuple(proved), tuple(not_proved)
