"""Unpacks compressed files (gzip, bzip2, xz, lzma, zlib, zstd, lz4) and notes where their readers could differ.

Written after RFC 1950 and 1952, the .xz and .lzma file formats, RFC 8878 and the LZ4 frame format 1.6. A file may hold
several streams one after the other; what lies between or behind them, and what headers carry beside the data, is noted
as a `StreamNote` and never unpacked in silence.

Limits: `MAX_STREAMS` streams; windows and dictionaries as in `formats.decoders`. How much comes out is for the caller
to bound: nothing here holds more than a step of it.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import field
from types import MappingProxyType
from typing import Final

import lz4.frame
import zstandard

from weighbridge.core.dataclass import dataclass
from weighbridge.core.ports import RangeReader
from weighbridge.formats.decoders import (
    MAX_DICTIONARY_BYTES,
    Cursor,
    Inflate,
    StreamDefect,
    bzip2,
    decode,
    lzma_alone,
    lzma_properties,
    xz,
)

MAX_STREAMS: Final = 65_536
_MAX_TEXT_BYTES = 4096
_BLOCK_BYTES = 128 * 1024
_ZSTD, _LZ4, _LZ4_LEGACY = b"\x28\xb5\x2f\xfd", b"\x04\x22\x4d\x18", b"\x02\x21\x4c\x18"
_FLAG_HEADER_CRC, _FLAG_EXTRA, _FLAG_NAME, _FLAG_COMMENT = 2, 4, 8, 16
_PZSTD_BYTES = 4


@dataclass(frozen=True, slots=True)
class StreamNote:
    """Something to be said; `rule` is its stable id without `stream-`."""

    rule: str
    message: str
    offset: int


@dataclass(slots=True)
class Unpacking:
    """What was noted while one file was unpacked; a second run over the same bytes notes into another."""

    notes: list[StreamNote] = field(default_factory=list)
    cursor: Cursor | None = None

    @property
    def consumed(self) -> int:
        """How many packed bytes were taken so far."""
        return self.cursor.position if self.cursor else 0

    def say(self, rule: str, message: str, offset: int) -> None:
        """Notes something once for each rule."""
        if all(note.rule != rule for note in self.notes):
            self.notes.append(StreamNote(rule, message, offset))


def unpack(kind: str, reader: RangeReader, noted: Unpacking) -> Iterator[bytes]:
    """The content of all streams of a file of that kind, in steps.

    Raises:
        StreamDefect: a stream breaks; all before it was given.
        Truncated: the reader returned less than was promised.
    """
    cursor = Cursor(reader, 0, reader.size_bytes)
    noted.cursor = cursor
    one, magic, padding = _KINDS[kind]
    for _ in range(MAX_STREAMS):
        yield from one(cursor, noted)
        if not cursor.remaining:
            return
        place = cursor.position
        zeros = _skip_zeros(cursor) if padding else 0
        if not cursor.remaining:
            return
        following = cursor.take(6)
        cursor.give_back(following)
        if not any(following.startswith(each) for each in magic) and not _is_skippable(following, kind):
            noted.say("trailing-data", f"{cursor.remaining + zeros} bytes follow the last stream", place)
            return
        if kind == "xz" and zeros % 4:
            noted.say("trailing-data", "the padding between two streams is of a length that readers reject", place)
    raise StreamDefect(f"the file has more than {MAX_STREAMS} streams", "limit")


def _skip_zeros(cursor: Cursor) -> int:
    """Passes zeros, a few kB at most."""
    data = cursor.take(_BLOCK_BYTES)
    rest = data.lstrip(b"\x00")
    cursor.give_back(rest)
    return len(data) - len(rest)


# --- gzip, zlib ----------------------------------------------------------------------------------


def _gzip(cursor: Cursor, noted: Unpacking) -> Iterator[bytes]:
    _gzip_header(cursor, noted)
    crc = size = 0
    for chunk in decode(cursor, Inflate(-15)):
        crc, size = zlib.crc32(chunk, crc), size + len(chunk)
        yield chunk
    place, trailer = cursor.position, cursor.take(8)
    if len(trailer) < 8:
        raise StreamDefect("the stream's checksum is missing")
    if struct.unpack("<2L", trailer) != (crc, size & 0xFFFFFFFF):
        noted.say("checksum", "the stream's checksum or size is not that of its content", place)


def _gzip_header(cursor: Cursor, noted: Unpacking) -> None:
    place, head = cursor.position, cursor.take(10)
    if len(head) < 10 or head[:2] != b"\x1f\x8b":
        raise StreamDefect("there is no gzip header")
    if head[2] != 8 or head[3] & 0xE0:
        raise StreamDefect("the gzip header says an unknown method or flag", "method")
    if head[3] & _FLAG_EXTRA:
        size = cursor.take(2)
        extra = cursor.take(int.from_bytes(size, "little"))
        head += size + extra
        if not (extra.startswith(b"BC\x02\x00") and len(extra) == 6):
            noted.say("hidden-field", f"the gzip header carries {len(extra)} bytes beside the data", place)
    if head[3] & _FLAG_NAME:
        name = _zero_ended(cursor, "name")
        head += name + b"\x00"
        if b"/" in name or b"\\" in name or name.startswith(b"..") or not name.decode("latin-1").isprintable():
            noted.say("name", f"unpacked by its own name, the file would be written as {name[:80]!a}", place)
    if head[3] & _FLAG_COMMENT:
        comment = _zero_ended(cursor, "comment")
        head += comment + b"\x00"
        noted.say("hidden-field", f"the gzip header carries a comment of {len(comment)} bytes", place)
    if head[3] & _FLAG_HEADER_CRC and cursor.take(2) != struct.pack("<H", zlib.crc32(head) & 0xFFFF):
        noted.say("checksum", "the gzip header's checksum is wrong", place)


def _zero_ended(cursor: Cursor, what: str) -> bytes:
    data = cursor.take(_MAX_TEXT_BYTES)
    text, end, rest = data.partition(b"\x00")
    if not end:
        raise StreamDefect(f"the gzip header's {what} has no end")
    cursor.give_back(rest)
    return text


def _zlib(cursor: Cursor, _noted: Unpacking) -> Iterator[bytes]:
    head = cursor.take(2)
    cursor.give_back(head)
    if len(head) == 2 and head[1] & 0x20:
        raise StreamDefect("the stream needs a dictionary that is not in the file", "dictionary")
    yield from decode(cursor, Inflate(15))


# --- bzip2, xz, lzma -----------------------------------------------------------------------------


def _bzip2(cursor: Cursor, _noted: Unpacking) -> Iterator[bytes]:
    yield from decode(cursor, bzip2())


def _xz(cursor: Cursor, noted: Unpacking) -> Iterator[bytes]:
    place, head = cursor.position, cursor.take(8)
    cursor.give_back(head)
    if len(head) == 8 and head[7] not in (1, 4, 10):
        noted.say("no-checksum", "the stream's content has no checksum that is known", place)
    yield from decode(cursor, xz())


def _lzma(cursor: Cursor, _noted: Unpacking) -> Iterator[bytes]:
    head = cursor.take(13)
    cursor.give_back(head)
    lzma_properties(head)
    yield from decode(cursor, lzma_alone())


# --- zstd, lz4 -----------------------------------------------------------------------------------


def _is_skippable(head: bytes, kind: str = "zstd") -> bool:
    return kind in ("zstd", "lz4") and len(head) >= 4 and head[0] & 0xF0 == 0x50 and head[1:4] == b"\x2a\x4d\x18"


def _skip_frames(cursor: Cursor, noted: Unpacking) -> None:
    """Passes skippable frames: places for anything that unpackers never look at."""
    for _ in range(MAX_STREAMS):
        head = cursor.take(8)
        if not _is_skippable(head):
            cursor.give_back(head)
            return
        size = int.from_bytes(head[4:8], "little")
        # Parallel zstd says the size of each frame in such a frame.
        if size != _PZSTD_BYTES:
            message = f"{size} bytes lie in a frame that every unpacker skips"
            noted.say("skippable-frame", message, cursor.position - 8)
        if size > cursor.remaining:
            raise StreamDefect("a frame to be skipped is longer than the file")
        cursor.skip(size)
    raise StreamDefect(f"the file has more than {MAX_STREAMS} frames to be skipped", "limit")


def _frames(cursor: Cursor, noted: Unpacking) -> Iterator[bytes]:
    """One frame of zstd or lz4, and the frames to be skipped before it."""
    _skip_frames(cursor, noted)
    magic = cursor.take(4)
    if not magic:
        return
    if magic == _ZSTD:
        yield from _zstd(cursor)
    elif magic == _LZ4:
        cursor.give_back(magic)
        yield from _lz4(cursor)
    else:
        known = "a legacy LZ4 frame, which is not unpacked" if magic == _LZ4_LEGACY else "no frame that is known"
        raise StreamDefect(f"there is {known}", "method")


def _zstd(cursor: Cursor) -> Iterator[bytes]:
    """A frame, block by block, so that none gives more than a block can."""
    unpack_frame = zstandard.ZstdDecompressor(max_window_size=MAX_DICTIONARY_BYTES).decompressobj()
    head = _zstd_header(cursor)
    try:
        yield unpack_frame.decompress(_ZSTD + head)
        last = False
        while not last:
            block = cursor.take(3)
            word = int.from_bytes(block, "little")
            last, form, size = bool(word & 1), word >> 1 & 3, word >> 3
            if len(block) < 3 or form == 3 or size > _BLOCK_BYTES:
                raise StreamDefect("a block of the frame is impossible, or cut short")
            wanted = 1 if form == 1 else size
            data = cursor.take(wanted)
            if len(data) < wanted:
                raise StreamDefect("the frame is cut short")
            yield unpack_frame.decompress(block + data)
        if head[0] & 4:
            yield unpack_frame.decompress(cursor.take(4))
    except zstandard.ZstdError as error:
        rule = "checksum" if "checksum" in str(error) else "broken"
        raise StreamDefect(f"the frame cannot be unpacked: {str(error)[:80]!a}", rule) from error
    if not unpack_frame.eof:
        raise StreamDefect("the frame does not end where its blocks do")


def _zstd_header(cursor: Cursor) -> bytes:
    first = cursor.take(1)
    if not first:
        raise StreamDefect("the frame is cut short")
    flags = first[0]
    if flags & 0x08:
        raise StreamDefect("the frame sets a bit that is reserved", "method")
    single, sizes = flags & 0x20, (1 if flags & 0x20 else 0, 2, 4, 8)[flags >> 6]
    identity = (0, 1, 2, 4)[flags & 3]
    rest = cursor.take((0 if single else 1) + identity + sizes)
    if any(rest[0 if single else 1 :][:identity]):
        raise StreamDefect("the frame needs a dictionary that is not in the file", "dictionary")
    return first + rest


def _lz4(cursor: Cursor) -> Iterator[bytes]:
    head = cursor.take(7)
    cursor.give_back(head)
    if len(head) < 7 or head[4] & 0xC2 != 0x40 or head[5] & 0x8F:
        raise StreamDefect("the frame sets a bit that is reserved, or is of another version", "method")
    if head[4] & 1:
        raise StreamDefect("the frame needs a dictionary that is not in the file", "dictionary")
    yield from decode(cursor, lz4.frame.LZ4FrameDecompressor())


_One = Callable[[Cursor, Unpacking], Iterator[bytes]]
_KINDS: Final[Mapping[str, tuple[_One, tuple[bytes, ...], bool]]] = MappingProxyType(
    {
        "gzip": (_gzip, (b"\x1f\x8b",), True),
        "zlib": (_zlib, (), False),
        "bzip2": (_bzip2, (b"BZh",), False),
        "xz": (_xz, (b"\xfd7zXZ\x00",), True),
        "lzma": (_lzma, (), False),
        "zstd": (_frames, (_ZSTD, _LZ4), False),
        "lz4": (_frames, (_LZ4, _ZSTD, _LZ4_LEGACY), False),
    }
)
KINDS: Final = frozenset(_KINDS)
"""The kinds (`formats.kinds`) that are unpacked here."""

WEIGHTS: Final[Mapping[str, int]] = MappingProxyType({"bzip2": 6, "xz": 2, "lzma": 2})
"""What unpacking a byte costs beside gzip."""
