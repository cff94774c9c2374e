"""Text and the readable parts of binaries, as lines for a search engine, each with the offset it is from.

Text goes through as it is. Of binaries only runs of printable characters are kept (`MIN_RUN` or more, ASCII or
UTF-16LE), each on a line of its own. Binaries write a string's length before it and an opcode after it, and either may
be a printable byte that sticks to the string; where a length in front fits the run it is cut there. A name and the value
stored next to it (`api_key`, then the key) are written once more as one line, `name = "value"`.

Limits: lines are at most `MAX_LINE`; longer ones are cut with `LINE_OVERLAP` in common. Memory is bounded by one window
and one line.
"""

from __future__ import annotations

import bisect
import re
from collections.abc import Callable, Iterator, Sequence
from typing import Final

from weighbridge.core.dataclass import dataclass
from weighbridge.core.later import later

MIN_RUN: Final = 6
MAX_LINE: Final = 16 * 1024
BLOCK_BYTES: Final = 4 * 1024
"""How many bytes of short lines go together."""

LINE_OVERLAP: Final = 4 * 1024
MAX_GAP: Final = 12
"""Bytes that may lie between a name and its value in a binary."""

CONTEXT_BYTES: Final = 80

# Every byte as printable or not, or as printable, zero or neither: searching that for a fixed run is many times faster
# than an expression.
_PRINTABLE, _ZERO = b"\x01", b"\x02"
_READABLE = bytes(byte == 9 or 0x20 <= byte < 0x7F for byte in range(256))
_CLASSES = bytes(2 if byte == 0 else readable for byte, readable in enumerate(_READABLE))
_ASCII = _PRINTABLE * MIN_RUN
_UTF16, _UTF16_RUN = (_PRINTABLE + _ZERO) * MIN_RUN, later(b"(?:\x01\x02)+")
_BACKWARDS = later(rb"(?:\x00?[\t\x20-\x7e])*")
_BINARY = later(rb"[\x00-\x08\x0e-\x1a\x1c-\x1f]")
_SECRET_NAME = later(rb"passw|secret|token|api_?key|auth|credential|_key\Z|private_?key|pwd", re.IGNORECASE)
_HINT = later(rb"passw|secret|token|apikey|_key|auth|credential|privatekey|pwd")
_HINTS: Final = (b"passw", b"cre", b"token", b"key", b"auth", b"pwd")
"""One of these, in lower case, is in whatever `_SECRET_NAME` and `_HINT` match."""

_CONTROL: Final = frozenset(range(0x20)) - frozenset(b"\t\n\r")
_SHORT_TEXT_OPCODE, _TEXT_OPCODE, _PUT_OPCODE = 0x8C, 0x56, 0x71
_LENGTHS: Final = _CONTROL | {_SHORT_TEXT_OPCODE}
"""What a run may have in front that says how long a string is, or that its first byte does."""

_NAMING = bytes(bytes((byte,)).isalnum() or byte in b"_.-" for byte in range(256))
_MIN_NAME: Final = 3
_MAX_NAME: Final = 60


@dataclass(frozen=True, slots=True)
class Line:
    """Bytes that end with a line end, and the offset in the subject that their first byte is from.

    `verbatim` tells whether they are the subject's own whole lines. Where several short lines from different places come
    together, `starts` and `origins` say for each where it begins in the data, and what offset it is from.
    """

    data: bytes
    origin: int
    verbatim: bool
    starts: Sequence[int] = ()
    origins: Sequence[int] = ()


MAX_KNOWN: Final = 20_000
MAX_KNOWN_RUN: Final = 256
_SHORT_HINTS: Final = (b"pwd", b"auth", b"_key", b"token", b"passw")
"""One of these, in lower case, is in whatever `_SECRET_NAME` matches in a name that is shorter than a run."""

_REACH: Final = MAX_GAP + MIN_RUN
"""How far before a run such a name can begin that would be put before it."""


