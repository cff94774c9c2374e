"""Walks sound files beyond plain WAV from their first byte to their last: AIFF, AIFF-C, RF64, BW64, RIFX and Wave64.

As `formats.media`: nothing is decoded. Written after Apple's AIFF 1.3 and AIFF-C drafts, EBU Tech 3306 (RF64), ITU-R BS.2088
(BW64) and Sonic Foundry's description of Wave64. What a chunk of samples holds beyond the samples that are announced is a
part of its own.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Final

from weighbridge.formats.media import MAX_PARTS, RIFF_CHUNKS, MediaBroken, Part, Walk, Window, riff

_UNSAID: Final = 0xFFFFFFFF
_AIFF_CHUNKS: Final = frozenset(
    (
        *(b"COMM", b"SSND", b"FVER", b"MARK", b"INST", b"COMT", b"NAME", b"AUTH", b"(c) ", b"ANNO", b"AESD", b"CHAN"),
        *(b"PEAK", b"basc", b"trns", b"cate", b"ID3 ", b"FLLR", b"SAXL"),
    )
)
_PLAIN_SAMPLES: Final = frozenset((b"NONE", b"sowt", b"twos", b"raw ", b"in24", b"in32", b"42ni", b"23ni"))
"""Kinds of AIFF-C whose samples take as many bytes as their bits say."""
_SAMPLE_BYTES: Final[Mapping[bytes, int]] = {
    **dict.fromkeys((b"fl32", b"FL32"), 4),
    **dict.fromkeys((b"fl64", b"FL64"), 8),
    **dict.fromkeys((b"ulaw", b"alaw", b"ULAW", b"ALAW"), 1),
}
_GUID_END: Final = bytes.fromhex("f3acd3118cd100c04f8edb8a")
_RIFF_GUID: Final = b"riff" + bytes.fromhex("2e91cf11a5d628db04c10000")
_WAVE_GUID: Final = b"wave" + _GUID_END
_WAVE64: Final[Mapping[bytes, str]] = {
    **{name + _GUID_END: name.decode() for name in (b"fmt ", b"fact", b"data", b"levl", b"junk", b"bext")},
    b"list" + bytes.fromhex("2f91cf11a5d628db04c10000"): "list",
    bytes.fromhex("5662f7ab2d39d21186c700c04f8edb8a"): "marker",
    bytes.fromhex("bc945f925a52d21186dc00c04f8edb8a"): "summary",
}


def aiff(window: Window) -> Walk:
    """Chunks of the form, one of which says what the samples are and one holds them."""
    walk, size = Walk(), _number(window, 4, 4, "big")
    # Some writers count the padding of the last chunk, and some do not.
    walk.end = min(8 + size + size % 2, window.size) if 8 + size <= window.size else 0
    if not walk.end:
        raise MediaBroken("it ends before it is complete", 4)
    samples, at = -1, 12
    seen: set[bytes] = set()
    for _ in range(MAX_PARTS):
        if at + 8 > 8 + size:
            _must(seen, (b"COMM",) if samples <= 0 else (b"COMM", b"SSND"), at)
            if any(window.at(at, max(0, walk.end - at))):
                walk.defects.append(("something lies behind the last chunk", at))
            return walk
        kind, length = window.at(at, 4), _number(window, at + 4, 4, "big")
        if at + 8 + length > 8 + size or not kind.isascii():
            raise MediaBroken("a chunk reaches beyond its form", at)
        if kind in seen and kind in (b"COMM", b"SSND", b"FVER"):
            walk.defects.append((f"there is a second chunk {kind!a}", at))
        seen.add(kind)
        if kind == b"COMM":
            samples = _aiff_samples(window, at + 8, length, compressed=window.at(8, 4) == b"AIFC")
        elif kind == b"SSND":
            _aiff_sound(window, at + 8, length, samples, walk)
        else:
            head = window.head(at + 8, length)
            walk.parts.append(Part(f"chunk {kind!a}", at + 8, length, head, kind in _AIFF_CHUNKS))
        at += 8 + length + length % 2
    raise MediaBroken("it has more chunks than are followed", at)


def _aiff_samples(window: Window, at: int, length: int, *, compressed: bool) -> int:
    """How many bytes the samples take; -1 where that depends on a decoder."""
    if length < (23 if compressed else 18):
        raise MediaBroken("the description of the samples is too short", at)
    channels, frames, bits = (_number(window, at + place, size, "big") for place, size in ((0, 2), (2, 4), (6, 2)))
    coding = window.at(at + 18, 4) if compressed else b"NONE"
    if coding in _PLAIN_SAMPLES:
        return channels * frames * -(-bits // 8)
    return channels * frames * _SAMPLE_BYTES[coding] if coding in _SAMPLE_BYTES else -1


def _aiff_sound(window: Window, at: int, length: int, samples: int, walk: Walk) -> None:
    if length < 8:
        raise MediaBroken("the chunk of the samples is too short", at)
    before = _number(window, at, 4, "big")
    held = length - 8 - before
    if held < max(0, samples):
        walk.defects.append(("it holds fewer samples than it says", at))
        return
    if before:
        walk.parts.append(Part("what lies before the samples", at + 8, before, window.head(at + 8, before), False))
    if 0 <= samples < held:
        place = at + 8 + before + samples
        walk.parts.append(Part("what lies behind the samples", place, held - samples, window.head(place, held - samples), False))  # fmt: skip


def wave(window: Window) -> Walk:
    """WAV of every size and order of bytes: RIFF, RF64 and BW64 (sizes of 64 bits), RIFX (big end first)."""
    form = window.at(0, 4)
    if form == b"RIFF":
        return riff(window)
    walk = Walk()
    order = "big" if form == b"RIFX" else "little"
    size = _number(window, 4, 4, order)
    long: dict[bytes, int] = {}
    if form != b"RIFX":
        long, walk_from = _sizes(window)
        size = long[b"RIFF"] if size == _UNSAID else size
    else:
        walk_from = 12
    walk.end = 8 + size
    if walk.end > window.size or size < 4:
        raise MediaBroken("it ends before it is complete", 4)
    _chunks(window, walk_from, order, long, walk)
    walk.end = min(walk.end + walk.end % 2, window.size)
    return walk


def _sizes(window: Window) -> tuple[dict[bytes, int], int]:
    """The sizes that the first chunk says, by the chunk they are of, and where the next one begins."""
    length = _number(window, 16, 4, "little")
    if window.at(12, 4) != b"ds64" or not 28 <= length <= 28 + 12 * 1000:
        raise MediaBroken("it does not begin with its sizes", 12)
    sizes = {b"RIFF": _number(window, 20, 8, "little"), b"data": _number(window, 28, 8, "little")}
    count = _number(window, 44, 4, "little")
    if 28 + 12 * count > length:
        raise MediaBroken("the table of sizes is longer than its chunk", 44)
    for at in range(48, 48 + 12 * count, 12):
        sizes[window.at(at, 4)] = _number(window, at + 4, 8, "little")
    return sizes, 20 + length + length % 2


def _chunks(window: Window, at: int, order: str, long: Mapping[bytes, int], walk: Walk) -> None:
    seen: set[bytes] = set()
    for _ in range(MAX_PARTS):
        if at + 8 > walk.end:
            _must(seen, (b"fmt ", b"data"), at)
            if at < walk.end and any(window.at(at, walk.end - at)):
                walk.defects.append(("something lies behind the last chunk", at))
            return
        kind, length = window.at(at, 4), _number(window, at + 4, 4, order)
        length = long.get(kind, length) if length == _UNSAID else length
        if at + 8 + length > walk.end or not kind.isascii():
            raise MediaBroken("a chunk reaches beyond its list", at)
        seen.add(kind)
        if kind not in (b"data", b"LIST"):
            known = kind in RIFF_CHUNKS or kind in (b"chna", b"axml", b"r64m")
            walk.parts.append(Part(f"chunk {kind!a}", at + 8, length, window.head(at + 8, length), known))
        at += 8 + length + length % 2
    raise MediaBroken("it has more chunks than are followed", at)


def wave64(window: Window) -> Walk:
    """Chunks with names of 16 bytes and sizes of 64 bits, which begin at multiples of eight."""
    walk = Walk(end=_number(window, 16, 8, "little"))
    if window.at(0, 16) != _RIFF_GUID or window.at(24, 16) != _WAVE_GUID or not 40 <= walk.end <= window.size:
        raise MediaBroken("it ends before it is complete, or does not begin as it must", 16)
    at, seen = 40, set[bytes]()
    for _ in range(MAX_PARTS):
        if at + 24 > walk.end:
            _must(seen, (b"fmt " + _GUID_END, b"data" + _GUID_END), at)
            if at < walk.end and any(window.at(at, walk.end - at)):
                walk.defects.append(("something lies behind the last chunk", at))
            # Some writers pad the last chunk, and do not count that.
            rest = window.size - walk.end
            if rest < 8 and walk.end % 8 and rest == 8 - walk.end % 8 and not any(window.at(walk.end, rest)):
                walk.end = window.size
            return walk
        kind, length = window.at(at, 16), _number(window, at + 16, 8, "little") - 24
        if length < 0 or at + 24 + length > walk.end:
            raise MediaBroken("a chunk reaches beyond its list", at)
        seen.add(kind)
        name = _WAVE64.get(kind, "")
        if name != "data":
            head = window.head(at + 24, length)
            walk.parts.append(Part(f"chunk {name or kind[:4]!a}", at + 24, length, head, bool(name)))
        at += -(-(24 + length) // 8) * 8
    raise MediaBroken("it has more chunks than are followed", at)


def _must(seen: set[bytes], wanted: tuple[bytes, ...], at: int) -> None:
    for kind in wanted:
        if kind not in seen:
            raise MediaBroken(f"there is no chunk {kind[:4]!a}", at)


def _number(window: Window, at: int, length: int, order: str) -> int:
    data = window.at(at, length)
    return int.from_bytes(data, "big" if order == "big" else "little")


WALKS: Final[Mapping[str, Callable[[Window], Walk]]] = MappingProxyType({"aiff": aiff, "wav": wave, "wave64": wave64})
