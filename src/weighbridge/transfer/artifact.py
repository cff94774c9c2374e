"""One artifact on its way: which parts it has, what was hashed, what the store acknowledged.

Parts may arrive in any order; the whole-file digests need them in order. Whoever fetches the part that is next in order
hashes it as it arrives, while it is in the cache; a part that arrives early is kept in its buffer until its turn. The
coordinator owns this state; fetching and storing threads only report to it.
"""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Callable
from dataclasses import dataclass
from mmap import mmap

from blake3 import blake3

from weighbridge.core.digests import CHUNK_BYTES, git_blob_header
from weighbridge.core.errors import DigestMismatch, PointerInsteadOfFile
from weighbridge.core.manifest import Artifact
from weighbridge.core.ports import PartReceipt, StoredObject
from weighbridge.core.snapshot import Entry
from weighbridge.transfer.journal import Progress
from weighbridge.transfer.sha256 import ResumableSha256

HEAD_BYTES = 1024 * 1024
"""How much of an artifact's beginning is kept for the inspectors, so that they need not read it back."""

_POINTER = b"version https://git-lfs.github.com/spec/v1\n"
_POINTER_LIMIT_BYTES = 1024


@dataclass(frozen=True, slots=True)
class Part:
    """A piece of an artifact; `number` counts from 1."""

    number: int
    offset: int
    size_bytes: int


@dataclass(slots=True)
class FilledPart:
    """A part that has arrived in a buffer."""

    part: Part
    buffer: mmap
    chunks: tuple[str, ...] = ()

    @property
    def view(self) -> memoryview:
        """The bytes of the part."""
        return memoryview(self.buffer)[: self.part.size_bytes]


class ChunkDigests:
    """The BLAKE3 digests of a part's chunks, from slices as they arrive."""

    def __init__(self) -> None:
        self._done: list[str] = []
        self._current = blake3()
        self._filled = 0

    def update(self, view: memoryview) -> None:
        """Hashes the next slice."""
        while len(view):
            take = min(CHUNK_BYTES - self._filled, len(view))
            self._current.update(view[:take])
            self._filled += take
            view = view[take:]
            if self._filled == CHUNK_BYTES:
                self._roll()

    def _roll(self) -> None:
        self._done.append(self._current.hexdigest())
        self._current = blake3()
        self._filled = 0

    def finish(self) -> tuple[str, ...]:
        """All digests, the last for what is left."""
        if self._filled:
            self._roll()
        return tuple(self._done)


