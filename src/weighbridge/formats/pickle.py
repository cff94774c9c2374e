"""The opcodes of pickle and where each begins and ends, read in bounded blocks and never executed.

The table is our own (protocols 0 to 5, as in CPython's `Lib/pickletools.py` and `Modules/_pickle.c`). Where the loaders
of CPython are lenient this reader is: an argument that is no number, or no UTF-8, is `UNREADABLE` and the walk goes on.

Limits: those of `ByteWindow`; texts longer than `MAX_TEXT` characters and all bytes are described (`LongText`,
`Blob`), not held.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Callable, Iterator, Mapping
from enum import Enum
from typing import Final

from weighbridge.core.dataclass import dataclass
from weighbridge.core.later import later
from weighbridge.core.ports import RangeReader
from weighbridge.formats.pickle_window import Budget, ByteWindow, StreamBroken

MAX_TEXT = 1024
"""Characters of a text that are held; no module and no name is longer."""

HEAD_BYTES = 64
_MAX_SIZE = (1 << 63) - 1


@dataclass(frozen=True, slots=True)
class Blob:
    """A bytes constant: where it lies in the artifact, and its first bytes."""

    offset: int
    length: int
    head: bytes
    escaped: bool = False
    """Whether those bytes are written with escapes (STRING), so that `length` counts those."""


@dataclass(frozen=True, slots=True)
class LongText:
    """A text too long to be a name: where its encoded bytes lie, and how they are encoded."""

    offset: int
    length: int
    head: str
    encoding: str


class Unreadable(Enum):
    """An argument that a strict reader would refuse."""

    ARGUMENT = "unreadable"


UNREADABLE: Final = Unreadable.ARGUMENT
Names = tuple[str, str]
Argument = int | float | str | Names | Blob | LongText | Unreadable | None


# --- arguments -----------------------------------------------------------------------------------

_ESCAPE = later(rb"\\(x[0-9a-fA-F]{2}|[0-7]{1,3}|[\\'\"abfnrtv])")
_SIMPLE: Final[Mapping[bytes, bytes]] = {
    b"\\": b"\\",
    b"'": b"'",
    b'"': b'"',
    b"a": b"\a",
    b"b": b"\b",
    b"f": b"\f",
    b"n": b"\n",
    b"r": b"\r",
    b"t": b"\t",
    b"v": b"\v",
}


def unescape(data: bytes) -> bytes:
    """What a STRING's escapes stand for."""

    def one(match: re.Match[bytes]) -> bytes:
        text = match[1]
        if text in _SIMPLE:
            return _SIMPLE[text]
        return bytes(((int(text[1:], 16) if text.startswith(b"x") else int(text, 8)) & 0xFF,))

    return _ESCAPE.sub(one, data) if b"\\" in data else data


def _fixed(form: str) -> Callable[[ByteWindow], Argument]:
    shape = struct.Struct(form)

    def read(window: ByteWindow) -> Argument:
        value: int | float = shape.unpack(window.take(shape.size))[0]
        return value

    return read


def _length(window: ByteWindow, form: str) -> int:
    shape = struct.Struct(form)
    place = window.position
    value: int = shape.unpack(window.take(shape.size))[0]
    if not 0 <= value <= _MAX_SIZE:
        raise StreamBroken(f"a length of {value} is impossible", place)
    return value


def _blob(form: str) -> Callable[[ByteWindow], Argument]:
    def read(window: ByteWindow) -> Argument:
        length = _length(window, form)
        blob = Blob(window.position, length, window.peek(min(length, HEAD_BYTES)))
        window.skip(length)
        return blob

    return read


def _text(form: str) -> Callable[[ByteWindow], Argument]:
    def read(window: ByteWindow) -> Argument:
        length = _length(window, form)
        if length > MAX_TEXT:
            head = window.peek(HEAD_BYTES).decode("utf-8", "replace")
            text = LongText(window.position, length, head, "utf-8")
            window.skip(length)
            return text
        try:
            return window.take(length).decode("utf-8", "surrogatepass")
        except UnicodeDecodeError:
            return UNREADABLE

    return read


def _old_text(form: str) -> Callable[[ByteWindow], Argument]:
    """Python 2's `str`: bytes or a text, as the loader chooses; a text here, for names are made of it."""

    def read(window: ByteWindow) -> Argument:
        length = _length(window, form)
        if length > MAX_TEXT:
            text = LongText(window.position, length, window.peek(HEAD_BYTES).decode("latin-1"), "latin-1")
            window.skip(length)
            return text
        return window.take(length).decode("latin-1")

    return read


def _integer(form: str) -> Callable[[ByteWindow], Argument]:
    def read(window: ByteWindow) -> Argument:
        length = _length(window, form)
        if length > HEAD_BYTES:
            blob = Blob(window.position, length, window.peek(HEAD_BYTES))
            window.skip(length)
            return blob
        return int.from_bytes(window.take(length), "little", signed=True)

    return read


