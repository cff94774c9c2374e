"""Reads the header of a classic NetCDF file (versions 1, 2 and 5), and where its variables lie.

A header of dimensions, attributes and variables; then each variable's values at the place that the header says, those of
records interleaved. Nothing in the format leads out of the file or names code. Every count is held against the bytes that
are left before anything is read. Source: the NetCDF classic format specification (Unidata).
"""

from __future__ import annotations

from typing import Final

from weighbridge.core.dataclass import dataclass
from weighbridge.core.errors import LimitExceeded, Malformed
from weighbridge.core.ports import RangeReader
from weighbridge.formats.bounded import read_exactly

MAX_HEADER_BYTES: Final = 4 * 1024 * 1024
MAX_ITEMS: Final = 100_000
_DIMENSIONS, _VARIABLES, _ATTRIBUTES = 10, 11, 12
_BYTES: Final = (0, 1, 1, 2, 4, 4, 8, 1, 2, 4, 8, 8)
"""Of one value, by the number of its type."""


@dataclass(frozen=True, slots=True)
class Variable:
    """A variable: where it begins, the bytes of its values (of one record), and whether it has one for each record."""

    begin: int
    length: int
    is_record: bool


@dataclass(frozen=True, slots=True)
class Header:
    """The end of the header, the variables, and the records; None when a writer was still adding them."""

    end: int
    variables: tuple[Variable, ...]
    records: int | None

    def spans(self, size: int) -> list[tuple[int, int]]:
        """Where values lie in a file of `size` bytes.

        Raises:
            Malformed: some lie beyond the file, or in its header.
        """
        spans = [(one.begin, one.begin + one.length) for one in self.variables if not one.is_record]
        kept = [one for one in self.variables if one.is_record]
        if kept:
            start = min(one.begin for one in kept)
            width = kept[0].length if len(kept) == 1 else sum(-(-one.length // 4) * 4 for one in kept)
            if any(one.begin + one.length > start + width for one in kept):
                raise Malformed("a variable lies outside of its record")
            spans.append((start, size if self.records is None else start + width * self.records))
        if any(start < self.end or not start <= end <= size for start, end in spans):
            raise Malformed("a variable lies outside of the data")
        return sorted(spans)


class _Words:
    """The header's big-endian numbers, one behind the other. Counts have four bytes, or eight in version 5."""

    def __init__(self, data: bytes) -> None:
        self._data, self._at = data, 4
        self._count, self._place = {1: (4, 4), 2: (4, 8), 5: (8, 8)}[data[3]]
        self._items = 0

    @property
    def at(self) -> int:
        """Where the next number is."""
        return self._at

    def number(self, width: int = 4) -> int:
        """The next number of so many bytes."""
        return int.from_bytes(self.take(width), "big")

    def count(self) -> int:
        """The next count."""
        return self.number(self._count)

    def place(self) -> int:
        """The next place in the file."""
        return self.number(self._place)

    def take(self, length: int) -> bytes:
        """The next bytes."""
        if length > len(self._data) - self._at:
            if len(self._data) == MAX_HEADER_BYTES:
                raise LimitExceeded("the header is longer than is read")
            raise Malformed("the header is longer than the file")
        self._at += length
        return self._data[self._at - length : self._at]

    def padded(self, length: int) -> bytes:
        """The next bytes, and the padding to a multiple of four behind them."""
        return self.take(length + -length % 4)

    def listed(self, tag: int) -> int:
        """How many items the list has that begins here."""
        found, count = self.number(), self.count()
        self._items += count
        if found != (tag if count else found) or found not in (0, tag) or self._items > MAX_ITEMS:
            raise Malformed(f"there is no list at {self._at}")
        return count


def read_header(reader: RangeReader) -> Header:
    """The header of a file that begins as such files do.

    Raises:
        Malformed: it breaks the format; LimitExceeded: it is longer, or holds more, than is read.
        Truncated: the reader returned less than was promised.
    """
    words = _Words(read_exactly(reader, 0, min(reader.size_bytes, MAX_HEADER_BYTES)))
    records = words.count()
    streaming = records in (0xFFFFFFFF, 0xFFFFFFFFFFFFFFFF)
    sizes = []
    for _ in range(words.listed(_DIMENSIONS)):
        words.padded(words.count())
        sizes.append(words.count())
    _attributes(words)
    variables = tuple(_variable(words, sizes) for _ in range(words.listed(_VARIABLES)))
    return Header(words.at, variables, None if streaming else records)


def _attributes(words: _Words) -> None:
    for _ in range(words.listed(_ATTRIBUTES)):
        words.padded(words.count())
        width = _width(words)
        words.padded(words.count() * width)


def _width(words: _Words) -> int:
    kind = words.number()
    if not 0 < kind < len(_BYTES):
        raise Malformed(f"there is no type {kind}")
    return _BYTES[kind]


def _variable(words: _Words, sizes: list[int]) -> Variable:
    words.padded(words.count())
    count = words.count()
    if count > 1024:
        raise Malformed(f"a variable has {count} dimensions")
    shape = []
    for _ in range(count):
        number = words.count()
        if number >= len(sizes):
            raise Malformed(f"there is no dimension {number}")
        shape.append(sizes[number])
    _attributes(words)
    length = _width(words)
    is_record = bool(shape) and shape[0] == 0
    for size in shape[is_record:]:
        length *= size
    words.count()
    return Variable(words.place(), length, is_record)
