"""Unpacks one compressed stream step by step, with bounds on what one step may give.

The codecs are the interpreter's own (zlib, bz2, lzma) and, for formats of their own modules, whatever offers `Decoder`.
No step gives more than `STEP_BYTES` where the codec can be held to it; nothing here looks at headers of containers.
"""

from __future__ import annotations

import bz2
import lzma
import struct
import zlib
from collections.abc import Iterator
from typing import Final, Protocol

from weighbridge.core.errors import FormatError, Malformed
from weighbridge.core.ports import RangeReader
from weighbridge.formats.bounded import read_exactly

STEP_BYTES: Final = 1024 * 1024
MAX_DICTIONARY_BYTES: Final = 64 * 1024 * 1024
"""Largest window or dictionary that a decoder is given memory for."""

_READ_BYTES = 128 * 1024
_FIRST_READ_BYTES = 16 * 1024
_MEMORY_BYTES = 80 * 1024 * 1024


class StreamDefect(Malformed):
    """The stream cannot be unpacked further; `rule` says why, in one word."""

    def __init__(self, message: str, rule: str = "broken") -> None:
        super().__init__(message)
        self.rule = rule


class Decoder(Protocol):
    """One stream's state, as in `bz2.BZ2Decompressor`."""

    @property
    def eof(self) -> bool:
        """Whether the stream's end was reached."""
        ...

    @property
    def needs_input(self) -> bool:
        """Whether it gives nothing more without more input."""
        ...

    @property
    def unused_data(self) -> bytes:
        """Input behind the stream's end."""
        ...

    def decompress(self, data: bytes, max_length: int) -> bytes:
        """Takes input and gives at most `max_length` bytes."""
        ...


class Inflate:
    """zlib's decoder in the shape of the others; `window_bits` as in zlib (-15 raw, 15 zlib, 31 gzip)."""

    def __init__(self, window_bits: int) -> None:
        self._unpack = zlib.decompressobj(window_bits)
        self._full = False

    @property
    def eof(self) -> bool:
        """Whether the stream's end was reached."""
        return self._unpack.eof

    @property
    def needs_input(self) -> bool:
        """Whether it gives nothing more without more input."""
        return not self._unpack.unconsumed_tail and not self._full

    @property
    def unused_data(self) -> bytes:
        """Input behind the stream's end."""
        return self._unpack.unused_data

    def decompress(self, data: bytes, max_length: int) -> bytes:
        """Takes input and gives at most `max_length` bytes."""
        out = self._unpack.decompress(self._unpack.unconsumed_tail + data, max_length)
        # A full step may have left bytes in the window with no input left over.
        self._full = len(out) == max_length
        return out


class Cursor:
    """Bytes `start` to `end` of an artifact, front to back; what was taken too much can be given back."""

    def __init__(self, reader: RangeReader, start: int, end: int) -> None:
        self._reader = reader
        self._end = min(end, reader.size_bytes)
        self._position = start
        self._kept = b""
        self._step = _FIRST_READ_BYTES

    @property
    def position(self) -> int:
        """The offset of the next byte."""
        return self._position - len(self._kept)

    @property
    def remaining(self) -> int:
        """Bytes that follow."""
        return self._end - self.position

    def chunk(self) -> bytes:
        """The next bytes, as many as are at hand; none at the end."""
        data = self._kept or self._read(self._step)
        self._kept = b""
        return data

    def take(self, length: int) -> bytes:
        """The next `length` bytes; fewer at the end."""
        while len(self._kept) < length and self._position < self._end:
            self._kept += self._read(max(self._step, length - len(self._kept)))
        data, self._kept = self._kept[:length], self._kept[length:]
        return data

    def give_back(self, data: bytes) -> None:
        """Puts back what was taken last."""
        self._kept = data + self._kept

    def skip(self, length: int) -> None:
        """Passes bytes, unread where they are not at hand."""
        kept = len(self._kept)
        if length < kept:
            self._kept = self._kept[length:]
        else:
            self._position, self._kept = min(self._end, self._position + length - kept), b""

    def _read(self, length: int) -> bytes:
        length = min(length, self._end - self._position)
        if length <= 0:
            return b""
        data = read_exactly(self._reader, self._position, length)
        self._position += length
        self._step = _READ_BYTES
        return data


def decode(cursor: Cursor, decoder: Decoder) -> Iterator[bytes]:
    """Unpacks one stream; afterwards the cursor is behind it.

    Raises:
        StreamDefect: it breaks, or ends too early.
        Truncated: the reader returned less than was promised.
    """
    while not decoder.eof:
        data = b""
        if decoder.needs_input:
            data = cursor.chunk()
            if not data:
                raise StreamDefect("the stream is cut short")
        try:
            out = decoder.decompress(data, STEP_BYTES)
        except FormatError:
            raise
        except (zlib.error, lzma.LZMAError, OSError, ValueError, EOFError, RuntimeError, MemoryError) as error:
            text = str(error)
            rule = "checksum" if "data check" in text or "hecksum" in text else "broken"
            raise StreamDefect(f"the stream cannot be unpacked: {text[:80]!a}", rule) from error
        if out:
            yield out
    # lz4 says None for nothing.
    cursor.give_back(decoder.unused_data or b"")


def lzma_properties(data: bytes) -> dict[str, int]:
    """The raw filter of LZMA's five bytes of properties (of 7z, zip and lzma-alone).

    Raises:
        StreamDefect: they are impossible, or ask for too much memory.
    """
    if len(data) < 5 or data[0] >= 9 * 5 * 5:
        raise StreamDefect("LZMA's properties are impossible")
    rest, lc = divmod(data[0], 9)
    pb, lp = divmod(rest, 5)
    size = struct.unpack_from("<I", data, 1)[0]
    if size > MAX_DICTIONARY_BYTES:
        raise StreamDefect(f"the stream asks for a dictionary of {size} bytes", "limit")
    if lc + lp > 4:
        raise StreamDefect("LZMA's properties are of a kind nobody writes")
    return {"id": lzma.FILTER_LZMA1, "dict_size": max(4096, size), "lc": lc, "lp": lp, "pb": pb}


def raw_lzma(filters: list[dict[str, int]]) -> Decoder:
    """A decoder of raw LZMA, LZMA2 and the filters before them."""
    return lzma.LZMADecompressor(lzma.FORMAT_RAW, filters=filters)


def xz() -> Decoder:
    """A decoder of one .xz stream."""
    return lzma.LZMADecompressor(lzma.FORMAT_XZ, memlimit=_MEMORY_BYTES)


def lzma_alone() -> Decoder:
    """A decoder of one .lzma stream."""
    return lzma.LZMADecompressor(lzma.FORMAT_ALONE, memlimit=_MEMORY_BYTES)


def bzip2() -> Decoder:
    """A decoder of one .bz2 stream."""
    return bz2.BZ2Decompressor()
