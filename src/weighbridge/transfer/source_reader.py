"""Gives inspectors random access to an artifact at its source; what is certainly needed is fetched ahead, at once.

Ranges that were fetched are kept while the artifact is inspected, up to `MAX_KEPT_BYTES`, so that several inspectors cost
one request.
"""

from __future__ import annotations

import threading
from bisect import insort
from collections.abc import Callable

from weighbridge.core.config import TransferSettings
from weighbridge.core.dataclass import dataclass
from weighbridge.core.errors import LimitExceeded
from weighbridge.core.ports import Source
from weighbridge.core.snapshot import Entry
from weighbridge.formats.kinds import is_safetensors
from weighbridge.transfer.fetch import fetch
from weighbridge.vault.patience import Patience
from weighbridge.vault.readers import MAX_READ_BYTES

FIRST_BYTES = 96 * 1024
"""What the first look at an artifact fetches: enough for its kind, and for the headers of most shards."""

TAIL_BYTES = 66 * 1024
"""The end of a safetensors file is looked at as well: an archive's directory could lie there."""

MAX_KEPT_BYTES = 16 * 1024 * 1024
MAX_FETCHED_AHEAD = 1024 * 1024


@dataclass(frozen=True, slots=True)
class Ends:
    """Where bytes come from, and how patiently."""

    source: Source
    settings: TransferSettings
    stop: threading.Event
    count: Callable[[int], None]
    """Called with the bytes of every fetch."""


class SourceReader:
    """An artifact at its source as a `core.ports.RangeReader`. Not thread-safe."""

    def __init__(self, ends: Ends, entry: Entry) -> None:
        self._ends = ends
        self._entry = entry
        self._kept: list[tuple[int, bytes]] = []
        self._kept_bytes = 0

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
        if offset < FIRST_BYTES and not self._kept:
            self._look_ahead()
        pieces, position = [], offset
        for start, data in list(self._kept):
            if start + len(data) <= position or start >= end:
                continue
            if start > position:
                pieces.append(self._fetch(position, start))
                position = start
            pieces.append(data[position - start : end - start])
            position = min(end, start + len(data))
        if position < end:
            pieces.append(self._fetch(position, end))
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)

    def _look_ahead(self) -> None:
        """The beginning; of safetensors, the whole header and the end."""
        head = self._fetch(0, min(FIRST_BYTES, self.size_bytes))
        if is_safetensors(head, self.size_bytes):
            end = 8 + int.from_bytes(head[:8], "little")
            if len(head) < end <= MAX_FETCHED_AHEAD:
                self._fetch(len(head), end)
            end = max(end, len(head))
            if end < self.size_bytes:
                self._fetch(max(end, self.size_bytes - TAIL_BYTES), self.size_bytes)

    def _fetch(self, start: int, end: int) -> bytes:
        buffer = bytearray(end - start)
        patience = Patience(self._ends.settings, self._ends.stop, lambda _reason, _seconds: None)
        fetch(self._ends, self._entry, start, memoryview(buffer), self._arrived, patience, self._ends.stop)
        data = bytes(buffer)
        if self._kept_bytes + len(data) <= MAX_KEPT_BYTES:
            insort(self._kept, (start, data))
            self._kept_bytes += len(data)
        return data

    def _arrived(self, view: memoryview) -> None:
        self._ends.count(len(view))
