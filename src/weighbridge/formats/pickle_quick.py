"""The commonest opcodes of pickle, done on the bytes of a block without describing them: for speed alone.

Each step does what the machine does for its opcode, or declines (returns a negative place) whenever anything about it
is out of the ordinary: a constant that may be a pickle itself, an entry that is missing, a bound that is near, bytes
that lie beyond the block. The machine then takes the opcode the long way.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Callable
from itertools import chain
from typing import Final

from weighbridge.core.later import later
from weighbridge.formats.joblib_arrays import Wrapped
from weighbridge.formats.pickle import begins_like_stream
from weighbridge.formats.pickle_values import EMPTY, Global, Instance, Sort, Value, tuple_of, weight_of

MAX_MARKS = 100_000
MAX_MEMO = 1_500_000
TAIL_BYTES: Final = 9
"""A step is only taken where so many bytes of the block follow its opcode."""

_MAX_TEXT: Final = 255
_MAX_STACK: Final = 2_000
"""Values up to which numbers are put on the stack together; deep ones are forgotten one by one."""

_DECLINED: Final = -1
_SHORT_TEXT: Final = 0x8C
_MEMOIZE: Final = 0x94
_FREE: Final = frozenset((type(None), bool, Sort, Global, Instance))
"""What costs nothing to remember."""
_SUSPECT: Final = frozenset(b"\xc2(ci")
"""First bytes of texts that may be pickles; 0xC2 begins what is U+0080 in UTF-8."""


class Registers:
    """The stack, the marks and the memo of a machine."""

    __slots__ = ("_marks", "_memo", "_room", "_run", "_sparse", "_stack", "_wrapped")

    def __init__(self, room: int) -> None:
        self._stack: list[Value] = []
        self._marks: list[int] = []
        self._memo: list[Value] = []
        self._sparse: dict[int, Value] = {}
        self._room = room
        self._wrapped = Wrapped()
        self._run = 0
        """Opcodes that steps have taken beyond their own."""


Quick = Callable[[Registers, bytes, int], int]
_INT = struct.Struct("<i").unpack_from
_UNSIGNED = struct.Struct("<I").unpack_from


def _pushing(value: Value) -> Quick:
    def step(m: Registers, _: bytes, at: int) -> int:
        m._stack.append(value)
        return at + 1

    return step


def _numbers(opcode: bytes, form: str) -> Quick:
    """A number of a fixed width, and as many more as follow it."""
    one, each = struct.Struct(form), struct.Struct(f"{form[0]}x{form[1:]}")
    width = each.size
    unpack, unpack_all = one.unpack_from, each.iter_unpack
    run = later(b"(?:%s.{%d})+" % (opcode, one.size), re.DOTALL)
    code = opcode[0]

    def step(m: Registers, data: bytes, at: int) -> int:
        stack, after = m._stack, at + width
        if data[after] == code and (room := _MAX_STACK - len(stack)) > 1:
            found = run.match(data, at, at + width * room)
            if found is not None:
                before = len(stack)
                stack += chain.from_iterable(unpack_all(found[0]))
                m._run += len(stack) - before - 1
                return found.end()
        stack.append(unpack(data, at + 1)[0])
        return after

    return step


def _text_at(m: Registers, data: bytes, start: int, length: int) -> int:
    end = start + length
    if end > len(data) or (length and data[start] in _SUSPECT and begins_like_stream(data, start, end)):
        return _DECLINED
    try:
        m._stack.append(data[start:end].decode())
    except UnicodeDecodeError:
        return _DECLINED
    return end


def _short_text(m: Registers, data: bytes, at: int) -> int:
    """A short text; and where each is remembered, as a pickler writes them, as many more as follow it."""
    stack, memo, taken = m._stack, m._memo, 0
    last = len(data) - TAIL_BYTES
    room = 0 if m._sparse else MAX_MEMO - len(memo)
    while True:
        after = _text_at(m, data, at + 2, data[at + 1])
        if after < 0:
            break
        at, taken = after, taken + 1
        if room <= 0 or at > last or data[at] != _MEMOIZE:
            break
        weight = 64 + 4 * len(stack[-1])  # type: ignore[arg-type]
        if weight > m._room:
            break
        m._room -= weight
        memo.append(stack[-1])
        at, taken, room = at + 1, taken + 1, room - 1
        if at >= last or data[at] != _SHORT_TEXT or len(stack) >= _MAX_STACK:
            break
    m._run += max(0, taken - 1)
    return at if taken else _DECLINED


def _text(m: Registers, data: bytes, at: int) -> int:
    length = _INT(data, at + 1)[0]
    return _text_at(m, data, at + 5, length) if 0 <= length <= _MAX_TEXT else _DECLINED


def _mark(m: Registers, _: bytes, at: int) -> int:
    if len(m._marks) >= MAX_MARKS:
        return _DECLINED
    m._marks.append(len(m._stack))
    return at + 1


def _pop(m: Registers, _: bytes, at: int) -> int:
    stack, marks = m._stack, m._marks
    if len(stack) <= (marks[-1] if marks else 0):
        return _DECLINED
    stack.pop()
    return at + 1


def _kept(m: Registers) -> bool:
    """Remembers the top in the next place of the memo, if it is there, and cheap."""
    stack, marks = m._stack, m._marks
    if m._sparse or len(stack) <= (marks[-1] if marks else 0) or len(m._memo) >= MAX_MEMO:
        return False
    value = stack[-1]
    kind = type(value)
    if kind not in _FREE:
        m._room -= 64 + 4 * len(value) if kind is str else 64 * weight_of(value)  # type: ignore[arg-type]
        if m._room < 0:
            return False
    m._memo.append(value)
    return True


def _memoize(m: Registers, _: bytes, at: int) -> int:
    return at + 1 if _kept(m) else _DECLINED


def _put(m: Registers, key: int) -> bool:
    """Remembers the top in a place of the memo that is the next, or taken already."""
    memo = m._memo
    if key >= len(memo):
        return key == len(memo) and _kept(m)
    stack, marks = m._stack, m._marks
    if len(stack) <= (marks[-1] if marks else 0):
        return False
    value = stack[-1]
    if type(value) not in _FREE:
        # What takes room is done the long way.
        return False
    memo[key] = value
    return True


def _binput(m: Registers, data: bytes, at: int) -> int:
    return at + 2 if _put(m, data[at + 1]) else _DECLINED


def _long_binput(m: Registers, data: bytes, at: int) -> int:
    return at + 5 if _put(m, _UNSIGNED(data, at + 1)[0]) else _DECLINED


def _got(m: Registers, key: int) -> bool:
    if key >= len(m._memo) or type(m._memo[key]) is Global:
        return False
    m._stack.append(m._memo[key])
    return True


def _binget(m: Registers, data: bytes, at: int) -> int:
    return at + 2 if _got(m, data[at + 1]) else _DECLINED


def _long_binget(m: Registers, data: bytes, at: int) -> int:
    return at + 5 if _got(m, _UNSIGNED(data, at + 1)[0]) else _DECLINED


def _tuple(length: int) -> Quick:
    def step(m: Registers, _: bytes, at: int) -> int:
        stack, marks = m._stack, m._marks
        if len(stack) - length < (marks[-1] if marks else 0):
            return _DECLINED
        stack[-length:] = [tuple_of(stack[-length:])]
        return at + 1

    return step


def _tuple_to_mark(m: Registers, _: bytes, at: int) -> int:
    if not m._marks:
        return _DECLINED
    place = m._marks.pop()
    m._stack[place:] = [tuple_of(m._stack[place:])]
    return at + 1


def _filling(target: Sort) -> Quick:
    """Items above the mark go into the plain container below it."""

    def step(m: Registers, _: bytes, at: int) -> int:
        stack, marks = m._stack, m._marks
        if not marks or m._wrapped.wanted:
            return _DECLINED
        place = marks[-1]
        if place <= (marks[-2] if len(marks) > 1 else 0) or stack[place - 1] is not target:
            return _DECLINED
        marks.pop()
        del stack[place:]
        return at + 1

    return step


_BY_CODE: Final[dict[str, Quick]] = {
    "N": _pushing(None),
    "\x88": _pushing(True),
    "\x89": _pushing(False),
    "]": _pushing(Sort.LIST),
    "}": _pushing(Sort.DICT),
    ")": _pushing(EMPTY),
    "\x8f": _pushing(Sort.SET),
    "K": _numbers(b"K", "<B"),
    "M": _numbers(b"M", "<H"),
    "J": _numbers(b"J", "<i"),
    "G": _numbers(b"G", ">d"),
    "\x8c": _short_text,
    "X": _text,
    "(": _mark,
    "0": _pop,
    "\x94": _memoize,
    "q": _binput,
    "r": _long_binput,
    "h": _binget,
    "j": _long_binget,
    "t": _tuple_to_mark,
    "u": _filling(Sort.DICT),
    "e": _filling(Sort.LIST),
    "\x85": _tuple(1),
    "\x86": _tuple(2),
    "\x87": _tuple(3),
}
QUICK: Final[tuple[Quick | None, ...]] = tuple(_BY_CODE.get(chr(code)) for code in range(256))
