"""Text and the readable parts of binaries, as lines for a search engine, each with the offset it is from.

Text goes through as it is. Of binaries only runs of printable characters are kept (`MIN_RUN` or more, ASCII or
UTF-16LE), each on a line of its own. Binaries write a string's length before it and an opcode after it, and either may
be a printable byte that sticks to the string; where a length in front fits the run it is cut there. A name and the value
stored next to it (`api_key`, then the key) are written once more as one line, `name = "value"`.

Limits: lines are at most `MAX_LINE`; longer ones are cut with `LINE_OVERLAP` in common. Memory is bounded by one window
and one line.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

MIN_RUN: Final = 6
MAX_LINE: Final = 16 * 1024
BLOCK_BYTES: Final = 4 * 1024
"""How many bytes of short lines go together."""

LINE_OVERLAP: Final = 4 * 1024
MAX_GAP: Final = 12
"""Bytes that may lie between a name and its value in a binary."""

CONTEXT_BYTES: Final = 80

# Every byte as printable, zero or neither: searching that for a fixed run is many times faster than an expression.
_PRINTABLE, _ZERO = b"\x01", b"\x02"
_CLASSES = bytes(1 if byte == 9 or 0x20 <= byte < 0x7F else 2 if byte == 0 else 0 for byte in range(256))
_ASCII, _ASCII_RUN = _PRINTABLE * MIN_RUN, re.compile(b"\x01+")
_UTF16, _UTF16_RUN = (_PRINTABLE + _ZERO) * MIN_RUN, re.compile(b"(?:\x01\x02)+")
_BACKWARDS = re.compile(rb"(?:\x00?[\t\x20-\x7e])*")
_BINARY = re.compile(rb"[\x00-\x08\x0e-\x1a\x1c-\x1f]")
_CONTROL: Final = frozenset(range(0x20)) - frozenset(b"\t\n\r")
_NAME_BEFORE = re.compile(rb"([\w.-]{3,60}?)q?[\x00-\x1f\x7f-\xff][\x00-\xff]{1,%d}\Z" % MAX_GAP)
_SECRET_NAME = re.compile(rb"passw|secret|token|api_?key|auth|credential|_key\Z|private_?key|pwd", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Line:
    """Bytes that end with a line end, and the offset in the subject that their first byte is from.

    `verbatim` tells whether they are the subject's own whole lines.
    """

    data: bytes
    origin: int
    verbatim: bool


@dataclass(slots=True)
class Strings:
    """Makes lines of consecutive windows of one subject."""

    pickled: bool = False
    """Whether it is a pickle: those of protocol 0 look like text, with an opcode in front of each line."""

    carried: bytes = b""
    origin: int = 0
    binary: bool = False
    context: bytes = b""
    """What came just before `carried`: lengths and names."""

    def feed(self, data: bytes, offset: int) -> Iterator[Line]:
        """The lines that end in this window. A window that does not follow the last one ends that first."""
        binary = self.pickled or _BINARY.search(data) is not None or not _is_utf8(data)
        if self.origin + len(self.carried) != offset:
            yield from self.end()
            self.context = b""
        elif binary != self.binary:
            yield from self.end()
        if not self.carried:
            self.origin = offset
        self.binary = binary
        block = self.carried + data
        cut = self._cut(block)
        yield from self._lines(block[:cut])
        self.context = (self.context + block[:cut])[-CONTEXT_BYTES:]
        self.carried, self.origin = block[cut:], self.origin + cut

    def end(self) -> Iterator[Line]:
        """What is left when nothing follows."""
        block, self.carried = self.carried, b""
        yield from self._lines(block)
        self.origin += len(block)

    def _cut(self, block: bytes) -> int:
        """Where to cut so that no line or run is torn; a line longer than `MAX_LINE` is, with the overlap kept."""
        if self.binary:
            tail = _BACKWARDS.match(block[: -MAX_LINE - 1 : -1])
            cut = len(block) - (tail.end() if tail else 0)
        else:
            cut = block.rfind(b"\n") + 1
        if len(block) - cut >= MAX_LINE:
            cut = len(block) - LINE_OVERLAP
        return cut

    def _lines(self, block: bytes) -> Iterator[Line]:
        if block and self.binary:
            yield from _runs(self.context + block, len(self.context), self.origin - len(self.context))
        elif block:
            yield from _text(block, self.origin)


def _is_utf8(data: bytes) -> bool:
    """Whether a window is UTF-8, but for characters that its ends cut."""
    try:
        data.decode("utf-8")
    except UnicodeDecodeError as error:
        if error.start > 3 or error.end < 1:
            return len(data) - error.start < 4
        return _is_utf8(data[error.end :]) if error.start == 0 and len(data) > 8 and data[0] & 0xC0 == 0x80 else False
    return True


def _text(block: bytes, origin: int) -> Iterator[Line]:
    """Whole lines, together where they are short."""
    position = 0
    while position < len(block):
        end = block.rfind(b"\n", position, position + BLOCK_BYTES) + 1
        if not end:
            end = block.find(b"\n", position) + 1 or len(block)
        lines = block[position:end]
        if len(lines) > MAX_LINE:
            yield from _pieces(lines.removesuffix(b"\n"), origin + position)
        else:
            yield Line(lines if lines.endswith(b"\n") else lines + b"\n", origin + position, verbatim=True)
        position = end


def _pieces(line: bytes, origin: int) -> Iterator[Line]:
    for start in range(0, max(1, len(line) - LINE_OVERLAP), MAX_LINE - LINE_OVERLAP):
        yield Line(line[start : start + MAX_LINE] + b"\n", origin + start, verbatim=False)


def _runs(block: bytes, first: int, origin: int) -> Iterator[Line]:
    """The runs from `first` on; `origin` is where the block is from."""
    classes = block.translate(_CLASSES)
    for start, end in _found(classes, first, _ASCII, _ASCII_RUN):
        for text, at in _separated(block, start, end):
            if len(text) > MAX_LINE:
                yield from _pieces(text, origin + at)
                continue
            name = _name_before(block, at) if b" " not in text else b""
            if name:
                yield Line(b'%s = "%s"\n' % (name, text), max(0, origin + at - len(name) - 4), verbatim=False)
            yield Line(text + b"\n", origin + at, verbatim=False)
    for start, end in _found(classes, first, _UTF16, _UTF16_RUN):
        for at in range(start, end, 2 * MAX_LINE):
            text = block[at : min(end, at + 2 * MAX_LINE) : 2]
            yield Line(text + b"\n", origin + at, verbatim=False)


def _found(classes: bytes, first: int, shortest: bytes, run: re.Pattern[bytes]) -> Iterator[tuple[int, int]]:
    """Where runs of at least the shortest begin and end."""
    start = classes.find(shortest, first)
    while start >= 0:
        match = run.match(classes, start)
        end = match.end() if match else start + len(shortest)
        yield start, end
        start = classes.find(shortest, end)


def _name_before(block: bytes, at: int) -> bytes:
    """The name that a value at `at` is stored under, where it is one that secrets go by."""
    found = _NAME_BEFORE.search(block, max(0, at - CONTEXT_BYTES), at)
    return found[1] if found and _SECRET_NAME.search(found[1]) else b""


def _separated(block: bytes, start: int, end: int) -> Iterator[tuple[bytes, int]]:
    """A run, cut where a length that is stored in front of it says that the string ends."""
    # One byte of length that is printable itself, as in pickle's short strings and protobuf.
    if start and (block[start - 1] == 0x8C or (block[start] < end - start and block[start - 1] in _CONTROL)):
        length, first = block[start], start + 1
        if MIN_RUN <= length <= end - first:
            yield block[first : first + length], first
            if end - first - length >= MIN_RUN:
                yield block[first + length : end], first + length
            if length == end - first:
                return
    if block[start : start + 1] == b"V" and (not start or block[start - 1] == 0x0A):
        # A text of pickle's protocol 0.
        start += 1
    length = _length_before(block, start)
    if MIN_RUN <= length < end - start:
        yield block[start : start + length], start
        start += length
    if end - start >= MIN_RUN:
        yield block[start:end], start


def _length_before(block: bytes, start: int) -> int:
    """The length that a string of pickle, GGUF or the like has before it: one byte, or four, little end first."""
    if start >= 4 and block[start - 2 : start] == b"\x00\x00":
        return int.from_bytes(block[start - 4 : start], "little")
    return block[start - 1] if start and block[start - 1] in _CONTROL else 0
