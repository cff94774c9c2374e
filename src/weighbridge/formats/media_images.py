"""Walks pictures of other makes (TIFF, BMP, ICO) and pictures that are numbers (NIfTI, FITS) to their last byte.

As `formats.media`: nothing is decoded, places and lengths are followed. Written after TIFF 6.0 and BigTIFF, Microsoft's
bitmap headers, NIfTI-1 and -2, and FITS 4.0. What no directory of a TIFF names is `opaque` unless it is small.

Limits: `MAX_PLACES` strips and tiles, `MAX_DIRECTORIES` directories of a TIFF, `MAX_UNITS` units of a FITS file.
"""

from __future__ import annotations

import math
import re
import struct
from collections.abc import Callable, Iterable, Mapping
from types import MappingProxyType
from typing import Final

from weighbridge.formats.media import MediaBroken, Part, Walk, Window

MAX_PLACES: Final = 200_000
MAX_DIRECTORIES: Final = 4_000
MAX_UNITS: Final = 1_000
_MAX_ENTRIES = 2_000
_MAX_PADDING = 64
"""Zero bytes behind the last part, by which writers begin the next directory at an even place."""
_LARGEST = 1 << 50
_TIFF_SIZES: Final = {
    1: 1,
    2: 1,
    3: 2,
    4: 4,
    5: 8,
    6: 1,
    7: 1,
    8: 2,
    9: 4,
    10: 8,
    11: 4,
    12: 8,
    13: 4,
    16: 8,
    17: 8,
    18: 8,
}
_TIFF_LETTERS: Final = {1: "B", 3: "H", 4: "I", 13: "I", 16: "Q", 18: "Q"}
_DIRECTORIES: Final = frozenset((330, 34665, 34853, 40965))
"""Tags whose values are places of further directories."""
_PLACES: Final = ((273, 279), (324, 325), (288, 289), (513, 514))
"""Tags of places and of the lengths there: strips, tiles, free room, an older kind of JPEG."""
_FITS_BLOCK = 2880
_FITS_NUMBER = re.compile(rb"([A-Z0-9]{1,8}) *= +(-?\d{1,18}|T|F) *(?:/.*)?")


# --- TIFF ----------------------------------------------------------------------------------------


class _Tiff:
    """One file: its byte order, the width of its places, and the spans that were named so far."""

    def __init__(self, window: Window) -> None:
        self.window = window
        self.order = "<" if window.at(0, 2) == b"II" else ">"
        self.wide = self.number(2, 2) == 43
        self.spans: set[tuple[int, int]] = {(0, 16 if self.wide else 8)}
        self.todo = [self.number(8, 8) if self.wide else self.number(4, 4)]
        self.walk = Walk()

    def number(self, at: int, length: int) -> int:
        return int.from_bytes(self.window.at(at, length), "little" if self.order == "<" else "big")

    def directories(self) -> None:
        seen: set[int] = set()
        while self.todo:
            at = self.todo.pop()
            if at == 0 or at in seen:
                continue
            seen.add(at)
            if len(seen) > MAX_DIRECTORIES:
                raise MediaBroken("it has more directories than are followed", at)
            self._directory(at)

    def _directory(self, at: int) -> None:
        head, entry, place = (8, 20, 8) if self.wide else (2, 12, 4)
        count = self.number(at, head)
        if not 0 < count <= _MAX_ENTRIES:
            raise MediaBroken("a directory has no entries, or too many", at)
        end = at + head + count * entry
        self.todo.append(self.number(end, place))
        self._add(at, end + place)
        values: dict[int, list[int]] = {}
        for number in range(count):
            start = at + head + number * entry
            tag, kind = struct.unpack(f"{self.order}HH", self.window.at(start, 4))
            values[tag] = self._entry(tag, kind, self.number(start + 4, place), start + 4 + place)
        for tag in _DIRECTORIES & set(values):
            self.todo += values[tag]
        for places, lengths in _PLACES:
            if len(values.get(places, ())) != len(values.get(lengths, ())) and (places != 513):
                raise MediaBroken(f"it has not as many lengths as places (tag {places})", at)
            for start, length in zip(values.get(places, ()), values.get(lengths, ()), strict=False):
                self._add(start, start + length)

    def _entry(self, tag: int, kind: int, count: int, at: int) -> list[int]:
        """The numbers of an entry where they are places; its bytes as a part where its writer liked to put some."""
        size = _TIFF_SIZES.get(kind, 1) * count
        inside = 8 if self.wide else 4
        if size > _LARGEST:
            raise MediaBroken("an entry is longer than any file", at)
        start = at if size <= inside else self.number(at, inside)
        if size > inside:
            self._add(start, start + size)
        placed = tag in _DIRECTORIES or any(tag in pair for pair in _PLACES)
        if placed and kind in _TIFF_LETTERS:
            if count > MAX_PLACES:
                raise MediaBroken("it has more strips than are followed", at)
            return list(struct.unpack(f"{self.order}{count}{_TIFF_LETTERS[kind]}", self.window.at(start, size)))
        if kind in (1, 2, 7) and size > inside:
            self.walk.parts.append(Part(f"tag {tag}", start, size, self.window.head(start, size)))
        return []

    def _add(self, start: int, end: int) -> None:
        if end > self.window.size:
            raise MediaBroken("a part reaches beyond the end", start)
        self.spans.add((start, end))
        if len(self.spans) > MAX_PLACES:
            raise MediaBroken("it has more parts than are followed", start)


