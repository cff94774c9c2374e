"""Walks sound, film and fonts (MP3, MP4, Ogg, TrueType, OpenType, WOFF) from their first byte to their last.

As `formats.media`: nothing is decoded, lengths are followed. Written after ISO 11172-3 and ID3v2.4, ISO 14496-12, RFC
3533, the OpenType specification and WOFF 1 and 2.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Final

from weighbridge.formats.media import MAX_PARTS, MediaBroken, Part, Walk, Window

_BOXES = frozenset(
    b"ftyp moov mdat free skip wide moof mfra sidx styp uuid meta udta pdin pnot ssix prft emsg jumb".split()
)
_BIT_RATES_1 = (0, 32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320)
_BIT_RATES_2 = (0, 8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160)
_SAMPLE_RATES = (44_100, 48_000, 32_000)
_MAX_TABLES = 512


def mp3(window: Window) -> Walk:
    """ID3 tags and frames of layer III, up to the last that fits."""
    walk, at = Walk(), 0
    if window.at(0, 3) == b"ID3":
        size = 0
        for byte in window.at(6, 4):
            size = size << 7 | byte & 0x7F
        at = 10 + size + (10 if window.at(5, 1)[0] & 0x10 else 0)
        walk.parts.append(Part("ID3 tag", 10, size, window.head(10, size)))
    frames = 0
    while at + 4 <= window.size and frames < MAX_PARTS:
        length = _mp3_frame(window.at(at, 4))
        if not length or at + length > window.size:
            break
        at, frames = at + length, frames + 1
    if not frames:
        raise MediaBroken("no frame of sound is where one should be", at)
    if window.size - at == 128 and window.at(at, 3) == b"TAG":
        walk.parts.append(Part("ID3v1 tag", at, 128, window.head(at + 3, 125)))
        at += 128
    walk.end = at
    return walk


def _mp3_frame(head: bytes) -> int:
    """The length of the frame; 0 when it is none of layer III."""
    word = int.from_bytes(head, "big")
    version, layer = word >> 19 & 3, word >> 17 & 3
    rate, sample, padding = word >> 12 & 15, word >> 10 & 3, word >> 9 & 1
    if word >> 21 != 0x7FF or version == 1 or layer != 1 or rate in (0, 15) or sample == 3:
        return 0
    if version == 3:
        return 144_000 * _BIT_RATES_1[rate] // _SAMPLE_RATES[sample] + padding
    samples = _SAMPLE_RATES[sample] // (2 if version == 2 else 4)
    return 72_000 * _BIT_RATES_2[rate] // samples + padding


def mp4(window: Window) -> Walk:
    """Boxes of the outermost level."""
    walk, at = Walk(), 0
    for _ in range(MAX_PARTS):
        if at == window.size:
            walk.end = at
            return walk
        if window.size - at < 8:
            break
        length, kind = struct.unpack(">L4s", window.at(at, 8))
        head = 8
        if length == 1:
            length, head = int.from_bytes(window.at(at + 8, 8), "big"), 16
        elif length == 0:
            length = window.size - at
        if kind not in _BOXES:
            break
        if length < head or at + length > window.size:
            raise MediaBroken("a box reaches beyond the end", at)
        if kind not in (b"mdat", b"moov", b"moof", b"ftyp"):
            walk.parts.append(Part(f"box {kind!a}", at + head, length - head, window.head(at + head, length - head)))
        at += length
    walk.end = at
    return walk


def ogg(window: Window) -> Walk:
    """Pages."""
    walk, at = Walk(), 0
    for _ in range(MAX_PARTS):
        if at + 27 > window.size or window.at(at, 4) != b"OggS":
            break
        segments = window.at(at + 26, 1)[0]
        at += 27 + segments + sum(window.at(at + 27, segments))
        if at > window.size:
            raise MediaBroken("a page reaches beyond the end", at)
    walk.end = at
    return walk


def font(window: Window) -> Walk:
    """Tables that fill the file, apart from padding."""
    magic = window.at(0, 4)
    if magic == b"wOFF":
        return _woff(window)
    if magic == b"wOF2":
        return _woff2(window)
    starts = [0]
    if magic == b"ttcf":
        count = int.from_bytes(window.at(8, 4), "big")
        if count > _MAX_TABLES:
            raise MediaBroken("it has more fonts than are followed", 8)
        starts = [int.from_bytes(window.at(12 + 4 * number, 4), "big") for number in range(count)]
    spans = {(0, 12 + 4 * len(starts) + (12 if window.at(4, 2) == b"\x00\x02" else 0))} if magic == b"ttcf" else set()
    for start in starts:
        count = int.from_bytes(window.at(start + 4, 2), "big")
        if not 0 < count <= _MAX_TABLES:
            raise MediaBroken("it has no tables, or too many", start)
        spans.add((start, start + 12 + 16 * count))
        for number in range(count):
            place, length = struct.unpack(">2L", window.at(start + 12 + 16 * number + 8, 8))
            spans.add((place, place + length))
    return _filled(window, spans)


def _woff(window: Window) -> Walk:
    length, count = struct.unpack(">LH", window.at(8, 6))
    if length != window.size or not 0 < count <= _MAX_TABLES:
        raise MediaBroken("its header gives it another length", 8)
    meta, meta_length, _, private, private_length = struct.unpack(">5L", window.at(24, 20))
    spans = {(0, 44 + 20 * count), (meta, meta + meta_length), (private, private + private_length)}
    for number in range(count):
        place, packed = struct.unpack(">2L", window.at(44 + 20 * number + 4, 8))
        spans.add((place, place + packed))
    walk = _filled(window, spans)
    if private_length:
        walk.parts.append(Part("private data", private, private_length, window.head(private, private_length), False))
    return walk


def _woff2(window: Window) -> Walk:
    length, count, _, _, packed = struct.unpack(">LHHLL", window.at(8, 16))
    meta, meta_length, _, private, private_length = struct.unpack(">5L", window.at(28, 20))
    if length != window.size or not 0 < count <= _MAX_TABLES or window.at(4, 4) == b"ttcf":
        raise MediaBroken("its header gives it another length, or it is a collection", 8)
    at = 48
    for _ in range(count):
        flags = window.at(at, 1)[0]
        at += 5 if flags & 63 == 63 else 1
        tag, version = flags & 63, flags >> 6
        at = _base_128(window, at)
        # glyf and loca (10, 11) are transformed unless version 3 says otherwise; others only when it says so.
        if version != 3 if tag in (10, 11) else version:
            at = _base_128(window, at)
    walk = _filled(
        window, {(0, at), (at, at + packed), (meta, meta + meta_length), (private, private + private_length)}
    )
    if private_length:
        walk.parts.append(Part("private data", private, private_length, window.head(private, private_length), False))
    return walk


def _base_128(window: Window, at: int) -> int:
    for _ in range(5):
        at += 1
        if not window.at(at - 1, 1)[0] & 0x80:
            return at
    raise MediaBroken("a number has no end", at)


def _filled(window: Window, spans: set[tuple[int, int]]) -> Walk:
    walk = Walk()
    for start, end in sorted(span for span in spans if span[1] > span[0]):
        if start > walk.end:
            gap = window.at(walk.end, start - walk.end) if start - walk.end <= 3 else b"\x01"
            if any(gap):
                walk.defects.append((f"{start - walk.end} bytes belong to no table", walk.end))
        if end > window.size:
            raise MediaBroken("a table reaches beyond the end", start)
        walk.end = max(walk.end, end)
    padding = min(-walk.end % 4, window.size - walk.end)
    if padding > 0 and not any(window.at(walk.end, padding)):
        walk.end += padding
    return walk


WALKS: Final[Mapping[str, Callable[[Window], Walk]]] = MappingProxyType(
    {"mp3": mp3, "mp4": mp4, "ogg": ogg, "font": font}
)
