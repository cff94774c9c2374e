"""Random access to a sealed artifact, every byte proven against the manifest before it is handed out.

Bytes that end up in another artifact must be those that were sealed, whatever the store returns. Proof goes by chunks, so
a read costs whole chunks of 8 MiB; each thread keeps the last one, which makes reading in order cost nothing twice.
"""

from __future__ import annotations

import threading

from weighbridge.core.digests import CHUNK_BYTES
from weighbridge.core.errors import LimitExceeded, NotFound
from weighbridge.core.ports import ObjectStore, RangeReader
from weighbridge.vault.chunks import read_chunks
from weighbridge.vault.readers import MAX_READ_BYTES
from weighbridge.vault.records import SealedRevision


class ProvenReaders:
    """Opens artifacts of one sealed revision by path. Thread-safe, and so are the readers."""

    def __init__(self, store: ObjectStore, revision: SealedRevision) -> None:
        self._store = store
        self._revision = revision
        self._artifacts = {artifact.path: artifact for artifact in revision.manifest.artifacts}
        self._last = threading.local()

    def __call__(self, path: str) -> RangeReader:
        """The reader of one artifact.

        Raises:
            NotFound: the revision has none of that path.
        """
        if path not in self._artifacts:
            raise NotFound(f"'{path}' is not part of {self._revision.manifest.reference}")
        return _ProvenReader(self, path)

    def size_bytes(self, path: str) -> int:
        """The size of an artifact."""
        return self._artifacts[path].size_bytes

    def chunk(self, path: str, number: int) -> memoryview:
        """One chunk of an artifact, proven.

        Raises:
            DigestMismatch: it is not what the manifest says.
            Truncated, ObjectMissing, StoreError: it cannot be read.
        """
        known: tuple[tuple[str, int], memoryview] | None = getattr(self._last, "chunk", None)
        if known is not None and known[0] == (path, number):
            return known[1]
        # Let go of the last chunk before there is another: a thread holds one.
        self._last.chunk = known = None
        artifact = self._artifacts[path]
        buffer = bytearray(min(CHUNK_BYTES, artifact.size_bytes - number * CHUNK_BYTES))
        for _ in read_chunks(self._store, self._revision.placed[path], artifact, (number,), buffer):
            pass
        data = memoryview(buffer).toreadonly()
        self._last.chunk = ((path, number), data)
        return data


class _ProvenReader:
    """See `core.ports.RangeReader`."""

    def __init__(self, readers: ProvenReaders, path: str) -> None:
        self._readers = readers
        self._path = path

    @property
    def path(self) -> str:
        """The artifact's path."""
        return self._path

    @property
    def size_bytes(self) -> int:
        """The artifact's size."""
        return self._readers.size_bytes(self._path)

    def read(self, offset: int, length: int) -> bytes:
        """Bytes `offset` to `offset + length`, fewer at the end.

        Raises:
            LimitExceeded: more than `MAX_READ_BYTES` were asked for.
            DigestMismatch, Truncated, StoreError: they cannot be read, or are not what was sealed.
        """
        if length > MAX_READ_BYTES:
            raise LimitExceeded(f"{length} bytes of '{self._path}' were asked for at once")
        end = min(offset + length, self.size_bytes)
        pieces = []
        while offset < end:
            number, inside = divmod(offset, CHUNK_BYTES)
            piece = self._readers.chunk(self._path, number)[inside : inside + end - offset]
            pieces.append(bytes(piece))
            offset += len(piece)
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)
