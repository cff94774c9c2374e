"""Hands out bytes of artifacts that were proven first: no byte of a chunk leaves before the whole chunk fits its digest.

- BLAKE3 of a chunk can only be known of all its 8 MiB, so a chunk is read and proven whole, once for all who want it at the
  time, in a thread of a bounded pool. Proven chunks are shared; a budget of memory bounds them, however many clients there are.
- A client gets copies of `SEND_BYTES`: what waits in a slow client's socket never holds a chunk in memory.
- When more clients read than chunks fit in memory, digests of 1 MiB pieces are taken from the proven chunk. Whoever is slower
  than the memory is then served piece by piece, each held against its own digest: some 1.3 MiB for each such client. Pieces
  come from the cache on disk where there is one, and else from the store, once for each such client.
"""

from __future__ import annotations

import asyncio
import time
from collections import OrderedDict
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Final

from blake3 import blake3

from weighbridge.core.digests import CHUNK_BYTES
from weighbridge.core.errors import DigestMismatch, WeighbridgeError
from weighbridge.core.manifest import Artifact
from weighbridge.core.ports import ObjectStore, StoredObject
from weighbridge.serve.chunk_cache import ChunkCache
from weighbridge.serve.metrics import Metrics
from weighbridge.serve.threads import Threads
from weighbridge.vault.chunks import read_chunks
from weighbridge.vault.reading import read_range

SEND_BYTES: Final = 256 * 1024
PIECE_BYTES: Final = 1024 * 1024
MEMORY_BYTES: Final = 48 * 1024 * 1024
MIN_CHUNKS: Final = 3
MAX_PIECE_LISTS: Final = 8_192
BAD_SECONDS: Final = 3.0
"""How long a chunk that did not fit is refused without another look: clients that were cut off come again after a second."""
MAX_BAD: Final = 1_024
_Digests = tuple[bytes, ...]


@dataclass(frozen=True, slots=True)
class _Wanted:
    """One chunk of one stored artifact."""

    stored: StoredObject
    artifact: Artifact
    number: int

    @property
    def digest(self) -> str:
        return self.artifact.chunks[self.number]

    @property
    def size_bytes(self) -> int:
        return min(CHUNK_BYTES, self.artifact.size_bytes - self.number * CHUNK_BYTES)


@dataclass(frozen=True, slots=True)
class _Proven:
    """A chunk that was held against its digest; `buffer` may be longer."""

    buffer: bytearray
    size_bytes: int


