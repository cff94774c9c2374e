"""Writes a revision out as a plain folder, each chunk proven before it is written.

The folder appears under its name only when everything in it is whole; until then it lies beside it as
`.<name>.partial-…`, which a failed export removes.
"""

from __future__ import annotations

import os
import shutil
import threading
import uuid
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from weighbridge.core.digests import CHUNK_BYTES
from weighbridge.core.errors import ConfigError, Interrupted, OutOfSpace, StoreError
from weighbridge.core.layout import SIGNATURE
from weighbridge.core.manifest import Artifact
from weighbridge.core.ports import ObjectStore, Observer
from weighbridge.vault.chunks import read_chunks
from weighbridge.vault.records import SealedRevision


def export(
    store: ObjectStore,
    revision: SealedRevision,
    folder: Path,
    *,
    signature: bool,
    observer: Observer,
    cancelled: threading.Event,
) -> None:
    """Writes the artifacts, and with `signature` the OpenSSF model signature as `model.sig`, to a new folder.

    Raises:
        ConfigError: the folder exists, or the model itself holds a `model.sig`.
        DigestMismatch, Truncated, StoreError: an artifact cannot be proven; no folder appears.
        Interrupted: cancelled; no folder appears.
    """
    manifest = revision.manifest
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise ConfigError(f"'{folder}' already exists", hint="Name a folder that does not exist yet.")
    if signature and manifest.artifact(SIGNATURE) is not None:
        raise ConfigError(f"{manifest.reference} holds a {SIGNATURE} of its own", hint="Export with --no-signature.")
    partial = folder.parent / f".{folder.name}.partial-{uuid.uuid4().hex[:8]}"
    observer.planned(len(manifest.artifacts), manifest.total_bytes, 0)
    try:
        partial.mkdir(parents=True)
        if shutil.disk_usage(partial).free < manifest.total_bytes:
            raise OutOfSpace(f"'{folder.parent}' has no room for {manifest.total_bytes} bytes")
        _write_all(store, revision, partial, observer, cancelled)
        if signature:
            (partial / SIGNATURE).write_bytes(revision.signature)
        if folder.exists():
            folder.rmdir()
        partial.rename(folder)
    except OSError as error:
        raise StoreError(f"'{folder}' cannot be written: {error.strerror or error}") from error
    finally:
        if partial.exists():
            shutil.rmtree(partial, ignore_errors=True)


def _write_all(
    store: ObjectStore, revision: SealedRevision, partial: Path, observer: Observer, cancelled: threading.Event
) -> None:
    failed = threading.Event()

    def write(artifact: Artifact) -> None:
        if failed.is_set() or cancelled.is_set():
            return
        try:
            _write_one(store, revision, artifact, partial / artifact.path, observer, cancelled)
        except BaseException:
            failed.set()
            raise

    with ThreadPoolExecutor(max(2, min(8, os.cpu_count() or 2)), thread_name_prefix="export") as threads:
        for _ in threads.map(write, revision.manifest.artifacts):
            pass
    if cancelled.is_set():
        raise Interrupted("the export was stopped")


def _write_one(
    store: ObjectStore,
    revision: SealedRevision,
    artifact: Artifact,
    target: Path,
    observer: Observer,
    cancelled: threading.Event,
) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    buffer = bytearray(min(CHUNK_BYTES, artifact.size_bytes))
    with target.open("xb", buffering=0) as file:
        chunks = range(len(artifact.chunks))
        for _, view in read_chunks(store, revision.placed[artifact.path], artifact, chunks, buffer):
            written = 0
            while written < len(view):
                written += file.write(view[written:])
            observer.advanced(artifact.path, len(view), artifact.size_bytes)
            if cancelled.is_set():
                return
        os.fsync(file.fileno())
    observer.finished(artifact.path, "written")
