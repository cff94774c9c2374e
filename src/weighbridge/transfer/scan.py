"""Inspects a model where it lies, by ranged reads: what is not needed for the judgement is not fetched."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import field
from pathlib import Path

from weighbridge.core.config import TransferSettings
from weighbridge.core.dataclass import dataclass
from weighbridge.core.errors import InspectorCrashed, Interrupted, WeighbridgeError
from weighbridge.core.finding import Inspection
from weighbridge.core.ports import Observer, Source
from weighbridge.core.snapshot import Entry, Snapshot
from weighbridge.transfer.inspecting import Inspecting
from weighbridge.transfer.source_reader import FIRST_BYTES, Ends, SourceReader
from weighbridge.vault.patience import Patience

_HASH_STEP_BYTES = 4 * 1024 * 1024
MAX_BRIEF = 10_000
HARDLY_TEXT = (
    *(".safetensors", ".pt", ".pth", ".bin", ".ckpt", ".pkl", ".pickle", ".joblib", ".npy", ".npz", ".h5", ".onnx"),
    *(".tflite", ".msgpack"),
)
"""Endings of files whose text seldom needs the engine for secrets: it is started when it does."""

MAX_TOGETHER = 32
MAX_TOGETHER_BYTES = 256 * 1024


@dataclass(slots=True)
class _Count:
    total: int = 0
    lock: threading.Lock = field(default_factory=threading.Lock)

    def add(self, count: int) -> None:
        with self.lock:
            self.total += count


@dataclass(frozen=True, slots=True)
class Scanned:
    """What was found, and how many bytes were read for it."""

    snapshot: Snapshot
    inspection: Inspection
    read_bytes: int


@dataclass(frozen=True, slots=True)
class Scanner:
    """How to scan: patience, processes, and who watches."""

    settings: TransferSettings
    inspecting: Inspecting
    observer: Observer
    cancelled: threading.Event
    content: bool = True
    """Whether malware and secrets are looked for."""

    def scan(self, source: Source, *, include: tuple[str, ...] = (), exclude: tuple[str, ...] = ()) -> Scanned:
        """Inspects every selected artifact of a source, and the selection as a whole; nothing is stored.

        Raises:
            SourceError, StoreError: the source did not answer.
            NothingCollected: nothing is selected.
            Interrupted: cancelled.
        """
        pinning = Patience(
            self.settings, self.cancelled, lambda reason, seconds: self.observer.retrying("", reason, seconds)
        )
        whole = pinning.call(source.pin)
        return self.inspect(source, whole, whole.select(include, exclude))

    def inspect(self, source: Source, whole: Snapshot, snapshot: Snapshot) -> Scanned:
        """As `scan`, of a source that is pinned: `snapshot` is the selection from the `whole`."""
        observer = self.observer
        observer.planned(len(snapshot.entries), snapshot.total_bytes, 0)
        read = _Count()
        ends = Ends(source, self.settings, self.cancelled, read.add)
        # What is much takes longer than the engine's start, and another engine.
        brief = snapshot.source.scheme == "folder" and len(snapshot.entries) < MAX_BRIEF
        brief = brief and not all(entry.path.lower().endswith(HARDLY_TEXT) for entry in snapshot.entries)
        with self.inspecting.session(content=self.content, brief=brief) as session:

            def inspect(entries: Sequence[Entry]) -> None:
                if self.cancelled.is_set():
                    return
                session.inspect_each([SourceReader(ends, entry) for entry in entries])
                for entry in entries:
                    observer.advanced(entry.path, entry.size_bytes, entry.size_bytes)
                    observer.finished(entry.path, "inspected")

            near = snapshot.source.scheme == "folder"
            # What is far away is waited for, by many threads and one by one.
            groups = list(_together(snapshot.entries) if near else ([entry] for entry in snapshot.entries))
            _in_threads(inspect, groups, self.inspecting.workers if near else self.settings.streams or 16)
            if self.cancelled.is_set():
                raise Interrupted("the scan was stopped")
            # One file that somebody names is no revision: what it asks for lies beside it, or does not.
            alone = near and len(whole.entries) == 1 and Path(snapshot.source.location).is_file()
            inspection = session.finish({entry.path: entry.size_bytes for entry in whole.entries}, alone=alone)
        return Scanned(snapshot, inspection, read.total)

    def digest(self, source: Source, entry: Entry) -> str:
        """The artifact's digest as `sha256:<hex>` or `git-sha1:<hex>`: the announced one, or worked out by reading it.

        Raises:
            SourceError, StoreError, IntegrityError: it cannot be read.
        """
        if entry.sha256:
            return f"sha256:{entry.sha256}"
        if entry.git_sha1:
            return f"git-sha1:{entry.git_sha1}"
        import hashlib

        hasher = hashlib.sha256()
        reader = SourceReader(Ends(source, self.settings, self.cancelled, lambda _count: None), entry)
        for offset in range(0, entry.size_bytes, _HASH_STEP_BYTES):
            hasher.update(reader.read(offset, _HASH_STEP_BYTES))
        return f"sha256:{hasher.hexdigest()}"


def _together(entries: Sequence[Entry]) -> Iterator[list[Entry]]:
    """Small artifacts in groups, larger ones by themselves; all in order."""
    group: list[Entry] = []
    size = 0
    for entry in entries:
        if group and (len(group) >= MAX_TOGETHER or size + entry.size_bytes > MAX_TOGETHER_BYTES):
            yield group
            group, size = [], 0
        if entry.size_bytes > FIRST_BYTES:
            yield [entry]
        else:
            group.append(entry)
            size += entry.size_bytes
    if group:
        yield group


def _in_threads(do: Callable[[Sequence[Entry]], None], groups: Sequence[Sequence[Entry]], count: int) -> None:
    """Calls `do` with each group in so many threads, of which this is one. No group is begun after one that failed.

    Raises:
        WeighbridgeError: what `do` raised first.
        InspectorCrashed: a thread ended before its group was done, which only a defect of ours can bring about.
    """
    # `concurrent.futures` takes as long to import as a hundred small files take to scan.
    waiting, taking = iter(groups), threading.Lock()
    failed: list[WeighbridgeError] = []
    done: list[int] = []
    ended = threading.Event()

    def work() -> None:
        try:
            while not ended.is_set():
                with taking:
                    group = next(waiting, None)
                if group is None:
                    return
                do(group)
                done.append(len(group))
        except WeighbridgeError as error:
            failed.append(error)
            ended.set()

    threads = [threading.Thread(target=work, name=f"scan-{number}") for number in range(1, min(count, len(groups)))]
    for thread in threads:
        thread.start()
    try:
        work()
    finally:
        # However this one ended, the others finish the group that they are at and take no other.
        ended.set()
        for thread in threads:
            thread.join()
    if failed:
        raise failed[0]
    if len(done) < len(groups):
        raise InspectorCrashed("a thread of the scan ended before its files were inspected")
