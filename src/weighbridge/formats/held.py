"""Bytes in memory, read like an artifact."""

from __future__ import annotations

from weighbridge.core.dataclass import dataclass
from weighbridge.core.ports import RangeReader


@dataclass(frozen=True, slots=True)
class Held:
    """Bytes in memory."""

    path: str
    data: bytes | bytearray
    outer: RangeReader | None = None

    @property
    def size_bytes(self) -> int:
        """How many there are."""
        return len(self.data)

    @property
    def held(self) -> int:
        """All of them."""
        return len(self.data)

    def read(self, offset: int, length: int) -> bytes:
        """Exactly `length` bytes from `offset`, fewer only at the end."""
        with memoryview(self.data) as view:
            return bytes(view[offset : offset + length])
