"""One of two revisions under comparison: its files with what is known of them, and how to read them.

A file's digests come from a manifest (proven and signed) or from a source's own listing (claimed). Files that are read
whole are held against the digests that are known. Ranges of larger files are read as they are.
"""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Final, Protocol

from weighbridge.core.digests import CHUNK_BYTES
from weighbridge.core.errors import DigestMismatch
from weighbridge.core.finding import Inspection
from weighbridge.core.manifest import Manifest
from weighbridge.core.ports import RangeReader
from weighbridge.core.snapshot import Origin, Snapshot
from weighbridge.formats.bounded import read_exactly, read_whole
from weighbridge.formats.gguf import GgufFile, read_gguf

Open = Callable[[str], RangeReader]
"""Opens an artifact by path. Readers need not be thread-safe; each is used by one thread."""

HEAD_BYTES: Final = 64 * 1024
"""Fetched at the first look at a larger file: over a network that is one answer for its kind and most headers."""
MAX_HELD_BYTES: Final = 96 * 1024 * 1024
MAX_ONE_HELD: Final = 64 * 1024 * 1024
MAX_READERS: Final = 1_024
MAX_HEADS: Final = 8


class Tally:
    """What was read. Thread-safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self.bytes = 0
        self.reads = 0

    def add(self, count: int) -> None:
        """One read of that many bytes."""
        with self._lock:
            self.bytes += count
            self.reads += 1


class File(Protocol):
    """What a manifest and a listing both say of a file."""

    @property
    def path(self) -> str:
        """Its path in the model."""
        ...

    @property
    def size_bytes(self) -> int:
        """Its size."""
        ...

    @property
    def sha256(self) -> str:
        """SHA-256 in hex, or ""."""
        ...

    @property
    def git_sha1(self) -> str:
        """Git's blob id in hex, or ""."""
        ...


@dataclass(frozen=True, slots=True)
class Side:
    """A revision. `chunks` are the BLAKE3 digests of each 8 MiB of a file, where a manifest tells them."""

    name: str
    files: Mapping[str, File]
    origin: Origin
    open: Open
    inspection: Inspection | None = None
    chunks: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    tally: Tally = field(default_factory=Tally)
    held: dict[str, bytes] = field(default_factory=dict)
    """Files that were read whole, to be read once."""
    readers: dict[str, AheadReader] = field(default_factory=dict)
    heads: dict[str, GgufFile] = field(default_factory=dict)

    @classmethod
    def of_manifest(cls, manifest: Manifest, open_file: Open, *, inspection: Inspection | None = None) -> Side:
        """A sealed revision."""
        return cls(
            manifest.reference,
            {artifact.path: artifact for artifact in manifest.artifacts},
            manifest.origin,
            open_file,
            inspection,
            {artifact.path: artifact.chunks for artifact in manifest.artifacts},
        )

    @classmethod
    def of_snapshot(
        cls, name: str, snapshot: Snapshot, open_file: Open, *, inspection: Inspection | None = None
    ) -> Side:
        """What a source lists."""
        return cls(name, {entry.path: entry for entry in snapshot.entries}, snapshot.origin, open_file, inspection)

    def reader(self, path: str) -> RangeReader:
        """The artifact, its beginning fetched once. One thread at a time may use it."""
        found = self.readers.get(path)
        if found is None:
            found = AheadReader(self.open(path), self.tally)
            if len(self.readers) < MAX_READERS:
                self.readers[path] = found
        return found

    def whole(self, path: str, limit_bytes: int) -> bytes:
        """All bytes of an artifact, held against its digests where they are known.

        Raises:
            LimitExceeded: it is larger than `limit_bytes`.
            DigestMismatch: it is not what the manifest, or the source, says.
            Truncated, SourceError, StoreError: it could not be read.
        """
        if path in self.held:
            return self.held[path]
        data = read_whole(self.reader(path), limit_bytes)
        self._prove(path, data)
        if len(data) <= MAX_ONE_HELD and sum(map(len, self.held.values())) + len(data) <= MAX_HELD_BYTES:
            self.held[path] = data
        return data

    def gguf(self, path: str) -> GgufFile:
        """The head of a GGUF file, which several areas read.

        Raises:
            FormatError: it breaks a rule. Truncated, SourceError, StoreError: it could not be read.
        """
        found = self.heads.get(path) or read_gguf(self.reader(path))
        if len(self.heads) < MAX_HEADS:
            self.heads[path] = found
        return found

    def _prove(self, path: str, data: bytes) -> None:
        file = self.files[path]
        git = hashlib.sha1(b"blob %d\x00" % len(data) + data).hexdigest() if file.git_sha1 and not file.sha256 else ""
        if (file.sha256 and hashlib.sha256(data).hexdigest() != file.sha256) or (git and git != file.git_sha1):
            raise DigestMismatch(
                f"'{path}' of {self.name} is not what its digest says",
                hint="Verify the revision (`weighbridge verify --deep`), or look at the source.",
            )

    def chunks_of(self, path: str, start: int, end: int) -> tuple[str, ...]:
        """The digests of the chunks that cover bytes `start` to `end`; empty where they are not known."""
        return self.chunks.get(path, ())[start // CHUNK_BYTES : -(-end // CHUNK_BYTES)]


class AheadReader:
    """A `core.ports.RangeReader` that fetches the first bytes at once and keeps them. Not thread-safe."""

    __slots__ = ("_head", "_reader", "_tally")

    def __init__(self, reader: RangeReader, tally: Tally) -> None:
        self._reader = reader
        self._tally = tally
        self._head = b""

    @property
    def path(self) -> str:
        """The artifact's."""
        return self._reader.path

    @property
    def size_bytes(self) -> int:
        """The artifact's."""
        return self._reader.size_bytes

    def read(self, offset: int, length: int) -> bytes:
        """As the reader's."""
        end = min(offset + length, self.size_bytes)
        if end <= offset:
            return b""
        if not self._head and offset < HEAD_BYTES:
            self._head = self._fetch(0, min(HEAD_BYTES, self.size_bytes))
        if end <= len(self._head):
            return self._head[offset:end]
        if offset < len(self._head):
            return self._head[offset:] + self._fetch(len(self._head), end)
        return self._fetch(offset, end)

    def _fetch(self, start: int, end: int) -> bytes:
        data = read_exactly(self._reader, start, end - start)
        self._tally.add(len(data))
        return data
