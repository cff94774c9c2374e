"""A second reading of a pickle, by another author's method, to be compared with the machine's: where it ends, what it names.

Written from the opcode descriptions of CPython's `pickletools` and of nothing else in this package; it keeps no stack
and knows no values. A name that STACK_GLOBAL takes is known here only when both its texts are the last two things that
were pushed, as constants or from the memo; that is how every pickler writes them.

Limits: the caller's range; blocks of `BLOCK_BYTES`; a text longer than `MAX_NAME` is no name.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import field
from typing import Final

from weighbridge.core.dataclass import dataclass
from weighbridge.core.later import later
from weighbridge.core.ports import RangeReader

BLOCK_BYTES: Final = 128 * 1024
_FIRST_BLOCK_BYTES: Final = 8 * 1024
MAX_NAME: Final = 1024
MAX_NAMES: Final = 50_000
MAX_LINE: Final = 1024 * 1024
"""Beyond that a line is not followed, and the walk ends without an opinion."""

Pair = tuple[str, str]

# Opcodes that push or change something and name nothing, with the sizes of their arguments.
_ONE: Final = (
    rb"(?:[012NR\]}aobdlstu()\x81\x85-\x89\x8f-\x92e\x97\x98Q]|[K\x80\x82].|[M\x83].{2}|[J\x84].{4}|[G\x95].{8})"
)
_RUN: Final = later(_ONE + b"++", re.DOTALL)
_RUN_ONE: Final = later(_ONE, re.DOTALL)
_SIZED: Final[Mapping[int, int]] = {
    ord("U"): 1, ord("C"): 1, 0x8C: 1, 0x8A: 1, ord("T"): 4, ord("B"): 4, ord("X"): 4, 0x8B: 4, 0x8D: 8, 0x8E: 8, 0x96: 8,
}  # fmt: skip
"""Opcodes with a length of so many bytes before their bytes."""
_TEXTS: Final = frozenset((0x8C, 0x8D, ord("X"), ord("U"), ord("T")))
_LINES: Final = frozenset(b"IFLVPS")


@dataclass(slots=True)
class Walk:
    """What was seen: where the stream stopped (-1 where the walk did not come so far), and its names."""

    end: int = -1
    named: set[Pair] = field(default_factory=set)
    """By GLOBAL and INST."""
    stacked: set[Pair] = field(default_factory=set)
    """By STACK_GLOBAL, as far as they are known."""
    unsure: bool = False
    """Whether a bound was met, so that nothing follows from what was not seen."""


class _Cursor:
    """A place in the range, and the block around it."""

    __slots__ = ("_base", "_block", "_end", "_reader", "at", "data", "far")

    def __init__(self, reader: RangeReader, start: int, end: int) -> None:
        self._reader, self._base, self._end = reader, start, end
        self._block = _FIRST_BLOCK_BYTES
        self.data, self.at = b"", 0
        self.far = False
        """Whether a line was too long to be followed."""

    @property
    def position(self) -> int:
        return self._base + self.at

    def holds(self, length: int) -> bool:
        """Whether so many bytes follow; they are in the block then."""
        if self.at + length <= len(self.data):
            return True
        if self.position + length > self._end:
            return False
        self._base, self.at = self.position, 0
        wanted = min(max(self._block, length), self._end - self._base)
        self._block = min(2 * self._block, BLOCK_BYTES)
        self.data = self._reader.read(self._base, wanted)
        return len(self.data) == wanted

    def line(self) -> bytes | None:
        """The rest of a line without its newline; None where there is none within `MAX_LINE`."""
        found = self.data.find(b"\n", self.at)
        if found < 0:
            self.holds(min(MAX_LINE, self._end - self.position))
            found = self.data.find(b"\n", self.at)
        if found < 0:
            self.far = self._end - self.position > MAX_LINE
            return None
        text, self.at = self.data[self.at : found], found + 1
        return text


class _Walker:
    def __init__(self, reader: RangeReader, start: int, end: int, skipped: Mapping[int, int]) -> None:
        self._cursor = _Cursor(reader, start, end)
        self._skipped = skipped
        self._last: list[str | None] = [None, None]
        self._memo: dict[int, str | None] = {}
        self.walk = Walk()

    def run(self) -> Walk:
        cursor = self._cursor
        while len(self.walk.named) + len(self.walk.stacked) < MAX_NAMES:
            jump = self._skipped.get(cursor.position) if self._skipped else None
            if jump is not None:
                cursor.at += jump - cursor.position
            if not cursor.holds(1):
                break
            if not jump and not self._skipped and self._passed():
                continue
            code = cursor.data[cursor.at]
            cursor.at += 1
            if code == 0x2E:
                self.walk.end = cursor.position
                break
            if not self._step(code):
                self.walk.unsure = cursor.far
                return self.walk
        else:
            self.walk.unsure = True
        return self.walk

    def _passed(self) -> bool:
        """Whether the commonest opcodes were passed, all that follow each other in this block at once."""
        cursor, memo = self._cursor, self._memo
        data, first = cursor.data, cursor.at
        at, last = first, len(data) - 2
        before, top = self._last
        while at < last:
            code = data[at]
            if code == 0x94:
                memo[len(memo)] = top
                at += 1
            elif code == 0x8C and at + 2 + data[at + 1] <= len(data):
                after = at + 2 + data[at + 1]
                before, top, at = top, _unicode(data[at + 2 : after]), after
            elif code == 0x71:
                memo[data[at + 1]] = top
                at += 2
            elif code == 0x68:
                before, top, at = top, memo.get(data[at + 1]), at + 2
            else:
                match = _RUN.match(data, at)
                if match is None:
                    break
                before, top, at = None, None, match.end()
        self._last, cursor.at = [before, top], at
        return at > first

    def _push(self, value: str | None) -> bool:
        self._last = [self._last[1], value]
        return True

    def _step(self, code: int) -> bool:
        """One opcode that is not of a run; False where it cannot be read."""
        if code in _SIZED:
            return self._sized(code)
        if code in b"hjg":
            return self._get(code)
        if code in b"qrp\x94":
            return self._put(code)
        if code == 0x93:
            module, name = self._last
            if module is not None and name is not None:
                self.walk.stacked.add((module, name))
            return self._push(None)
        if code in b"ci":
            return self._name()
        if code in _LINES:
            line = self._cursor.line()
            return line is not None and self._push(_literal(code, line))
        return self._fixed(code)

    def _fixed(self, code: int) -> bool:
        """An opcode of a run, taken alone."""
        cursor = self._cursor
        cursor.at -= 1
        if not cursor.holds(1):
            return False
        cursor.holds(9)
        match = _RUN_ONE.match(cursor.data, cursor.at)
        if match is None:
            return False
        cursor.at = match.end()
        self._last = [None, None]
        return True

    def _number(self, width: int) -> int | None:
        cursor = self._cursor
        if not cursor.holds(width):
            return None
        value = int.from_bytes(cursor.data[cursor.at : cursor.at + width], "little")
        cursor.at += width
        return value

    def _sized(self, code: int) -> bool:
        length, cursor = self._number(_SIZED[code]), self._cursor
        if length is None:
            return False
        if code not in _TEXTS or length > MAX_NAME:
            cursor.at += length
            return self._push(None)
        if not cursor.holds(length):
            return False
        raw = cursor.data[cursor.at : cursor.at + length]
        cursor.at += length
        return self._push(raw.decode("latin-1") if code in b"UT" else _unicode(raw))

    def _key(self, code: int) -> int | None:
        if code in b"gp":
            line = self._cursor.line()
            try:
                return None if line is None else int(line)
            except ValueError:
                return -1
        return self._number(1 if code in b"hq" else 4)

    def _get(self, code: int) -> bool:
        key = self._key(code)
        return key is not None and self._push(self._memo.get(key))

    def _put(self, code: int) -> bool:
        key = len(self._memo) if code == 0x94 else self._key(code)
        if key is None:
            return False
        self._memo[key] = self._last[1]
        return True

    def _name(self) -> bool:
        module, name = self._cursor.line(), None
        if module is not None:
            name = self._cursor.line()
        if module is None or name is None:
            return False
        if max(len(module), len(name)) <= MAX_NAME:
            self.walk.named.add((module.decode("utf-8", "backslashreplace"), name.decode("utf-8", "backslashreplace")))
        return self._push(None)


def _unicode(raw: bytes) -> str | None:
    try:
        return raw.decode("utf-8", "surrogatepass")
    except UnicodeDecodeError:
        return None


def _literal(code: int, line: bytes) -> str | None:
    """The text that a line spells, where it spells one without escapes."""
    if b"\\" in line or len(line) > MAX_NAME:
        return None
    if code == ord("V"):
        return line.decode("latin-1")
    if code == ord("S") and len(line) >= 2 and line[:1] in (b"'", b'"') and line[-1:] == line[:1]:
        return line[1:-1].decode("latin-1")
    return None


def walk(reader: RangeReader, start: int, end: int, skipped: Mapping[int, int] | None = None) -> Walk:
    """Walks the stream from `start`, at most to `end`. `skipped` are places that are no opcodes: from where to where."""
    return _Walker(reader, start, end, skipped or {}).run()
