"""Walks the arrays of a MATLAB 5 file by their lengths, cells and fields included, and tells of what class each is.

Nothing is converted. Packed arrays of numbers are skipped once their class is known; packed cells and structures are
unpacked piece by piece, so that memory stays small. Source: MathWorks, "MAT-File Format". Limits: `MAX_ELEMENTS`,
`MAX_DEPTH`, `MAX_UNPACKED_BYTES`.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from typing import Final, Literal, Protocol

from weighbridge.core.errors import LimitExceeded, Malformed
from weighbridge.formats.pickle_window import ByteWindow

MAX_ELEMENTS: Final = 1_000_000
MAX_DEPTH: Final = 50
MAX_UNPACKED_BYTES: Final = 512 * 1024 * 1024

NUMERIC: Final = frozenset((4, *range(5, 16)))
"""Classes of arrays that are numbers or characters."""
NESTED: Final = frozenset((1, 2))
"""Cells and structures."""

Order = Literal["little", "big"]
_HEADER_BYTES = 128
_MATRIX, _PACKED = 14, 15
_DATA: Final = frozenset((1, 2, 3, 4, 5, 6, 7, 9, 12, 13, 16, 17, 18))
_STEP_BYTES = 64 * 1024


class _Bytes(Protocol):
    def take(self, length: int) -> bytes: ...

    def skip(self, length: int) -> None: ...


class _Unpacked:
    """What a packed array unpacks to, front to back."""

    __slots__ = ("_held", "_left", "_spent", "_stream", "_window")

    def __init__(self, window: ByteWindow, length: int) -> None:
        self._window, self._left = window, length
        self._stream = zlib.decompressobj()
        self._held = b""
        self._spent = 0

    def take(self, length: int) -> bytes:
        while len(self._held) < length:
            more = self._more()
            if not more:
                raise Malformed("a packed array ends too early")
            self._held += more
        taken, self._held = self._held[:length], self._held[length:]
        return taken

    def skip(self, length: int) -> None:
        while length:
            length -= len(self.take(min(length, _STEP_BYTES)))

    def end(self) -> None:
        """Raises Malformed when anything follows: in the array, or behind the stream."""
        if self._held or self._more() or not self._stream.eof or self._left or self._stream.unused_data:
            raise Malformed("bytes follow a packed array")

    def _more(self) -> bytes:
        while not self._stream.eof:
            data = self._stream.unconsumed_tail
            if not data and self._left:
                data = self._window.take(min(self._left, _STEP_BYTES))
                self._left -= len(data)
            try:
                found = self._stream.decompress(data, _STEP_BYTES)
            except zlib.error as error:
                raise Malformed(f"an array cannot be unpacked: {error}") from error
            self._spent += len(found)
            if self._spent > MAX_UNPACKED_BYTES:
                raise LimitExceeded(f"a packed array has more than {MAX_UNPACKED_BYTES} bytes")
            if found or not (data or self._left):
                return found
        return b""


def array_classes(window: ByteWindow, order: Order) -> Iterator[int]:
    """The class of every array in the file, those in cells and structures after what holds them.

    `window` begins behind the header of 128 bytes.

    Raises:
        Malformed: an element is no array, or does not end where it says; LimitExceeded.
    """
    walk = _Walk(order)
    while window.remaining:
        tag = window.take(8)
        kind, length = int.from_bytes(tag[:4], order), int.from_bytes(tag[4:], order)
        if length > window.remaining:
            raise Malformed(f"an element of {length} bytes is cut")
        if kind == _PACKED:
            yield from walk.packed(window, length)
        elif kind == _MATRIX:
            yield from walk.matrix(window, length, 0)
        else:
            raise Malformed(f"an element of type {kind} is no array")


class _Walk:
    def __init__(self, order: Order) -> None:
        self._order: Order = order
        self._left = MAX_ELEMENTS

    def packed(self, window: ByteWindow, length: int) -> Iterator[int]:
        start = window.peek(min(length, 4096))
        try:
            begin = zlib.decompressobj().decompress(start, 256)
        except zlib.error as error:
            raise Malformed(f"an array cannot be unpacked: {error}") from error
        if len(begin) < 24 or self._number(begin[:4]) != _MATRIX:
            raise Malformed("a packed element is no array")
        kind = self._class(begin[16:24])
        if kind in NUMERIC:
            window.skip(length)
            yield kind
            return
        unpacked = _Unpacked(window, length)
        unpacked.take(4)
        yield from self.matrix(unpacked, self._number(unpacked.take(4)), 0)
        unpacked.end()

    def matrix(self, data: _Bytes, length: int, depth: int) -> Iterator[int]:
        """An array of `length` bytes: its class, then those of the arrays in it."""
        if depth > MAX_DEPTH:
            raise LimitExceeded(f"arrays are nested more than {MAX_DEPTH} deep")
        if not length:
            return
        if length < 16 or self._number(data.take(4)) != 6 or self._number(data.take(4)) != 8:
            raise Malformed("an array has no head")
        yield self._class(data.take(8))
        left = length - 16
        while left > 0:
            kind, size, used = self._tag(data)
            if used + size > left:
                raise Malformed("a part of an array is longer than the array")
            if kind == _MATRIX:
                yield from self.matrix(data, size, depth + 1)
            elif kind in _DATA:
                data.skip(size)
            else:
                raise Malformed(f"a part of an array is of type {kind}")
            left -= used + size
        if left:
            raise Malformed("the parts of an array do not fill it")

    def _tag(self, data: _Bytes) -> tuple[int, int, int]:
        """The type of a part, the bytes that follow its tag with their padding, and the length of the tag."""
        self._left -= 1
        if self._left < 0:
            raise LimitExceeded(f"the file has more than {MAX_ELEMENTS} elements")
        word = self._number(data.take(4))
        if word >> 16:
            if word >> 16 > 4 or word & 0xFFFF not in _DATA:
                raise Malformed("a short element has more than 4 bytes")
            return word & 0xFFFF, 4, 4
        size = self._number(data.take(4))
        return word, size if word == _MATRIX else -(-size // 8) * 8, 8

    def _number(self, data: bytes) -> int:
        return int.from_bytes(data, self._order)

    def _class(self, flags: bytes) -> int:
        return self._number(flags[:4]) & 0xFF
