"""Reads tables of a FlatBuffer, every offset checked against the buffer, without a schema compiler.

A table begins with a signed distance back to its list of fields; each field of it is an offset in the table, or 0 where
it is absent. Strings, vectors and tables are reached by unsigned distances forward, so no chain of them can be endless;
what may be shared is counted by the budget. Source: the FlatBuffers internals page.
"""

from __future__ import annotations

import struct
from typing import Final

from weighbridge.core.dataclass import dataclass
from weighbridge.core.errors import LimitExceeded, Malformed
from weighbridge.core.ports import RangeReader
from weighbridge.formats.protobuf import Window

MAX_STEPS: Final = 500_000
MAX_TEXT_BYTES: Final = 1024 * 1024


class FlatProblem(Malformed):
    """An offset leads out of the buffer, or a part of it is not as it says."""


class FlatBuffer:
    """Bytes `start` to `end` of an artifact as one FlatBuffer. Offsets are in the artifact."""

    def __init__(self, reader: RangeReader, start: int, end: int) -> None:
        if not 0 <= start <= end <= reader.size_bytes:
            raise FlatProblem(f"the buffer of {end - start} bytes at {start} is not inside the file")
        self._window = Window(reader)
        self.start = start
        self.end = end
        self._steps = MAX_STEPS

    def take(self, at: int, length: int) -> bytes:
        """Bytes of the buffer.

        Raises:
            FlatProblem: they are not all inside it; LimitExceeded: too much was read.
        """
        self._steps -= 1
        if self._steps < 0:
            raise LimitExceeded("the buffer has more tables than are followed")
        if at < self.start or length < 0 or at + length > self.end:
            raise FlatProblem(f"{length} bytes at {at} are not inside the buffer")
        return self._window.bytes_at(at, length)

    def number(self, at: int, code: str) -> int:
        """A little-endian integer by its `struct` letter."""
        return int(struct.unpack(f"<{code}", self.take(at, struct.calcsize(f"<{code}")))[0])

    def root(self) -> FlatTable:
        """The table that the buffer's first word leads to."""
        return self.table(self.start + self.number(self.start, "I"))

    def table(self, at: int) -> FlatTable:
        """The table at `at`, its list of fields checked."""
        fields = at - self.number(at, "i")
        length, size = self.number(fields, "H"), self.number(fields + 2, "H")
        if length < 4 or length % 2 or size < 4:
            raise FlatProblem(f"the table at {at} has no list of fields")
        self.take(at, size)
        raw = self.take(fields + 4, length - 4)
        places = struct.unpack(f"<{len(raw) // 2}H", raw)
        if any(place and (place < 4 or place >= size) for place in places):
            raise FlatProblem(f"a field of the table at {at} lies outside of it")
        return FlatTable(self, at, places)


@dataclass(frozen=True, slots=True)
class FlatTable:
    """A table at `at`; `places` are its fields' offsets in it, 0 for those that are absent."""

    buffer: FlatBuffer
    at: int
    places: tuple[int, ...]

    def place(self, field: int) -> int:
        """Where the field is in the artifact; 0 when it is absent."""
        offset = self.places[field] if field < len(self.places) else 0
        return self.at + offset if offset else 0

    def number(self, field: int, code: str, default: int = 0) -> int:
        """An integer field."""
        place = self.place(field)
        return self.buffer.number(place, code) if place else default

    def follow(self, field: int) -> int:
        """Where a field that is a distance leads; 0 when it is absent."""
        place = self.place(field)
        return place + self.buffer.number(place, "I") if place else 0

    def table(self, field: int) -> FlatTable | None:
        """A field that is a table."""
        place = self.follow(field)
        return self.buffer.table(place) if place else None

    def span(self, field: int, width: int = 1) -> tuple[int, int]:
        """Where the elements of a vector of `width` bytes each begin, and how many there are."""
        place = self.follow(field)
        if not place:
            return 0, 0
        count = self.buffer.number(place, "I")
        if place + 4 + count * width > self.buffer.end:
            raise FlatProblem(f"the vector of {count} elements at {place} leads out of the buffer")
        return place + 4, count

    def text(self, field: int) -> str:
        """A field that is a string; "" when it is absent."""
        start, count = self.span(field)
        if count > MAX_TEXT_BYTES:
            raise LimitExceeded(f"a string of {count} bytes is longer than is read")
        return self.buffer.take(start, count).decode("utf-8", "backslashreplace") if count else ""

    def texts(self, field: int) -> list[str]:
        """A field that is a vector of strings."""
        return [_text_at(self.buffer, place) for place in self._places(field)]

    def tables(self, field: int) -> list[FlatTable]:
        """A field that is a vector of tables."""
        return [self.buffer.table(place) for place in self._places(field)]

    def _places(self, field: int) -> list[int]:
        start, count = self.span(field, 4)
        places = range(start, start + 4 * count, 4)
        return [place + self.buffer.number(place, "I") for place in places]


def _text_at(buffer: FlatBuffer, place: int) -> str:
    length = buffer.number(place, "I")
    if length > MAX_TEXT_BYTES:
        raise LimitExceeded(f"a string of {length} bytes is longer than is read")
    return buffer.take(place + 4, length).decode("utf-8", "backslashreplace")