def _terminated(window: ByteWindow) -> tuple[bytes, int]:
    place = window.position
    kept, length, ended = window.line(4 * MAX_TEXT)
    if not ended:
        raise StreamBroken("the stream ends within a line", place)
    return kept, length


def _number(base: int) -> Callable[[ByteWindow], Argument]:
    def read(window: ByteWindow) -> Argument:
        text, length = _terminated(window)
        if length > MAX_TEXT:
            return UNREADABLE
        try:
            return int(text.removesuffix(b"L") if base == 0 else text, base)
        except ValueError:
            return UNREADABLE

    return read


def _boolean_or_number(window: ByteWindow) -> Argument:
    text, length = _terminated(window)
    if text in (b"00", b"01"):
        return text == b"01"
    try:
        return int(text, 0) if length <= MAX_TEXT else UNREADABLE
    except ValueError:
        return UNREADABLE


def _decimal(window: ByteWindow) -> Argument:
    text, _ = _terminated(window)
    try:
        return float(text)
    except ValueError:
        return UNREADABLE


def _quoted(window: ByteWindow) -> Argument:
    place = window.position
    text, length = _terminated(window)
    if length < 2 or text[:1] not in (b"'", b'"') or (length == len(text) and text[-1:] != text[:1]):
        return UNREADABLE
    if length > MAX_TEXT:
        return LongText(place + 1, length - 2, text[1:HEAD_BYTES].decode("latin-1"), "string-escape")
    return unescape(text[1:-1]).decode("latin-1")


def _raw_unicode(window: ByteWindow) -> Argument:
    place = window.position
    text, length = _terminated(window)
    if length > len(text):
        return LongText(place, length, text[:HEAD_BYTES].decode("latin-1"), "raw-unicode-escape")
    try:
        value = text.decode("raw-unicode-escape")
    except UnicodeDecodeError:
        return UNREADABLE
    return value if len(value) <= MAX_TEXT else LongText(place, length, value[:HEAD_BYTES], "raw-unicode-escape")


def _plain_line(window: ByteWindow) -> Argument:
    text, length = _terminated(window)
    return text.decode("latin-1") if length <= MAX_TEXT else UNREADABLE


def _names(window: ByteWindow) -> Argument:
    place = window.position
    names: list[str] = []
    longest = 0
    for _ in range(2):
        text, length, ended = window.line(MAX_TEXT)
        longest = max(longest, length)
        if not ended:
            # Python's own loader takes the last character for the newline, and calls what INST names.
            if not names or not text:
                raise StreamBroken("the stream ends within a name", place)
            text = text[:-1]
        names.append(text.decode("utf-8", "backslashreplace"))
    return UNREADABLE if longest > MAX_TEXT else (names[0], names[1])


# --- the table -----------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Opcode:
    """One opcode: its byte, its name in CPython, the protocol that brought it, and what reads its argument."""

    code: int
    name: str
    protocol: int
    read: Callable[[ByteWindow], Argument] | None = None


