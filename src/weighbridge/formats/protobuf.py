"""Walks the wire format of a protocol buffer over ranged reads, field by field, without a schema.

Payloads of length-delimited fields are not read: a field says where they lie. So a tensor of gigabytes costs nothing,
and a reader of a known message descends only into the fields it knows (`fields` again, over the payload's span).

Strict where a decoder may be lenient: varints are at most ten bytes and 64 bits, tags are at most 32 bits, field number
0 and groups (wire types 3 and 4, which no message here uses) are refused, and every field ends inside its message.

Source: the protocol buffers encoding (protobuf.dev, "Encoding").
"""

from __future__ import annotations

import functools
import re
import struct
from collections.abc import Iterator
from typing import Final

from weighbridge.core.dataclass import dataclass
from weighbridge.core.errors import FormatError
from weighbridge.core.ports import RangeReader
from weighbridge.formats.bounded import read_exactly

VARINT: Final = 0
FIXED64: Final = 1
BYTES: Final = 2
FIXED32: Final = 5

WINDOW_BYTES: Final = 64 * 1024
MAX_FIELDS: Final = 4_000_000
MAX_DEPTH: Final = 64
MAX_TEXT_BYTES: Final = 64 * 1024
RUN_BYTES: Final = 256
"""So many bytes of a run cost as much of a budget as one field."""


class ProtobufProblem(FormatError):
    """The bytes are no protocol buffer, or break a bound. `offset` is where in the artifact."""

    def __init__(self, message: str, offset: int) -> None:
        super().__init__(f"{message} at offset {offset}")
        self.offset = offset


class ProtobufLimit(ProtobufProblem):
    """The message is larger or deeper than is walked; it may be well-formed."""


@dataclass(frozen=True, slots=True)
class Field:
    """One field of a message.

    `value` is what a varint or a fixed field says, unsigned; 0 for others. `start` and `end` are the payload's span in
    the artifact; `at` is where the field's tag begins.
    """

    number: int
    wire_type: int
    value: int
    at: int
    start: int
    end: int

    @property
    def length(self) -> int:
        """Bytes of the payload."""
        return self.end - self.start

    @property
    def is_bytes(self) -> bool:
        """Whether it is length-delimited: text, bytes, a message, or packed numbers."""
        return self.wire_type == BYTES

    @property
    def signed(self) -> int:
        """A varint as int64."""
        return self.value - (1 << 64) if self.value >= 1 << 63 else self.value

    @property
    def span(self) -> tuple[int, int]:
        """Where the payload lies."""
        return self.start, self.end


class Budget:
    """What may still be read of one artifact, over all its messages. Counts down."""

    def __init__(self, fields: int = MAX_FIELDS, text_bytes: int = 256 * 1024 * 1024) -> None:
        self.fields = fields
        self.text_bytes = text_bytes

    def take_field(self, offset: int) -> None:
        """Takes one field. Raises ProtobufLimit."""
        self.fields -= 1
        if self.fields < 0:
            raise ProtobufLimit("the message has more fields than are read", offset)

    def take_run(self, length: int, offset: int) -> None:
        """Takes a run of fields that are `length` bytes together. Raises ProtobufLimit."""
        self.fields -= length // RUN_BYTES
        if self.fields < 0:
            raise ProtobufLimit("the message has more fields than are read", offset)

    def take_text(self, length: int, offset: int) -> None:
        """Takes `length` bytes of payload. Raises ProtobufLimit."""
        self.text_bytes -= length
        if self.text_bytes < 0:
            raise ProtobufLimit("the message has more text than is read", offset)


