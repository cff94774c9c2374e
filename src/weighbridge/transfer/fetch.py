"""Fills one buffer with one range of an artifact, through cuts and stalls.

A cut stream is taken up at the byte where it broke: bytes that arrived are not asked for again. A stream that trickles
slower than the settings allow is cut (slow retrieval, a named attack of the TUF specification).
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Protocol

from weighbridge.core.config import TransferSettings
from weighbridge.core.errors import Interrupted, Truncated, Unreachable, WeighbridgeError
from weighbridge.core.ports import Source
from weighbridge.core.snapshot import Entry
from weighbridge.vault.patience import Patience


class _Ends(Protocol):
    @property
    def source(self) -> Source: ...

    @property
    def settings(self) -> TransferSettings: ...


def fetch(
    ends: _Ends,
    entry: Entry,
    offset: int,
    view: memoryview,
    arrived: Callable[[memoryview], None],
    patience: Patience,
    stop: threading.Event,
) -> None:
    """Reads `len(view)` bytes of `entry` from `offset`; calls `arrived` once for each slice, in order.

    Raises:
        SourceError, IntegrityError: it could not be read within the tries that the settings allow.
        Interrupted: `stop` was set.
    """
    filled = 0
    while filled < len(view):
        try:
            with ends.source.open(entry, offset + filled, offset + len(view)) as stream:
                pace = _Pace(ends.settings, entry.path)
                while filled < len(view):
                    if stop.is_set():
                        raise Interrupted("the transfer was stopped")
                    count = stream.readinto(view[filled:])
                    if not count:
                        raise Truncated(f"'{entry.path}' ended {len(view) - filled} bytes early")
                    arrived(view[filled : filled + count])
                    filled += count
                    patience.moved(count)
                    pace.moved(count)
        except WeighbridgeError as error:
            patience.failed(error)


class _Pace:
    """Cuts a stream that is slower than it may be over one read timeout."""

    def __init__(self, settings: TransferSettings, path: str) -> None:
        self._window = settings.read_timeout_seconds
        self._least = settings.minimum_rate_bytes_per_second * self._window
        self._path = path
        self._since = time.monotonic()
        self._bytes = 0

    def moved(self, count: int) -> None:
        self._bytes += count
        now = time.monotonic()
        if now - self._since < self._window:
            return
        if self._bytes < self._least:
            raise Unreachable(f"'{self._path}' comes slower than transfer.minimum_rate_bytes_per_second")
        self._since, self._bytes = now, 0
