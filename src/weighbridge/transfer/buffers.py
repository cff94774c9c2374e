"""A fixed number of part buffers, so that memory is bounded by settings and not by what is moved.

Buffers are anonymous maps: pages that were never written take no memory, so many small files cost little.
"""

from __future__ import annotations

import mmap
import threading

from weighbridge.core.errors import Interrupted


class BufferPool:
    """`count` buffers of `size_bytes`, made when first needed. Thread-safe."""

    def __init__(self, count: int, size_bytes: int, cancelled: threading.Event) -> None:
        self._free: list[mmap.mmap] = []
        self._unmade = count
        self._size = size_bytes
        self._cancelled = cancelled
        self._changed = threading.Condition()

    def acquire(self) -> mmap.mmap:
        """Waits for a buffer. Raises Interrupted when the transfer is cancelled meanwhile."""
        with self._changed:
            while not self._free and not self._unmade:
                if self._cancelled.is_set():
                    break
                self._changed.wait(timeout=0.5)
            if self._cancelled.is_set():
                raise Interrupted("the transfer was stopped")
            if self._free:
                return self._free.pop()
            self._unmade -= 1
        return mmap.mmap(-1, self._size)

    def release(self, buffer: mmap.mmap) -> None:
        """Gives a buffer back."""
        with self._changed:
            self._free.append(buffer)
            self._changed.notify()
