"""Walks pictures (PNG, JPEG, GIF, and RIFF: WebP, WAV, AVI) from their first byte to their last.

Nothing is decoded: chunks, segments and blocks are followed by their lengths, so that what belongs to the picture is
told from what was put behind it or into it. Written after the PNG specification (third edition), ITU T.81, GIF89a and
Microsoft's RIFF. A chunk that the format does not know is `opaque` unless it is small.

Limits: `MAX_PARTS` parts; `MAX_READ_BYTES` where data has no length and must be searched.
"""

from __future__ import annotations

import re
import struct
import zlib
from collections.abc import Callable, Mapping
from dataclasses import field
from types import MappingProxyType
from typing import Final

from weighbridge.core.dataclass import dataclass
from weighbridge.core.ports import RangeReader
from weighbridge.formats.bounded import read_exactly

MAX_PARTS: Final = 400_000
MAX_READ_BYTES: Final = 256 * 1024 * 1024
SMALL_BYTES: Final = 4096
"""An unknown chunk of at most this size is no hiding place for a program."""

_STEP_BYTES = 256 * 1024
_HEAD_BYTES = 512
_CHECKED_BYTES = 1024 * 1024
_PNG_CHUNKS = frozenset(
    b"IHDR PLTE IDAT IEND tRNS cHRM gAMA iCCP sBIT sRGB cICP mDCV cLLI tEXt zTXt iTXt bKGD hIST pHYs sPLT eXIf tIME "
    b"acTL fcTL fdAT oFFs pCAL sCAL sTER gIFg gIFx iDOT caBX".split()
)
RIFF_CHUNKS = frozenset(
    (
        *(b"VP8 ", b"VP8L", b"VP8X", b"ALPH", b"ANIM", b"ANMF", b"ICCP", b"EXIF", b"XMP ", b"C2PA"),
        *(b"fmt ", b"data", b"LIST", b"fact", b"cue ", b"smpl", b"inst", b"bext", b"iXML", b"id3 ", b"ID3 ", b"PEAK"),
        *(b"JUNK", b"PAD ", b"FLLR", b"_PMX", b"idx1", b"afsp", b"acid", b"plst", b"note", b"labl", b"bext"),
    )
)
_GIF_EXTENSIONS = frozenset((0x01, 0xF9, 0xFE))
_GIF_APPLICATIONS = (b"NETSCAPE2.0", b"ANIMEXTS1.0", b"XMP DataXMP", b"ICCRGBG1012", b"ImageMagick", b"MGK8BIM0000")
_JPEG_MARKER = re.compile(rb"\xff[\x01-\xcf\xd8-\xfe]", re.DOTALL)
_JPEG_BARE = frozenset((0x01, *range(0xD0, 0xD8)))


class MediaBroken(Exception):
    """The structure breaks at `offset`."""

    def __init__(self, message: str, offset: int) -> None:
        super().__init__(message)
        self.message = message
        self.offset = offset


@dataclass(frozen=True, slots=True)
class Part:
    """A part that carries what its writer liked: text, metadata, an unknown chunk. `head` is how it begins."""

    name: str
    offset: int
    size_bytes: int
    head: bytes
    known: bool = True


@dataclass(slots=True)
class Walk:
    """Where the picture ends, and the parts of it that are not picture."""

    end: int = 0
    parts: list[Part] = field(default_factory=list)
    defects: list[tuple[str, int]] = field(default_factory=list)

    @property
    def opaque_bytes(self) -> int:
        """Bytes of parts that nobody knows."""
        return sum(part.size_bytes for part in self.parts if not part.known and part.size_bytes > SMALL_BYTES)


class Window:
    """The artifact through a window of a few hundred kB that moves forward."""

    def __init__(self, reader: RangeReader) -> None:
        self.size = reader.size_bytes
        self._reader = reader
        self._base = 0
        self._data = b""
        self._left = MAX_READ_BYTES

    def at(self, offset: int, length: int) -> bytes:
        """Exactly these bytes. Raises MediaBroken where there are fewer."""
        if offset + length > self.size:
            raise MediaBroken("it ends before it is complete", offset)
        if not self._base <= offset <= offset + length <= self._base + len(self._data):
            self._load(offset, length)
        return self._data[offset - self._base : offset - self._base + length]

    def _load(self, offset: int, length: int) -> None:
        wanted = min(max(length, _STEP_BYTES), self.size - offset)
        self._left -= wanted
        if self._left < 0:
            raise MediaBroken("it is longer than is read", offset)
        self._data, self._base = read_exactly(self._reader, offset, wanted), offset

    def search(self, pattern: re.Pattern[bytes], offset: int) -> int:
        """Where the pattern (of two bytes) is next found. Raises MediaBroken when it is not."""
        while offset < self.size:
            length = min(_STEP_BYTES, self.size - offset)
            match = pattern.search(self.at(offset, length))
            if match:
                return offset + match.start()
            if length < 2 or offset + length >= self.size:
                break
            offset += length - 1
        raise MediaBroken("its end is missing", self.size)

    def head(self, offset: int, length: int) -> bytes:
        """The first bytes of a part."""
        return self.at(offset, min(length, _HEAD_BYTES))


