"""The bytes of a GGUF file's head, read in growing blocks: numbers, texts and arrays within strict bounds.

Nothing is believed before it is known to fit in the file: a length is compared with what is left, a count with what
that many values take at least. Limits: `MAX_HEAD_BYTES` of head, `MAX_STRINGS` texts in arrays.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Mapping
from typing import Final

from weighbridge.core.dataclass import dataclass
from weighbridge.core.errors import FormatError, LimitExceeded, Malformed
from weighbridge.core.ports import RangeReader
from weighbridge.formats.bounded import read_exactly

MAX_HEAD_BYTES: Final = 128 * 1024 * 1024
MAX_STRINGS: Final = 4_000_000
MAX_KEY_BYTES: Final = 65_535
MAX_TEXT_BYTES: Final = 64 * 1024 * 1024

_FIRST_BLOCK, _LARGEST_BLOCK = 256 * 1024, 8 * 1024 * 1024

BOOL, STRING, ARRAY = 7, 8, 9
SCALARS: Final[Mapping[int, str]] = {
    0: "B",
    1: "b",
    2: "H",
    3: "h",
    4: "I",
    5: "i",
    6: "f",
    BOOL: "?",
    10: "Q",
    11: "q",
    12: "d",
}
"""The value types of a fixed size, by their number, as `struct` codes."""

TYPE_NAMES: Final = ("u8", "i8", "u16", "i16", "u32", "i32", "f32", "bool", "str", "arr", "u64", "i64", "f64")


class GgufProblem(FormatError):
    """The file breaks a rule. `rule` is its stable id, `location` the key, tensor or offset."""

    def __init__(self, rule: str, message: str, *, location: str = "") -> None:
        super().__init__(message)
        self.rule = rule
        self.location = location


class GgufMalformed(GgufProblem, Malformed):
    """The format's own rules are broken, or readers would understand the file differently."""


class GgufBeyond(GgufProblem, LimitExceeded):
    """The file may be sound and is larger, or of a newer kind, than is understood here."""


@dataclass(frozen=True, slots=True)
class GgufArray:
    """An array in the head: `count` values of one type between two offsets of the file; `longest` of its texts."""

    element_type: int
    count: int
    start: int
    end: int
    longest: int = 0


