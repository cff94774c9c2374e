"""Keeps what was read of an artifact for a second look, so that it is not fetched twice.

Limits: `KEPT_BYTES`; what does not fit, or was not read in one run, is read again.
"""

from __future__ import annotations

from typing import Final

from weighbridge.core.ports import RangeReader

KEPT_BYTES: Final = 4 * 1024 * 1024


class Recent:
    """A `core.ports.RangeReader` that remembers. Not thread-safe."""

    __slots__ = ("_left", "_pieces", "_reader")

    def __init__(self, reader: RangeReader) -> None:
        self._reader = reader
        self._pieces: list[tuple[int, bytes]] = []
        self._left = KEPT_BYTES

    @property
    def path(self) -> str:
        """The artifact's."""
        return self._reader.path

    @property
    def size_bytes(self) -> int:
        """The artifact's."""
        return self._reader.size_bytes

    def read(self, offset: int, length: int) -> bytes:
        """As the reader's."""
        kept = self._kept(offset, length)
        if kept is not None:
            return kept
        data = self._reader.read(offset, length)
        if len(data) <= self._left:
            self._left -= len(data)
            self._pieces.append((offset, data))
        return data

    def _kept(self, offset: int, length: int) -> bytes | None:
        """What is remembered of a range, put together from pieces that follow each other."""
        found: list[bytes] = []
        position, end = offset, offset + length
        for start, data in self._pieces:
            if start <= position < start + len(data):
                found.append(data[position - start : end - start])
                position += len(found[-1])
                if position >= end:
                    return found[0] if len(found) == 1 else b"".join(found)
        return None