def png(window: Window) -> Walk:
    """Chunks up to IEND."""
    walk, at = Walk(), 8
    for _ in range(MAX_PARTS):
        length, kind = struct.unpack(">L4s", window.at(at, 8))
        if length > 0x7FFFFFFF or not kind.isalpha():
            raise MediaBroken("a chunk has no name", at)
        if at == 8 and kind != b"IHDR":
            raise MediaBroken("it does not begin with IHDR", at)
        end = at + 12 + length
        stored = window.at(end - 4, 4) if length > _CHECKED_BYTES else window.at(at + 4, length + 8)
        if length <= _CHECKED_BYTES and zlib.crc32(stored[:-4]) != int.from_bytes(stored[-4:], "big"):
            walk.defects.append((f"the checksum of the chunk {kind!a} is wrong", at))
        if kind not in (b"IDAT", b"fdAT", b"IHDR", b"PLTE", b"IEND"):
            head = window.head(at + 8, length)
            body = head.partition(b"\x00")[2] if kind in (b"tEXt", b"iTXt") else head
            walk.parts.append(Part(f"chunk {kind.decode('ascii')}", at + 8, length, body, kind in _PNG_CHUNKS))
        at = end
        if kind == b"IEND":
            walk.end = at
            return walk
    raise MediaBroken("it has more chunks than are followed", at)


def jpeg(window: Window) -> Walk:
    """Segments and scans up to the end of the image, and of the images after it that an MPF segment announces."""
    walk = Walk()
    walk.end = _jpeg_image(window, 0, walk)
    announced = any(part.head.startswith(b"MPF\x00") for part in walk.parts)
    while announced and walk.end + 3 <= window.size and window.at(walk.end, 3) == b"\xff\xd8\xff":
        walk.end = _jpeg_image(window, walk.end, walk)
    return walk


def _jpeg_image(window: Window, at: int, walk: Walk) -> int:
    if window.at(at, 2) != b"\xff\xd8":
        raise MediaBroken("it does not begin with a start marker", at)
    at += 2
    for _ in range(MAX_PARTS):
        if window.at(at, 1) != b"\xff":
            raise MediaBroken("a marker is missing", at)
        marker = window.at(at + 1, 1)[0]
        if marker == 0xFF:
            at += 1
            continue
        if marker == 0xD9:
            return at + 2
        if marker in _JPEG_BARE:
            at += 2
            continue
        length = int.from_bytes(window.at(at + 2, 2), "big")
        if length < 2 or marker in (0x00, 0xD8):
            raise MediaBroken("a segment has no length", at)
        if 0xE0 <= marker <= 0xEF or marker == 0xFE:
            name = "comment" if marker == 0xFE else f"segment APP{marker - 0xE0}"
            walk.parts.append(Part(name, at + 4, length - 2, window.head(at + 4, length - 2)))
        at += 2 + length
        if marker == 0xDA:
            at = window.search(_JPEG_MARKER, at)
    raise MediaBroken("it has more segments than are followed", at)


def gif(window: Window) -> Walk:
    """Blocks up to the trailer."""
    walk = Walk()
    flags = window.at(10, 1)[0]
    at = 13 + (3 << (flags & 7) + 1 if flags & 0x80 else 0)
    for _ in range(MAX_PARTS):
        kind = window.at(at, 1)[0]
        if kind == 0x3B:
            walk.end = at + 1
            return walk
        if kind == 0x2C:
            local = window.at(at + 9, 1)[0]
            at = _gif_blocks(window, at + 11 + (3 << (local & 7) + 1 if local & 0x80 else 0))
        elif kind == 0x21:
            label, start = window.at(at + 1, 1)[0], at + 2
            at = _gif_blocks(window, start)
            head = window.head(start + 1, max(0, min(255, at - start - 2)))
            known = label in _GIF_EXTENSIONS or head.startswith(_GIF_APPLICATIONS)
            body = head if label == 0xFE else head[12:]
            walk.parts.append(Part(f"extension {label:#x}", start, at - start, body, known))
        else:
            raise MediaBroken("a block is of no known kind", at)
    raise MediaBroken("it has more blocks than are followed", at)


def _gif_blocks(window: Window, at: int) -> int:
    for _ in range(MAX_PARTS):
        length = window.at(at, 1)[0]
        at += 1 + length
        if not length:
            return at
    raise MediaBroken("it has more blocks than are followed", at)


def riff(window: Window) -> Walk:
    """Chunks of all RIFF lists, each up to its length."""
    walk, at = Walk(), 0
    while at + 12 <= window.size and (not at or window.at(at, 4) == b"RIFF"):
        length = int.from_bytes(window.at(at + 4, 4), "little")
        # What is written to a pipe has no length.
        end = window.size if length == 0xFFFFFFFF else at + 8 + length
        if end > window.size or length < 4:
            raise MediaBroken("it ends before it is complete", at)
        _riff_chunks(window, at + 12, end, walk)
        at = walk.end = min(end + end % 2, window.size)
    return walk


def _riff_chunks(window: Window, at: int, end: int, walk: Walk) -> None:
    for _ in range(MAX_PARTS):
        if at + 8 > end:
            if at < end and any(window.at(at, end - at)):
                walk.defects.append(("something lies behind the last chunk", at))
            return
        kind = window.at(at, 4)
        length = int.from_bytes(window.at(at + 4, 4), "little")
        if length == 0xFFFFFFFF and kind == b"data":
            length = end - at - 8
        if at + 8 + length > end or not kind.isascii():
            raise MediaBroken("a chunk reaches beyond its list", at)
        if kind not in (b"VP8 ", b"VP8L", b"ALPH", b"ANMF", b"data", b"LIST", b"idx1"):
            head = window.head(at + 8, length)
            walk.parts.append(Part(f"chunk {kind!a}", at + 8, length, head, kind in RIFF_CHUNKS))
        at += 8 + length + length % 2
    raise MediaBroken("it has more chunks than are followed", at)


WALKS: Final[Mapping[str, Callable[[Window], Walk]]] = MappingProxyType(
    {"png": png, "jpeg": jpeg, "gif": gif, "webp": riff, "wav": riff, "avi": riff}
)
