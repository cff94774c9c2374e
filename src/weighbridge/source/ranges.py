"""Checks that an HTTP answer is exactly the byte range that was asked for (RFC 9110, section 14)."""

from __future__ import annotations

import re

from weighbridge.core.errors import ContentChanged, LengthMismatch, Unreachable
from weighbridge.core.snapshot import Entry
from weighbridge.wire.http import Response

_CONTENT_RANGE = re.compile(r"bytes (\d{1,18})-(\d{1,18})/(\d{1,18}|\*)")


def check_range(response: Response, entry: Entry, start: int, end: int) -> None:
    """Returns when the body of a 200 or 206 answer will be bytes `start` to `end` (excluded) of `entry`.

    A 200 is accepted only where the range begins at 0: the bytes are the same and the rest is cut off.

    Raises:
        LengthMismatch: the file has another size than announced.
        ContentChanged: the answer is another range than was asked for.
        Unreachable: the range was ignored, or the body is encoded (both may pass on another try).
    """
    what = f"'{entry.path}' from {response.place}"
    encoding = response.headers.get("content-encoding", "identity").lower()
    if encoding not in ("", "identity"):
        raise Unreachable(f"{what} came with Content-Encoding '{encoding}', which was not asked for")
    length = response.headers.get("content-length", "")
    if response.status == 200:
        if start:
            raise Unreachable(f"{what} came from its beginning although bytes {start} onwards were asked for")
        if length.isdigit() and int(length) != entry.size_bytes:
            raise LengthMismatch(f"{what} has {length} bytes; {entry.size_bytes} were announced")
        return
    found = _CONTENT_RANGE.fullmatch(response.headers.get("content-range", "").strip())
    if not found:
        raise ContentChanged(f"{what} came as a part without a readable Content-Range")
    first, last, total = int(found[1]), int(found[2]), found[3]
    if total != "*" and int(total) != entry.size_bytes:
        raise LengthMismatch(f"{what} has {total} bytes; {entry.size_bytes} were announced")
    if (first, last + 1) != (start, end) or (length.isdigit() and int(length) != end - start):
        raise ContentChanged(f"{what} came as bytes {first}-{last} although {start}-{end - 1} were asked for")
