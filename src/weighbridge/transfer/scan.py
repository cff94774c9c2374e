"""Inspects a model where it lies, by ranged reads: what is not needed for the judgement is not fetched."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from weighbridge.core.config import TransferSettings
from weighbridge.core.errors import Interrupted, LimitExceeded
from weighbridge.core.finding import Inspection, Report
from weighbridge.core.ports import Observer, Source
from weighbridge.core.snapshot import Entry, Snapshot
from weighbridge.inspectors.registry import RULES_VERSION, inspect_artifact
from weighbridge.transfer.fetch import fetch
from weighbridge.transfer.patience import Patience
from weighbridge.transfer.readers import MAX_READ_BYTES

FIRST_BYTES = 64 * 1024
"""What the first look at an artifact fetches: enough for its kind, and for most headers."""


@dataclass(frozen=True, slots=True)
class Scanned:
    """What was found, and how many bytes were read for it."""

    snapshot: Snapshot
    inspection: Inspection
    read_bytes: int


@dataclass(frozen=True, slots=True)
class _Ends:
    source: Source
    settings: TransferSettings


class SourceReader:
    """An artifact at its source as a `core.ports.RangeReader`. Not thread-safe."""

    def __init__(self, source: Source, entry: Entry, settings: TransferSettings, stop: threading.Event) -> None:
        self._ends = _Ends(source, settings)
        self._entry = entry
        self._stop = stop
        self._start = b""
        self.read_bytes = 0

    @property
    def path(self) -> str:
        """The artifact's path."""
        return self._entry.path

    @property
    def size_bytes(self) -> int:
        """The artifact's announced size."""
        return self._entry.size_bytes

    def read(self, offset: int, length: int) -> bytes:
        """Bytes `offset` to `offset + length`, fewer at the end.

        Raises:
            LimitExceeded: more than `MAX_READ_BYTES` were asked for.
            SourceError, IntegrityError: they cannot be read.
        """
        if length > MAX_READ_BYTES:
            raise LimitExceeded(f"{length} bytes of '{self.path}' were asked for at once")
        end = min(offset + length, self.size_bytes)
        if end <= offset:
            return b""
        if offset < FIRST_BYTES and not self._start:
            self._start = self._fetch(0, min(FIRST_BYTES, self.size_bytes))
        if end <= len(self._start):
            return self._start[offset:end]
        if offset < len(self._start):
            return self._start[offset:] + self._fetch(len(self._start), end)
        return self._fetch(offset, end)

    def _fetch(self, start: int, end: int) -> bytes:
        buffer = bytearray(end - start)
        patience = Patience(self._ends.settings, self._stop, lambda _reason, _seconds: None)
        fetch(self._ends, self._entry, start, memoryview(buffer), self._count, patience, self._stop)
        return bytes(buffer)

    def _count(self, view: memoryview) -> None:
        self.read_bytes += len(view)


def scan(
    source: Source,
    settings: TransferSettings,
    observer: Observer,
    cancelled: threading.Event,
    *,
    include: tuple[str, ...] = (),
    exclude: tuple[str, ...] = (),
) -> Scanned:
    """Inspects every selected artifact of a source; nothing is stored.

    Raises:
        SourceError: the source did not answer.
        NothingCollected: nothing is selected.
        Interrupted: cancelled.
    """
    pinning = Patience(settings, cancelled, lambda reason, seconds: observer.retrying("", reason, seconds))
    snapshot = pinning.call(source.pin).select(include, exclude)
    observer.planned(len(snapshot.entries), snapshot.total_bytes, 0)

    def inspect(entry: Entry) -> tuple[tuple[Report, ...], int]:
        if cancelled.is_set():
            return (), 0
        reader = SourceReader(source, entry, settings, cancelled)
        reports = inspect_artifact(reader).reports
        observer.advanced(entry.path, entry.size_bytes, entry.size_bytes)
        observer.finished(entry.path, "inspected")
        return reports, reader.read_bytes

    with ThreadPoolExecutor(settings.streams or 8, thread_name_prefix="scan") as threads:
        answers = list(threads.map(inspect, snapshot.entries))
    if cancelled.is_set():
        raise Interrupted("the scan was stopped")
    reports = tuple(report for found, _ in answers for report in found)
    return Scanned(snapshot, Inspection(reports, RULES_VERSION), sum(count for _, count in answers))
