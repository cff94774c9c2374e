"""Reads stored artifacts back by chunk and holds each chunk against its digest in the manifest.

Proving every chunk proves the whole: the chunk digests are in the signed manifest. BLAKE3 does it at half the cost of a
second SHA-256, and chunks, unlike a whole-file hash, can be proven in any order and in parallel.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from blake3 import blake3

from weighbridge.core.digests import CHUNK_BYTES
from weighbridge.core.errors import DigestMismatch, StoreError, Truncated
from weighbridge.core.manifest import Artifact
from weighbridge.core.ports import ByteStream, ObjectStore, StoredObject
from weighbridge.vault.patience import Patience, brief_patience

HASH_BYTES = 1024 * 1024
"""What is hashed at a time: while it is still in the processor's cache, and enough of it to hash with all lanes."""

Place = Callable[[int, int], memoryview]
"""Where a chunk goes, by its number and its size."""
Rooms = Callable[[int, int], Sequence[memoryview]]
"""As `Place`, in pieces that together have the chunk's size."""


def read_chunks(
    store: ObjectStore, stored: StoredObject, artifact: Artifact, numbers: Sequence[int], buffer: bytearray
) -> Iterator[tuple[int, memoryview]]:
    """Yields (number, bytes) of consecutive chunks `numbers` (from 0), each proven before it is handed out.

    The bytes are valid until the next one is asked for. `buffer` holds at least one chunk.

    Raises:
        DigestMismatch: a chunk is not what the manifest says.
        Truncated, LengthMismatch, ObjectMissing, StoreError: it cannot be read.
    """
    yield from read_chunks_into(store, stored, artifact, numbers, lambda _number, size: memoryview(buffer)[:size])


def read_chunks_into(
    store: ObjectStore,
    stored: StoredObject,
    artifact: Artifact,
    numbers: Sequence[int],
    place: Place,
    *,
    patience: Patience | None = None,
) -> Iterator[tuple[int, memoryview]]:
    """As `read_chunks`, each chunk into memory that `place` names: what is there before it is yielded is not proven.

    `patience` says how often what fails is tried again; by default a few times within some seconds.
    """
    view = memoryview(b"")

    def rooms(number: int, size: int) -> Sequence[memoryview]:
        nonlocal view
        view = place(number, size)
        return (view,)

    for number in scatter_chunks(store, stored, artifact, numbers, rooms, patience=patience):
        yield number, view


def scatter_chunks(
    store: ObjectStore,
    stored: StoredObject,
    artifact: Artifact,
    numbers: Sequence[int],
    rooms: Rooms,
    *,
    patience: Patience | None = None,
) -> Iterator[int]:
    """As `read_chunks_into`, each chunk into several pieces of memory; yields its number once all of it is proven."""
    done, patience = 0, patience or brief_patience()
    while done < len(numbers):
        try:
            for number, size in _stream_chunks(store, stored, artifact, numbers[done:], rooms):
                yield number
                done += 1
                patience.moved(size)
        except (StoreError, Truncated) as error:
            patience.failed(error)


def _stream_chunks(
    store: ObjectStore, stored: StoredObject, artifact: Artifact, numbers: Sequence[int], rooms: Rooms
) -> Iterator[tuple[int, int]]:
    """One request for consecutive chunks."""
    start = numbers[0] * CHUNK_BYTES
    end = min(artifact.size_bytes, (numbers[-1] + 1) * CHUNK_BYTES)
    with store.open(stored.key, start, end, version_id=stored.version_id) as stream:
        for number in numbers:
            size = min(CHUNK_BYTES, artifact.size_bytes - number * CHUNK_BYTES)
            if _filled(stream, rooms(number, size), stored, store) != artifact.chunks[number]:
                raise DigestMismatch(
                    f"'{artifact.path}' is not what was ingested: bytes {number * CHUNK_BYTES} to "
                    f"{number * CHUNK_BYTES + size} of '{stored.key}' in {store.address} differ from the manifest",
                    hint="Do not use it. Restore the object from a version or backup, or ingest the revision again.",
                )
            yield number, size


def _filled(stream: ByteStream, rooms: Sequence[memoryview], stored: StoredObject, store: ObjectStore) -> str:
    """Fills the rooms from the stream, and returns the digest of what they then hold."""
    hasher = blake3()
    before = 0
    for room in rooms:
        filled = hashed = 0
        while filled < len(room):
            count = stream.readinto(room[filled:])
            if not count:
                raise Truncated(f"'{stored.key}' in {store.address} ended early")
            filled += count
            # In whole steps: BLAKE3's tree is hashed fastest in aligned pieces of a power of two.
            ready = filled if filled == len(room) else filled - (before + filled) % HASH_BYTES
            if ready > hashed:
                hasher.update(room[hashed:ready])
                hashed = ready
        before += len(room)
    return hasher.hexdigest()


def prove_object(store: ObjectStore, stored: StoredObject, artifact: Artifact) -> None:
    """Reads a whole stored artifact and returns when every chunk is what the manifest says.

    Raises:
        DigestMismatch, Truncated, LengthMismatch, StoreError: see `read_chunks`.
    """
    buffer = bytearray(min(CHUNK_BYTES, artifact.size_bytes))
    for _ in read_chunks(store, stored, artifact, range(len(artifact.chunks)), buffer):
        pass
