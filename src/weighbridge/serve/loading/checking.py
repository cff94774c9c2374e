"""Holds a folder against a manifest: exactly its files, each byte read and proven, nothing else beside them."""

from __future__ import annotations

import os
import stat
import threading
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from blake3 import blake3

from weighbridge.core.digests import CHUNK_BYTES
from weighbridge.core.errors import (
    AccessRefused,
    ConfigError,
    DigestMismatch,
    Interrupted,
    LengthMismatch,
    Truncated,
)
from weighbridge.core.manifest import Artifact
from weighbridge.core.ports import Observer
from weighbridge.vault.chunks import HASH_BYTES
from weighbridge.wire.files import FileRange

_AT_ONCE = 64
"""Chunks that are asked for at a time, for each thread."""


def check_folder(
    folder: Path,
    artifacts: Sequence[Artifact],
    others: Mapping[str, bytes],
    streams: int,
    *,
    observer: Observer,
    cancelled: threading.Event,
) -> None:
    """Returns when the folder holds the artifacts, byte for byte, and the few `others`, and nothing else.

    Raises:
        ConfigError: it holds other names, or something that is no file.
        LengthMismatch, DigestMismatch: a file is not what the manifest says.
        AccessRefused: a file cannot be read. Interrupted: it was stopped.
    """
    wanted = {artifact.path: artifact.size_bytes for artifact in artifacts}
    wanted.update({name: len(data) for name, data in others.items()})
    _check_names(folder, wanted)
    for name, data in others.items():
        if (folder / name).read_bytes() != data:
            raise DigestMismatch(f"'{folder / name}' is not what was written there")
    observer.planned(len(artifacts), sum(artifact.size_bytes for artifact in artifacts), 0)
    every = [(number, chunk) for number, one in enumerate(artifacts) for chunk in range(len(one.chunks))]
    with ThreadPoolExecutor(streams, thread_name_prefix="weighbridge-check") as threads:
        proven = check_chunks(folder, artifacts, every, threads, observer=observer, cancelled=cancelled)
        for number, chunk in every:
            if (number, chunk) not in proven:
                start = chunk * CHUNK_BYTES
                raise DigestMismatch(
                    f"'{folder / artifacts[number].path}' was altered: its bytes from {start} on differ from the manifest",
                    hint="Do not use it. Find out who wrote to it, and fetch it again.",
                )


def check_chunks(
    folder: Path,
    artifacts: Sequence[Artifact],
    chunks: Sequence[tuple[int, int]],
    threads: ThreadPoolExecutor,
    *,
    observer: Observer,
    cancelled: threading.Event,
) -> set[tuple[int, int]]:
    """Those of some chunks (number of the artifact, number of the chunk) that lie in the folder as the manifest says.

    Raises:
        AccessRefused: a file cannot be read. Interrupted: it was stopped.
    """

    def check(place: tuple[int, int]) -> bool:
        if cancelled.is_set():
            raise Interrupted("stopped; nothing was changed")
        artifact, chunk = artifacts[place[0]], place[1]
        size = min(CHUNK_BYTES, artifact.size_bytes - chunk * CHUNK_BYTES)
        proven = _digest(folder / artifact.path, chunk * CHUNK_BYTES, size) == artifact.chunks[chunk]
        if proven:
            observer.advanced(artifact.path, size, artifact.size_bytes)
        return proven

    found: set[tuple[int, int]] = set()
    for some in _batches(chunks):
        found.update(place for place, proven in zip(some, threads.map(check, some), strict=True) if proven)
    return found


def _batches(chunks: Sequence[tuple[int, int]]) -> Iterator[Sequence[tuple[int, int]]]:
    for start in range(0, len(chunks), _AT_ONCE * 16):
        yield chunks[start : start + _AT_ONCE * 16]


_own = threading.local()


def _digest(path: Path, start: int, size: int) -> str:
    """The digest of a range of a regular file, which is not followed when it is a link; empty when it is too short."""
    buffer: bytearray | None = getattr(_own, "buffer", None)
    if buffer is None:
        buffer = _own.buffer = bytearray(HASH_BYTES)
    hasher = blake3()
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
        try:
            reading = FileRange(descriptor, str(path), start, start + size)
            while count := reading.readinto(memoryview(buffer)):
                hasher.update(memoryview(buffer)[:count])
        finally:
            os.close(descriptor)
    except Truncated:
        return ""
    except OSError as error:
        raise AccessRefused(f"'{path}' cannot be read: {error.strerror}") from error
    return hasher.hexdigest()


def _check_names(folder: Path, wanted: Mapping[str, int]) -> None:
    missing = dict(wanted)
    for name, status in _files(folder):
        size = missing.pop(name, None)
        if size is None or not stat.S_ISREG(status.st_mode):
            raise ConfigError(f"'{folder}' holds something else: {name!r:.200} is no file of the revision")
        if status.st_size != size:
            raise LengthMismatch(f"'{folder / name}' has {status.st_size} bytes, and {size} in the manifest")
    if missing:
        raise ConfigError(f"'{folder}' does not hold the revision: {min(missing)!r:.200} is missing")


def _files(folder: Path) -> Iterable[tuple[str, os.stat_result]]:
    """Everything in the folder but folders, links included and not followed."""

    def fail(error: OSError) -> None:
        raise AccessRefused(f"'{error.filename}' cannot be read: {error.strerror}") from error

    for base, folders, names in os.walk(folder, onerror=fail):
        links = [name for name in folders if (Path(base) / name).is_symlink()]
        for name in [*names, *links]:
            path = Path(base) / name
            yield path.relative_to(folder).as_posix(), path.lstat()
