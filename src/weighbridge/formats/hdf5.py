"""Walks an HDF5 file: groups, datasets, attributes, and which byte belongs to what. Raw data is never read.

Reads superblocks 0 to 3 (behind a user block, too), object headers 1 and 2, groups of both kinds (symbol tables, link
messages, dense links in fractal heaps), attributes of all kinds, contiguous, compact and chunked layouts. Not read,
and said so (`Contents.unread`): chunk indexes of version 4 layouts other than single and implicit, shared message
tables, addresses that are not of 8 bytes.

Source: HDF5 File Format Specification 3.0. Limits: `MAX_OBJECTS`, `MAX_ATTRIBUTES`, `MAX_MESSAGES` of one object.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import field
from typing import Final

from weighbridge.core.dataclass import dataclass
from weighbridge.core.ports import RangeReader
from weighbridge.formats import hdf5_heaps as heaps
from weighbridge.formats import hdf5_types as types
from weighbridge.formats.hdf5_bytes import UNDEFINED, Bytes, Hdf5Limit, Hdf5Problem
from weighbridge.formats.hdf5_types import Attribute, Datatype, Layout, Link

SIGNATURE: Final = b"\x89HDF\r\n\x1a\n"
MAX_OBJECTS: Final = 200_000
MAX_ATTRIBUTES: Final = 500_000
MAX_MESSAGES: Final = 20_000
MAX_BASE: Final = 1 << 24
MAX_GAP_BYTES: Final = 64 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Dataset:
    """A dataset. `start` and `end` are its raw data in the artifact where that is one piece."""

    path: str
    datatype: Datatype | None
    dimensions: tuple[int, ...]
    filters: tuple[int, ...]
    kind: str
    stored_bytes: int
    start: int = 0
    end: int = 0

    @property
    def declared_bytes(self) -> int:
        """What shape and type come to."""
        total = self.datatype.size if self.datatype else 1
        for dimension in self.dimensions:
            total *= dimension
        return total


@dataclass(frozen=True, slots=True)
class Named:
    """An attribute and the object it belongs to."""

    path: str
    attribute: Attribute


@dataclass(slots=True)
class Contents:
    """What a file holds."""

    base: int = 0
    version: int = 0
    end: int = 0
    """Where the file ends, as it says itself: an offset in the artifact."""
    datasets: list[Dataset] = field(default_factory=list)
    attributes: list[Named] = field(default_factory=list)
    links: list[tuple[str, Link]] = field(default_factory=list)
    """Soft, external and user-defined links, by the path of their group."""
    external: list[tuple[str, str]] = field(default_factory=list)
    """External files of datasets."""
    unread: list[str] = field(default_factory=list)
    objects: int = 0
    heap_objects: list[tuple[int, int]] = field(default_factory=list)
    """Objects of global heaps (texts and arrays of variable length): offset in the artifact and length."""
    by_reference: dict[tuple[int, int], tuple[int, int]] = field(default_factory=dict)
    """The same by the address and index that refer to them."""


@dataclass(slots=True)
class _Object:
    """The messages of one object header that matter."""

    datatype: Datatype | None = None
    dimensions: tuple[int, ...] | None = None
    layout: Layout | None = None
    filters: tuple[int, ...] = ()
    table: tuple[int, int] | None = None
    links: list[Link] = field(default_factory=list)
    dense_links: tuple[int, int] | None = None
    dense_attributes: tuple[int, int] | None = None
    external: tuple[int, int, int] | None = None


def find_base(reader: RangeReader, head: bytes) -> int | None:
    """Where the superblock lies: at 0, 512, 1024, 2048 ... up to `MAX_BASE`; None when there is none.

    `head` are the artifact's first bytes; only what lies beyond is read.
    """
    base = 0
    while base <= MAX_BASE and base + 8 <= reader.size_bytes:
        found = head[base : base + 8] if base + 8 <= len(head) else reader.read(base, 8)
        if found == SIGNATURE:
            return base
        base = base * 2 or 512
    return None


def read_contents(reader: RangeReader, base: int) -> tuple[Contents, Bytes]:
    """The file whose superblock lies at `base`, and the account of its bytes.

    Raises:
        Hdf5Problem: its structures do not hold; Hdf5Limit: it is larger or deeper than is read.
        Truncated: the reader returned less than was promised.
    """
    file = Bytes(reader, base)
    walk = _Walk(file)
    walk.run()
    return walk.contents, file


class _Walk:
    """Reads a file from its superblock."""

    def __init__(self, file: Bytes) -> None:
        self.file = file
        self.contents = Contents(base=file.base)
        self._leaf_k, self._group_k, self._chunk_k = 4, 16, 32
        self._seen: set[int] = set()
        self._collections: dict[int, dict[int, tuple[int, int]]] = {}

    def run(self) -> None:
        """Follows every object."""
        waiting = [("/", self._superblock())]
        while waiting:
            path, address = waiting.pop()
            if address in self._seen:
                continue
            self._seen.add(address)
            self.contents.objects += 1
            if self.contents.objects > MAX_OBJECTS:
                raise Hdf5Limit(f"more than {MAX_OBJECTS} objects")
            one = self._header(address, path)
            for link in self._links_of(one):
                inner = f"{path.rstrip('/')}/{link.name:.100}"[-1000:]
                if link.kind == "hard":
                    waiting.append((inner, link.address))
                else:
                    self.contents.links.append((inner, link))
            self._dataset(path, one)
        self._heaps_in_gaps()

    # --- superblock and headers -------------------------------------------------------------------

    def _superblock(self) -> int:
        file, contents = self.file, self.contents
        head = file.at(0, min(96, file.size_bytes))
        if len(head) < 48:
            raise Hdf5Problem("the file ends within its superblock", file.base)
        contents.version = head[8]
        if contents.version in (0, 1):
            sizes, at = head[13:15], 24 if contents.version == 0 else 28
            self._leaf_k, self._group_k = (int.from_bytes(head[a : a + 2], "little") for a in (16, 18))
            if contents.version == 1:
                self._chunk_k = int.from_bytes(head[24:26], "little")
            base, end, driver = (int.from_bytes(head[at + a : at + a + 8], "little") for a in (0, 16, 24))
            root = int.from_bytes(head[at + 40 : at + 48], "little")
            length = at + 32 + 40
        elif contents.version in (2, 3):
            sizes, driver, length = head[9:11], UNDEFINED, 48
            base, extension, end, root = (int.from_bytes(head[a : a + 8], "little") for a in (12, 20, 28, 36))
            if extension != UNDEFINED:
                self._header(extension, "(superblock extension)")
        else:
            raise Hdf5Limit(f"a superblock of version {contents.version}")
        if sizes != b"\x08\x08":
            raise Hdf5Limit("addresses that are not of 8 bytes")
        if driver != UNDEFINED:
            contents.unread.append("a driver information block")
        if base not in (0, file.base):
            raise Hdf5Problem(f"a base address of {base}", file.base)
        # Written by HDF5 1.8 and later, the end of file counts from the file's beginning.
        contents.end = end if base else end + file.base
        file.structure(0, length)
        return root

    def _header(self, address: int, path: str) -> _Object:
        one = _Object()
        if self.file.at(address, 4) == b"OHDR":
            messages = self._new_messages(address)
        else:
            messages = self._old_messages(address)
        for count, (sort, flags, place, length) in enumerate(messages):
            if count >= MAX_MESSAGES:
                raise Hdf5Limit(f"an object with more than {MAX_MESSAGES} messages")
            if flags & 2:
                self._shared(one, sort, place)
            else:
                self._message(one, path, sort, place, length)
        return one

    def _old_messages(self, address: int) -> Iterator[tuple[int, int, int, int]]:
        head = self.file.at(address, 16)
        size = int.from_bytes(head[8:12], "little")
        if head[0] != 1:
            raise Hdf5Problem("no object header", address + self.file.base)
        self.file.structure(address, 16 + size)
        blocks, seen = [(address + 16, size)], {address}
        while blocks:
            at, left = blocks.pop(0)
            while left >= 8:
                message = self.file.at(at, 8)
                sort, length = int.from_bytes(message[:2], "little"), int.from_bytes(message[2:4], "little")
                if length > left - 8:
                    raise Hdf5Problem("a message that reaches beyond its header", at + self.file.base)
                if sort == 16:
                    place, size = self.file.number(at + 8, 8), self.file.number(at + 16, 8)
                    self._once(place, seen)
                    self.file.structure(place, size)
                    blocks.append((place, size))
                else:
                    yield sort, message[4], at + 8, length
                at, left = at + 8 + length, left - 8 - length

    def _new_messages(self, address: int) -> Iterator[tuple[int, int, int, int]]:
        flags = self.file.at(address + 5, 1)[0]
        at = address + 6 + (16 if flags & 32 else 0) + (4 if flags & 16 else 0)
        width = 1 << (flags & 3)
        size = self.file.number(at, width)
        at += width
        self.file.structure(address, at - address + size + 4)
        blocks, seen, head = [(at, size)], {address}, 6 if flags & 4 else 4
        while blocks:
            at, left = blocks.pop(0)
            while left >= head:
                message = self.file.at(at, head)
                sort, length = message[0], int.from_bytes(message[1:3], "little")
                if length > left - head:
                    raise Hdf5Problem("a message that reaches beyond its header", at + self.file.base)
                if sort == 16:
                    place, size = self.file.number(at + head, 8), self.file.number(at + head + 8, 8)
                    self._once(place, seen)
                    if self.file.at(place, 4) != b"OCHK" or size < 8:
                        raise Hdf5Problem("no continuation of an object header", place + self.file.base)
                    self.file.structure(place, size)
                    blocks.append((place + 4, size - 8))
                else:
                    yield sort, message[3], at + head, length
                at, left = at + head + length, left - head - length

    def _once(self, place: int, seen: set[int]) -> None:
        if place in seen:
            raise Hdf5Problem("an object header that runs in circles", place + self.file.base)
        seen.add(place)

    # --- messages ---------------------------------------------------------------------------------

    def _shared(self, one: _Object, sort: int, place: int) -> None:
        """A message kept elsewhere: a committed datatype, whose object is read like any other."""
        version, kind = self.file.at(place, 2)
        at = place + (8 if version == 1 else 2)
        if sort != 3 or kind == 1:
            self.contents.unread.append(f"a shared message of type {sort}")
            return
        address = self.file.number(at, 8)
        if address not in self._seen:
            self._seen.add(address)
            one.datatype = self._header(address, "(committed datatype)").datatype

    def _message(self, one: _Object, path: str, sort: int, place: int, length: int) -> None:
        if sort in (1, 3, 8, 11, 12, 6):
            self._described(one, path, sort, self.file.at(place, length), place)
        elif sort == 17:
            one.table = self.file.number(place, 8), self.file.number(place + 8, 8)
        elif sort == 2:
            at = place + 2 + (8 if self.file.number(place + 1, 1) & 1 else 0)
            one.dense_links = self.file.number(at, 8), self._trees(at + 8, place + length)
        elif sort == 21:
            at = place + 2 + (2 if self.file.number(place + 1, 1) & 1 else 0)
            one.dense_attributes = self.file.number(at, 8), self._trees(at + 8, place + length)
        elif sort == 7:
            slots = self.file.number(place + 6, 2)
            one.external = self.file.number(place + 8, 8), place + 16, slots
        elif sort == 15:
            self.contents.unread.append("a table of shared messages")
        elif sort not in (0, 4, 5, 9, 10, 13, 14, 16, 18, 19, 20, 22, 23, 24):
            self.contents.unread.append(f"a message of type {sort}")

    def _trees(self, at: int, end: int) -> int:
        """The B-tree by name; the one by order of creation, if there is one, is accounted for."""
        by_name = self.file.number(at, 8)
        if at + 16 <= end:
            by_order = self.file.number(at + 8, 8)
            if by_order != UNDEFINED:
                for _ in heaps.records(self.file, by_order):
                    pass
        return by_name

    def _described(self, one: _Object, path: str, sort: int, data: bytes, place: int) -> None:
        if sort == 1:
            one.dimensions = types.dataspace(data)
        elif sort == 3:
            one.datatype = types.datatype(data)[0]
        elif sort == 8:
            one.layout = types.layout(data)
            if one.layout.kind == "compact" and one.layout.address + one.layout.size > len(data):
                raise Hdf5Problem("compact data that reaches beyond its message", place + self.file.base)
        elif sort == 11:
            one.filters = tuple(types.filters(data))
        elif sort == 6:
            one.links.append(types.link(data))
        else:
            self._attribute(path, data)

    def _attribute(self, path: str, data: bytes) -> None:
        if len(self.contents.attributes) >= MAX_ATTRIBUTES:
            raise Hdf5Limit(f"more than {MAX_ATTRIBUTES} attributes")
        self.contents.attributes.append(Named(path, types.attribute(data)))

    # --- groups, datasets, heaps -------------------------------------------------------------------

    def _links_of(self, one: _Object) -> Iterator[Link]:
        yield from one.links
        if one.table:
            heap = heaps.local_heap(self.file, one.table[1])
            for _, node in heaps.tree(self.file, one.table[0], 0, 8, self._group_k):
                yield from heaps.symbols(self.file, node, heap, self._leaf_k)
        if one.dense_links and one.dense_links[0] != UNDEFINED:
            fractal = heaps.FractalHeap(self.file, one.dense_links[0])
            for record in heaps.records(self.file, one.dense_links[1]):
                yield types.link(fractal.get(record[4:11]))

    def _dataset(self, path: str, one: _Object) -> None:
        if one.dense_attributes and one.dense_attributes[0] != UNDEFINED:
            fractal = heaps.FractalHeap(self.file, one.dense_attributes[0])
            for record in heaps.records(self.file, one.dense_attributes[1]):
                self._attribute(path, fractal.get(record[:8]))
        layout = one.layout
        if layout is None:
            return
        start = end = stored = 0
        if one.external:
            self._external(path, one.external)
        elif layout.kind == "compact":
            stored = layout.size
        elif layout.kind == "contiguous" and layout.address != UNDEFINED:
            stored = layout.size
            self.file.raw(layout.address, stored)
            start, end = layout.address + self.file.base, layout.address + stored + self.file.base
        elif layout.kind == "chunked" and layout.address != UNDEFINED:
            stored = self._chunks(layout, one)
        self.contents.datasets.append(
            Dataset(path, one.datatype, one.dimensions or (), one.filters, layout.kind, stored, start, end)
        )

    def _chunks(self, layout: Layout, one: _Object) -> int:
        if layout.index == 0:
            total = 0
            for chunk in heaps.chunks(self.file, layout.address, len(layout.dimensions), self._chunk_k):
                self.file.raw(chunk.address, chunk.size)
                total += chunk.size
            return total
        size = 1
        for dimension in layout.dimensions:
            size *= dimension
        if layout.index == 1:
            self.file.raw(layout.address, layout.size or size)
            return layout.size or size
        self.contents.unread.append(f"a chunk index of type {layout.index}")
        return 0

    def _external(self, path: str, external: tuple[int, int, int]) -> None:
        address, at, slots = external
        heap = heaps.local_heap(self.file, address)
        for slot in range(min(slots, 1000)):
            offset = self.file.number(at + slot * 24, 8)
            self.contents.external.append((path, heaps.heap_text(self.file, heap, offset)))

    def _collect(self, address: int) -> None:
        if address not in self._collections:
            self._collections[address] = heaps.collection(self.file, address)

    def _heaps_in_gaps(self) -> None:
        """Raw data of variable length refers to global heaps, which lie where nothing else does.

        Attributes refer to them by address; the rest is found where a heap's signature lies in a gap.
        """
        for named in self.contents.attributes:
            kind = named.attribute.datatype
            if kind and kind.sort == types.VLEN:
                for i in range(min(named.attribute.count, 10_000)):
                    address = int.from_bytes(named.attribute.data[16 * i + 4 : 16 * i + 12], "little")
                    if address not in (0, UNDEFINED):
                        self._collect(address)
        room = MAX_GAP_BYTES
        for start, end in self.file.gaps():
            room -= end - start
            if room < 0:
                raise Hdf5Limit(f"more than {MAX_GAP_BYTES} bytes that belong to nothing")
            self._heaps_in_gap(start, end)
        base = self.file.base
        for address, objects in self._collections.items():
            for index, (place, length) in objects.items():
                self.contents.heap_objects.append((place + base, length))
                self.contents.by_reference[address, index] = place + base, length

    def _heaps_in_gap(self, start: int, end: int) -> None:
        held = self.file.at(start, end - start)
        at = held.find(b"GCOL\x01\0\0\0")
        while at >= 0:
            size = int.from_bytes(held[at + 8 : at + 16], "little")
            if start + at not in self._collections and 4096 <= size <= len(held) - at:
                self._collect(start + at)
                at += size - 4
            at = held.find(b"GCOL\x01\0\0\0", at + 4)
