"""Cuts long answers into pages as the Hub does: a cursor in the address, and a `Link` header to the next page."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping, Sequence
from urllib.parse import quote, urlencode

from weighbridge.core.canonical import JsonValue
from weighbridge.serve.refusals import Refusal

MAX_CURSOR = 4_096
_Record = dict[str, JsonValue]


def cursor_of(last: str) -> str:
    """The cursor that goes on after the record named `last`."""
    return base64.urlsafe_b64encode(last.encode("utf-8")).decode("ascii")


def after(records: list[_Record], key: str, cursor: str) -> list[_Record]:
    """The records, in order of `key`, that come after the cursor.

    Raises:
        Refusal: it is no cursor.
    """
    if not cursor:
        return records
    try:
        if len(cursor) > MAX_CURSOR:
            raise ValueError("too long")
        last = base64.b64decode(cursor, altchars=b"-_", validate=True).decode("utf-8")
    except (ValueError, binascii.Error) as error:
        raise Refusal(400, "the cursor is none of ours") from error
    return [record for record in records if str(record[key]) > last]


def next_link(base: str, path: str, query: Mapping[str, Sequence[str]], cursor: str, limit: int) -> bytes:
    """The value of the `Link` header; clients want the whole address in it."""
    kept = {name: values for name, values in query.items() if name not in ("cursor", "limit")}
    asked = urlencode({**kept, "limit": limit, "cursor": cursor}, doseq=True)
    return f'<{base}{quote(path)}?{asked}>; rel="next"'.encode("ascii")
