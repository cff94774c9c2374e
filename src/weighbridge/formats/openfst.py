"""Follows finite-state transducers of OpenFst, and archives of them, from their first byte to their last.

Of the kinds `vector` and `const` with weights of one number, whose states and arcs are numbers; symbol tables are texts.
Other kinds are refused: OpenFst loads a shared library by the kind's name to read them. Written after OpenFst 1.8
(`fst.h`, `vector-fst.h`, `const-fst.h`, `symbol-table.cc`, `sttable.h`).

Limits: `MAX_STATES` states and symbols.
"""

from __future__ import annotations

from typing import Final

from weighbridge.core.errors import LimitExceeded, Malformed
from weighbridge.core.ports import RangeReader
from weighbridge.formats.pickle_window import Budget, ByteWindow

MAX_STATES: Final = 3_000_000
MAX_TEXT_BYTES: Final = 64 * 1024
MAGIC: Final = b"\xd6\xfd\xb2\x7e"
ARCHIVE_MAGIC: Final = b"\x5c\xf3\xb2\x7e"
_SYMBOLS = b"\x74\xfb\xb2\x7e"
_ARC_BYTES, _CONST_STATE_BYTES = 16, 20


class _Transducer:
    def __init__(self, window: ByteWindow) -> None:
        self.window = window
        self.left = MAX_STATES

    def number(self, length: int) -> int:
        return int.from_bytes(self.window.take(length), "little", signed=True)

    def text(self) -> bytes:
        length = self.number(4)
        if not 0 <= length <= MAX_TEXT_BYTES:
            raise Malformed(f"a text before {self.window.position} has {length} bytes")
        return self.window.take(length)

    def spend(self, count: int) -> None:
        self.left -= count
        if self.left < 0:
            raise LimitExceeded(f"the file has more than {MAX_STATES} states and symbols")

    def read(self) -> None:
        if self.window.take(4) != MAGIC:
            raise Malformed(f"there is no transducer before {self.window.position}")
        kind, arcs = self.text(), self.text()
        if kind not in (b"vector", b"const") or arcs not in (b"standard", b"log"):
            raise Malformed(f"a transducer is of the kind {kind[:40]!a} with arcs of {arcs[:40]!a}")
        self.number(4)
        flags = self.number(4)
        self.window.skip(16)
        states, count = self.number(8), self.number(8)
        for flag in (1, 2):
            if flags & flag:
                self.symbols()
        if kind == b"vector":
            self.vector(states)
        else:
            self.const(states, count, aligned=bool(flags & 4))

    def symbols(self) -> None:
        if self.window.take(4) != _SYMBOLS:
            raise Malformed(f"there is no table of symbols before {self.window.position}")
        self.text()
        self.window.skip(8)
        count = self.number(8)
        if count < 0:
            raise Malformed("a table of symbols has a number of them below zero")
        self.spend(count)
        for _ in range(count):
            self.text()
            self.window.skip(8)

    def vector(self, states: int) -> None:
        seen = 0
        # A stream that could not be gone back in says no number; its states reach to the end.
        while seen < states if states >= 0 else self.window.remaining:
            self.window.skip(4)
            arcs = self.number(8)
            if arcs < 0:
                raise Malformed(f"a state before {self.window.position} has {arcs} arcs")
            self.window.skip(arcs * _ARC_BYTES)
            self.spend(1)
            seen += 1

    def const(self, states: int, arcs: int, *, aligned: bool) -> None:
        if states < 0 or arcs < 0:
            raise Malformed("the numbers of states and arcs are below zero")
        for length in (states * _CONST_STATE_BYTES, arcs * _ARC_BYTES):
            if aligned:
                self.window.skip(-self.window.position % 16)
            self.window.skip(length)

    def archive(self) -> None:
        places: list[int] = []
        end = self.window.position + self.window.remaining
        self.window.skip(8)
        while self.window.remaining > 8:
            place = self.window.position
            if self.window.remaining == 8 * len(places) + 16:
                break
            places.append(place)
            self.text()
            self.read()
            self.spend(1)
        table = (
            [self.number(8) for _ in range(len(places) + 2)] if self.window.remaining >= 8 * len(places) + 16 else []
        )
        if table != [len(places), *places, len(places)] or self.window.position != end:
            raise Malformed("the table of the archive is not what lies in it")


def follow(reader: RangeReader) -> None:
    """Follows all of it.

    Raises:
        LimitExceeded: it has more states or symbols than are followed.
        Malformed: it breaks the format, or is of a kind that is read by a library of its own.
        Truncated: the reader returned less than the artifact's size promises.
    """
    window = ByteWindow(reader, 0, reader.size_bytes, Budget())
    one = _Transducer(window)
    if window.peek(4) == ARCHIVE_MAGIC:
        one.archive()
    else:
        one.read()
    if window.remaining:
        raise Malformed(f"{window.remaining} bytes follow the last state")
