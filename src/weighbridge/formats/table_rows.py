"""Follows tables that are stored row by row (Avro) or in stripes (ORC) to their last byte, without decoding a value.

Avro: a map of metadata with the schema, then blocks with their number of rows, their length and a mark. ORC: from the
last byte backwards to postscript and footer, which says where the stripes lie; a footer that is compressed is unpacked
where that is done by zlib or snappy. Written after the specifications of Avro 1.11 and ORC v1.

Limits: `MAX_BLOCKS` blocks or stripes, `MAX_FOOTER_BYTES` of footer, `MAX_SCHEMA_BYTES` of metadata.
"""

from __future__ import annotations

import zlib
from typing import Final

from weighbridge.core.dataclass import dataclass
from weighbridge.core.errors import LimitExceeded, Malformed
from weighbridge.core.ports import RangeReader
from weighbridge.formats.bounded import read_exactly
from weighbridge.formats.held import Held
from weighbridge.formats.pickle_window import Budget, ByteWindow
from weighbridge.formats.protobuf import Budget as Fields
from weighbridge.formats.protobuf import ProtobufProblem, fields

MAX_BLOCKS: Final = 200_000
MAX_FOOTER_BYTES: Final = 16 * 1024 * 1024
MAX_SCHEMA_BYTES: Final = 4 * 1024 * 1024
_MAX_NAME = 1000
_MAX_PADDING = 1024 * 1024
"""Room that writers leave so that a stripe does not lie across two blocks of a store."""
_CODECS: Final = frozenset((b"null", b"deflate", b"snappy", b"bzip2", b"xz", b"zstandard", b"zstd", b"lz4"))


@dataclass(frozen=True, slots=True)
class Rows:
    """What a reader acts on (`described`), and the spans of rows, which are data."""

    described: bytes
    spans: tuple[tuple[int, int], ...]


# --- Avro ----------------------------------------------------------------------------------------


def _long(window: ByteWindow) -> int:
    value = shift = 0
    while True:
        byte = window.byte()
        value |= (byte & 0x7F) << shift
        shift += 7
        if byte < 0x80:
            return value >> 1 ^ -(value & 1)
        if shift > 63:
            raise Malformed(f"a number before {window.position} has no end")


def _bytes(window: ByteWindow, limit: int) -> bytes:
    length = _long(window)
    if not 0 <= length <= limit:
        raise Malformed(f"a text before {window.position} has {length} bytes")
    return window.take(length)


def avro(reader: RangeReader) -> Rows:
    """All of a container file.

    Raises:
        LimitExceeded: it has more blocks than are followed.
        Malformed: it breaks the format, or is compressed in a way that is not Avro's.
        Truncated: the reader returned less than the artifact's size promises.
    """
    window = ByteWindow(reader, 4, reader.size_bytes, Budget())
    metadata: dict[bytes, bytes] = {}
    while count := _long(window):
        if count < 0:
            _long(window)
        if abs(count) > _MAX_NAME:
            raise LimitExceeded("the file has more metadata than is read")
        for _ in range(abs(count)):
            key = _bytes(window, _MAX_NAME)
            metadata[key] = _bytes(window, MAX_SCHEMA_BYTES)
        if len(metadata) > _MAX_NAME:
            raise LimitExceeded("the file has more metadata than is read")
    if b"avro.schema" not in metadata or metadata.get(b"avro.codec", b"null") not in _CODECS:
        raise Malformed("the file says no schema, or a codec that is not Avro's")
    mark = window.take(16)
    spans: list[tuple[int, int]] = []
    while window.remaining:
        rows, length = _long(window), _long(window)
        if rows < 0 or not 0 <= length <= window.remaining - 16 or len(spans) >= MAX_BLOCKS:
            raise Malformed(f"a block before {window.position} has {rows} rows in {length} bytes")
        spans.append((window.position, window.position + length))
        window.skip(length)
        if window.take(16) != mark:
            raise Malformed(f"the block before {window.position} does not end with the file's mark")
    return Rows(b"\n".join(part for pair in metadata.items() for part in pair), tuple(spans))


# --- ORC -----------------------------------------------------------------------------------------

_NONE, _ZLIB, _SNAPPY = 0, 1, 2


