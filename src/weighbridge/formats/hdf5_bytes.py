"""Ranged reads of an HDF5 file through pages, with an account of which bytes belong to what.

Metadata lies scattered between the data, and is small: pages of `PAGE_BYTES` are read and the last `MAX_PAGES` kept.
Addresses are relative to the superblock's base address; this class alone adds it.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import Final

from weighbridge.core.errors import LimitExceeded, Malformed
from weighbridge.core.ports import RangeReader
from weighbridge.formats.bounded import read_exactly

PAGE_BYTES: Final = 64 * 1024
MAX_PAGES: Final = 64
MAX_SPANS: Final = 4_000_000
UNDEFINED: Final = 0xFFFFFFFFFFFFFFFF


class Hdf5Problem(Malformed):
    """The structures do not hold. `offset` is where in the artifact."""

    def __init__(self, message: str, offset: int) -> None:
        super().__init__(f"{message} at offset {offset}")
        self.offset = offset


class Hdf5Limit(LimitExceeded):
    """A structure that is larger, deeper or of another kind than is read; it may be well-formed."""


class Bytes:
    """The artifact behind pages. `base` is where its HDF5 content begins."""

    def __init__(self, reader: RangeReader, base: int = 0) -> None:
        self.reader = reader
        self.base = base
        self.size_bytes = reader.size_bytes - base
        self._pages: OrderedDict[int, bytes] = OrderedDict()
        self.metadata: dict[int, int] = {}
        """Structures: address to length."""
        self.data: list[tuple[int, int]] = []
        """Raw data of datasets: address and end."""

    def at(self, address: int, length: int) -> bytes:
        """Exactly `length` bytes from `address`.

        Raises:
            Hdf5Problem: they lie beyond the end.
            Truncated: the reader returned less than was promised.
        """
        if address < 0 or length < 0 or address + length > self.size_bytes:
            raise Hdf5Problem(f"{length} bytes that lie beyond the end", address + self.base)
        if length > PAGE_BYTES:
            return self._read(address, length)
        first, last = address // PAGE_BYTES, (address + max(length, 1) - 1) // PAGE_BYTES
        held = b"".join(self._page(number) for number in range(first, last + 1))
        place = address - first * PAGE_BYTES
        return held[place : place + length]

    def _page(self, number: int) -> bytes:
        held = self._pages.get(number)
        if held is None:
            start = number * PAGE_BYTES
            held = self._read(start, min(PAGE_BYTES, self.size_bytes - start))
            self._pages[number] = held
            if len(self._pages) > MAX_PAGES:
                self._pages.popitem(last=False)
        else:
            self._pages.move_to_end(number)
        return held

    def _read(self, address: int, length: int) -> bytes:
        return read_exactly(self.reader, address + self.base, length)

    def number(self, address: int, length: int) -> int:
        """An unsigned little-endian number; raises as `at`."""
        return int.from_bytes(self.at(address, length), "little")

    def structure(self, address: int, length: int) -> None:
        """Says that a structure lies there. Raises Hdf5Problem when it reaches beyond the end."""
        if address < 0 or address + length > self.size_bytes:
            raise Hdf5Problem(f"a structure of {length} bytes reaches beyond the end", address + self.base)
        if len(self.metadata) >= MAX_SPANS:
            raise Hdf5Limit("the file has more structures than are read")
        self.metadata[address] = max(length, self.metadata.get(address, 0))

    def raw(self, address: int, length: int) -> None:
        """Says that a dataset's raw data lies there. Raises Hdf5Problem when it reaches beyond the end."""
        if address < 0 or length < 0 or address + length > self.size_bytes:
            raise Hdf5Problem(f"raw data of {length} bytes reaches beyond the end", address + self.base)
        if len(self.data) >= MAX_SPANS:
            raise Hdf5Limit("the file has more chunks than are read")
        if length:
            self.data.append((address, address + length))

    def gaps(self) -> list[tuple[int, int]]:
        """The bytes that belong to nothing."""
        spans = sorted([(start, start + length) for start, length in self.metadata.items()] + self.data)
        found, position = [], 0
        for start, end in spans:
            if start > position:
                found.append((position, start))
            position = max(position, end)
        if position < self.size_bytes:
            found.append((position, self.size_bytes))
        return found

    def overlaps(self) -> list[tuple[int, int]]:
        """Raw data that lies on other raw data, or on a structure: address and end of the later of the two."""
        spans = sorted(
            [(start, start + length, 0) for start, length in self.metadata.items()] + [(*s, 1) for s in self.data]
        )
        found, end, was_data = [], 0, 0
        for start, stop, is_data in spans:
            if start < end and (is_data or was_data):
                found.append((start, stop))
            if stop > end:
                end, was_data = stop, is_data
        return found
