"""Finds what acts in pictures that are text (SVG) and in PDF documents: scripts, launches, embedded and outside files.

An SVG is read as text and not parsed: browsers differ in what they make of broken markup, so its words are looked for
wherever they stand, also spelled with character references. A PDF acts through names; they are looked for in the plain
text and in every object stream, which is where writers pack them.
"""

from __future__ import annotations

import html
import re
import zlib
from collections.abc import Iterator
from typing import Final

from weighbridge.core.dataclass import dataclass

MAX_TEXT_BYTES: Final = 24 * 1024 * 1024
MAX_INFLATED_BYTES: Final = 64 * 1024 * 1024
MAX_STREAMS: Final = 20_000


@dataclass(frozen=True, slots=True)
class Act:
    """Something that acts; `rule` is its stable id."""

    rule: str
    message: str
    offset: int


_SVG: Final = (
    ("svg-script", "a script", re.compile(r"<\s*(?:[\w.-]+:)?script\b|(?:java|vb)script\s*:|data\s*:\s*text/html", re.IGNORECASE)),
    ("svg-script", "an event's script", re.compile(r"<[^<>]*[\s\"'/]on[a-z]{3,30}\s*=", re.IGNORECASE)),
    ("svg-script", "a document of another kind", re.compile(r"<\s*(?:[\w.-]+:)?(?:iframe|embed|object|handler|listener)\b", re.IGNORECASE)),
    ("svg-entity", "an entity from outside", re.compile(r"<!ENTITY\s+[^>]{0,500}\b(?:SYSTEM|PUBLIC)\b|<!ENTITY\s+%")),
    ("svg-entity", "an entity made of entities", re.compile(r"<!ENTITY\s+[\w:.-]+\s+(?:\"[^\"]{0,2000}&[^\"]{0,2000}\"|'[^']{0,2000}&[^']{0,2000}')")),
    ("svg-external", "a style from outside", re.compile(r"<\?xml-stylesheet|@import\b|url\(\s*[\"']?\s*(?:https?:|//|file:)", re.IGNORECASE)),
    (
        "svg-external",
        "a reference to a file outside",
        re.compile(r"<\s*(?!(?:[\w.-]+:)?a[\s>])[^<>!?]*[\s\"'](?:xlink:href|href|src)\s*=\s*[\"']?\s*(?:https?:|//|file:|ftp:)", re.IGNORECASE),
    ),
    ("svg-foreign-object", "HTML", re.compile(r"<\s*(?:[\w.-]+:)?foreignObject\b", re.IGNORECASE)),
)  # fmt: skip
_PDF_NAMES: Final = {
    b"JavaScript": "a script",
    b"JS": "a script",
    b"Launch": "the launch of a program",
    b"EmbeddedFile": "an embedded file",
    b"EmbeddedFiles": "embedded files",
    b"RichMedia": "embedded media",
    b"XFA": "a form with scripts of its own",
    b"SubmitForm": "a form that is sent away",
    b"ImportData": "an import of data",
    b"GoToE": "an embedded document",
}
_NAME = re.compile(rb"/([A-Za-z#][A-Za-z0-9#]{1,60})")
_HEX = re.compile(rb"#([0-9A-Fa-f]{2})")
_OBJECT_STREAM = re.compile(rb"/(?:Type\s*/)?ObjStm\b")
_STREAM = re.compile(rb"stream\r?\n")


def svg_acts(text: str) -> Iterator[Act]:
    """What acts in an SVG, once for each kind."""
    spelled = html.unescape(text.replace("\x00", ""))
    for rule, what, pattern in _SVG:
        match = pattern.search(text) or pattern.search(spelled)
        if match:
            yield Act(rule, f"the picture holds {what}: {match[0][-60:]!a}", match.start())


@dataclass(slots=True)
class PdfLook:
    """What was found in a PDF; `whole` when every object stream was looked into and nothing is encrypted."""

    acts: list[Act]
    whole: bool
    end: int
    """Where the last %%EOF and its line end."""


def look_at_pdf(data: bytes) -> PdfLook:
    """What acts in a PDF."""
    acts: dict[bytes, Act] = {}
    look = PdfLook([], True, 0)
    _names(data, 0, acts)
    left = MAX_INFLATED_BYTES
    for number, match in enumerate(_OBJECT_STREAM.finditer(data)):
        begin = _STREAM.search(data, match.end(), match.end() + 2000)
        if begin is None or number >= MAX_STREAMS:
            look.whole = False
            continue
        dictionary = data[max(0, match.start() - 1000) : begin.start()].rpartition(b"obj")[2]
        unpacked = _inflate(data, begin.end(), left) if b"FlateDecode" in dictionary else b""
        plain = b"/Filter" not in dictionary
        if not unpacked and not plain:
            look.whole = False
        left -= len(unpacked)
        _names(unpacked, match.start(), acts)
    if b"/Encrypt" in data:
        look.whole = False
    end = data.rfind(b"%%EOF")
    if end >= 0:
        rest = data[end + 5 :]
        look.end = end + 5 + len(rest) - len(rest.lstrip(b"\r\n \t\x00"))
    look.acts = list(acts.values())
    return look


def _names(data: bytes, base: int, acts: dict[bytes, Act]) -> None:
    for match in _NAME.finditer(data):
        name = match[1]
        if b"#" in name:
            name = _HEX.sub(lambda code: bytes((int(code[1], 16),)), name)
        what = _PDF_NAMES.get(name)
        if what is not None and name not in acts:
            acts[name] = Act(
                "pdf-active", f"the document holds {what} (/{name.decode('ascii')})", base or match.start()
            )


def _inflate(data: bytes, start: int, limit: int) -> bytes:
    try:
        return zlib.decompressobj().decompress(memoryview(data)[start : start + 8 * 1024 * 1024], max(1, limit))
    except zlib.error:
        return b""
