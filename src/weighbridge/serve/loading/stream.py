"""Reads tensors of several shards at once, in order, and hands each out when every chunk it lies in was proven.

- A chunk is read straight into the memory of the tensors that it belongs to, and hashed where it lies; only short pieces (many
  small tensors, a header's end) are read aside and copied once they are proven.
- Besides the tensor that is next, at most `memory_bytes` are read ahead, so that a large tensor's end keeps no thread waiting.
  Each reading thread has a chunk of its own besides, and each shard that is read or is next has its header.
- The first failure ends everything: nothing is handed out after it.
"""

from __future__ import annotations

import mmap
import threading
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Final, NamedTuple

from weighbridge.core.config import TransferSettings
from weighbridge.core.digests import CHUNK_BYTES
from weighbridge.core.errors import Ambiguous, Interrupted
from weighbridge.core.ports import ObjectStore
from weighbridge.formats.safetensors import TensorEntry
from weighbridge.serve.loading.memory import Memory
from weighbridge.serve.loading.shards import Shard, Shards
from weighbridge.vault.chunks import scatter_chunks
from weighbridge.vault.patience import Patience

RUN_CHUNKS: Final = 2
"""Chunks of one request: 16 MiB, as S3's own advice for parallel ranges has it."""
HEADERS_AHEAD: Final = 2
STRAIGHT_BYTES: Final = CHUNK_BYTES // 32
"""Shorter pieces of a tensor are read together with their neighbours and copied: a read of its own would cost more."""
_PATIENCE = TransferSettings(retry_wait_seconds=0.2, retry_wait_limit_seconds=20.0)


def memory_for(streams: int) -> int:
    """What is read ahead by so many threads, when nobody says otherwise: a request of each.

    More only makes memory that the system has to find and clear, where what was handed out and freed could be used again.
    """
    return RUN_CHUNKS * CHUNK_BYTES * streams


@dataclass(slots=True, eq=False)
class Loading:
    """A tensor that is being read; `begun` once it has memory, `asked_bytes` of it were asked for."""

    entry: TensorEntry
    shard: Shard
    begun: bool = False
    asked_bytes: int = 0
    memory: Memory | None = None
    reads: list[Future[None]] = field(default_factory=list)

    @property
    def size_bytes(self) -> int:
        """How much memory it takes."""
        return self.entry.end - self.entry.begin

    def begin(self) -> None:
        """Takes its memory."""
        self.memory = Memory(self.entry.dtype, self.entry.shape, self.size_bytes)
        self.begun = True


@dataclass(frozen=True, slots=True)
class _Run:
    """Consecutive chunks of a shard, and the tensors that lie in them."""

    shard: Shard
    numbers: Sequence[int]
    tensors: Sequence[Loading]

    def share(self, tensor: Loading) -> int:
        """How many bytes of a tensor it reads."""
        begin, end = self.shard.span(tensor.entry)
        if not self.numbers:
            return 0
        return max(0, min(end, (self.numbers[-1] + 1) * CHUNK_BYTES) - max(begin, self.numbers[0] * CHUNK_BYTES))


class _Piece(NamedTuple):
    """Bytes `low` to `high` of a shard, and the memory of the tensor that has them."""

    low: int
    high: int
    room: memoryview


