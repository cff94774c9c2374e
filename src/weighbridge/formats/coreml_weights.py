"""Walks the file of weights of a Core ML package (`weight.bin`) from blob to blob; nothing is decoded.

A header of 64 bytes (the number of blobs, version 2, zeros), then for each blob 64 bytes (a mark, the type, the size and
the place of its data; the rest is reserved, and old writers left there whatever was in memory) and the data, which begins
at a multiple of 64 bytes. Source: coremltools `mlmodel/src/MILBlob/Blob/StorageFormat.hpp`. Limit: `MAX_BLOBS`.
"""

from __future__ import annotations

import struct
from typing import Final

from weighbridge.core.errors import LimitExceeded, Malformed
from weighbridge.core.ports import RangeReader
from weighbridge.formats.bounded import read_exactly

MAX_BLOBS: Final = 100_000
_ALIGNED: Final = 64
_MARK: Final = 0xDEADBEEF
_LAST_TYPE: Final = 64


def walk_weights(reader: RangeReader) -> list[tuple[int, int]]:
    """Where the data of each blob begins and ends, when blobs and zeros fill the file.

    Raises:
        Malformed: they do not; LimitExceeded: there are too many.
        Truncated: the reader returned less than the artifact's size promises.
    """
    size = reader.size_bytes
    count = int.from_bytes(read_exactly(reader, 0, 4), "little")
    if count > MAX_BLOBS:
        raise LimitExceeded(f"the file has {count} blobs")
    at, found = _ALIGNED, []
    for number in range(count):
        at = -(-at // _ALIGNED) * _ALIGNED
        if at + _ALIGNED > size:
            raise Malformed(f"blob {number} is beyond the end")
        mark, kind, length, place = struct.unpack_from("<IIQQ", read_exactly(reader, at, _ALIGNED))
        if mark != _MARK or kind > _LAST_TYPE or place != at + _ALIGNED or length > size - place:
            raise Malformed(f"blob {number} at {at} is of type {kind}, {length} bytes at {place}")
        found.append((place, place + length))
        at = place + length
    if size - at >= _ALIGNED or any(read_exactly(reader, at, size - at)):
        raise Malformed(f"{size - at} bytes follow the last blob")
    return found
