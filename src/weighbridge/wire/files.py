"""Reads ranges of open files, and makes what was written to folders last."""

from __future__ import annotations

import os
from pathlib import Path

from weighbridge.core.errors import Truncated


class FileRange:
    """Bytes `start` to `end` (excluded) of an open file, as a `core.ports.ByteStream`; `name` is for errors.

    Raises:
        Truncated: the file became shorter.
    """

    def __init__(self, descriptor: int, name: str, start: int, end: int) -> None:
        self._descriptor = descriptor
        self._name = name
        self._offset = start
        self._end = end

    def readinto(self, view: memoryview, /) -> int:
        """Fills up to `len(view)` bytes; 0 only at the end of the range."""
        left = self._end - self._offset
        if not left:
            return 0
        count = os.preadv(self._descriptor, [view[:left]], self._offset)
        if not count:
            raise Truncated(f"'{self._name}' became shorter while it was read")
        self._offset += count
        return count


def flush_folder(folder: Path) -> None:
    """Makes names that appeared in `folder` survive a power cut."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
