"""Reads the index of a TensorFlow checkpoint (`*.index`): a sorted table of tensors, each with its place in a data file.

The table is LevelDB's (blocks of keys with shared beginnings, a footer at the end), its values are protocol buffers.
Every byte is accounted for: blocks, their trailers and the footer. Compressed blocks are not read: TensorFlow writes
none.

Limits: `MAX_BYTES` of index, `MAX_TENSORS`.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from weighbridge.core.dataclass import dataclass
from weighbridge.core.errors import LimitExceeded, Truncated
from weighbridge.core.ports import RangeReader
from weighbridge.formats.proto_schema import Record, SchemaReader
from weighbridge.formats.protobuf import Message, ProtobufProblem, Window, varint
from weighbridge.formats.tensorflow_schema import SCHEMA

MAGIC: Final = bytes.fromhex("57fb808b247547db")
FOOTER_BYTES: Final = 48
TRAILER_BYTES: Final = 5
MAX_BYTES: Final = 256 * 1024 * 1024
MAX_TENSORS: Final = 2_000_000


@dataclass(frozen=True, slots=True)
class Index:
    """What an index says: how many tensors, in how many data files, and how many of its bytes are accounted for."""

    tensors: int
    shards: int
    covered_bytes: int


def is_index(reader: RangeReader) -> bool:
    """Whether the artifact ends as LevelDB's tables do.

    Raises:
        Truncated: the reader returned less than was promised.
    """
    if reader.size_bytes < FOOTER_BYTES:
        return False
    tail = reader.read(reader.size_bytes - 8, 8)
    if len(tail) != 8:
        raise Truncated(f"'{reader.path}' gave {len(tail)} bytes where 8 should be")
    return tail == MAGIC


def read_index(reader: RangeReader) -> Index:
    """The index.

    Raises:
        ProtobufProblem: it is none; LimitExceeded: it is larger than is read.
        Truncated: the reader returned less than was promised.
    """
    size = reader.size_bytes
    if size > MAX_BYTES:
        raise LimitExceeded(f"an index of {size} bytes")
    through = Window(reader)
    footer = size - FOOTER_BYTES
    meta, place = _handle(through, footer, size - 8)
    index, place = _handle(through, place, size - 8)
    if through.bytes_at(place, size - 8 - place).strip(b"\0"):
        raise ProtobufProblem("something between the footer's handles and its end", place)
    spans = {meta, index}
    list(_entries(through, meta))
    tensors = shards = 0
    schema = SchemaReader(SCHEMA, {"BundleHeaderProto": _shards})
    for _, start, end in _entries(through, index):
        block, after = _handle(through, start, end)
        if after != end or block in spans:
            raise ProtobufProblem("a block that is listed twice, or with something behind it", start)
        spans.add(block)
        for key, value_start, value_end in _entries(through, block):
            tensors += 1
            if tensors > MAX_TENSORS:
                raise LimitExceeded(f"more than {MAX_TENSORS} tensors")
            said = schema.read(
                Message(through, value_start, value_end), "BundleEntryProto" if key else "BundleHeaderProto"
            )
            shards = said if isinstance(said, int) else shards
    covered = FOOTER_BYTES + sum(end - start + TRAILER_BYTES for start, end in spans) - schema.stray_bytes
    return Index(max(0, tensors - 1), shards, covered)


def _shards(record: Record) -> int:
    return record.integer("num_shards")


def _handle(through: Window, at: int, end: int) -> tuple[tuple[int, int], int]:
    offset, at = varint(through, at, end)
    length, at = varint(through, at, end)
    if offset + length + TRAILER_BYTES > through.size_bytes - FOOTER_BYTES:
        raise ProtobufProblem("a block that reaches beyond the table", at)
    return (offset, offset + length), at


def _entries(through: Window, block: tuple[int, int]) -> Iterator[tuple[bytes, int, int]]:
    """A block's keys, and where each value begins and ends."""
    start, end = block
    if end - start < 4 or through.bytes_at(end, 1) != b"\0":
        raise ProtobufProblem("a block that is compressed or has no end", start)
    restarts = int.from_bytes(through.bytes_at(end - 4, 4), "little")
    stop = end - 4 - 4 * restarts
    if stop < start:
        raise ProtobufProblem("a block with more restarts than bytes", start)
    key, at = b"", start
    while at < stop:
        shared, at = varint(through, at, stop)
        fresh, at = varint(through, at, stop)
        length, at = varint(through, at, stop)
        if shared > len(key) or fresh > 65_536 or at + fresh + length > stop:
            raise ProtobufProblem("an entry that reaches beyond its block", at)
        key = key[:shared] + through.bytes_at(at, fresh)
        yield key, at + fresh, at + fresh + length
        at += fresh + length