def _table() -> tuple[Opcode, ...]:
    byte, two, four = _fixed("<B"), _fixed("<H"), _fixed("<i")
    plain = {
        0: {"(": "MARK", ".": "STOP", "0": "POP", "2": "DUP", "N": "NONE", "R": "REDUCE", "b": "BUILD",
            "a": "APPEND", "d": "DICT", "l": "LIST", "s": "SETITEM", "t": "TUPLE"},
        1: {"Q": "BINPERSID", "e": "APPENDS", "}": "EMPTY_DICT", "]": "EMPTY_LIST", "o": "OBJ", "u": "SETITEMS",
            ")": "EMPTY_TUPLE", "1": "POP_MARK"},
        2: {"\x81": "NEWOBJ", "\x85": "TUPLE1", "\x86": "TUPLE2", "\x87": "TUPLE3", "\x88": "NEWTRUE",
            "\x89": "NEWFALSE"},
        4: {"\x8f": "EMPTY_SET", "\x90": "ADDITEMS", "\x91": "FROZENSET", "\x92": "NEWOBJ_EX", "\x93": "STACK_GLOBAL",
            "\x94": "MEMOIZE"},
        5: {"\x97": "NEXT_BUFFER", "\x98": "READONLY_BUFFER"},
    }  # fmt: skip
    reading = (
        ("I", "INT", 0, _boolean_or_number),
        ("L", "LONG", 0, _number(0)),
        ("F", "FLOAT", 0, _decimal),
        ("S", "STRING", 0, _quoted),
        ("V", "UNICODE", 0, _raw_unicode),
        ("P", "PERSID", 0, _plain_line),
        ("c", "GLOBAL", 0, _names),
        ("i", "INST", 0, _names),
        ("g", "GET", 0, _number(10)),
        ("p", "PUT", 0, _number(10)),
        ("J", "BININT", 1, four),
        ("K", "BININT1", 1, byte),
        ("M", "BININT2", 1, two),
        ("G", "BINFLOAT", 1, _fixed(">d")),
        ("T", "BINSTRING", 1, _old_text("<i")),
        ("U", "SHORT_BINSTRING", 1, _old_text("<B")),
        ("X", "BINUNICODE", 1, _text("<I")),
        ("h", "BINGET", 1, byte),
        ("j", "LONG_BINGET", 1, _fixed("<I")),
        ("q", "BINPUT", 1, byte),
        ("r", "LONG_BINPUT", 1, _fixed("<I")),
        ("\x80", "PROTO", 2, byte),
        ("\x82", "EXT1", 2, byte),
        ("\x83", "EXT2", 2, two),
        ("\x84", "EXT4", 2, four),
        ("\x8a", "LONG1", 2, _integer("<B")),
        ("\x8b", "LONG4", 2, _integer("<i")),
        ("B", "BINBYTES", 3, _blob("<I")),
        ("C", "SHORT_BINBYTES", 3, _blob("<B")),
        ("\x8c", "SHORT_BINUNICODE", 4, _text("<B")),
        ("\x8d", "BINUNICODE8", 4, _text("<Q")),
        ("\x8e", "BINBYTES8", 4, _blob("<Q")),
        ("\x95", "FRAME", 4, _fixed("<Q")),
        ("\x96", "BYTEARRAY8", 5, _blob("<Q")),
    )
    opcodes = [Opcode(ord(char), name, protocol) for protocol, row in plain.items() for char, name in row.items()]
    opcodes += [Opcode(ord(char), name, protocol, read) for char, name, protocol, read in reading]
    return tuple(sorted(opcodes, key=lambda opcode: opcode.code))


OPCODES: Final[tuple[Opcode, ...]] = _table()
_BY_CODE: Final[tuple[Opcode | None, ...]] = tuple(
    {opcode.code: opcode for opcode in OPCODES}.get(code) for code in range(256)
)
_BY_NAME: Final[Mapping[str, Opcode]] = {opcode.name: opcode for opcode in OPCODES}
STOP: Final = _BY_NAME["STOP"]

_LOOKS_LIKE = later(
    rb"\x80[\x01-\x05][\x95\]\}\)\(NKJMILFGUTVXSBCc\x82-\x8e\x96PQ]"
    rb"|\(?[ci][A-Za-z_][\w.]{0,200}\n[A-Za-z_]"
    rb"|\([dl]p\d+\n|\([SV][^\n]{0,40}\n[^\n]{0,4}[ciIVS]",
)


def looks_like_stream(head: bytes) -> bool:
    """Whether bytes begin as a pickle does: a guess, for constants that might be pickles themselves."""
    return _LOOKS_LIKE.match(head) is not None


def begins_like_stream(data: bytes, start: int, end: int) -> bool:
    """As `looks_like_stream`, of a text in UTF-8 that lies from `start` to `end`; says yes where that is uncertain."""
    return data[start] == 0xC2 or _LOOKS_LIKE.match(data, start, min(end, start + HEAD_BYTES)) is not None


class Lexer:
    """Reads one stream opcode by opcode. After `advance`, `offset` and `argument` describe the opcode returned."""

    __slots__ = ("argument", "offset", "window")

    def __init__(self, reader: RangeReader, start: int, end: int, budget: Budget) -> None:
        self.window = ByteWindow(reader, start, end, budget)
        self.offset = start
        self.argument: Argument = None

    def advance(self) -> Opcode:
        """Reads the next opcode with its argument.

        Raises:
            StreamBroken: no opcode has that code, or its argument is cut or impossible.
            StreamLimit: the budget of bytes is spent.
            Truncated: the reader returned less than the artifact's size promises.
        """
        window = self.window
        self.offset = window.position
        code = window.byte()
        opcode = _BY_CODE[code]
        if opcode is None:
            raise StreamBroken(f"no opcode has the code 0x{code:02x}", self.offset)
        self.argument = opcode.read(window) if opcode.read is not None else None
        return opcode


@dataclass(frozen=True, slots=True)
class Token:
    """One opcode in its place."""

    offset: int
    opcode: Opcode
    argument: Argument


def tokens(reader: RangeReader, start: int = 0) -> Iterator[Token]:
    """The opcodes of the stream at `start`, to its STOP. Raises as `Lexer.advance` does."""
    lexer = Lexer(reader, start, reader.size_bytes, Budget())
    while True:
        opcode = lexer.advance()
        yield Token(lexer.offset, opcode, lexer.argument)
        if opcode is STOP:
            return
