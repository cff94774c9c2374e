"""Holds what the store itself records about a revision's objects against the revision's records, reading no content."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from weighbridge.core.errors import ObjectMissing
from weighbridge.core.layout import model_prefix
from weighbridge.core.ports import ObjectStore, StoredObject, StoreFeature
from weighbridge.vault.records import SealedRevision

HEADS_AT_ONCE = 16


@dataclass(frozen=True, slots=True, order=True)
class Problem:
    """One way in which the store differs from the record; `kind` is `missing`, `size`, `checksum`, `version`, `extra`, `content`."""

    path: str
    kind: str
    message: str


def check_recorded(store: ObjectStore, revision: SealedRevision) -> list[Problem]:
    """All differences that the store's own records show, in order of path.

    Raises:
        StoreError: the store did not answer.
    """
    manifest = revision.manifest
    with ThreadPoolExecutor(HEADS_AT_ONCE, thread_name_prefix="head") as threads:
        answers = threads.map(lambda path: _check_object(store, path, revision.placed[path]), revision.placed)
        problems = [problem for problem in answers if problem is not None]
    prefix = model_prefix(manifest.model_name, manifest.revision)
    for found in store.list(prefix):
        path = found.key[len(prefix) :]
        if path not in revision.placed:
            problems.append(Problem(path, "extra", f"'{found.key}' lies under the revision and is not part of it"))
    return sorted(problems)


def _check_object(store: ObjectStore, path: str, placed: StoredObject) -> Problem | None:
    """Compares the object that a reader gets now with the one that was stored."""
    try:
        found = store.head(placed.key)
    except ObjectMissing:
        return Problem(path, "missing", f"'{path}' is missing: '{placed.key}' is not in {store.address}")
    if found.size_bytes != placed.size_bytes:
        return Problem(path, "size", f"'{path}' has {found.size_bytes} bytes; {placed.size_bytes} were stored")
    if StoreFeature.RECORDED_CHECKSUMS in store.features and found.crc64nvme != placed.crc64nvme:
        recorded = found.crc64nvme or "no checksum"
        return Problem(path, "checksum", f"'{path}' is recorded with {recorded}; {placed.crc64nvme} was stored")
    if placed.version_id and found.version_id != placed.version_id:
        return Problem(
            path, "version", f"'{path}' was overwritten: version {found.version_id or 'none'} hides {placed.version_id}"
        )
    return None
