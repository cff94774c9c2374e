"""HDF5's indexes and heaps: B-trees, symbol nodes, local, global and fractal heaps.

Every structure that is read is accounted for in `Bytes`. Source: HDF5 File Format Specification 3.0, III.
Limits: B-trees of version 2 deeper than `MAX_V2_DEPTH`, filtered and huge objects of fractal heaps are not read.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from weighbridge.core.dataclass import dataclass
from weighbridge.formats.hdf5_bytes import UNDEFINED, Bytes, Hdf5Limit, Hdf5Problem
from weighbridge.formats.hdf5_types import Link

MAX_LEVELS: Final = 16
MAX_V2_DEPTH: Final = 1
MAX_NODES: Final = 2_000_000
MAX_HEAP_BYTES: Final = 256 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Chunk:
    """A chunk of a dataset as it is stored."""

    address: int
    size: int


def tree(file: Bytes, address: int, node_type: int, key_bytes: int, k: int) -> Iterator[tuple[bytes, int]]:
    """The leaves of a version 1 B-tree: the key before each child, and the child's address.

    Raises:
        Hdf5Problem: it is none, or runs in circles; Hdf5Limit: it is larger than is read.
    """
    waiting, seen = [(address, MAX_LEVELS)], set[int]()
    while waiting:
        here, levels = waiting.pop()
        if here in seen:
            raise Hdf5Problem("a B-tree that runs in circles", here + file.base)
        seen.add(here)
        if len(seen) > MAX_NODES:
            raise Hdf5Limit("a B-tree of more nodes than are read")
        head = file.at(here, 24)
        level, used = head[5], int.from_bytes(head[6:8], "little")
        if head[:4] != b"TREE" or head[4] != node_type or level > levels or used > 2 * k:
            raise Hdf5Problem("no node of this B-tree", here + file.base)
        file.structure(here, 24 + 2 * k * 8 + (2 * k + 1) * key_bytes)
        body = file.at(here + 24, used * (key_bytes + 8))
        step = key_bytes + 8
        children = []
        for i in range(used):
            key, child = body[i * step : i * step + key_bytes], body[i * step + key_bytes : (i + 1) * step]
            where = int.from_bytes(child, "little")
            if level:
                children.append((where, level - 1))
            else:
                yield key, where
        waiting += reversed(children)


def chunks(file: Bytes, address: int, rank: int, k: int) -> Iterator[Chunk]:
    """The chunks of a dataset under a version 1 B-tree; raises as `tree`."""
    for key, child in tree(file, address, 1, 8 + 8 * rank, k):
        yield Chunk(child, int.from_bytes(key[:4], "little"))


def local_heap(file: Bytes, address: int) -> tuple[int, int]:
    """Where a local heap's data lies and how long it is.

    Raises:
        Hdf5Problem: there is none.
    """
    head = file.at(address, 32)
    if head[:4] != b"HEAP":
        raise Hdf5Problem("no local heap", address + file.base)
    size, place = int.from_bytes(head[8:16], "little"), int.from_bytes(head[24:32], "little")
    file.structure(address, 32)
    if size:
        file.structure(place, size)
    return place, size


def symbols(file: Bytes, address: int, heap: tuple[int, int], leaf_k: int) -> Iterator[Link]:
    """The links of one symbol table node.

    Raises:
        Hdf5Problem: it is none.
    """
    head = file.at(address, 8)
    count = int.from_bytes(head[6:8], "little")
    if head[:4] != b"SNOD" or count > 2 * leaf_k:
        raise Hdf5Problem("no symbol table node", address + file.base)
    file.structure(address, 8 + 2 * leaf_k * 40)
    body = file.at(address + 8, count * 40)
    for i in range(count):
        entry = body[i * 40 : i * 40 + 40]
        name = heap_text(file, heap, int.from_bytes(entry[:8], "little"))
        if int.from_bytes(entry[16:20], "little") == 2:
            yield Link(name, "soft", target=heap_text(file, heap, int.from_bytes(entry[24:28], "little")))
        else:
            yield Link(name, "hard", int.from_bytes(entry[8:16], "little"))


def heap_text(file: Bytes, heap: tuple[int, int], offset: int) -> str:
    """A text in a local heap. Raises Hdf5Problem when it lies outside."""
    place, size = heap
    if offset >= size:
        raise Hdf5Problem("a name outside its heap", place + file.base)
    data = file.at(place + offset, min(4096, size - offset))
    return data.split(b"\0")[0].decode("utf-8", "backslashreplace")


def collection(file: Bytes, address: int) -> dict[int, tuple[int, int]]:
    """The objects of a global heap collection: index to address and length.

    Raises:
        Hdf5Problem: there is none.
    """
    head = file.at(address, 16)
    size = int.from_bytes(head[8:16], "little")
    if head[:4] != b"GCOL" or size < 16:
        raise Hdf5Problem("no global heap collection", address + file.base)
    if size > MAX_HEAP_BYTES:
        raise Hdf5Limit(f"a heap of {size} bytes")
    file.structure(address, size)
    found, at, end = {}, address + 16, address + size
    while at + 16 <= end:
        entry = file.at(at, 16)
        index, length = int.from_bytes(entry[:2], "little"), int.from_bytes(entry[8:16], "little")
        if index == 0:
            break
        if length > end - at - 16:
            raise Hdf5Problem("an object that reaches beyond its heap", at + file.base)
        found[index] = (at + 16, length)
        at += 16 + ((length + 7) & ~7)
    return found


class FractalHeap:
    """A fractal heap: bytes by heap id.

    Raises:
        Hdf5Problem: there is none; Hdf5Limit: it is of a kind that is not read.
    """

    def __init__(self, file: Bytes, address: int) -> None:
        head = file.at(address, 142)
        if head[:4] != b"FRHP":
            raise Hdf5Problem("no fractal heap", address + file.base)
        if int.from_bytes(head[7:9], "little"):
            raise Hdf5Limit("a fractal heap with filters")
        self._file = file

        def number(at: int, length: int) -> int:
            return int.from_bytes(head[at : at + length], "little")

        self._width, self._start, self._largest = number(110, 2), number(112, 8), number(120, 8)
        self._offset_bytes = (number(128, 2) + 7) // 8
        self._length_bytes = (min(number(10, 4), self._largest).bit_length() + 7) // 8
        self._rows = number(140, 2)
        file.structure(address, 146)
        if not (0 < self._width <= 1024 and self._start and self._largest >= self._start) or self._offset_bytes > 8:
            raise Hdf5Problem("a fractal heap of no shape", address + file.base)
        self._blocks: list[tuple[int, int, int]] = []
        root = number(132, 8)
        manager = number(38, 8)
        if manager != UNDEFINED:
            self._free_space(manager)
        if root != UNDEFINED:
            if self._rows:
                self._indirect(root, self._rows, 0, 0)
            else:
                self._direct(root, self._start, 0)

    def _free_space(self, address: int) -> None:
        head = self._file.at(address, 82)
        if head[:4] != b"FSHD":
            raise Hdf5Problem("no free-space manager", address + self._file.base)
        self._file.structure(address, 82)
        sections, used = int.from_bytes(head[54:62], "little"), int.from_bytes(head[70:78], "little")
        if sections != UNDEFINED and used:
            self._file.structure(sections, used)

    def _direct(self, address: int, size: int, offset: int) -> None:
        if self._file.at(address, 4) != b"FHDB":
            raise Hdf5Problem("no direct block", address + self._file.base)
        self._file.structure(address, size)
        self._blocks.append((offset, size, address))

    def _indirect(self, address: int, rows: int, offset: int, depth: int) -> None:
        if depth > 4 or rows > 64:
            raise Hdf5Limit("a fractal heap deeper than is read")
        if self._file.at(address, 4) != b"FHIB":
            raise Hdf5Problem("no indirect block", address + self._file.base)
        direct_rows = (self._largest // self._start).bit_length() + 1
        at = address + 13 + self._offset_bytes
        self._file.structure(address, 13 + self._offset_bytes + rows * self._width * 8 + 4)
        for row in range(rows):
            size = self._start << max(0, row - 1)
            for _ in range(self._width):
                child = self._file.number(at, 8)
                at += 8
                if child != UNDEFINED:
                    if row < direct_rows:
                        self._direct(child, size, offset)
                    else:
                        inner = (size // (self._start * self._width)).bit_length()
                        self._indirect(child, inner, offset, depth + 1)
                offset += size

    def get(self, heap_id: bytes) -> bytes:
        """The object of an id. Raises as the class."""
        sort = heap_id[0] >> 4 & 3
        if sort == 2:
            return heap_id[1 : 2 + (heap_id[0] & 15)]
        if sort:
            raise Hdf5Limit("a huge object in a fractal heap")
        offset = int.from_bytes(heap_id[1 : 1 + self._offset_bytes], "little")
        length = int.from_bytes(heap_id[1 + self._offset_bytes :][: self._length_bytes], "little")
        for start, size, address in self._blocks:
            if start <= offset and offset + length <= start + size:
                return self._file.at(address + offset - start, length)
        raise Hdf5Problem("an object outside its fractal heap", self._file.base)


def records(file: Bytes, address: int) -> Iterator[bytes]:
    """The records of a version 2 B-tree.

    Raises:
        Hdf5Problem: there is none; Hdf5Limit: it is deeper than is read.
    """
    head = file.at(address, 38)
    if head[:4] != b"BTHD":
        raise Hdf5Problem("no version 2 B-tree", address + file.base)
    file.structure(address, 38)
    node, size, depth = (int.from_bytes(head[a:b], "little") for a, b in ((6, 10), (10, 12), (12, 14)))
    root, count = int.from_bytes(head[16:24], "little"), int.from_bytes(head[24:26], "little")
    if root == UNDEFINED:
        return
    if depth > MAX_V2_DEPTH:
        raise Hdf5Limit("a version 2 B-tree deeper than is read")
    if not 0 < size <= 256 or not 32 <= node <= 1 << 20:
        raise Hdf5Problem("a version 2 B-tree of no shape", address + file.base)
    if depth == 0:
        yield from _leaf(file, root, count, size, node)
        return
    if file.at(root, 4) != b"BTIN" or 6 + count * size > node:
        raise Hdf5Problem("no node of this B-tree", root + file.base)
    file.structure(root, node)
    body = file.at(root, node)
    yield from (body[6 + i * size : 6 + (i + 1) * size] for i in range(count))
    count_bytes = (((node - 10) // size).bit_length() + 7) // 8
    at = 6 + count * size
    for _ in range(count + 1):
        child, inner = body[at : at + 8], body[at + 8 : at + 8 + count_bytes]
        at += 8 + count_bytes
        yield from _leaf(file, int.from_bytes(child, "little"), int.from_bytes(inner, "little"), size, node)


def _leaf(file: Bytes, address: int, count: int, size: int, node: int) -> Iterator[bytes]:
    if file.at(address, 4) != b"BTLF" or 6 + count * size > node:
        raise Hdf5Problem("no leaf of this B-tree", address + file.base)
    file.structure(address, node)
    body = file.at(address + 6, count * size)
    yield from (body[i * size : (i + 1) * size] for i in range(count))