class Window:
    """Ranged reads in blocks of `WINDOW_BYTES`; keeps one block, so walking forward reads every byte at most once."""

    def __init__(self, reader: RangeReader, block_bytes: int = WINDOW_BYTES) -> None:
        self.reader = reader
        self.size_bytes = reader.size_bytes
        self._block_bytes = block_bytes
        self._start = 0
        self._data = b""

    def view(self, offset: int, wanted: int) -> tuple[bytes, int]:
        """A block and the place in it of `offset`: `wanted` bytes follow there, or all up to the artifact's end.

        Raises:
            Truncated: the reader returned less than the artifact's size promises.
        """
        place = offset - self._start
        if place >= 0 and wanted >= 0 and place + wanted <= len(self._data):
            return self._data, place
        wanted = max(0, min(wanted, self.size_bytes - offset))
        if place < 0 or place + wanted > len(self._data):
            length = min(max(self._block_bytes, wanted), self.size_bytes - offset)
            data = read_exactly(self.reader, offset, length) if length > 0 else b""
            self._start, self._data, place = offset, data, 0
        return self._data, place

    def bytes_at(self, offset: int, length: int) -> bytes:
        """`length` bytes from `offset`, fewer only at the artifact's end."""
        if length <= 0:
            return b""
        data, place = self.view(offset, length)
        return data[place : place + length]


def window(reader: RangeReader | Window) -> Window:
    """The reader behind a window; a window as it is."""
    return reader if isinstance(reader, Window) else Window(reader)


def fields(
    reader: RangeReader | Window, start: int, end: int, budget: Budget, *, runs: frozenset[int] = frozenset()
) -> Iterator[Field]:
    """The fields of the message in bytes `start` to `end`, in order. Use one `Window` for a whole artifact.

    Of a field whose number is in `runs`, those that follow each other may come as one, from the first's tag to the last's end.

    Raises:
        ProtobufProblem: the bytes are no message; ProtobufLimit: the budget is used up.
        Truncated: the reader returned less than was promised.
    """
    through = window(reader)
    if start < 0 or end > through.size_bytes or start > end:
        raise ProtobufProblem("a message reaches beyond the end", start)
    position = start
    while position < end:
        budget.take_field(position)
        field = _field(through, position, end)
        if field.number in runs:
            field = _run(through, field, end)
            budget.take_run(field.end - position, position)
        yield field
        position = field.end


def _field(through: Window, at: int, end: int) -> Field:
    tag, position = varint(through, at, end)
    number, wire_type = tag >> 3, tag & 7
    if not 0 < number < 1 << 29:
        raise ProtobufProblem(f"{number} is no field number", at)
    if wire_type == VARINT:
        value, position_after = varint(through, position, end)
        return Field(number, wire_type, value, at, position, position_after)
    if wire_type == BYTES:
        length, start = varint(through, position, end)
        if length > end - start:
            raise ProtobufProblem(f"field {number} of {length} bytes reaches beyond its message", at)
        return Field(number, wire_type, 0, at, start, start + length)
    if wire_type not in (FIXED32, FIXED64):
        raise ProtobufProblem(f"wire type {wire_type} is refused", at)
    length = 4 if wire_type == FIXED32 else 8
    if length > end - position:
        raise ProtobufProblem(f"field {number} reaches beyond its message", at)
    number_bytes = through.bytes_at(position, length)
    return Field(number, wire_type, int.from_bytes(number_bytes, "little"), at, position, position + length)


def _run(through: Window, first: Field, end: int) -> Field:
    """A field, and the fields of the same number and wire type that follow it at once, as one; what is not plain ends it."""
    tag = first.number << 3 | first.wire_type
    if tag > 0x7F:
        return first
    pattern, position = _run_of(tag), first.end
    while position < end:
        data, place = through.view(position, min(_MOST_OF_A_RUN, end - position))
        limit = min(len(data), place + end - position)
        match = pattern.match(data, place, limit)
        if match is None:
            break
        position += match.end() - place
    return Field(first.number, first.wire_type, first.value, first.at, first.start, position)


_MOST_OF_A_RUN: Final = 129
"""The longest field that a run takes in: a tag, a length of one byte, and a short text."""


@functools.cache
def _run_of(tag: int) -> re.Pattern[bytes]:
    """One and more fields of a tag, after each other; texts of up to 24 bytes."""
    payload = {
        VARINT: rb"(?:[\x80-\xff]{0,8}[\x00-\x7f]|[\x80-\xff]{9}[\x00\x01])",
        FIXED64: rb".{8}",
        FIXED32: rb".{4}",
        BYTES: b"(?:" + b"|".join(b"\\x%02x.{%d}" % (length, length) for length in range(25)) + b")",
    }[tag & 7]
    return re.compile(b"(?:\\x%02x" % tag + payload + b")++", re.DOTALL)


