"""Walks a serialised R object (readRDS, load) item by item, without making any of it.

Reads the three encodings (XDR, native little-endian, text) of versions 2 and 3, after any compression was taken off.
Numbers are passed unread. What is not data is told to the caller as it is met: promises, closures, calls, bytecode,
environments, pointers. Source: R Internals, "Serialization Formats", and `src/main/serialize.c`.

Limits: `MAX_ITEMS` items, `MAX_DEPTH` items within each other.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Final

from weighbridge.core.dataclass import dataclass
from weighbridge.core.errors import LimitExceeded, Malformed
from weighbridge.core.ports import RangeReader
from weighbridge.formats.pickle_window import Budget, ByteWindow

MAX_ITEMS: Final = 3_000_000
MAX_DEPTH: Final = 150
MAX_TEXT_BYTES: Final = 64 * 1024

NIL, GLOBAL_ENV, UNBOUND, REFERENCE = 254, 253, 252, 255
SYMBOL, PAIRLIST, CLOSURE, ENVIRONMENT, PROMISE, CALL = 1, 2, 3, 4, 5, 6
SPECIAL, BUILTIN, TEXT, DOTS, LIST, EXPRESSION = 7, 8, 9, 17, 19, 20
BYTECODE, POINTER, WEAK_REFERENCE, RAW, S4 = 21, 22, 23, 24, 25
_EMPTY: Final = frozenset((254, 253, 252, 251, 250, 242, 241))
_NAMED: Final = frozenset((249, 248, 247))
_WIDTHS: Final = {10: 4, 13: 4, 14: 8, 15: 16, RAW: 1}
_PAIRS: Final = frozenset((PAIRLIST, CLOSURE, PROMISE, CALL, DOTS, 239, 240))
_ALTREP, _CLASS_REFERENCE, _GENERIC_REFERENCE = 238, 246, 245
_HEADER: Final = re.compile(rb"(?:RD[AXB][23]\n)?([XAB])\n")


class RProblem(Malformed):
    """The bytes are no serialised R object."""


@dataclass(frozen=True, slots=True)
class Met:
    """Something that is not data. `what` is a stable word, `name` what it is called where it says, `offset` where."""

    what: str
    name: str
    offset: int


class RWalk:
    """One walk over an artifact; `tell` is called with everything that is not data."""

    def __init__(self, reader: RangeReader, tell: Callable[[Met], None]) -> None:
        head = reader.read(0, 16)
        found = _HEADER.match(head)
        if found is None:
            raise RProblem("the file does not begin like a serialised R object")
        self.saved = head.startswith(b"RD")
        """Whether it is a workspace of named objects."""
        self._tell = tell
        self._left = MAX_ITEMS
        self._symbols: list[str] = []
        self._input = ByteWindow(reader, found.end(), reader.size_bytes, Budget())
        self._code = found.group(1)

    def walk(self) -> int:
        """Walks the object; the offset behind it.

        Raises:
            RProblem, StreamBroken: it is none; LimitExceeded: it has too many items, or too deep ones.
        """
        version = self._integer()
        self._integer(), self._integer()
        if version not in (2, 3):
            raise RProblem(f"version {version} is not read")
        if version == 3:
            self._text_bytes(self._integer())
        self._item(0, top=self.saved)
        return self._input.position

    # --- what the encodings say ------------------------------------------------------------------

    def _integer(self) -> int:
        if self._code == b"A":
            word = self._word()
            if word == b"NA":
                return -(1 << 31)
            if not re.fullmatch(rb"-?\d{1,10}", word):
                raise RProblem(f"{word[:20]!r} at {self._input.position} is no integer")
            return int(word)
        return int.from_bytes(self._input.take(4), "big" if self._code == b"X" else "little", signed=True)

    def _word(self) -> bytes:
        kept, length, ended = self._input.line(64)
        if length > 64 or not ended:
            raise RProblem(f"there is no word at {self._input.position}")
        return kept.strip()

    def _length(self) -> int:
        length = self._integer()
        if length == -1:
            high, low = self._integer(), self._integer()
            length = (high << 32) + (low & 0xFFFFFFFF)
        if length < 0:
            raise RProblem(f"a length is negative at {self._input.position}")
        return length

    def _text_bytes(self, length: int) -> bytes:
        if length < -1:
            raise RProblem(f"a text's length is negative at {self._input.position}")
        if length == -1:
            return b""
        if self._code == b"A":
            kept, _, _ = self._input.line(MAX_TEXT_BYTES)
            return re.sub(rb"\\([0-7]{3})", lambda found: bytes([int(found.group(1), 8) & 255]), kept)
        if length > MAX_TEXT_BYTES:
            self._input.skip(length)
            return b""
        return self._input.take(length)

    def _numbers(self, kind: int, length: int) -> None:
        if self._code != b"A":
            self._input.skip(length * _WIDTHS[kind])
            return
        lines = 2 * length if kind == 15 else length
        self._spend(lines)
        for _ in range(lines):
            self._word()

    def _spend(self, count: int = 1) -> None:
        self._left -= count
        if self._left < 0:
            raise LimitExceeded(f"the object has more than {MAX_ITEMS} items")

    # --- items -----------------------------------------------------------------------------------

    def _item(self, depth: int, *, top: bool = False) -> tuple[int, str]:
        """Passes an item; its type, and the name when it is a symbol or a short text."""
        return self._typed(self._integer(), depth, top=top)

    def _typed(self, flags: int, depth: int, *, top: bool = False) -> tuple[int, str]:
        self._spend()
        if depth > MAX_DEPTH:
            raise LimitExceeded(f"items lie within each other deeper than {MAX_DEPTH} levels")
        kind = flags & 0xFF
        if kind in _EMPTY:
            return kind, ""
        if kind == REFERENCE:
            return self._reference(flags)
        if kind in _PAIRS:
            return self._pairs(flags, depth, top=top)
        if kind in (SYMBOL, TEXT):
            return self._name(kind, depth)
        self._other(kind, depth)
        if flags & 0x200 and kind not in (ENVIRONMENT, _ALTREP):
            self._item(depth + 1)
        return kind, ""

    def _reference(self, flags: int) -> tuple[int, str]:
        index = (flags >> 8) or self._integer()
        if not 0 < index <= len(self._symbols):
            raise RProblem(f"the reference {index} leads nowhere, at {self._input.position}")
        name = self._symbols[index - 1]
        return (SYMBOL if name else REFERENCE), name

    def _name(self, kind: int, depth: int) -> tuple[int, str]:
        if kind == SYMBOL:
            _, name = self._item(depth + 1)
            self._symbols.append(name or "?")
            return SYMBOL, name
        return TEXT, self._text_bytes(self._integer()).decode("utf-8", "backslashreplace")

    def _pairs(self, flags: int, depth: int, *, top: bool) -> tuple[int, str]:
        """A chain of cells, followed along its tail."""
        first = flags & 0xFF
        while True:
            self._spend()
            kind, at = flags & 0xFF, self._input.position
            if flags & 0x200 or kind in (239, 240):
                self._item(depth + 1)
            tag = self._item(depth + 1)[1] if flags & 0x400 else ""
            if top and tag:
                self._tell(Met("variable", tag, at))
            head, name = self._item(depth + 1)
            self._cell(kind, head, name, at)
            flags = self._integer()
            if flags & 0xFF not in _PAIRS:
                self._typed(flags, depth + 1)
                return first, ""

    def _cell(self, kind: int, head: int, name: str, at: int) -> None:
        if kind == PROMISE:
            self._tell(Met("promise" if head == UNBOUND else "kept promise", name, at))
        elif kind == CLOSURE:
            self._tell(Met("closure", "", at))
        elif kind in (CALL, 240):
            self._tell(Met("call", name if head == SYMBOL else "", at))

    def _other(self, kind: int, depth: int) -> None:
        at = self._input.position
        if kind in _WIDTHS:
            self._numbers(kind, self._length())
        elif kind in (16, LIST, EXPRESSION):
            if kind == EXPRESSION:
                self._tell(Met("expression", "", at))
            self._items(self._length(), depth)
        elif kind == ENVIRONMENT:
            self._environment(depth, at)
        elif kind in _NAMED:
            self._named(depth, at)
        else:
            self._rare(kind, depth, at)

    def _rare(self, kind: int, depth: int, at: int) -> None:
        if kind in (SPECIAL, BUILTIN):
            name = self._text_bytes(self._integer()).decode("utf-8", "backslashreplace")
            self._tell(Met("call", name, at))
        elif kind == BYTECODE:
            self._tell(Met("bytecode", "", at))
            self._integer()
            self._bytecode(depth + 1)
        elif kind in (POINTER, WEAK_REFERENCE):
            self._pointer(kind, depth, at)
        elif kind == _ALTREP:
            self._items(3, depth)
        elif kind != S4:
            raise RProblem(f"an item of type {kind} at {at} is not read")

    def _items(self, count: int, depth: int) -> None:
        for _ in range(count):
            self._item(depth + 1)

    def _environment(self, depth: int, at: int) -> None:
        self._tell(Met("environment", "", at))
        self._symbols.append("")
        self._integer()
        for _ in range(4):
            self._item(depth + 1)

    def _named(self, depth: int, at: int) -> None:
        if self._integer() != 0:
            raise RProblem(f"the names at {at} have names")
        names = [self._item(depth + 1)[1] for _ in range(self._length())]
        self._symbols.append("")
        self._tell(Met("namespace", names[0] if names else "", at))

    def _pointer(self, kind: int, depth: int, at: int) -> None:
        self._tell(Met("pointer", "", at))
        self._symbols.append("")
        if kind == POINTER:
            self._item(depth + 1)
            self._item(depth + 1)

    def _bytecode(self, depth: int) -> None:
        self._item(depth + 1)
        for _ in range(self._length()):
            kind = self._integer()
            if kind == BYTECODE:
                self._bytecode(depth + 1)
            elif kind in (CALL, PAIRLIST, 244, 243, 240, 239):
                self._compiled_call(kind, depth + 1)
            else:
                self._item(depth + 1)

    def _compiled_call(self, kind: int, depth: int) -> tuple[int, str]:
        """A call among a bytecode's constants, which may be shared by number."""
        self._spend()
        if depth > MAX_DEPTH:
            raise LimitExceeded(f"items lie within each other deeper than {MAX_DEPTH} levels")
        if kind == 243:
            self._integer()
            return kind, ""
        if kind == 244:
            self._integer()
            kind = self._integer()
        if kind not in (CALL, PAIRLIST, 239, 240):
            return self._item(depth + 1)
        if kind in (239, 240):
            self._item(depth + 1)
        self._item(depth + 1)
        at = self._input.position
        head, name = self._compiled_call(self._integer(), depth + 1)
        if kind in (CALL, 240):
            self._tell(Met("call", name if head == SYMBOL else "", at))
        self._compiled_call(self._integer(), depth + 1)
        return kind, ""