class Head:
    """The head of a file as far as it was read. Not thread-safe."""

    def __init__(self, reader: RangeReader) -> None:
        self._reader = reader
        self._size = reader.size_bytes
        self._block = _FIRST_BLOCK
        self._strings = 0
        self.data = bytearray()
        self.position = 0
        self.big_endian = False
        self.wide = True

    @property
    def left(self) -> int:
        """Bytes of the file after the position."""
        return self._size - self.position

    def require(self, length: int, what: str) -> None:
        """Has the next `length` bytes read.

        Raises:
            GgufProblem: the file ends before, or the head is longer than is read.
            Truncated: the reader returned less than the artifact's size promises.
        """
        end = self.position + length
        if end > self._size:
            raise GgufMalformed("gguf-truncated", f"the file ends within {what}", location=f"offset {self.position}")
        if end > MAX_HEAD_BYTES:
            raise GgufBeyond("gguf-limit", f"the head is longer than the {MAX_HEAD_BYTES} bytes that are read")
        while len(self.data) < end:
            have = len(self.data)
            wanted = min(max(self._block, end - have), self._size - have, MAX_HEAD_BYTES - have)
            self.data += read_exactly(self._reader, have, wanted)
            self._block = min(2 * self._block, _LARGEST_BLOCK)

    def number(self, code: str, what: str) -> int | float | bool:
        """The next number, as the `struct` code says."""
        form = (">" if self.big_endian else "<") + code
        length = struct.calcsize(form)
        self.require(length, what)
        (value,) = struct.unpack_from(form, self.data, self.position)
        if code == "?" and self.data[self.position] > 1:
            raise GgufMalformed("gguf-bool", f"{what} is neither true nor false", location=f"offset {self.position}")
        self.position += length
        assert isinstance(value, int | float)
        return value

    def integer(self, code: str, what: str) -> int:
        """The next whole number."""
        value = self.number(code, what)
        assert isinstance(value, int)
        return value

    def length(self, what: str) -> int:
        """The next length or count: 64 bits, or 32 in the format's first version."""
        return self.integer("Q" if self.wide else "I", what)

    def text(self, what: str, limit: int = MAX_TEXT_BYTES, rule: str = "gguf-string-length") -> bytes:
        """The next text, as bytes."""
        place = f"offset {self.position}"
        length = self.length(f"the length of {what}")
        if length > self.left:
            raise GgufMalformed(
                "gguf-string-length", f"{what} has {length} bytes and {self.left} are left", location=place
            )
        if length > limit:
            raise GgufMalformed(rule, f"{what} has {length} bytes, over {limit}", location=place)
        self.require(length, what)
        value = bytes(self.data[self.position : self.position + length])
        self.position += length
        return value

    def array(self, what: str) -> GgufArray:
        """The next array, its values passed over; texts by their lengths."""
        place = f"offset {self.position}"
        kind = self.integer("I", f"the element type of {what}")
        count = self.length(f"the count of {what}")
        if kind == ARRAY:
            raise GgufMalformed("gguf-nested-array", f"{what} is an array of arrays", location=place)
        if kind != STRING and kind not in SCALARS:
            raise GgufMalformed("gguf-value-type", f"{what} has elements of the unknown type {kind}", location=place)
        each = (8 if self.wide else 4) if kind == STRING else struct.calcsize("<" + SCALARS[kind])
        if count * each > self.left:
            message = f"{what} says it has {count} elements and {self.left} bytes are left"
            raise GgufMalformed("gguf-array-length", message, location=place)
        start = self.position
        if kind == STRING:
            longest = self._pass_strings(count, what)
            return GgufArray(kind, count, start, self.position, longest)
        self.require(count * each, what)
        self.position += count * each
        if kind == BOOL and self.data[start : self.position].translate(None, b"\x00\x01"):
            raise GgufMalformed("gguf-bool", f"{what} has an element neither true nor false", location=place)
        return GgufArray(kind, count, start, self.position)

    def _pass_strings(self, count: int, what: str) -> int:
        self._strings += count
        if self._strings > MAX_STRINGS:
            raise GgufBeyond("gguf-limit", f"{what} brings the texts in arrays over {MAX_STRINGS}")
        form = self._length_form()
        unpack, width, size = form.unpack_from, form.size, self._size
        data, position, have, longest = self.data, self.position, len(self.data), 0
        for number in range(count):
            if position + width > have:
                self.position = position
                self.require(width, what)
                have = len(data)
            (length,) = unpack(data, position)
            position += width + length
            if length > longest:
                longest = length
                if position > size:
                    message = f"text {number} of {what} has {length} bytes, more than are left"
                    raise GgufMalformed("gguf-string-length", message, location=f"offset {position - length - width}")
        self.position = position
        self.require(0, what)
        return longest

    def _length_form(self) -> struct.Struct:
        return struct.Struct((">" if self.big_endian else "<") + ("Q" if self.wide else "I"))

    def strings(self, array: GgufArray) -> Iterator[bytes]:
        """The texts of an array that was read."""
        form, position = self._length_form(), array.start
        for _ in range(array.count):
            (length,) = form.unpack_from(self.data, position)
            position += form.size
            yield bytes(self.data[position : position + length])
            position += length

    def integers(self, array: GgufArray, first: int, count: int) -> tuple[int, ...]:
        """Some of the whole numbers of an array that was read."""
        code = SCALARS[array.element_type]
        form = struct.Struct(f"{'>' if self.big_endian else '<'}{count}{code}")
        return form.unpack_from(self.data, array.start + first * struct.calcsize("<" + code))

    def raw(self, start: int, end: int) -> bytes:
        """Bytes of the head that were read."""
        return bytes(self.data[start:end])
