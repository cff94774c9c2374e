"""Reads tensors of several shards at once, in order, and hands each out when every chunk it lies in was proven.

- A chunk that lies within one tensor is read straight into that tensor's memory; one that several share, or that holds
  the header's end, is read aside and copied. Either way it is hashed where it lies, and not read again afterwards.
- Read ahead are as many bytes as `memory_bytes`, in tensors that were begun and not handed out; one tensor that is larger is
  read alone. Each reading thread has a chunk of its own besides, and for each shard ahead its header.
- The first failure ends everything: nothing is handed out after it.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Final

from weighbridge.core.config import TransferSettings
from weighbridge.core.digests import CHUNK_BYTES
from weighbridge.core.errors import Ambiguous, Interrupted
from weighbridge.core.ports import ObjectStore
from weighbridge.formats.safetensors import TensorEntry
from weighbridge.serve.loading.memory import Memory
from weighbridge.serve.loading.shards import Shard, Shards
from weighbridge.vault.chunks import read_chunks_into
from weighbridge.vault.patience import Patience

RUN_CHUNKS: Final = 2
"""Chunks of one request: 16 MiB, as S3's own advice for parallel ranges has it."""
MEMORY_BYTES: Final = 512 * 1024 * 1024
HEADERS_AHEAD: Final = 2
_PATIENCE = TransferSettings(retry_wait_seconds=0.2, retry_wait_limit_seconds=20.0)


@dataclass(slots=True, eq=False)
class Loading:
    """A tensor that is being read; `begun` once it has memory."""

    entry: TensorEntry
    shard: Shard
    begun: bool = False
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


class TensorStream:
    """See above. `wanted` says which tensors are read, None all; to be used from one thread."""

    def __init__(
        self,
        store: ObjectStore,
        shards: Shards,
        threads: ThreadPoolExecutor,
        *,
        memory_bytes: int = MEMORY_BYTES,
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
        self._held = 0

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
                self._held -= tensor.size_bytes
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
            fresh = [tensor for tensor in ahead[0].tensors if not tensor.begun]
            needed = sum(tensor.size_bytes for tensor in fresh)
            head_waits = not self._begun or self._begun[0] in ahead[0].tensors
            if not head_waits and self._held + needed > self._memory_bytes:
                return True
            self._submit(ahead.popleft(), fresh)
            self._held += needed

    def _submit(self, run: _Run, fresh: Sequence[Loading]) -> None:
        for tensor in fresh:
            tensor.begin()
        self._begun.extend(fresh)
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
            _copy(run, 0, shard.first)
            numbers = numbers[1:]
        if not numbers:
            return
        straight: set[int] = set()

        def place(number: int, size: int) -> memoryview:
            room = _room(run, number, size)
            if room is not None:
                straight.add(number)
                return room
            return self._scratch()[:size]

        patience = Patience(_PATIENCE, self._stop, lambda _reason, _seconds: None)
        chunks = read_chunks_into(self._store, shard.stored, shard.artifact, numbers, place, patience=patience)
        for number, view in chunks:
            if number not in straight:
                _copy(run, number, view)
            if self._stop.is_set():
                return

    def _scratch(self) -> memoryview:
        """A chunk's room of this thread's own."""
        buffer: bytearray | None = getattr(self._aside, "buffer", None)
        if buffer is None:
            buffer = self._aside.buffer = bytearray(CHUNK_BYTES)
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


def _room(run: _Run, number: int, size: int) -> memoryview | None:
    """The memory of the one tensor that has all of a chunk."""
    start = number * CHUNK_BYTES
    for tensor in run.tensors:
        begin, end = run.shard.span(tensor.entry)
        if begin <= start and start + size <= end:
            assert tensor.memory is not None
            return tensor.memory.writable()[start - begin : start - begin + size]
    return None


def _copy(run: _Run, number: int, chunk: memoryview) -> None:
    """Copies what tensors have of a chunk."""
    start = number * CHUNK_BYTES
    for tensor in run.tensors:
        begin, end = run.shard.span(tensor.entry)
        low, high = max(begin, start), min(end, start + len(chunk))
        if low < high:
            assert tensor.memory is not None
            tensor.memory.writable()[low - begin : high - begin] = chunk[low - start : high - start]


def wanted_of(names: Iterable[str] | None) -> Callable[[str], bool] | None:
    """Whether a tensor is among some; None for all."""
    return None if names is None else frozenset(names).__contains__
