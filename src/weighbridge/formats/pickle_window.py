"""The bytes of an artifact front to back, in bounded blocks and under a budget.

Blocks of at most `BLOCK_BYTES` are read; what is skipped beyond the block is never read.
"""

from __future__ import annotations

from weighbridge.core.dataclass import dataclass
from weighbridge.core.errors import LimitExceeded, Malformed
from weighbridge.core.ports import RangeReader
from weighbridge.formats.bounded import read_exactly

BLOCK_BYTES = 128 * 1024
"""The largest block; the first of a stream is smaller, for many streams are."""

_FIRST_BLOCK_BYTES = 8 * 1024


class StreamBroken(Malformed):
    """The stream cannot be followed beyond `offset`."""

    def __init__(self, message: str, offset: int) -> None:
        super().__init__(message)
        self.offset = offset


class StreamLimit(LimitExceeded):
    """The stream needs more than any honest one, noticed at `offset`."""

    def __init__(self, message: str, offset: int) -> None:
        super().__init__(message)
        self.offset = offset


@dataclass(slots=True)
class Budget:
    """What may still be spent on one artifact, with all the streams in it. Counts down."""

    read_bytes: int = 512 * 1024 * 1024
    opcodes: int = 10_000_000


class ByteWindow:
    """Bytes `start` to `end` of an artifact, front to back, of which one block is held at a time."""

    __slots__ = ("_at", "_base", "_block", "_budget", "_data", "_end", "_reader")

    def __init__(self, reader: RangeReader, start: int, end: int, budget: Budget) -> None:
        self._reader = reader
        self._end = end
        self._budget = budget
        self._base = start
        self._data = b""
        self._at = 0
        self._block = _FIRST_BLOCK_BYTES

    @property
    def position(self) -> int:
        """The offset in the artifact of the next byte."""
        return self._base + self._at

    @property
    def remaining(self) -> int:
        """Bytes that follow."""
        return self._end - self.position

    def block(self) -> tuple[bytes, int]:
        """The block that is held, and the place in it of the next byte."""
        return self._data, self._at

    def move_to(self, place: int) -> None:
        """Goes on at a place of the block."""
        self._at = place

    def byte(self) -> int:
        """The next byte. Raises StreamBroken at the end."""
        at = self._at
        if at >= len(self._data):
            self._fill(1)
            at = self._at
        self._at = at + 1
        return self._data[at]

    def take(self, length: int) -> bytes:
        """The next `length` bytes, at most a block. Raises StreamBroken when there are fewer."""
        at = self._at
        if at + length > len(self._data):
            self._fill(length)
            at = self._at
        self._at = at + length
        return self._data[at : at + length]

    def peek(self, length: int) -> bytes:
        """The next bytes without passing them; fewer at the end."""
        length = min(length, self.remaining)
        if self._at + length > len(self._data):
            self._fill(length)
        return self._data[self._at : self._at + length]

    def skip(self, length: int) -> None:
        """Passes `length` bytes, unread if they lie beyond this block. Raises StreamBroken when there are fewer."""
        if length > self.remaining:
            raise StreamBroken(f"{length} bytes are announced and {self.remaining} follow", self.position)
        self._at += length
        if self._at > len(self._data):
            self._base, self._data, self._at = self.position, b"", 0

    def line(self, keep: int) -> tuple[bytes, int, bool]:
        """A line: its first `keep` bytes, its length without the newline, and whether there was a newline."""
        kept, length = b"", 0
        while self.remaining:
            if self._at >= len(self._data):
                self._fill(1)
            found = self._data.find(b"\n", self._at)
            stop = found if found >= 0 else len(self._data)
            kept += self._data[self._at : min(stop, self._at + keep - len(kept))]
            length += stop - self._at
            self._at = stop
            if found >= 0:
                self._at += 1
                return kept, length, True
        return kept, length, False

    def _fill(self, length: int) -> None:
        """Makes the block hold at least `length` bytes from the position on."""
        start = self.position
        if length > self.remaining:
            raise StreamBroken(f"the stream ends where {length} bytes should follow", start)
        rest = self._data[self._at :]
        wanted = min(max(self._block, length), self._end - start) - len(rest)
        self._block = min(2 * self._block, BLOCK_BYTES)
        self._budget.read_bytes -= wanted
        if self._budget.read_bytes < 0:
            raise StreamLimit("more bytes would have to be read than are read of one artifact", start)
        data = read_exactly(self._reader, start + len(rest), wanted)
        self._base, self._data, self._at = start, rest + data, 0
