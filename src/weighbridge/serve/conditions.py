"""Decides what a request for a file gets: all of it, a range, nothing new, or no; after RFC 9110, sections 13 and 14.

- Only one range of bytes is honoured; of several, none is. Dates are never compared: the one validator is the ETag.
- A file's name in a header is plain ASCII, its true form percent-encoded beside it (RFC 6266), so that no name ends a header.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final
from urllib.parse import quote

from weighbridge.core.manifest import Artifact
from weighbridge.serve.documents import etag
from weighbridge.serve.refusals import Headers

_RANGE: Final = re.compile(rb"bytes[ \t]*=[ \t]*(\d{0,19})-(\d{0,19})[ \t]*")
_TAG: Final = re.compile(rb'(?:W/)?"([^"]*)"')
MAX_CONDITION_BYTES: Final = 4_096


@dataclass(frozen=True, slots=True)
class Conditions:
    """The conditional headers of a request; b"" where there is none."""

    if_match: bytes = b""
    if_none_match: bytes = b""
    if_range: bytes = b""
    ranged: bytes = b""

    @classmethod
    def of(cls, headers: Iterable[tuple[bytes, bytes]], *, ranges: bool) -> Conditions:
        """Reads them; a header that is repeated counts as one list, a second range as several."""
        found: dict[bytes, bytes] = {}
        for name, value in headers:
            if name in (b"if-match", b"if-none-match", b"if-range", b"range"):
                joined = found[name] + b"," + value if name in found else value
                found[name] = joined[:MAX_CONDITION_BYTES]
        return cls(
            found.get(b"if-match", b""),
            found.get(b"if-none-match", b""),
            found.get(b"if-range", b""),
            found.get(b"range", b"") if ranges else b"",
        )


@dataclass(frozen=True, slots=True)
class Plan:
    """An answer: status, headers of its own, and which bytes to send (end excluded); None for no body."""

    status: int
    headers: Headers
    span: tuple[int, int] | None


def plan(artifact: Artifact, conditions: Conditions) -> Plan:
    """What the request gets."""
    tag, size = etag(artifact).encode("ascii"), artifact.size_bytes
    if conditions.if_match and not _matches(conditions.if_match, tag, weak=False):
        return Plan(412, [_length(0)], None)
    if conditions.if_none_match and _matches(conditions.if_none_match, tag, weak=True):
        return Plan(304, [], None)
    current = not conditions.if_range or conditions.if_range.strip() == b'"' + tag + b'"'
    wanted = _RANGE.fullmatch(conditions.ranged) if current else None
    if wanted is None or wanted.groups() == (b"", b""):
        return Plan(200, [_length(size)], (0, size))
    first, last = wanted.groups()
    if first:
        start, end = int(first), min(int(last) + 1 if last else size, size)
        if last and int(last) < int(first):
            return Plan(200, [_length(size)], (0, size))  # no valid range at all
    else:
        start, end = max(0, size - int(last)), size
    if start >= end:
        return Plan(416, [_length(0), (b"content-range", b"bytes */%d" % size)], None)
    return Plan(
        206, [_length(end - start), (b"content-range", b"bytes %d-%d/%d" % (start, end - 1, size))], (start, end)
    )


def _matches(condition: bytes, tag: bytes, *, weak: bool) -> bool:
    if condition.strip() == b"*":
        return True
    for found in _TAG.finditer(condition):
        if found.group(1) == tag and (weak or not found.group(0).startswith(b"W/")):
            return True
    return False


def _length(size: int) -> tuple[bytes, bytes]:
    return b"content-length", b"%d" % size


def file_headers(artifact: Artifact, revision: str, *, raw: bool) -> Headers:
    """What every answer about a file says of it."""
    tag = etag(artifact).encode("ascii")
    name = artifact.path.rpartition("/")[2]
    plain = re.sub(r"[^A-Za-z0-9._ -]", "_", name)
    disposition = f"attachment; filename=\"{plain}\"; filename*=UTF-8''{quote(name, safe='')}"
    return [
        (b"x-repo-commit", revision.encode("ascii")),
        (b"etag", b'"' + tag + b'"'),
        (b"x-linked-etag", b'"' + tag + b'"'),
        (b"x-linked-size", b"%d" % artifact.size_bytes),
        (b"accept-ranges", b"bytes"),
        (b"content-type", b"text/plain; charset=utf-8" if raw else b"application/octet-stream"),
        (b"content-disposition", disposition.encode("ascii")),
        (b"cache-control", b"no-cache"),
        (b"x-content-type-options", b"nosniff"),
        (b"content-security-policy", b"default-src 'none'; sandbox"),
    ]
