"""MessagePack, one value after the other, from ranged reads: nothing is built, nothing is skipped unseen.

The format (https://github.com/msgpack/msgpack/blob/master/spec.md). Every length is compared with the bytes that are
left before anything is read, containers are kept on a stack of at most `MAX_DEPTH`, and what is large (extensions,
binary) is handed over as a place in the file. `walk` yields events; a map's keys come as events too.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Mapping
from typing import Final, Literal

from weighbridge.core.dataclass import dataclass
from weighbridge.core.errors import FormatError, LimitExceeded, Malformed, Truncated
from weighbridge.core.ports import RangeReader

MAX_DEPTH: Final = 64
MAX_VALUES: Final = 250_000
MAX_TEXT_BYTES: Final = 16 * 1024 * 1024
_WINDOW = 16 * 1024

Sort = Literal["nil", "bool", "int", "float", "text", "binary", "extension", "list", "map", "end"]

_FIXED: Final[Mapping[int, tuple[Sort, str]]] = {
    0xCA: ("float", ">f"),
    0xCB: ("float", ">d"),
    0xCC: ("int", ">B"),
    0xCD: ("int", ">H"),
    0xCE: ("int", ">I"),
    0xCF: ("int", ">Q"),
    0xD0: ("int", ">b"),
    0xD1: ("int", ">h"),
    0xD2: ("int", ">i"),
    0xD3: ("int", ">q"),
}
_SIZED: Final[Mapping[int, tuple[Sort, int]]] = {
    0xC4: ("binary", 1),
    0xC5: ("binary", 2),
    0xC6: ("binary", 4),
    0xC7: ("extension", 1),
    0xC8: ("extension", 2),
    0xC9: ("extension", 4),
    0xD9: ("text", 1),
    0xDA: ("text", 2),
    0xDB: ("text", 4),
    0xDC: ("list", 2),
    0xDD: ("list", 4),
    0xDE: ("map", 2),
    0xDF: ("map", 4),
}


class MsgpackProblem(FormatError):
    """The bytes break a rule. `rule` is its stable id, `location` an offset."""

    def __init__(self, rule: str, message: str, *, location: str = "") -> None:
        super().__init__(message)
        self.rule = rule
        self.location = location


class MsgpackMalformed(MsgpackProblem, Malformed):
    """The format's own rules are broken."""


class MsgpackBeyond(MsgpackProblem, LimitExceeded):
    """The file may be sound and holds more than is read."""


@dataclass(frozen=True, slots=True)
class Event:
    """One value.

    `value` is the number or truth; `start` and `end` are where the content of a text, binary or extension lies in the
    file, and `count` how many items a list or map has. `code` is an extension's type. `end` closes a list or map.
    """

    sort: Sort
    offset: int
    depth: int
    is_key: bool = False
    value: int | float | bool | None = None
    start: int = 0
    end: int = 0
    count: int = 0
    code: int = 0


class Window:
    """Small reads through one block at a time. Not thread-safe."""

    def __init__(self, reader: RangeReader, block: int = _WINDOW) -> None:
        self._reader = reader
        self._block = block
        self._start = 0
        self._data = b""

    def read(self, offset: int, length: int) -> bytes:
        """Exactly these bytes; callers have checked that they are in the file.

        Raises:
            Truncated: the reader returned less than the artifact's size promises.
        """
        if offset < self._start or offset + length > self._start + len(self._data):
            wanted = min(max(self._block, length), self._reader.size_bytes - offset)
            data = self._reader.read(offset, wanted)
            if len(data) != wanted or wanted < length:
                raise Truncated(f"'{self._reader.path}' gave {len(data)} bytes at {offset} where it has {wanted}")
            self._start, self._data = offset, data
        return self._data[offset - self._start : offset - self._start + length]


@dataclass(slots=True)
class _Open:
    sort: Sort
    left: int
    at_key: bool


