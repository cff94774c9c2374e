"""Reads exactly what was asked for, a bounded artifact whole, and text line by line, in blocks that every reader serves.

Nothing here interprets a byte. What is larger than the caller's bound is refused before anything is read.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from weighbridge.core.errors import LimitExceeded, Truncated
from weighbridge.core.ports import RangeReader

BLOCK_BYTES: Final = 8 * 1024 * 1024


def read_exactly(reader: RangeReader, offset: int, length: int) -> bytes:
    """Exactly `length` bytes from `offset`, of which the caller knows that they lie inside the artifact.

    Raises:
        Truncated: the reader returned less than the artifact's size promises.
    """
    data = reader.read(offset, length)
    if len(data) != length:
        raise Truncated(f"'{reader.path}' gave {len(data)} bytes at {offset} where it has {length}")
    return data


def read_whole(reader: RangeReader, limit_bytes: int) -> bytes:
    """All bytes of an artifact.

    Raises:
        LimitExceeded: it is larger than `limit_bytes`.
        Truncated: the reader returned less than the artifact's size promises.
    """
    if reader.size_bytes > limit_bytes:
        raise LimitExceeded(f"'{reader.path}' has {reader.size_bytes} bytes, and at most {limit_bytes} are read")
    return b"".join(blocks(reader))


def blocks(reader: RangeReader, block_bytes: int = BLOCK_BYTES) -> Iterator[bytes]:
    """An artifact from its first byte to its last, in blocks.

    Raises:
        Truncated: the reader returned less than the artifact's size promises.
    """
    for position in range(0, reader.size_bytes, block_bytes):
        wanted = min(block_bytes, reader.size_bytes - position)
        yield read_exactly(reader, position, wanted)


def lines(reader: RangeReader, longest: int) -> Iterator[bytes]:
    r"""The lines of an artifact without their `\n`; a last line without one counts.

    Raises:
        LimitExceeded: a line is longer than `longest` bytes.
        Truncated: the reader returned less than the artifact's size promises.
    """
    rest = b""
    for block in blocks(reader, 1024 * 1024):
        first, *others = (rest + block).split(b"\n") if len(rest) <= longest else [rest]
        for line in (first, *others)[:-1]:
            if len(line) > longest:
                raise LimitExceeded(f"'{reader.path}' has a line of more than {longest} bytes")
            yield line
        rest = others[-1] if others else first
        if len(rest) > longest:
            raise LimitExceeded(f"'{reader.path}' has a line of more than {longest} bytes")
    if rest:
        yield rest