def orc(reader: RangeReader) -> Rows:
    """All of a file: its stripes must fill it from the first letters to the metadata before the footer.

    Raises:
        LimitExceeded: its footer is larger than is read.
        Malformed: it breaks the format, or its footer is compressed in a way that is not read.
        Truncated: the reader returned less than the artifact's size promises.
    """
    size = reader.size_bytes
    length = read_exactly(reader, size - 1, 1)[0]
    if length + 4 > size:
        raise Malformed("the postscript does not fit")
    try:
        said = _numbers(read_exactly(reader, size - 1 - length, length))
        footer_end = size - 1 - length
        footer_bytes, metadata_bytes = said.get(1, 0), said.get(5, 0)
        start = footer_end - footer_bytes - metadata_bytes
        if start < 3 or footer_bytes > MAX_FOOTER_BYTES or said.get(2, 0) not in (_NONE, _ZLIB, _SNAPPY):
            raise Malformed("the footer does not fit, or is compressed in a way that is not read")
        footer = _unpacked(read_exactly(reader, footer_end - footer_bytes, footer_bytes), said.get(2, 0))
        return Rows(footer, _stripes(reader, footer, start))
    except ProtobufProblem as problem:
        raise Malformed(f"the footer cannot be read: {problem.message}") from problem


def _numbers(data: bytes) -> dict[int, int]:
    found = fields(Held("footer", data), 0, len(data), Fields())
    return {field.number: field.value for field in found if field.wire_type == 0}


def _stripes(reader: RangeReader, footer: bytes, end: int) -> tuple[tuple[int, int], ...]:
    spans: list[tuple[int, int]] = []
    at = 3
    for field in fields(Held("footer", footer), 0, len(footer), Fields()):
        if field.number != 3 or field.wire_type != 2:
            continue
        stripe = _numbers(footer[field.start : field.end])
        place = stripe.get(1, 0)
        after = place + stripe.get(2, 0) + stripe.get(3, 0) + stripe.get(4, 0)
        if place < at or after > end or len(spans) >= MAX_BLOCKS:
            raise Malformed(f"a stripe lies at {place} to {after} of {end}")
        if place - at > _MAX_PADDING or any(read_exactly(reader, at, place - at)):
            raise Malformed(f"{place - at} bytes lie before the stripe at {place}")
        spans.append((place, after))
        at = after
    if at != end:
        raise Malformed(f"the stripes end at {at}, and the metadata begins at {end}")
    return tuple(spans)


def _unpacked(data: bytes, method: int) -> bytes:
    if method == _NONE:
        return data
    parts, at, left = [], 0, MAX_FOOTER_BYTES
    while at < len(data):
        head = int.from_bytes(data[at : at + 3], "little")
        chunk = data[at + 3 : at + 3 + (head >> 1)]
        if len(chunk) != head >> 1:
            raise Malformed("a piece of the footer is cut")
        at += 3 + len(chunk)
        part = chunk if head & 1 else _inflated(chunk, left) if method == _ZLIB else _unsnapped(chunk, left)
        left -= len(part)
        if left < 0:
            raise LimitExceeded("the footer unpacks to more than is read")
        parts.append(part)
    return b"".join(parts)


def _inflated(data: bytes, limit: int) -> bytes:
    unpacker = zlib.decompressobj(-15)
    try:
        found = unpacker.decompress(data, limit + 1)
    except zlib.error as error:
        raise Malformed(f"the footer does not unpack: {error}") from error
    if not unpacker.eof or unpacker.unused_data:
        raise Malformed("a piece of the footer does not end where it says")
    return found


def _unsnapped(data: bytes, limit: int) -> bytes:
    """Snappy's raw format: the length, then literals and copies of what came before."""
    window = ByteWindow(Held("footer", data), 0, len(data), Budget())
    wanted = shift = 0
    while shift <= 35:
        byte = window.byte()
        wanted |= (byte & 0x7F) << shift
        shift = shift + 7 if byte >= 0x80 else 99
    if wanted > limit:
        raise LimitExceeded("the footer unpacks to more than is read")
    out = bytearray()
    while window.remaining and len(out) <= wanted:
        tag = window.byte()
        if tag & 3:
            _copy(window, tag, out)
        else:
            length = (tag >> 2) + 1
            out += window.take(length if length <= 60 else int.from_bytes(window.take(length - 60), "little") + 1)
    if len(out) != wanted:
        raise Malformed("the footer unpacks to another length than it says")
    return bytes(out)


def _copy(window: ByteWindow, tag: int, out: bytearray) -> None:
    if tag & 3 == 1:
        length, back = (tag >> 2 & 7) + 4, (tag >> 5 << 8) + window.byte()
    else:
        length, back = (tag >> 2) + 1, int.from_bytes(window.take(2 if tag & 3 == 2 else 4), "little")
    if not 0 < back <= len(out):
        raise Malformed("a copy in the footer is of nothing")
    for _ in range(length):
        out.append(out[-back])
