"""The one pass: reads each artifact once, hashes it on the way, and stores it in parts.

Fetching threads take parts in order of artifact and offset, never without a buffer in hand, so the part that everything
waits for always has one and the pool cannot run dry. Storing threads send what is hashed. Whatever fails for good stops
the whole transfer; what was acknowledged stays in the journal and in the store for the next run.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import contextmanager
from dataclasses import dataclass
from mmap import mmap

from weighbridge.core.config import TransferSettings
from weighbridge.core.digests import CHUNK_BYTES
from weighbridge.core.errors import (
    DigestMismatch,
    IncompleteUpload,
    IntegrityError,
    Interrupted,
    ObjectMissing,
    WeighbridgeError,
)
from weighbridge.core.manifest import Artifact
from weighbridge.core.ports import ObjectStore, Observer, Source, StoredObject
from weighbridge.core.snapshot import Entry
from weighbridge.transfer.artifact import ChunkDigests, Crossing, FilledPart, Part
from weighbridge.transfer.buffers import BufferPool
from weighbridge.transfer.fetch import fetch
from weighbridge.transfer.journal import Journal, Progress
from weighbridge.vault.chunks import prove_object
from weighbridge.vault.patience import Patience

MAX_PARTS = 10_000
WHOLE_TRIES = 3
"""How often an artifact whose digest came out wrong is read again from its beginning."""


@dataclass(frozen=True, slots=True)
class Crossed:
    """An artifact in place. `head` is its beginning where it was just read, else empty."""

    artifact: Artifact
    stored: StoredObject
    head: bytes


@dataclass(frozen=True, slots=True)
class Bridge:
    """What a pass runs between."""

    source: Source
    store: ObjectStore
    journal: Journal
    settings: TransferSettings
    observer: Observer
    cancelled: threading.Event


def part_size(entries: Sequence[Entry], wanted_bytes: int) -> int:
    """The part size for these artifacts: as wanted, or larger where a file would need over 10,000 parts."""
    largest = max((entry.size_bytes for entry in entries), default=0)
    chunks = max(wanted_bytes // CHUNK_BYTES, -(-largest // (MAX_PARTS * CHUNK_BYTES)))
    return chunks * CHUNK_BYTES


def threads_for(settings: TransferSettings) -> tuple[int, int]:
    """How many threads fetch and how many store. More than the processors can feed only cost cache and switches."""
    streams = settings.streams or min(16, max(4, 2 * (os.cpu_count() or 2)))
    return streams, settings.uploads or max(2, streams // 2)


class Pass:
    """One pass over some artifacts. `prefix` is where in the store they go; `done` is called for each as it lands."""

    def __init__(self, bridge: Bridge, *, prefix: str, done: Callable[[Crossed], None]) -> None:
        self._bridge = bridge
        self._prefix = prefix
        self._done = done
        self._stop = threading.Event()
        self._order = threading.Lock()
        self._noting = threading.Lock()
        self._failure: BaseException | None = None
        self._tries: dict[str, int] = {}
        part_bytes = bridge.journal.part_bytes
        streams, uploads = threads_for(bridge.settings)
        # One for each thread, and as many again for parts that wait for their turn or for a storing thread.
        buffers = max(2, min(bridge.settings.memory_bytes // part_bytes, streams + 2 * uploads))
        self._pool = BufferPool(buffers, part_bytes, self._stop)
        self._storing: ThreadPoolExecutor | None = None

    def run(self, entries: Sequence[Entry]) -> None:
        """Brings all `entries` across.

        Raises:
            WeighbridgeError: the first failure; Interrupted when cancelled.
        """
        work = self._work(entries)
        streams, uploads = threads_for(self._bridge.settings)
        with (
            ThreadPoolExecutor(uploads, thread_name_prefix="store") as storing,
            ThreadPoolExecutor(streams, thread_name_prefix="fetch") as fetching,
        ):
            self._storing = storing
            fetchers = [fetching.submit(self._fetch_all, work) for _ in range(streams)]
            try:
                while wait(fetchers, timeout=0.2).not_done:
                    if self._bridge.cancelled.is_set():
                        self._stop.set()
            except BaseException:
                self._stop.set()
                raise
        if self._failure is not None:
            raise self._failure
        if self._bridge.cancelled.is_set():
            raise Interrupted(
                "the transfer was stopped", hint="Run the same command again; it goes on where it stopped."
            )

    @contextmanager
    def _guarded(self) -> Iterator[None]:
        """Remembers the first failure of any thread and stops all others."""
        try:
            yield
        except BaseException as error:
            self._stop.set()
            with self._noting:
                if self._failure is None and not isinstance(error, Interrupted):
                    self._failure = error
            raise

    def _work(self, entries: Sequence[Entry]) -> Iterator[tuple[Crossing, Part | None]]:
        """Parts in order; `None` for an artifact of which nothing is left to read."""
        for entry in entries:
            crossing = self._begin(entry)
            parts = crossing.remaining()
            if not parts:
                yield crossing, None
            for part in parts:
                yield crossing, part

    def _begin(self, entry: Entry) -> Crossing:
        bridge = self._bridge
        known = bridge.journal.of(entry.path, entry.validator)
        key = f"{self._prefix}{entry.path}"
        if known.upload_id:
            appeared = self._appeared(entry, key, known)
            if appeared is not None:
                return appeared
            kept = bridge.store.surviving_parts(key, known.upload_id, list(known.receipts.values()))
            known.receipts = {receipt.number: receipt for receipt in kept}
        crossing = Crossing(entry, key=key, part_bytes=bridge.journal.part_bytes, known=known)
        if known.upload_id and not crossing.upload_id:
            bridge.store.abort(key, known.upload_id)
            bridge.journal.forget(entry.path)
        if crossing.resumed_bytes:
            bridge.observer.advanced(entry.path, crossing.resumed_bytes, entry.size_bytes)
        return crossing

    def _appeared(self, entry: Entry, key: str, known: Progress) -> Crossing | None:
        """The crossing of an artifact whose object had appeared just before a kill, proven by reading it back."""
        bridge = self._bridge
        crossing = Crossing(entry, key=key, part_bytes=bridge.journal.part_bytes, known=known)
        if not crossing.acknowledged_whole:
            return None
        try:
            stored = bridge.store.head(key)
            artifact = crossing.prove()
            prove_object(bridge.store, stored, artifact)
        except (ObjectMissing, IntegrityError):
            return None
        crossing.stored = stored
        return crossing

    def _patience(self, path: str) -> Patience:
        def notify(reason: str, seconds: float) -> None:
            self._bridge.observer.retrying(path, reason, seconds)

        return Patience(self._bridge.settings, self._stop, notify)

    def _fetch_all(self, work: Iterator[tuple[Crossing, Part | None]]) -> None:
        """One fetching thread: takes a buffer, then the next part in order, until there is none."""
        with self._guarded():
            while not self._stop.is_set():
                buffer = self._pool.acquire()
                task = None
                try:
                    task = self._next(work)
                finally:
                    if task is None or task[1] is None:
                        self._pool.release(buffer)
                if task is None:
                    return
                crossing, part = task
                if part is None:
                    self._finish_without_bytes(crossing)
                else:
                    self._fetch_part(crossing, part, buffer)

    def _next(self, work: Iterator[tuple[Crossing, Part | None]]) -> tuple[Crossing, Part | None] | None:
        with self._order:
            task = next(work, None)
            if task is not None and task[1] is not None and not task[0].whole and not task[0].upload_id:
                self._open_upload(task[0])
            return task

    def _open_upload(self, crossing: Crossing) -> None:
        bridge = self._bridge
        crossing.upload_id = self._patience(crossing.entry.path).call(
            lambda: bridge.store.begin(crossing.key, crossing.entry.size_bytes)
        )
        bridge.journal.begin(crossing.entry.path, crossing.entry.validator, crossing.upload_id)

    def _fetch_part(self, crossing: Crossing, part: Part, buffer: mmap) -> None:
        """Reads one part and hands whatever is now in order to the storing threads."""
        filled = FilledPart(part, buffer)
        hashing = crossing.claim(part)
        try:
            self._read_part(crossing, filled, hashing=hashing)
        except BaseException:
            self._pool.release(buffer)
            raise
        storing = self._storing
        assert storing is not None
        crossing.arrived(
            filled,
            hashed=hashing,
            emit=lambda ready, state: storing.submit(self._store_part, crossing, ready, state),
        )

    def _read_part(self, crossing: Crossing, filled: FilledPart, *, hashing: bool) -> None:
        """Fills one part from the source, hashing what arrives: its chunks, and in its turn the whole."""
        chunks = ChunkDigests()
        entry, observer = crossing.entry, self._bridge.observer

        def arrived(view: memoryview) -> None:
            chunks.update(view)
            if hashing:
                crossing.hash(view)
            observer.advanced(entry.path, len(view), entry.size_bytes)

        fetch(self._bridge, entry, filled.part.offset, filled.view, arrived, self._patience(entry.path), self._stop)
        filled.chunks = chunks.finish()

    def _store_part(self, crossing: Crossing, filled: FilledPart, state: str | None) -> None:
        """One storing thread's task: sends a hashed part; the last one completes its artifact."""
        with self._guarded():
            try:
                if self._stop.is_set():
                    return
                if crossing.whole:
                    self._store_whole(crossing, filled)
                    return
                last = self._send(crossing, filled, state)
            finally:
                self._pool.release(filled.buffer)
            if last:
                self._complete(crossing)

    def _send(self, crossing: Crossing, filled: FilledPart, state: str | None) -> bool:
        """Stores one part and notes its receipt; whether it was the last one missing."""
        part, store, path = filled.part, self._bridge.store, crossing.entry.path
        receipt = self._patience(path).call(
            lambda: store.put_part(crossing.key, crossing.upload_id, part.number, part.offset, filled.view)
        )
        self._bridge.journal.part(path, receipt, filled.chunks, state)
        return crossing.acknowledged(receipt, filled.chunks)

    def _store_whole(self, crossing: Crossing, filled: FilledPart) -> None:
        try:
            artifact = crossing.prove(filled.chunks)
        except DigestMismatch as error:
            self._again(crossing, error)
            return
        stored = self._patience(crossing.entry.path).call(lambda: self._bridge.store.put(crossing.key, filled.view))
        self._land(crossing, artifact, stored)

    def _finish_without_bytes(self, crossing: Crossing) -> None:
        """An empty artifact, or one whose parts had all been stored before a kill."""
        if crossing.stored is not None:
            self._land(crossing, crossing.prove(), crossing.stored)
            return
        if crossing.entry.size_bytes:
            self._complete(crossing)
            return
        artifact = crossing.prove(())
        stored = self._patience(crossing.entry.path).call(lambda: self._bridge.store.put(crossing.key, b""))
        self._land(crossing, artifact, stored)

    def _complete(self, crossing: Crossing) -> None:
        """Proves the digests, and only then makes the object appear."""
        store, entry = self._bridge.store, crossing.entry
        try:
            artifact = crossing.prove()
            stored = self._patience(entry.path).call(
                lambda: store.complete(
                    crossing.key, crossing.upload_id, crossing.receipts(), size_bytes=entry.size_bytes
                )
            )
        except (DigestMismatch, IncompleteUpload) as error:
            store.abort(crossing.key, crossing.upload_id)
            self._bridge.journal.forget(entry.path)
            self._again(crossing, error)
            return
        self._land(crossing, artifact, stored)

    def _again(self, crossing: Crossing, error: WeighbridgeError) -> None:
        """Reads an artifact that came out wrong once more, sequentially, up to `WHOLE_TRIES` times in all."""
        entry = crossing.entry
        tries = self._tries[entry.path] = self._tries.get(entry.path, 1) + 1
        if tries > WHOLE_TRIES or self._stop.is_set():
            raise error
        self._bridge.observer.retrying(entry.path, error.message, 0.0)
        self._bridge.observer.advanced(entry.path, -entry.size_bytes, entry.size_bytes)
        fresh = Crossing(entry, key=crossing.key, part_bytes=self._bridge.journal.part_bytes)
        if not fresh.whole:
            self._open_upload(fresh)
        buffer = mmap(-1, self._bridge.journal.part_bytes)
        for part in fresh.remaining():
            self._reread(fresh, part, buffer)

    def _reread(self, crossing: Crossing, part: Part, buffer: mmap) -> None:
        filled = FilledPart(part, buffer)
        self._read_part(crossing, filled, hashing=crossing.claim(part))
        last: list[bool] = []

        def store(ready: FilledPart, state: str | None) -> None:
            last.append(not crossing.whole and self._send(crossing, ready, state))

        crossing.arrived(filled, hashed=True, emit=store)
        if crossing.whole:
            self._store_whole(crossing, filled)
        elif last[0]:
            self._complete(crossing)

    def _land(self, crossing: Crossing, artifact: Artifact, stored: StoredObject) -> None:
        self._bridge.journal.artifact(crossing.entry.validator, artifact, stored)
        self._done(Crossed(artifact, stored, crossing.head))
        self._bridge.observer.finished(artifact.path, "streamed")