class Mute:
    """Tells which binaries hold nothing that a search engine could find, so that they need not be made lines.

    `is_silent` judges text in lower case and everything that is a part of it. What it said of a run it is not asked again.
    """

    __slots__ = ("_is_silent", "_known")

    def __init__(self, is_silent: Callable[[bytes], bool]) -> None:
        self._is_silent = is_silent
        self._known: set[bytes] = set()

    def holds(self, data: bytes, *, pickled: bool) -> bool:
        """Whether every line that `Strings.whole` would make of these bytes is a part of what is silent."""
        if not (pickled or _BINARY.search(data) is not None) or _UTF16 in data.translate(_CLASSES):
            return False
        runs: set[bytes] = set()
        before: list[bytes] = []
        # As `_ascii`, which would cost as much again.
        readable = data.translate(_READABLE)
        find, start = readable.find, readable.find(_ASCII)
        while start >= 0:
            end = find(b"\0", start + MIN_RUN)
            if end < 0:
                end = len(data)
            runs.add(data[start:end])
            before.append(data[start - _REACH if start > _REACH else 0 : start])
            start = find(_ASCII, end)
        # A name and its value become a line that no run is.
        near = b"".join(before).lower()
        if any(hint in near for hint in _SHORT_HINTS):
            return False
        fresh = b"\n".join(runs - self._known).lower()
        if fresh and (_HINT.search(fresh) or not self._is_silent(fresh)):
            return False
        if len(self._known) + len(runs) > MAX_KNOWN:
            self._known.clear()
        self._known.update(run for run in runs if len(run) <= MAX_KNOWN_RUN)
        return True


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

    def whole(self, data: bytes, offset: int) -> Iterator[Line]:
        """The lines of a window that nothing precedes or follows: as `feed` and `end`, at once."""
        self.binary = self.pickled or _BINARY.search(data) is not None or not _is_utf8(data)
        self.origin = offset
        yield from self._lines(data)

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


class _Gathering:
    """Short lines, put together until they are worth a step of their own."""

    __slots__ = ("origins", "parts", "size", "starts")

    def __init__(self) -> None:
        self.parts: list[bytes] = []
        self.starts: list[int] = []
        self.origins: list[int] = []
        self.size = 0

    def add(self, text: bytes, origin: int) -> None:
        """Adds one line, which is given without its end."""
        self.parts.append(text)
        self.starts.append(self.size)
        self.origins.append(origin)
        self.size += len(text) + 1

    def taken(self) -> Iterator[Line]:
        """What was gathered, at once; nothing when that is nothing."""
        if self.parts:
            self.parts.append(b"")
            yield Line(
                b"\n".join(self.parts), self.origins[0], verbatim=False, starts=self.starts, origins=self.origins
            )
            self.parts, self.starts, self.origins, self.size = [], [], [], 0


def _runs(block: bytes, first: int, origin: int) -> Iterator[Line]:
    """The runs from `first` on; `origin` is where the block is from."""
    gathered = _Gathering()
    add, hints = gathered.add, _Hints(block)
    for start, end in _ascii(block.translate(_READABLE), first):
        before = block[start - 1] if start else 0
        # Most runs have nothing in front that could be a length, or just their own.
        initial = block[start]
        plain = (before not in _LENGTHS or before == end - start <= initial) and initial != _TEXT_OPCODE
        for at, stop in ((start, end),) if plain else _separated(block, start, end):
            if stop - at > MAX_LINE:
                yield from gathered.taken()
                yield from _pieces(block[at:stop], origin + at)
                continue
            text = block[at:stop]
            if hints.any and hints.near(at) and b" " not in text and (name := _name_before(block, at)):
                add(b'%s = "%s"' % (name, text), max(0, origin + at - len(name) - 4))
            add(text, origin + at)
        if gathered.size >= BLOCK_BYTES:
            yield from gathered.taken()
    yield from gathered.taken()
    for start, end in _utf16(block, first):
        for at in range(start, end, 2 * MAX_LINE):
            text = block[at : min(end, at + 2 * MAX_LINE) : 2]
            yield Line(text + b"\n", origin + at, verbatim=False)


