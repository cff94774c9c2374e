"""Does a text begin as a pickle that calls something?

Streams of the oldest protocols are printable from end to end, and a reader of pickles asks for no signature: a word list,
a table or a page of prose can be a program. Only the shape is followed here, with a stack of counts: a text counts when
it names something (`c`, `i`) and calls it (`R`, `o`, `i`) without a single opcode out of place. Ordinary text breaks
within its first few bytes, so a list of words is not taken for a program.

Follows what it is given, `MAX_STEPS` opcodes at most; a stream whose call lies behind that is not seen.
"""

from __future__ import annotations

import re
from typing import Final

from weighbridge.core.later import later

MAX_STEPS: Final = 2_000

_NAME = later(rb"[A-Za-z_][\w.]{0,200}\n[A-Za-z_][\w.]{0,200}\n")
_LINES: Final = {
    ord("I"): later(rb" ?[+-]?\d+\r?\n"),
    ord("L"): later(rb" ?[+-]?\d+L?\r?\n"),
    ord("F"): later(rb" ?[+-]?[\d.einfa+-]+\r?\n"),
    ord("S"): later(rb"[ \t]*(?:'[^\n]*'|\"[^\n]*\")[ \t\r]*\n"),
    ord("V"): later(rb"[^\n]*\n"),
    ord("P"): later(rb"[^\n]*\n"),
}
_SIZED: Final = {ord("K"): 1, ord("M"): 2, ord("J"): 4, ord("G"): 8}
# What each takes from the stack and leaves on it; a negative depth is no pickle.
_PLAIN: Final = {
    **dict.fromkeys(b"N)]}", (0, 1)),
    **dict.fromkeys(b"2", (1, 2)),
    **dict.fromkeys(b"0.", (1, 0)),
    **dict.fromkeys(b"ab", (2, 1)),
    **dict.fromkeys(b"s", (3, 1)),
    **dict.fromkeys(b"Q", (1, 1)),
}
_TO_MARK: Final = {**dict.fromkeys(b"tld", 1), **dict.fromkeys(b"ue1", 0)}
_MEMO: Final = {ord("p"): (rb"\d+\r?\n", 0), ord("g"): (rb"\d+\r?\n", 1), ord("q"): (rb".", 0), ord("h"): (rb".", 1)}


def calls_something(head: bytes) -> bool:
    """Whether the text begins as a pickle that names something and calls it."""
    return _Walk(head).run()


class _Walk:
    """Depths of the stack, one for each mark that is open."""

    def __init__(self, head: bytes) -> None:
        self._head = head
        self._at = 0
        self._depths = [0]
        self._named = False

    def run(self) -> bool:
        """Follows opcodes until something is called, or one is out of place."""
        for _ in range(MAX_STEPS):
            if self._at >= len(self._head):
                return False
            opcode = self._head[self._at]
            self._at += 1
            if opcode in b"Roi" and self._calls(opcode):
                return True
            if opcode in b"Roi" or not self._step(opcode):
                return False
        return False

    def _calls(self, opcode: int) -> bool:
        if opcode == ord("R"):
            return self._named and self._depths[-1] >= 2
        if len(self._depths) < 2:
            return False
        return bool(_NAME.match(self._head, self._at)) if opcode == ord("i") else self._named and self._depths[-1] >= 1

    def _step(self, opcode: int) -> bool:
        if opcode == ord("("):
            self._depths.append(0)
            return True
        if opcode == ord("c"):
            self._named = True
            return self._line(_NAME)
        if opcode in _LINES:
            return self._line(_LINES[opcode])
        if opcode in _SIZED:
            self._at += _SIZED[opcode]
            return self._change(0, 1)
        if opcode == ord("U") and self._at < len(self._head):
            self._at += 1 + self._head[self._at]
            return self._change(0, 1)
        if opcode in _MEMO:
            expression, left = _MEMO[opcode]
            found = re.compile(expression, re.DOTALL).match(self._head, self._at)
            self._at = found.end() if found else self._at
            return found is not None and self._change(1 - left, 1)
        if opcode in _TO_MARK:
            return self._close(_TO_MARK[opcode])
        return opcode in _PLAIN and self._change(*_PLAIN[opcode])

    def _line(self, expression: re.Pattern[bytes]) -> bool:
        found = expression.match(self._head, self._at)
        if found is None:
            return False
        self._at = found.end()
        return self._change(0, 1)

    def _change(self, taken: int, left: int) -> bool:
        if self._depths[-1] < taken:
            return False
        self._depths[-1] += left - taken
        return True

    def _close(self, left: int) -> bool:
        if len(self._depths) < 2:
            return False
        self._depths.pop()
        self._depths[-1] += left
        return True