class TensorStream:
    """See above. `wanted` says which tensors are read, None all; to be used from one thread."""

    def __init__(
        self,
        store: ObjectStore,
        shards: Shards,
        threads: ThreadPoolExecutor,
        *,
        memory_bytes: int,
        wanted: Callable[[str], bool] | None = None,
    ) -> None:
        self._store = store
        self._shards = shards
        self._threads = threads
        self._memory_bytes = memory_bytes
        self._wanted = wanted
        self._stop = threading.Event()
        self._aside = threading.local()
        self._begun: deque[Loading] = deque()
        self._asked = 0

    def read(self, paths: Sequence[str]) -> Generator[tuple[TensorEntry, Memory]]:
        """The tensors of these shards, shard by shard and in order of their bytes.

        Raises:
            DigestMismatch: a chunk is not what the manifest says. Ambiguous: two shards hold a tensor of the same name.
            HeaderProblem, StoreError, IntegrityError, MemoryError: they cannot be read.
        """
        runs = self._runs(paths)
        ahead: deque[_Run] = deque()
        seen: set[str] = set()
        futures: list[Future[None]] = []
        try:
            while self._advance(runs, ahead):
                tensor = self._begun.popleft()
                if tensor.entry.name in seen:
                    raise Ambiguous(f"two files hold the tensor {tensor.entry.name!r:.120}")
                seen.add(tensor.entry.name)
                futures = tensor.reads
                for future in futures:
                    future.result()
                assert tensor.memory is not None
                self._asked -= tensor.asked_bytes
                memory, tensor.memory, tensor.reads = tensor.memory, None, []
                yield tensor.entry, memory
        finally:
            self._stop.set()
            for future in [one for tensor in self._begun for one in tensor.reads] + futures:
                future.cancel()

    def _advance(self, runs: Iterator[_Run], ahead: deque[_Run]) -> bool:
        """Begins as many reads as fit; whether there is a tensor to hand out."""
        while True:
            if not ahead:
                ahead.extend(one for one in (next(runs, None),) if one is not None)
            if not ahead:
                return bool(self._begun)
            head = self._begun[0] if self._begun else None
            shares = sum(ahead[0].share(tensor) for tensor in ahead[0].tensors)
            if (
                head is not None
                and head not in ahead[0].tensors
                and self._asked - head.asked_bytes + shares > self._memory_bytes
            ):
                return True
            self._submit(ahead.popleft())

    def _submit(self, run: _Run) -> None:
        for tensor in run.tensors:
            if not tensor.begun:
                tensor.begin()
                self._begun.append(tensor)
            asked = run.share(tensor)
            tensor.asked_bytes += asked
            self._asked += asked
        if run.numbers:
            future = self._threads.submit(self._read, run)
            for tensor in run.tensors:
                tensor.reads.append(future)

    # --- what is read

    def _runs(self, paths: Sequence[str]) -> Iterator[_Run]:
        """All requests, in order; headers are read ahead."""
        waiting = deque(paths)
        headers: deque[Future[Shard]] = deque()
        while waiting or headers:
            while waiting and len(headers) < HEADERS_AHEAD:
                headers.append(self._threads.submit(self._shards.open, waiting.popleft(), keep_first=True))
            shard = headers.popleft().result()
            entries = shard.header.tensors
            tensors = [Loading(entry, shard) for entry in entries if not self._wanted or self._wanted(entry.name)]
            yield from _runs_of(shard, tensors)

    def _read(self, run: _Run) -> None:
        """Reads and proves one run of chunks."""
        if self._stop.is_set():
            raise Interrupted("the tensors were let go of")
        shard, numbers = run.shard, list(run.numbers)
        if shard.first is not None and numbers[0] == 0:
            _copy(_pieces(run, 0, len(shard.first)), 0, shard.first)
            numbers = numbers[1:]
        if not numbers:
            return
        aside: list[_Piece] = []

        def rooms(number: int, size: int) -> Sequence[memoryview]:
            found, aside[:] = _laid_out(run, number, size, self._scratch)
            return found

        patience = Patience(_PATIENCE, self._stop, lambda _reason, _seconds: None)
        for number in scatter_chunks(self._store, shard.stored, shard.artifact, numbers, rooms, patience=patience):
            if aside:
                _copy(aside, number, self._scratch())
            if self._stop.is_set():
                return

    def _scratch(self) -> memoryview:
        """A chunk's room of this thread's own."""
        buffer: mmap.mmap | None = getattr(self._aside, "buffer", None)
        if buffer is None:
            # Of a `bytearray`, every page would be written before the few that are needed.
            buffer = self._aside.buffer = mmap.mmap(-1, CHUNK_BYTES, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
        return memoryview(buffer)


def _runs_of(shard: Shard, tensors: Sequence[Loading]) -> Iterator[_Run]:
    """The requests for some tensors of a shard: each chunk once, consecutive ones together."""
    numbers: list[int] = []
    inside: list[Loading] = []
    for tensor in tensors:
        begin, end = shard.span(tensor.entry)
        for number in range(begin // CHUNK_BYTES, -(-end // CHUNK_BYTES) if end > begin else 0):
            if not numbers or number != numbers[-1]:
                if numbers and (number != numbers[-1] + 1 or len(numbers) == RUN_CHUNKS):
                    yield _Run(shard, tuple(numbers), tuple(inside))
                    numbers.clear()
                    inside = [one for one in inside if shard.span(one.entry)[1] > number * CHUNK_BYTES]
                numbers.append(number)
            if not inside or inside[-1] is not tensor:
                inside.append(tensor)
        if begin == end:
            inside.append(tensor)
    if numbers or inside:
        yield _Run(shard, tuple(numbers), tuple(inside))


def _pieces(run: _Run, number: int, size: int) -> list[_Piece]:
    """What tensors have of a chunk, in order."""
    start = number * CHUNK_BYTES
    found = []
    for tensor in run.tensors:
        begin, end = run.shard.span(tensor.entry)
        low, high = max(begin, start), min(end, start + size)
        if low < high:
            assert tensor.memory is not None
            found.append(_Piece(low, high, tensor.memory.writable()[low - begin : high - begin]))
    return found


def _laid_out(
    run: _Run, number: int, size: int, scratch: Callable[[], memoryview]
) -> tuple[list[memoryview], list[_Piece]]:
    """Where the bytes of a chunk are read to, and the pieces of those that go to the scratch room, at their place in the chunk."""
    start = done = number * CHUNK_BYTES
    rooms, aside = [], []
    for piece in _pieces(run, number, size):
        if piece.high - piece.low < STRAIGHT_BYTES:
            aside.append(piece)
            continue
        if done < piece.low:
            rooms.append(scratch()[done - start : piece.low - start])
        rooms.append(piece.room)
        done = piece.high
    if done < start + size:
        rooms.append(scratch()[done - start : size])
    return rooms, aside


def _copy(pieces: Sequence[_Piece], number: int, chunk: memoryview) -> None:
    """Copies pieces of a chunk to where they belong."""
    start = number * CHUNK_BYTES
    for piece in pieces:
        piece.room[:] = chunk[piece.low - start : piece.high - start]


def wanted_of(names: Iterable[str] | None) -> Callable[[str], bool] | None:
    """Whether a tensor is among some; None for all."""
    return None if names is None else frozenset(names).__contains__
