"""Whether a file of another format ends as a zip archive does.

Readers of zip look for the directory from the end, so an archive can follow, or lie inside, a file that begins as
something else. The four bytes of an end record's signature occur in numbers by chance; a directory's signature where
the record points does not occur as well.

Reads the last 64 KiB once, and four bytes for each end record found there, `MAX_RECORDS` at most.
"""

from __future__ import annotations

from typing import Final

from weighbridge.core.errors import LimitExceeded
from weighbridge.core.ports import RangeReader
from weighbridge.formats.bounded import read_exactly

MAX_RECORDS: Final = 64

_TAIL_BYTES = 22 + 65_535 + 20 + 56
_END, _LOCATOR, _END64, _CENTRAL = b"PK\x05\x06", b"PK\x06\x07", b"PK\x06\x06", b"PK\x01\x02"


def zip_at_the_end(reader: RangeReader) -> int | None:
    """Where the end record of a zip archive lies whose directory is there; None when there is none.

    The record need not reach the end of the file: Python's reader allows for anything after it. The directory is looked
    for where the record's length puts it (readers that allow for a prefix), where its offset does (readers that do
    not), and through a 64-bit record.

    Raises:
        LimitExceeded: there are more end records than are followed.
        Truncated: the reader returned less than the artifact's size promises.
    """
    start = max(0, reader.size_bytes - _TAIL_BYTES)
    tail = read_exactly(reader, start, reader.size_bytes - start)
    at, records = tail.rfind(_END), 0
    while at >= 0:
        record = tail[at : at + 22]
        if len(record) == 22 and any(record[4:20]):
            records += 1
            if records > MAX_RECORDS:
                raise LimitExceeded("the end of the file holds more zip end records than are followed")
            if _has_directory(reader, start, tail, at):
                return start + at
        at = tail.rfind(_END, 0, at)
    return None


def _has_directory(reader: RangeReader, start: int, tail: bytes, at: int) -> bool:
    if at >= 76 and tail.startswith(_LOCATOR, at - 20) and tail.startswith(_END64, at - 76):
        return True
    length, offset = (
        int.from_bytes(tail[at + 12 : at + 16], "little"),
        int.from_bytes(tail[at + 16 : at + 20], "little"),
    )
    return any(
        _part(reader, start, tail, place) == _CENTRAL
        for place in {start + at - length, offset}
        if 0 <= place < start + at
    )


def _part(reader: RangeReader, start: int, tail: bytes, place: int) -> bytes:
    if place >= start:
        return tail[place - start : place - start + 4]
    return read_exactly(reader, place, min(4, reader.size_bytes - place))