class ProvenBytes:
    """See above. To be used from one event loop."""

    def __init__(
        self,
        store: ObjectStore,
        *,
        cache: ChunkCache | None = None,
        memory_bytes: int = MEMORY_BYTES,
        metrics: Metrics | None = None,
    ) -> None:
        chunks = max(MIN_CHUNKS, memory_bytes // CHUNK_BYTES)
        self._store = store
        self._cache = cache
        self._metrics = metrics or Metrics()
        self._loads = chunks // 2
        self._slots = chunks - self._loads
        self._threads = Threads(self._loads, thread_name_prefix="chunks")
        self._few = asyncio.Semaphore(self._loads)
        self._proven: OrderedDict[str, _Proven] = OrderedDict()
        self._free: list[bytearray] = []
        self._loading: dict[str, asyncio.Task[None]] = {}
        self._pieces: OrderedDict[str, _Digests] = OrderedDict()
        self._bad: OrderedDict[str, float] = OrderedDict()
        self.streams = 0
        self.loaded = 0
        self.shared = 0

    def close(self) -> None:
        """Lets go of threads and memory."""
        self._threads.shutdown(wait=False, cancel_futures=True)
        self._proven.clear()
        self._free.clear()

    def check(self, artifact: Artifact, span: tuple[int, int]) -> None:
        """Returns unless a chunk of the span was found altered just now.

        Raises:
            DigestMismatch: one was.
        """
        now = time.monotonic()
        while self._bad and next(iter(self._bad.values())) + BAD_SECONDS < now:
            self._bad.popitem(last=False)
        if self._bad and any(
            digest in self._bad for digest in artifact.chunks[span[0] // CHUNK_BYTES : -(-span[1] // CHUNK_BYTES)]
        ):
            raise DigestMismatch(f"'{artifact.path}' is not what was ingested")

    async def read(
        self,
        stored: StoredObject,
        artifact: Artifact,
        span: tuple[int, int],
        *,
        gate: Callable[[], Awaitable[None]],
    ) -> AsyncGenerator[bytes, None]:
        """Bytes `span[0]` to `span[1]` (excluded) of an artifact, in order; `gate` is asked before each chunk.

        Raises:
            DigestMismatch, Truncated, LengthMismatch, StoreError: they cannot be read, or are not what was sealed.
        """
        position, end = span
        self.streams += 1
        try:
            while position < end:
                await gate()
                number = position // CHUNK_BYTES
                wanted = _Wanted(stored, artifact, number)
                stop = min(end, (number + 1) * CHUNK_BYTES)
                if stop < end and 2 * self.streams <= self._slots:
                    self._ahead(wanted, _Wanted(stored, artifact, number + 1))
                while position < stop:
                    inside = position - number * CHUNK_BYTES
                    piece, begins = await self._bytes(wanted, inside, stop - position)
                    for at in range(begins, min(len(piece), begins + stop - position), SEND_BYTES):
                        part = piece[at : min(at + SEND_BYTES, begins + stop - position)]
                        position += len(part)
                        yield part
                    piece = b""
        finally:
            self.streams -= 1

    def _ahead(self, wanted: _Wanted, following: _Wanted) -> None:
        """Has the next chunk read while this one is sent; this one first."""
        for one in (wanted, following):
            if one.digest not in self._proven and one.digest not in self._loading:
                self._begin(one)

    async def _bytes(self, wanted: _Wanted, inside: int, most: int) -> tuple[bytes, int]:
        """Proven bytes, and where in them the one at `inside` is."""
        digest = wanted.digest
        while True:
            if (held := self._proven.get(digest)) is not None:
                self._proven.move_to_end(digest)
                return bytes(memoryview(held.buffer)[inside : inside + min(SEND_BYTES, most)]), 0
            if (digests := self._pieces.get(digest)) is not None:
                first = inside // PIECE_BYTES
                async with self._few:
                    loop = asyncio.get_running_loop()
                    piece = await loop.run_in_executor(self._threads, self._read_piece, wanted, first, digests[first])
                return piece, inside - first * PIECE_BYTES
            if digest in self._loading:
                self.shared += 1
            task = self._loading.get(digest) or self._begin(wanted)
            await asyncio.shield(task)
            # It may have been pushed out by others before this client came to run; then its pieces are known.

    def _begin(self, wanted: _Wanted) -> asyncio.Task[None]:
        task = asyncio.create_task(self._load(wanted))
        self._loading[wanted.digest] = task
        task.add_done_callback(_heard)
        return task

    async def _load(self, wanted: _Wanted) -> None:
        try:
            async with self._few:
                buffer = self._free.pop() if self._free else bytearray(CHUNK_BYTES)
                crowded = self.streams > self._slots
                loop = asyncio.get_running_loop()
                digests = await loop.run_in_executor(self._threads, self._prove, wanted, buffer, crowded)
            self.loaded += 1
            self._proven[wanted.digest] = _Proven(buffer, wanted.size_bytes)
            if digests:
                self._pieces[wanted.digest] = digests
                while len(self._pieces) > MAX_PIECE_LISTS:
                    self._pieces.popitem(last=False)
            while len(self._proven) > self._slots:
                _, gone = self._proven.popitem(last=False)
                if len(self._free) < self._loads:
                    self._free.append(gone.buffer)
        except DigestMismatch:
            self._metrics.chunk_verified(good=False)
            self._bad[wanted.digest] = time.monotonic()
            if len(self._bad) > MAX_BAD:
                self._bad.popitem(last=False)
            raise
        finally:
            del self._loading[wanted.digest]

    # --- in threads

    def _prove(self, wanted: _Wanted, buffer: bytearray, crowded: bool) -> _Digests:
        view = memoryview(buffer)[: wanted.size_bytes]
        hit = self._cache is not None and self._cache.read(wanted.digest, view)
        if self._cache is not None:
            self._metrics.cache(hit=hit)
        if not hit:
            for _ in read_chunks(self._store, wanted.stored, wanted.artifact, (wanted.number,), buffer):
                pass
            if self._cache is not None:
                self._cache.write(wanted.digest, view)
        self._metrics.chunk_verified()
        if not crowded:
            return ()
        return tuple(blake3(view[at : at + PIECE_BYTES]).digest() for at in range(0, len(view), PIECE_BYTES))

    def _read_piece(self, wanted: _Wanted, piece: int, digest: bytes) -> bytes:
        start = wanted.number * CHUNK_BYTES + piece * PIECE_BYTES
        end = min(start + PIECE_BYTES, wanted.number * CHUNK_BYTES + wanted.size_bytes)
        if self._cache is not None:
            kept = bytearray(end - start)
            hit = self._cache.read_piece(wanted.digest, piece * PIECE_BYTES, memoryview(kept), proof=digest)
            self._metrics.cache(hit=hit)
            if hit:
                return bytes(kept)
        data = read_range(self._store, wanted.stored.key, start, end, version_id=wanted.stored.version_id)
        if blake3(data).digest() != digest:
            raise DigestMismatch(
                f"'{wanted.artifact.path}' changed while it was sent: bytes {start} to {end} of '{wanted.stored.key}' "
                f"in {self._store.address}"
            )
        return data


def _heard(task: asyncio.Task[None]) -> None:
    """A chunk that was read ahead may fail with nobody waiting; whoever wants it then reads it again and is told."""
    if not task.cancelled():
        with suppress(WeighbridgeError, OSError):
            task.result()
