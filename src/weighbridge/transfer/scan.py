"""Inspects a model where it lies, by ranged reads: what is not needed for the judgement is not fetched."""

from __future__ import annotations

import hashlib
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

from weighbridge.core.config import TransferSettings
from weighbridge.core.errors import Interrupted
from weighbridge.core.finding import Inspection
from weighbridge.core.ports import Observer, Source
from weighbridge.core.snapshot import Entry, Snapshot
from weighbridge.transfer.inspecting import Inspecting
from weighbridge.transfer.source_reader import Ends, SourceReader
from weighbridge.vault.patience import Patience

_HASH_STEP_BYTES = 4 * 1024 * 1024


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
        with self.inspecting.session(content=self.content) as session:

            def inspect(entry: Entry) -> None:
                if self.cancelled.is_set():
                    return
                session.inspect(SourceReader(ends, entry))
                observer.advanced(entry.path, entry.size_bytes, entry.size_bytes)
                observer.finished(entry.path, "inspected")

            with ThreadPoolExecutor(self.settings.streams or 16, thread_name_prefix="scan") as threads:
                for _ in threads.map(inspect, snapshot.entries):
                    pass
            if self.cancelled.is_set():
                raise Interrupted("the scan was stopped")
            inspection = session.finish({entry.path: entry.size_bytes for entry in whole.entries})
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
        hasher = hashlib.sha256()
        reader = SourceReader(Ends(source, self.settings, self.cancelled, lambda _count: None), entry)
        for offset in range(0, entry.size_bytes, _HASH_STEP_BYTES):
            hasher.update(reader.read(offset, _HASH_STEP_BYTES))
        return f"sha256:{hasher.hexdigest()}"
