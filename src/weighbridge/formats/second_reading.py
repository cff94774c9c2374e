"""Is a file something else as well, to those who read it from another end?

A zip archive is found by its last bytes, so a file of any format can be one too: a reader of models sees the model, and
a reader of archives (torch's, Keras's) another. Only an archive whose directory really lies there counts; the
signature alone turns up among numbers by chance.
"""

from __future__ import annotations

from typing import Final

from weighbridge.core.errors import Truncated
from weighbridge.core.ports import RangeReader

_END_RECORD_BYTES: Final = 22
_TAIL_BYTES: Final = _END_RECORD_BYTES + 65_535


def zip_at_the_end(reader: RangeReader) -> int | None:
    """Where the end record of a zip archive lies whose directory is where it says; None when there is none.

    Raises:
        Truncated: the reader returned less than the artifact's size promises.
    """
    size = reader.size_bytes
    start = max(0, size - _TAIL_BYTES)
    tail = reader.read(start, size - start)
    if len(tail) != size - start:
        raise Truncated(f"'{reader.path}' gave {len(tail)} bytes at {start} where it has {size - start}")
    at = tail.rfind(b"PK\x05\x06")
    while at >= 0:
        record = tail[at : at + _END_RECORD_BYTES]
        if len(record) == _END_RECORD_BYTES:
            # Readers accept bytes before the archive and after it: the directory ends where its end record begins.
            directory = start + at - int.from_bytes(record[12:16], "little")
            if 0 <= directory < start + at and reader.read(directory, 4) == b"PK\x01\x02":
                return start + at
        at = tail.rfind(b"PK\x05\x06", 0, at)
    return None
