"""Walks a SQLite database page by page: b-trees, overflow chains, the free list; and gives the rows that it holds.

Written after the project's "Database File Format". Nothing is executed and no SQL is parsed. Every page must belong to
exactly one thing: `pages_of_nobody` counts those that belong to nothing.

Limits: `MAX_BYTES` of a file, `MAX_PAYLOAD_BYTES` of a row; trees of at most `MAX_DEPTH` levels. Memory is bounded by
`_BLOCKS` blocks of the file and one row.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator
from dataclasses import field
from typing import Final

from weighbridge.core.dataclass import dataclass
from weighbridge.core.errors import LimitExceeded, Malformed
from weighbridge.core.ports import RangeReader
from weighbridge.formats.bounded import read_exactly

MAX_BYTES: Final = 256 * 1024 * 1024
MAX_PAYLOAD_BYTES: Final = 64 * 1024 * 1024
MAX_DEPTH: Final = 40
MAX_COLUMNS: Final = 32_767
_BLOCK_BYTES: Final = 1024 * 1024
_BLOCKS: Final = 24
_MAX_READ_FACTOR: Final = 4
"""A tree whose pages lie all over a large file may make the same blocks be read again, but not for ever."""

_INDEX_INNER, _TABLE_INNER, _INDEX_LEAF, _TABLE_LEAF = 2, 5, 10, 13
_LOCK_BYTE: Final = 0x40000000
_ENCODINGS: Final = {0: "utf-8", 1: "utf-8", 2: "utf-16-le", 3: "utf-16-be"}


@dataclass(frozen=True, slots=True)
class Field:
    """One text or blob of a row. `offset` is its place in the file, or -1 where it lies on several pages."""

    value: str | bytes
    offset: int
    size_bytes: int


@dataclass(frozen=True, slots=True)
class Row:
    """One record of a table or an index: texts and blobs as `Field`, numbers as they are."""

    page: int
    values: tuple[Field | int | float | None, ...]


@dataclass(frozen=True, slots=True)
class Header:
    """What the first hundred bytes say."""

    page_bytes: int
    usable_bytes: int
    pages: int
    encoding: str
    written_ahead: bool
    """Whether newer pages may lie in a file beside this one."""
    free_trunk: int
    free_pages: int
    compacting: bool
    """Whether pages of back pointers stand between the others."""


@dataclass(slots=True)
class _Tree:
    kind: int
    start: int
    cells: list[int] = field(default_factory=list)
    right: int = 0


class Database:
    """One database file.

    Raises, in whatever it does:
        Malformed: it breaks the format; LimitExceeded: it is larger than is read.
        Truncated: the reader returned less than the artifact's size promises.
    """

    def __init__(self, reader: RangeReader) -> None:
        if reader.size_bytes > MAX_BYTES:
            raise LimitExceeded(f"the database has {reader.size_bytes} bytes, more than {MAX_BYTES}")
        self._reader = reader
        self._blocks: OrderedDict[int, bytes] = OrderedDict()
        self._left = max(reader.size_bytes, _BLOCK_BYTES) * _MAX_READ_FACTOR
        self.header = self._header()
        self._owned = bytearray(self.header.pages + 1)
        self._own_fixed()

    # --- pages --------------------------------------------------------------------------------------------------

    def _at(self, offset: int, length: int) -> bytes:
        number, within = divmod(offset, _BLOCK_BYTES)
        block = self._blocks.get(number)
        if block is None:
            start = number * _BLOCK_BYTES
            wanted = min(_BLOCK_BYTES, self._reader.size_bytes - start)
            if wanted <= 0:
                raise Malformed("a page lies beyond the end")
            self._left -= wanted
            if self._left < 0:
                raise LimitExceeded("its pages lie so that it would be read again and again")
            block = self._blocks[number] = read_exactly(self._reader, start, wanted)
            if len(self._blocks) > _BLOCKS:
                self._blocks.popitem(last=False)
        else:
            self._blocks.move_to_end(number)
        # Pages are of 512 to 65,536 bytes, in powers of two: none is in two blocks.
        return block[within : within + length]

    def _page(self, number: int) -> bytes:
        return self._at((number - 1) * self.header.page_bytes, self.header.page_bytes)

    def _own(self, number: int, what: str) -> None:
        if not 1 <= number <= self.header.pages:
            raise Malformed(f"{what} is page {number} of {self.header.pages}")
        if self._owned[number]:
            raise Malformed(f"page {number} belongs to two things, one of them {what}")
        self._owned[number] = 1

    def _own_fixed(self) -> None:
        """Pages that belong to no tree: back pointers, and the one with the byte that locks are put on."""
        lock = _LOCK_BYTE // self.header.page_bytes + 1
        if lock <= self.header.pages:
            self._owned[lock] = 1
        if self.header.compacting:
            step = self.header.usable_bytes // 5 + 1
            for number in range(2, self.header.pages + 1, step):
                self._owned[number + (number == lock)] = 1

    @property
    def pages_of_nobody(self) -> int:
        """How many pages nothing that was walked so far owns."""
        return self._owned[1:].count(0)

    def _header(self) -> Header:
        head = read_exactly(self._reader, 0, min(100, self._reader.size_bytes))
        if len(head) < 100 or not head.startswith(b"SQLite format 3\x00"):
            raise Malformed("the header is cut")
        page = int.from_bytes(head[16:18], "big")
        page = 65_536 if page == 1 else page
        usable = page - head[20]
        if page < 512 or page & (page - 1) or usable < 480 or head[21:24] != b"\x40\x20\x20":
            raise Malformed("the header's sizes are none that SQLite has")
        if head[18] not in (1, 2) or head[19] not in (1, 2):
            raise Malformed("it is of a version that is not known")
        pages, held = _number(head, 28), self._reader.size_bytes // page
        if not pages or head[24:28] != head[92:96]:
            # As written before 2010, which did not keep the number.
            pages = held
        if not 1 <= pages <= held:
            raise Malformed(f"the header says {pages} pages, and there are {held}")
        if _number(head, 44) > 4 or _number(head, 56) not in _ENCODINGS or any(head[72:92]):
            raise Malformed("the header has values that are not known")
        return Header(
            page,
            usable,
            pages,
            _ENCODINGS[_number(head, 56)],
            head[19] == 2,
            _number(head, 32),
            _number(head, 36),
            _number(head, 52) > 0,
        )

    # --- free pages ---------------------------------------------------------------------------------------------

    def follow_free_pages(self) -> None:
        """Walks the list of pages that are not in use."""
        trunk, counted = self.header.free_trunk, 0
        while trunk:
            self._own(trunk, "a page of the free list")
            data = self._page(trunk)
            trunk, count = _number(data, 0), _number(data, 4)
            if count > self.header.usable_bytes // 4 - 2:
                raise Malformed(f"a page of the free list names {count} pages")
            for at in range(8, 8 + 4 * count, 4):
                self._own(_number(data, at), "a free page")
            counted += 1 + count
        if counted != self.header.free_pages:
            raise Malformed(f"the free list has {counted} pages, and the header says {self.header.free_pages}")

    # --- trees --------------------------------------------------------------------------------------------------

    def rows(self, root: int) -> Iterator[Row]:
        """The records of the tree whose root is that page."""
        todo = [(root, 0, 0)]
        while todo:
            number, deep, sort = todo.pop()
            if deep > MAX_DEPTH:
                raise Malformed(f"a tree is deeper than {MAX_DEPTH} levels")
            self._own(number, "a page of a tree")
            data = self._page(number)
            tree = self._tree(number, data)
            # Pages of tables and of indexes are not mixed.
            if sort not in (0, tree.kind % 8):
                raise Malformed(f"page {number} is of another sort than the tree")
            inner = tree.kind in (_INDEX_INNER, _TABLE_INNER)
            if inner:
                children = [_number(data, at) for at in tree.cells]
                todo.extend((child, deep + 1, tree.kind % 8) for child in (tree.right, *reversed(children)))
            if tree.kind != _TABLE_INNER:
                for at in tree.cells:
                    yield self._row(number, data, at + 4 * inner, table=tree.kind == _TABLE_LEAF)

    def _tree(self, number: int, data: bytes) -> _Tree:
        start = 100 if number == 1 else 0
        kind, count = data[start], int.from_bytes(data[start + 3 : start + 5], "big")
        if kind not in (_INDEX_INNER, _TABLE_INNER, _INDEX_LEAF, _TABLE_LEAF):
            raise Malformed(f"page {number} is no page of a tree")
        inner = kind in (_INDEX_INNER, _TABLE_INNER)
        first = start + (12 if inner else 8)
        limit = first + 2 * count
        if limit > self.header.usable_bytes:
            raise Malformed(f"page {number} has {count} cells")
        cells = [int.from_bytes(data[at : at + 2], "big") for at in range(first, limit, 2)]
        if any(not limit <= at <= self.header.usable_bytes - 4 for at in cells) or len(set(cells)) != len(cells):
            raise Malformed(f"page {number} has a cell outside of it, or the same one twice")
        return _Tree(kind, start, cells, _number(data, start + 8) if inner else 0)

    def _row(self, number: int, data: bytes, at: int, *, table: bool) -> Row:
        usable = self.header.usable_bytes
        size, at = _varint(data, at)
        if table:
            _, at = _varint(data, at)
        if size > MAX_PAYLOAD_BYTES:
            raise LimitExceeded(f"a row of {size} bytes is more than is read")
        local = _local_bytes(size, usable, table=table)
        if at + local + 4 * (local < size) > usable:
            raise Malformed(f"a row of page {number} reaches beyond its page")
        if local == size:
            return Row(number, self._values(data[at : at + size], (number - 1) * self.header.page_bytes + at, size))
        payload = bytearray(data[at : at + local])
        following = _number(data, at + local)
        while len(payload) < size:
            self._own(following, "a page that a row goes on in")
            more = self._page(following)
            following = _number(more, 0)
            payload += more[4 : 4 + min(usable - 4, size - len(payload))]
        if following:
            raise Malformed("the pages that a row goes on in are more than it needs")
        return Row(number, self._values(bytes(payload), (number - 1) * self.header.page_bytes + at, local))

    def _values(self, payload: bytes, origin: int, local: int) -> tuple[Field | int | float | None, ...]:
        end, at = _varint(payload, 0)
        if not at <= end <= len(payload):
            raise Malformed("a record's header is longer than the record")
        found: list[Field | int | float | None] = []
        place = end
        while at < end:
            sort, at = _varint(payload, at)
            length = _length(sort)
            if at > end or place + length > len(payload) or len(found) > MAX_COLUMNS:
                raise Malformed("a record's values are longer than the record")
            raw = payload[place : place + length]
            if sort >= 12:
                value = raw if sort % 2 == 0 else raw.decode(self.header.encoding, "replace")
                found.append(Field(value, origin + place if place + length <= local else -1, length))
            else:
                found.append(None if sort in (0, 7) else sort - 8 if sort in (8, 9) else int.from_bytes(raw, "big", signed=True))  # fmt: skip
            place += length
        return tuple(found)


def _local_bytes(size: int, usable: int, *, table: bool) -> int:
    """How many bytes of a payload lie in its cell; the others are in overflow pages."""
    most = usable - 35 if table else (usable - 12) * 64 // 255 - 23
    if size <= most:
        return size
    least = (usable - 12) * 32 // 255 - 23
    fitting = least + (size - least) % (usable - 4)
    return fitting if fitting <= most else least


def _length(sort: int) -> int:
    if sort >= 12:
        return (sort - 12) // 2
    if sort in (10, 11):
        raise Malformed("a value is of a reserved sort")
    return (0, 1, 2, 3, 4, 6, 8, 8, 0, 0)[sort]


def _varint(data: bytes, at: int) -> tuple[int, int]:
    """A number of one to nine bytes, and the place behind it."""
    value = 0
    for count in range(9):
        if at >= len(data):
            raise Malformed("a number is cut")
        byte = data[at]
        at += 1
        if count == 8:
            return value << 8 | byte, at
        value = value << 7 | byte & 0x7F
        if byte < 0x80:
            break
    return value, at


def _number(data: bytes, at: int) -> int:
    return int.from_bytes(data[at : at + 4], "big")