def _ascii(readable: bytes, first: int) -> Iterator[tuple[int, int]]:
    """Where runs of printable characters begin and end."""
    find, length = readable.find, len(readable)
    start = find(_ASCII, first)
    while start >= 0:
        end = find(b"\0", start + MIN_RUN)
        if end < 0:
            end = length
        yield start, end
        start = find(_ASCII, end)


def _utf16(block: bytes, first: int) -> Iterator[tuple[int, int]]:
    """Where runs of printable characters with a zero after each begin and end."""
    classes = block.translate(_CLASSES)
    start = classes.find(_UTF16, first)
    while start >= 0:
        match = _UTF16_RUN.match(classes, start)
        end = match.end() if match else start + len(_UTF16)
        yield start, end
        start = classes.find(_UTF16, end)


class _Hints:
    """Where in a block a name may stand that secrets go by."""

    __slots__ = ("_ends", "_starts", "any")

    def __init__(self, block: bytes) -> None:
        small = block.lower()
        found = list(_HINT.finditer(small)) if any(hint in small for hint in _HINTS) else []
        self.any = bool(found)
        self._starts = [match.start() for match in found]
        self._ends = [match.end() for match in found]

    def near(self, at: int) -> bool:
        """Whether one lies within the `CONTEXT_BYTES` before a place."""
        number = bisect.bisect_right(self._ends, at - CONTEXT_BYTES)
        return number < len(self._ends) and self._starts[number] < at


def _name_before(block: bytes, at: int) -> bytes:
    """The name that a value at `at` is stored under, where it is one that secrets go by.

    Between the two lie an opcode or a length, of which the first byte is not printable, and at most `MAX_GAP` bytes more.
    """
    base = max(0, at - CONTEXT_BYTES)
    window = block[base:at]
    naming = window.translate(_NAMING)
    for place in range(max(0, len(window) - MAX_GAP - 1), len(window) - 1):
        if 0x20 <= window[place] < 0x7F:
            continue
        first = naming.rfind(b"\0", 0, place) + 1
        end = place
        if place and window[place - 1] == _PUT_OPCODE and place - 1 - first >= _MIN_NAME:
            end -= 1
        if end - first >= _MIN_NAME:
            name = window[max(first, end - _MAX_NAME) : end]
            return name if _SECRET_NAME.search(name) else b""
    return b""


def _separated(block: bytes, start: int, end: int) -> list[tuple[int, int]]:
    """A run, cut where a length that is stored in front of it says that the string ends."""
    # One byte of length that is printable itself, as in pickle's short strings and protobuf.
    before = block[start - 1] if start else -1
    if before == _SHORT_TEXT_OPCODE or (block[start] < end - start and before in _CONTROL):
        length, first = block[start], start + 1
        if MIN_RUN <= length <= end - first:
            found = [(first, first + length)]
            if end - first - length >= MIN_RUN:
                found.append((first + length, end))
            if length == end - first:
                return found
            return found + _separated_plainly(block, start, end)
    return _separated_plainly(block, start, end)


def _separated_plainly(block: bytes, start: int, end: int) -> list[tuple[int, int]]:
    """As `_separated`, where the length itself is no part of the run."""
    if block[start] == _TEXT_OPCODE and (not start or block[start - 1] == 0x0A):
        # A text of pickle's protocol 0.
        start += 1
    found = []
    length = _length_before(block, start)
    if MIN_RUN <= length < end - start:
        found.append((start, start + length))
        start += length
    if end - start >= MIN_RUN:
        found.append((start, end))
    return found


def _length_before(block: bytes, start: int) -> int:
    """The length that a string of pickle, GGUF or the like has before it: one byte, or four, little end first."""
    if start >= 4 and block[start - 2 : start] == b"\x00\x00":
        return int.from_bytes(block[start - 4 : start], "little")
    return block[start - 1] if start and block[start - 1] in _CONTROL else 0
