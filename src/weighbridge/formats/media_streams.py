"""Walks FLAC, Matroska (WebM) and AppleDouble files from their first byte to their last.

As `formats.media`: nothing is decoded. Written after RFC 9639, RFC 9559 with RFC 8794, and RFC 1740. The frames of FLAC
have no lengths: their headers are counted against the header's number of samples, and the last one ends where its
checksum says.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Final

from weighbridge.formats.media import MAX_PARTS, MediaBroken, Part, Walk, Window

_FLAC_SYNC = re.compile(rb"\xff[\xf8\xf9]", re.DOTALL)
_MAX_FRAME = 2 * 1024 * 1024
_STEP = 256 * 1024


def _table(polynomial: int, bits: int) -> tuple[int, ...]:
    found = []
    for value in range(256):
        value <<= bits - 8
        for _ in range(8):
            value = value << 1 ^ (polynomial if value >> bits - 1 & 1 else 0)
        found.append(value & (1 << bits) - 1)
    return tuple(found)


_CRC_8 = _table(0x07, 8)
_CRC_16 = _table(0x8005, 16)


def flac(window: Window) -> Walk:
    """Blocks of metadata, then frames up to the number of samples that the first block says."""
    walk, at, last = Walk(), 4, False
    samples = 0
    while not last:
        head = window.at(at, 4)
        kind, length = head[0] & 0x7F, int.from_bytes(head[1:], "big")
        if at == 4 and (kind or length != 34):
            raise MediaBroken("it does not begin with what the stream is", at)
        if kind > 6 or at + 4 + length > window.size:
            raise MediaBroken("a block is of no known kind, or reaches beyond the end", at)
        if kind == 0:
            samples = int.from_bytes(window.at(at + 17, 5), "big") & 0xFFFFFFFFF
        elif kind != 3:
            walk.parts.append(Part(f"block {kind}", at + 4, length, window.head(at + 4, length)))
        at, last = at + 4 + length, bool(head[0] & 0x80)
    _frames(window, at, samples)
    walk.end = window.size
    return walk


def _frames(window: Window, at: int, samples: int) -> None:
    """Follows the frames by their numbers; the last must hold the last sample and end with the file."""
    start, counted, number, variable = -1, 0, 0, False
    step = at
    while step < window.size:
        data = window.at(step, min(_STEP, window.size - step))
        for match in _FLAC_SYNC.finditer(data):
            place = step + match.start()
            head = window.at(place, min(16, window.size - place))
            read = _frame_head(head)
            if read is None or (start < 0 and place != at):
                continue
            block, said = read
            variable = variable or bool(head[1] & 1)
            if said == (counted if variable else number):
                start, counted, number = place, counted + block, number + 1
        step += max(1, len(data) - 1) if step + len(data) < window.size else len(data)
    if start < 0 or (samples and counted != samples) or window.size - start > _MAX_FRAME:
        raise MediaBroken("its frames do not hold the samples that it says", max(start, at))
    check = 0
    for byte in window.at(start, window.size - start):
        check = (check << 8 & 0xFFFF) ^ _CRC_16[check >> 8 ^ byte]
    if check:
        raise MediaBroken("the last frame does not end where the file does", start)


def _frame_head(head: bytes) -> tuple[int, int] | None:
    """How many samples a frame holds and its number (or that of its first sample); None for no header."""
    if len(head) < 6 or head[2] >> 4 == 0 or head[2] & 15 == 15 or head[3] >> 4 > 10 or head[3] & 1:
        return None
    more = next((count for count in range(7) if not head[4] << count & 0x80), 7)
    if more in (1, 7 + 1) or len(head) < 5 + max(0, more - 1):
        return None
    number = head[4] & (0x7F >> more if more else 0x7F)
    for byte in head[5 : 4 + max(1, more)]:
        number = number << 6 | byte & 0x3F
    at = 4 + max(1, more)
    size = head[2] >> 4
    extra = {6: 1, 7: 2}.get(size, 0)
    block = int.from_bytes(head[at : at + extra], "big") + 1 if extra else _block_samples(size)
    at += extra + {12: 1, 13: 2, 14: 2}.get(head[2] & 15, 0)
    check = 0
    for byte in head[:at]:
        check = _CRC_8[check ^ byte]
    return (block, number) if at < len(head) and check == head[at] else None


def _block_samples(code: int) -> int:
    if code == 1:
        return 192
    return 576 << code - 2 if code <= 5 else 256 << code - 8


# --- Matroska ------------------------------------------------------------------------------------

_EBML, _SEGMENT, _CLUSTER, _ATTACHMENTS = 0x1A45DFA3, 0x18538067, 0x1F43B675, 0x1941A469
_TOP: Final = frozenset(
    (0x114D9B74, 0x1549A966, 0x1654AE6B, _CLUSTER, 0x1C53BB6B, _ATTACHMENTS, 0x1043A770, 0x1254C367)
)
_FILLING: Final = frozenset((0xEC, 0xBF))
_IN_CLUSTER: Final = frozenset((0xE7, 0x5854, 0xA7, 0xAB, 0xA3, 0xA0, 0xAF))


def matroska(window: Window) -> Walk:
    """The header and one segment; clusters of a live stream, which have no length, by what lies in them."""
    walk = Walk()
    kind, at, end = _element(window, 0)
    if kind != _EBML or end is None:
        raise MediaBroken("it does not begin with its header", at)
    kind, at, last = _element(window, end)
    if kind != _SEGMENT:
        raise MediaBroken("no segment follows its header", end)
    limit = window.size if last is None else last
    walk.end = _segment(window, at, limit, walk)
    return walk


def _segment(window: Window, at: int, limit: int, walk: Walk) -> int:
    live = False
    for _ in range(MAX_PARTS):
        if at >= limit:
            return at
        kind, inside, end = _element(window, at)
        if kind == _CLUSTER and end is None:
            at, live = inside, True
            continue
        known = kind in _TOP or kind in _FILLING or (live and kind in _IN_CLUSTER)
        if not known or end is None or end > limit:
            raise MediaBroken("an element is of no known kind, or reaches beyond its segment", at)
        live = live and kind not in _TOP
        if kind not in (_CLUSTER, 0xA3, 0xA0):
            part = Part(
                f"element {kind:#x}", inside, end - inside, window.head(inside, end - inside), kind != _ATTACHMENTS
            )
            walk.parts.append(part)
        at = end
    raise MediaBroken("it has more elements than are followed", at)


def _element(window: Window, at: int) -> tuple[int, int, int | None]:
    """The kind of an element, where its content begins, and where it ends; None where it does not say."""
    width = 9 - window.at(at, 1)[0].bit_length()
    if width > 4:
        raise MediaBroken("an element has no kind", at)
    kind = int.from_bytes(window.at(at, width), "big")
    at += width
    width = 9 - window.at(at, 1)[0].bit_length()
    if width > 8:
        raise MediaBroken("an element has no length", at)
    length = int.from_bytes(window.at(at, width), "big") & (1 << 7 * width) - 1
    at += width
    if length == (1 << 7 * width) - 1:
        return kind, at, None
    if at + length > window.size:
        raise MediaBroken("an element reaches beyond the end", at)
    return kind, at, at + length


# --- AppleDouble ---------------------------------------------------------------------------------


def apple_double(window: Window) -> Walk:
    """What a Mac keeps of a file beside it (`._name`): dates, attributes, a resource fork."""
    walk, count = Walk(), int.from_bytes(window.at(24, 2), "big")
    walk.end = 26 + 12 * count
    if not 0 < count <= 64:
        raise MediaBroken("it has no entries, or too many", 24)
    for number in range(count):
        entry = window.at(26 + 12 * number, 12)
        place, length = int.from_bytes(entry[4:8], "big"), int.from_bytes(entry[8:], "big")
        if place + length > window.size:
            raise MediaBroken("an entry reaches beyond the end", place)
        known = int.from_bytes(entry[:4], "big") in (3, 4, 8, 9, 10, 14) or length <= 4096
        walk.parts.append(Part(f"entry {number}", place, length, window.head(place, length), known))
        walk.end = max(walk.end, place + length)
    return walk


WALKS: Final[Mapping[str, Callable[[Window], Walk]]] = MappingProxyType(
    {"flac": flac, "matroska": matroska, "apple-double": apple_double}
)