class Crossing:
    """The state of one artifact. Thread-safe."""

    def __init__(self, entry: Entry, *, key: str, part_bytes: int, known: Progress | None = None) -> None:
        self.entry = entry
        self.key = key
        self.upload_id = ""
        self.head = b""
        self.stored: StoredObject | None = None
        self._lock = threading.Lock()
        self._sha256 = ResumableSha256()
        self._git = hashlib.sha1(git_blob_header(entry.size_bytes)) if entry.git_sha1 else None
        self._next = 1
        self._hashing = False
        self._early: dict[int, FilledPart] = {}
        self._receipts: dict[int, PartReceipt] = {}
        self._chunks: dict[int, tuple[str, ...]] = {}
        self._parts = [
            Part(number, offset, min(part_bytes, entry.size_bytes - offset))
            for number, offset in enumerate(range(0, entry.size_bytes, part_bytes), start=1)
        ]
        if known is not None:
            self._resume(known)

    def _resume(self, known: Progress) -> None:
        """Takes up the longest run of acknowledged parts whose hash state was saved."""
        if not known.upload_id or self._git is not None:
            return
        last = 0
        while last + 1 in known.receipts and known.states.get(last + 1):
            last += 1
        restored = ResumableSha256.restore(known.states[last]) if last else None
        if restored is None:
            return
        self._sha256 = restored
        self.upload_id = known.upload_id
        self._receipts = {number: known.receipts[number] for number in range(1, last + 1)}
        self._chunks = {number: known.chunks[number] for number in range(1, last + 1)}
        self._next = last + 1

    @property
    def whole(self) -> bool:
        """Whether the artifact is small enough to be stored at once."""
        return len(self._parts) <= 1

    @property
    def acknowledged_whole(self) -> bool:
        """Whether every part had been stored before this run."""
        return bool(self._parts) and len(self._receipts) == len(self._parts)

    @property
    def resumed_bytes(self) -> int:
        """Bytes that need not be read again."""
        return sum(part.size_bytes for part in self._parts[: self._next - 1])

    def remaining(self) -> list[Part]:
        """Parts still to be read, in order."""
        return self._parts[self._next - 1 :]

    def claim(self, part: Part) -> bool:
        """Whether the caller should hash this part's bytes as they arrive, because it is next in order."""
        with self._lock:
            if part.number != self._next or self._hashing:
                return False
            self._hashing = True
            return True

    def hash(self, view: memoryview) -> None:
        """Hashes bytes in order; only for whoever holds the claim."""
        self._sha256.update(view)
        if self._git is not None:
            self._git.update(view)

    def arrived(self, filled: FilledPart, *, hashed: bool, emit: Callable[[FilledPart, str | None], object]) -> None:
        """Takes a part that is complete; emits every part now hashed, in order, with the saved hash state after it."""
        if filled.part.number == 1:
            self.head = bytes(filled.view[:HEAD_BYTES])
        if hashed:
            self._emit(filled, emit)
        else:
            with self._lock:
                self._early[filled.part.number] = filled
        while True:
            with self._lock:
                early = None if self._hashing else self._early.pop(self._next, None)
                if early is None:
                    return
                self._hashing = True
            self.hash(early.view)
            self._emit(early, emit)

    def _emit(self, filled: FilledPart, emit: Callable[[FilledPart, str | None], object]) -> None:
        """Hands a hashed part on before the next one may be claimed, so that parts are handed on in order."""
        emit(filled, self._sha256.state())
        with self._lock:
            self._next += 1
            self._hashing = False

    def acknowledged(self, receipt: PartReceipt, chunks: tuple[str, ...]) -> bool:
        """Notes a stored part; whether it was the last one missing."""
        with self._lock:
            self._receipts[receipt.number] = receipt
            self._chunks[receipt.number] = chunks
            return len(self._receipts) == len(self._parts)

    def receipts(self) -> list[PartReceipt]:
        """All receipts, in order."""
        with self._lock:
            return [self._receipts[number] for number in sorted(self._receipts)]

    def prove(self, chunks: tuple[str, ...] | None = None) -> Artifact:
        """The artifact, once its bytes are proven to be what upstream announced.

        Raises:
            DigestMismatch: they are not.
            PointerInsteadOfFile: they are a Git LFS pointer.
        """
        entry = self.entry
        if chunks is None:
            chunks = tuple(digest for number in sorted(self._chunks) for digest in self._chunks[number])
        sha256 = self._sha256.hexdigest()
        git_sha1 = self._git.hexdigest() if self._git is not None else ""
        for algorithm, announced, found in (
            ("SHA-256", entry.sha256, sha256),
            ("Git SHA-1", entry.git_sha1, git_sha1),
        ):
            if announced and announced != found:
                raise DigestMismatch(
                    f"'{entry.path}' has {algorithm} {found}; upstream announced {announced}",
                    hint="Nothing of it was stored. A cache or proxy on the way may be broken, or the upstream lies.",
                )
        if entry.size_bytes < _POINTER_LIMIT_BYTES and self.head.startswith(_POINTER):
            raise PointerInsteadOfFile(
                f"'{entry.path}' is a Git LFS pointer, not the file it stands for",
                hint="Fetch the file itself upstream (`git lfs pull`), or ingest from the Hub.",
            )
        proven = "sha256" if entry.sha256 else "git-sha1" if entry.git_sha1 else ""
        return Artifact(entry.path, entry.size_bytes, sha256, chunks, git_sha1, proven)