class Walk:
    """Walks one value between two offsets of a file. After `events` is exhausted, `position` is where it ended."""

    def __init__(self, window: Window, start: int, end: int) -> None:
        self._window = window
        self._end = end
        self._stack: list[_Open] = []
        self._values = 0
        self.position = start

    def events(self) -> Iterator[Event]:
        """The values, depth first.

        Raises:
            MsgpackProblem: the bytes break a rule.
            Truncated: the reader returned less than the artifact's size promises.
        """
        while True:
            event = self._next()
            yield event
            if event.sort in ("list", "map"):
                items = event.count * (2 if event.sort == "map" else 1)
                self._stack.append(_Open(event.sort, items, event.sort == "map"))
            while self._stack and not self._stack[-1].left:
                yield Event("end", self.position, len(self._stack) - 1)
                self._stack.pop()
            if not self._stack:
                return

    def _next(self) -> Event:
        is_key = False
        if self._stack:
            top = self._stack[-1]
            is_key, top.left = top.at_key, top.left - 1
            top.at_key = top.sort == "map" and not is_key
        self._values += 1
        if self._values > MAX_VALUES:
            raise MsgpackBeyond("flax-limit", f"the file holds over {MAX_VALUES} values")
        if len(self._stack) > MAX_DEPTH:
            raise self._problem("flax-nesting", f"more than {MAX_DEPTH} containers lie within each other")
        offset = self.position
        first = self._take(1)[0]
        event = self._small(first, offset, is_key) or self._large(first, offset, is_key)
        if event.sort in ("list", "map") and is_key:
            raise self._problem("flax-key", "a list or map is the key of a map")
        return event

    def _small(self, first: int, offset: int, is_key: bool) -> Event | None:
        """Values whose first byte says all, or a short length."""
        depth = len(self._stack)
        if first < 0x80 or first >= 0xE0:
            return Event("int", offset, depth, is_key, value=first if first < 0x80 else first - 256)
        if first < 0x90:
            return self._container("map", first & 0x0F, offset, is_key)
        if first < 0xA0:
            return self._container("list", first & 0x0F, offset, is_key)
        if first < 0xC0:
            return self._span("text", first & 0x1F, offset, is_key)
        if first == 0xC0:
            return Event("nil", offset, depth, is_key)
        if first in (0xC2, 0xC3):
            return Event("bool", offset, depth, is_key, value=first == 0xC3)
        if 0xD4 <= first <= 0xD8:
            return self._span("extension", 1 << (first - 0xD4), offset, is_key)
        return None

    def _large(self, first: int, offset: int, is_key: bool) -> Event:
        if first in _FIXED:
            sort, form = _FIXED[first]
            (value,) = struct.unpack(form, self._take(struct.calcsize(form)))
            return Event(sort, offset, len(self._stack), is_key, value=value)
        if first not in _SIZED:
            raise self._problem("flax-malformed", f"the byte {first:#x} begins no value")
        sort, width = _SIZED[first]
        length = int.from_bytes(self._take(width), "big")
        if sort in ("list", "map"):
            return self._container(sort, length, offset, is_key)
        return self._span(sort, length, offset, is_key)

    def _container(self, sort: Sort, count: int, offset: int, is_key: bool) -> Event:
        if count * (2 if sort == "map" else 1) > self._end - self.position:
            raise self._problem("flax-truncated", f"a {sort} says it has {count} items, more than bytes are left")
        return Event(sort, offset, len(self._stack), is_key, count=count)

    def _span(self, sort: Sort, length: int, offset: int, is_key: bool) -> Event:
        code = int.from_bytes(self._take(1), "big", signed=True) if sort == "extension" else 0
        start = self.position
        if length > self._end - start:
            raise self._problem("flax-truncated", f"a {sort} says it has {length} bytes, {self._end - start} are left")
        if sort == "text" and length > MAX_TEXT_BYTES:
            raise MsgpackBeyond("flax-limit", f"a text has {length} bytes, over {MAX_TEXT_BYTES}")
        self.position += length
        return Event(sort, offset, len(self._stack), is_key, start=start, end=self.position, code=code)

    def _take(self, length: int) -> bytes:
        if length > self._end - self.position:
            raise self._problem("flax-truncated", "the bytes end within a value")
        data = self._window.read(self.position, length)
        self.position += length
        return data

    def _problem(self, rule: str, message: str) -> MsgpackMalformed:
        return MsgpackMalformed(rule, message, location=f"offset {self.position}")