def varint(through: Window, at: int, end: int) -> tuple[int, int]:
    """The varint at `at`, and where it ends.

    Raises:
        ProtobufProblem: it is longer than ten bytes or 64 bits, or reaches beyond `end`.
    """
    data, place = through.view(at, min(10, end - at))
    if at < end and place < len(data) and data[place] < 0x80:
        # Nearly all are of one byte.
        return data[place], at + 1
    value, shift = 0, 0
    for index in range(min(10, end - at, len(data) - place)):
        byte = data[place + index]
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            if value >= 1 << 64:
                raise ProtobufProblem("a varint of more than 64 bits", at)
            return value, at + index + 1
        shift += 7
    raise ProtobufProblem("a varint without an end", at)


class Message:
    """A message's span in an artifact, and the messages that lie in it, with one window and one budget.

    `depth` counts the messages around it.
    """

    __slots__ = ("budget", "depth", "end", "start", "through")

    def __init__(self, through: Window, start: int, end: int, *, budget: Budget | None = None, depth: int = 0) -> None:
        if depth > MAX_DEPTH:
            raise ProtobufLimit(f"more than {MAX_DEPTH} messages lie within each other", start)
        self.through = through
        self.start = start
        self.end = end
        self.budget = budget or Budget()
        self.depth = depth

    @classmethod
    def of(cls, reader: RangeReader, budget: Budget | None = None) -> Message:
        """The whole artifact as one message."""
        return cls(Window(reader), 0, reader.size_bytes, budget=budget)

    def fields(self, *, runs: frozenset[int] = frozenset()) -> Iterator[Field]:
        """Its fields, in order; `runs` and what it raises as `protobuf.fields`."""
        return fields(self.through, self.start, self.end, self.budget, runs=runs)

    def within(self, field: Field) -> Message:
        """The message in a length-delimited field.

        Raises:
            ProtobufProblem: the field is no message; ProtobufLimit: too deep.
        """
        if not field.is_bytes:
            raise ProtobufProblem(f"field {field.number} is no message", field.at)
        return Message(self.through, field.start, field.end, budget=self.budget, depth=self.depth + 1)

    def payload(self, field: Field, *, at_most: int = MAX_TEXT_BYTES) -> bytes:
        """A length-delimited field's bytes.

        Raises:
            ProtobufProblem: the field has no payload; ProtobufLimit: it is longer than `at_most`.
        """
        if not field.is_bytes:
            raise ProtobufProblem(f"field {field.number} is no text", field.at)
        if field.length > at_most:
            raise ProtobufLimit(f"field {field.number} has {field.length} bytes of text", field.at)
        self.budget.take_text(field.length, field.at)
        data = self.through.bytes_at(field.start, field.length)
        if len(data) != field.length:
            raise ProtobufProblem(f"field {field.number} reaches beyond the end", field.at)
        return data

    def text(self, field: Field, *, at_most: int = MAX_TEXT_BYTES) -> str:
        """A length-delimited field as UTF-8; what is no UTF-8 is written with backslashes.

        Raises: as `payload`.
        """
        return self.payload(field, at_most=at_most).decode("utf-8", "backslashreplace")

    def numbers(self, field: Field, *, at_most: int = MAX_TEXT_BYTES) -> list[int]:
        """A repeated varint field, packed or not, as int64.

        Raises: as `payload`; ProtobufProblem when the packed bytes are no varints.
        """
        if field.wire_type == VARINT:
            return [field.signed]
        if field.length > at_most:
            raise ProtobufLimit(f"field {field.number} has {field.length} bytes of numbers", field.at)
        self.payload(field, at_most=at_most)
        found, position = [], field.start
        while position < field.end:
            value, position = varint(self.through, position, field.end)
            found.append(value - (1 << 64) if value >= 1 << 63 else value)
        return found


def float_of(field: Field) -> float:
    """A fixed field as the float (FIXED32) or double (FIXED64) it stores."""
    if field.wire_type == FIXED32:
        return float(struct.unpack("<f", field.value.to_bytes(4, "little"))[0])
    return float(struct.unpack("<d", field.value.to_bytes(8, "little"))[0])