def tiff(window: Window) -> Walk:
    """All directories, their values, and the strips and tiles that they name; BigTIFF as well."""
    read = _Tiff(window)
    read.directories()
    return _filled(window, read.spans, read.walk)


def _filled(window: Window, spans: Iterable[tuple[int, int]], walk: Walk) -> Walk:
    """The end of the last span, and what no span names as parts that nobody knows."""
    for start, end in sorted(spans):
        gap = start - walk.end
        if gap > 0 and (gap > 3 or any(window.at(walk.end, gap))):
            walk.parts.append(Part("gap", walk.end, gap, window.head(walk.end, gap), known=False))
        walk.end = max(walk.end, end)
    rest = window.size - walk.end
    if 0 < rest <= _MAX_PADDING and not any(window.at(walk.end, rest)):
        walk.end = window.size
    return walk


# --- BMP, ICO ------------------------------------------------------------------------------------


def bmp(window: Window) -> Walk:
    """The headers, the colours and the rows, which follow from width, height and depth."""
    stated, place, header = window.size, *struct.unpack("<II", window.at(10, 8))
    if header not in (40, 52, 56, 64, 108, 124):
        raise MediaBroken("its header is of no known length", 14)
    width, height, _, depth, packed, length = struct.unpack("<iiHHII", window.at(18, 20))
    if packed in (0, 3, 6):
        length = (abs(width) * depth + 31) // 32 * 4 * abs(height)
    if not 14 + header <= place <= 14 + header + 16 + 4 * 256 or place + length > stated:
        raise MediaBroken("its rows are not where it says", 10)
    walk = Walk(end=place + length)
    if header >= 108:
        profile, count = struct.unpack("<II", window.at(14 + 112, 8)) if header == 124 else (0, 0)
        if count:
            walk.parts.append(Part("colour profile", 14 + profile, count, window.head(14 + profile, count)))
            walk.end = max(walk.end, 14 + profile + count)
    if 0 < window.size - walk.end <= 3 and not any(window.at(walk.end, window.size - walk.end)):
        walk.end = window.size
    return walk


def ico(window: Window) -> Walk:
    """The pictures that the directory names, each a bitmap without a file header or a whole PNG."""
    count = int.from_bytes(window.at(4, 2), "little")
    walk, spans = Walk(), {(0, 6 + 16 * count)}
    for number in range(count):
        length, place = struct.unpack("<II", window.at(6 + 16 * number + 8, 8))
        if place + length > window.size:
            raise MediaBroken("a picture reaches beyond the end", 6 + 16 * number)
        if window.at(place, 4) not in (b"\x28\x00\x00\x00", b"\x89PNG"):
            raise MediaBroken("a picture is neither a bitmap nor a PNG", place)
        spans.add((place, place + length))
    return _filled(window, spans, walk)


# --- NIfTI, FITS ---------------------------------------------------------------------------------


