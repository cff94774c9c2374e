"""What lies inside a container, as artifacts of their own: a slice of it, bytes held in memory, or a stream run again.

All of them are `core.ports.RangeReader`s. What is held in memory counts for as long as a reader of it is in use, so a
container within a container can ask how much its own bytes already hold (`held_bytes`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Final

from weighbridge.core.dataclass import dataclass
from weighbridge.core.errors import LimitExceeded, Truncated
from weighbridge.core.ports import RangeReader
from weighbridge.formats.held import Held

MAX_HELD_BYTES: Final = 40 * 1024 * 1024
"""Unpacked bytes in memory at one time, over all containers within each other."""

MAX_REPLAYED_BYTES: Final = 1536 * 1024 * 1024
"""What is unpacked over and over for one stream too large to hold."""

_BLOCK_BYTES = 64 * 1024
_LOOK_BACK_BYTES = 2 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Slice:
    """A run of bytes of another artifact, read in place. As in all of them, `outer` is what is read, `held` what it holds."""

    path: str
    outer: RangeReader
    start: int
    size_bytes: int

    @property
    def held(self) -> int:
        """Nothing."""
        return 0

    def read(self, offset: int, length: int) -> bytes:
        """Exactly `length` bytes from `offset`, fewer only at the end."""
        length = max(0, min(length, self.size_bytes - offset))
        return self.outer.read(self.start + offset, length) if length else b""


class Replayed:
    """A stream too large to hold, read forward and unpacked again from its beginning to go back.

    `chunks` starts the stream anew, `weight` is what one of its bytes costs beside one of deflate's.
    """

    def __init__(
        self, path: str, size_bytes: int, chunks: Callable[[], Iterator[bytes]], *, outer: RangeReader, weight: int = 1
    ) -> None:
        self.path = path
        self.size_bytes = size_bytes
        self.outer: RangeReader | None = outer
        self._start = chunks
        self._weight = weight
        self._left = MAX_REPLAYED_BYTES
        self._chunks: Iterator[bytes] = iter(())
        self._window = bytearray()
        self._base = size_bytes + 1

    @property
    def held(self) -> int:
        """The window it looks back over."""
        return 2 * _LOOK_BACK_BYTES

    def read(self, offset: int, length: int) -> bytes:
        """Exactly `length` bytes from `offset`, fewer only at the end.

        Raises:
            LimitExceeded: the stream would have to be unpacked too often, or too much of it held.
            Truncated: it ended before.
        """
        length = max(0, min(length, self.size_bytes - offset))
        if length > MAX_HELD_BYTES // 2:
            raise LimitExceeded(f"'{self.path}' is unpacked on the way and {length} bytes of it are too much to hold")
        if not length:
            return b""
        if offset < self._base:
            self._chunks, self._window, self._base = self._start(), bytearray(), 0
        while self._base + len(self._window) < offset + length:
            self._advance(offset)
        at = offset - self._base
        return bytes(memoryview(self._window)[at : at + length])

    def _advance(self, wanted: int) -> None:
        chunk = next(self._chunks, None)
        if chunk is None:
            raise Truncated(f"'{self.path}' ended before its {self.size_bytes} bytes")
        self._left -= len(chunk) * self._weight
        if self._left < 0:
            raise LimitExceeded(f"'{self.path}' would have to be unpacked too often")
        excess = min(len(self._window), wanted - self._base) - _LOOK_BACK_BYTES
        if excess > _LOOK_BACK_BYTES:
            del self._window[:excess]
            self._base += excess
        self._window += chunk


class Blocks:
    """Another artifact, its last block and its tail kept, so that things that lie together cost one read."""

    def __init__(self, outer: RangeReader) -> None:
        self.path = outer.path
        self.size_bytes = outer.size_bytes
        self.outer: RangeReader | None = outer
        self._reader = outer
        self._kept: list[tuple[int, bytes]] = []

    @property
    def held(self) -> int:
        """Its blocks."""
        return 2 * _BLOCK_BYTES

    def keep(self, offset: int, data: bytes) -> None:
        """Has bytes that were read already."""
        self._kept = [(offset, data), *self._kept[:2]]

    def read(self, offset: int, length: int) -> bytes:
        """Exactly `length` bytes from `offset`, fewer only at the end."""
        return self.read_ahead(offset, length, length)

    def read_ahead(self, offset: int, length: int, wanted: int) -> bytes:
        """As `read`; what is not kept is read with what follows it, `wanted` bytes in all, and kept."""
        length = max(0, min(length, self.size_bytes - offset))
        for start, data in self._kept:
            if start <= offset and offset + length <= start + len(data):
                return data[offset - start : offset - start + length]
        if wanted <= length:
            return self._reader.read(offset, length)
        data = self._reader.read(offset, min(wanted, self.size_bytes - offset))
        if len(data) < length:
            raise Truncated(f"'{self.path}' gave {len(data)} bytes at {offset} where it has {length}")
        # The first entry is the tail, which is asked for throughout.
        self._kept = [*self._kept[:1], (offset, data)]
        return data[:length]


def held_bytes(reader: RangeReader | None) -> int:
    """How many bytes a reader, and all that it is read from, hold in memory."""
    total, layer = 0, reader
    while isinstance(layer, Slice | Held | Replayed | Blocks):
        total += layer.held
        layer = layer.outer
    return total