def nifti(window: Window) -> Walk:
    """The header, its extensions, and as many numbers as the dimensions say."""
    length = int.from_bytes(window.at(0, 4), "little")
    order = "<" if length in (348, 540) else ">"
    wide = length == 540 or window.at(0, 4) == b"\x00\x00\x02\x1c"
    if wide:
        bits = struct.unpack(f"{order}h", window.at(14, 2))[0]
        dimensions = struct.unpack(f"{order}8q", window.at(16, 64))
        start = struct.unpack(f"{order}q", window.at(168, 8))[0]
    else:
        dimensions = struct.unpack(f"{order}8h", window.at(40, 16))
        bits = struct.unpack(f"{order}h", window.at(72, 2))[0]
        said = struct.unpack(f"{order}f", window.at(108, 4))[0]
        start = int(said) if math.isfinite(said) else -1
    head = 540 if wide else 348
    if not 1 <= dimensions[0] <= 7 or bits not in (1, 8, 16, 24, 32, 64, 96, 128, 256) or start < head:
        raise MediaBroken("its dimensions are none", 0)
    count = math.prod(max(1, one) for one in dimensions[1 : dimensions[0] + 1])
    walk = Walk(end=start + -(-count * bits // 8))
    if walk.end > window.size:
        raise MediaBroken("its numbers reach beyond the end", start)
    if start > head:
        walk.parts.append(Part("extensions", head, start - head, window.head(head, start - head)))
        _extensions(window, order, head, start, walk)
    return walk


def _extensions(window: Window, order: str, at: int, end: int, walk: Walk) -> None:
    given = end - at >= 4 and window.at(at, 1) != b"\x00"
    at += min(4, end - at)
    while given and at + 8 <= end:
        length = struct.unpack(f"{order}i", window.at(at, 4))[0]
        if length < 16 or at + length > end:
            break
        walk.parts.append(Part("extension", at + 8, length - 8, window.head(at + 8, length - 8)))
        at += length
    if at < end and any(window.at(at, min(4096, end - at))):
        walk.parts.append(Part("gap", at, end - at, window.head(at, end - at), known=False))


def fits(window: Window) -> Walk:
    """Units of a header of cards and as many numbers as its cards say, in blocks of 2880 bytes."""
    walk, at = Walk(), 0
    for _ in range(MAX_UNITS):
        if at + _FITS_BLOCK > window.size:
            break
        first = window.at(at, 9)
        if first not in (b"SIMPLE  =", b"XTENSION="):
            break
        at = walk.end = _fits_unit(window, at)
    else:
        raise MediaBroken("it has more units than are followed", at)
    return walk


def _fits_unit(window: Window, at: int) -> int:
    cards: dict[bytes, int] = {}
    for _ in range(10_000):
        block = window.at(at, _FITS_BLOCK)
        at += _FITS_BLOCK
        if not all(0x20 <= byte < 0x7F for byte in block):
            raise MediaBroken("a header is no text", at - _FITS_BLOCK)
        for start in range(0, _FITS_BLOCK, 80):
            card = block[start : start + 80]
            if card.rstrip() == b"END":
                return _fits_end(window, at, cards)
            number = _FITS_NUMBER.match(card)
            if number and number.group(2) not in b"TF":
                cards.setdefault(number.group(1), int(number.group(2)))
    raise MediaBroken("a header does not end", at)


def _fits_end(window: Window, at: int, cards: Mapping[bytes, int]) -> int:
    axes = cards.get(b"NAXIS", 0)
    if not 0 <= axes <= 999 or abs(cards.get(b"BITPIX", 8)) not in (8, 16, 32, 64):
        raise MediaBroken("a header says of no numbers how many they are", at)
    sides = [max(0, cards.get(b"NAXIS%d" % (number + 1), 0)) for number in range(axes)]
    # Random groups have no first axis.
    grouped = len(sides) > 1 and not sides[0]
    count = math.prod(sides[1:] if grouped else sides) if sides else 0
    more = max(0, cards.get(b"PCOUNT", 0)) if sides else 0
    length = abs(cards.get(b"BITPIX", 8)) // 8 * max(1, cards.get(b"GCOUNT", 1)) * (more + count)
    end = at + -(-length // _FITS_BLOCK) * _FITS_BLOCK
    if length > _LARGEST or end > window.size:
        raise MediaBroken("its numbers reach beyond the end", at)
    return end


WALKS: Final[Mapping[str, Callable[[Window], Walk]]] = MappingProxyType(
    {"tiff": tiff, "bmp": bmp, "ico": ico, "nifti": nifti, "fits": fits}
)
