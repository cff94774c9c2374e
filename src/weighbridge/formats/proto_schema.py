"""Reads a protocol buffer by a schema, accounting for every byte: what the schema knows, and what it does not.

A schema names messages and says of each field number its name and its type. Walking is a fold: a message is read to its
end, then its handler (if it has one) makes a value of it, which is kept in the message around it. Without a handler
nothing is kept, so memory follows what an inspector asks for. Payloads of `DATA` fields are never read.

A type that ends in `*` is of a field that repeats and whose values nobody asks for: numbers of a forest, names of inputs. Those
that follow each other are passed at once.

Rules beyond the wire format: a field's wire type must fit its type; a field that is not in the schema, or has no type
that fits, is `stray`: its bytes are not understood.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import field
from typing import Final

from weighbridge.core.dataclass import dataclass
from weighbridge.formats.protobuf import BYTES, FIXED32, FIXED64, VARINT, Field, Message

TEXT: Final = "text"
"""Text or bytes, kept (`MAX_KEPT_BYTES` of it) where the message has a handler."""
DATA: Final = "data"
"""Bytes that are numbers to their reader: never read here."""
BLOB: Final = "blob"
"""Bytes of some other kind: kept as a span, for an inspector that wants to read them."""
INT: Final = "int"
FLOAT: Final = "float"
DOUBLE: Final = "double"
PASSED: Final = "*"

MAX_KEPT_BYTES: Final = 16 * 1024
MAX_STRAYS: Final = 1_000
INERT_BYTES: Final = 4096

_WIRE: Final[Mapping[str, tuple[int, ...]]] = {
    TEXT: (BYTES,),
    DATA: (BYTES,),
    BLOB: (BYTES,),
    INT: (VARINT, BYTES, FIXED64, FIXED32),
    FLOAT: (FIXED32, BYTES),
    DOUBLE: (FIXED64, BYTES),
}
Value = object
Shape = Mapping[int, tuple[str, str]]
"""A message's fields: number to name and type; a type that is none of the above is a message of the schema."""


@dataclass(slots=True)
class Record:
    """A message that was read: what its fields said, by name, in order, and where it lies."""

    kind: str
    start: int
    end: int
    values: dict[str, list[Value]] = field(default_factory=dict)

    def text(self, name: str) -> str:
        """The last text of a field (protobuf's rule for singular fields), or "" ."""
        said = self.values.get(name, ())
        return str(said[-1]) if said else ""

    def texts(self, name: str) -> list[str]:
        """All texts of a field."""
        return [one for one in self.values.get(name, ()) if isinstance(one, str)]

    def integer(self, name: str, default: int = 0) -> int:
        """The last number of a field."""
        said = self.values.get(name, ())
        return said[-1] if said and isinstance(said[-1], int) else default

    def integers(self, name: str) -> list[int]:
        """All numbers of a field."""
        return [one for one in self.values.get(name, ()) if isinstance(one, int)]

    def spans(self, name: str) -> list[tuple[int, int]]:
        """Where the payloads of a data field lie."""
        return [one.span for one in self.values.get(name, ()) if isinstance(one, Field)]

    def __contains__(self, name: str) -> bool:
        return name in self.values


@dataclass(frozen=True, slots=True)
class Stray:
    """A field that the schema does not know, or not with that wire type."""

    message: str
    number: int
    start: int
    end: int


Handler = Callable[[Record], Value]


def schema_of(text: str) -> dict[str, Shape]:
    """A schema from its compact notation: a line for each message, `Name: number=name/type ...`.

    A line that begins with a space goes on with the message before it; a field without a type is text.
    """
    found: dict[str, Shape] = {}
    for line in text.strip().replace("\n ", " ").splitlines():
        name, _, rest = line.partition(":")
        shape = {}
        for part in rest.split():
            number, _, named = part.partition("=")
            label, _, kind = named.partition("/")
            shape[int(number)] = (label, kind or TEXT)
        found[name] = shape
    return found


class SchemaReader:
    """Reads messages of one artifact. `strays` and `stray_bytes` say what the schema did not know."""

    def __init__(self, schema: Mapping[str, Shape], handlers: Mapping[str, Handler]) -> None:
        self._schema = schema
        self._handlers = handlers
        self._runs = {
            kind: frozenset(number for number, (_, sort) in shape.items() if sort.endswith(PASSED))
            for kind, shape in schema.items()
        }
        self.strays: list[Stray] = []
        self.stray_bytes = 0
        self.data_spans: list[tuple[int, int]] = []
        """Payloads of `DATA`, where they are at least `INERT_BYTES` long."""

    def read(self, message: Message, kind: str) -> Value:
        """The value that the message's handler makes of it; None without one.

        Raises:
            ProtobufProblem: it is no such message; ProtobufLimit: it is larger or deeper than is read.
            Truncated: the reader returned less than was promised.
        """
        handler = self._handlers.get(kind)
        record = Record(kind, message.start, message.end)
        shape = self._schema[kind]
        for one in message.fields(runs=self._runs[kind]):
            known = shape.get(one.number)
            if known is None:
                self._stray(kind, one)
                continue
            name, sort = known
            value = self._value(message, one, sort, kind, keep=handler is not None)
            if value is not None:
                record.values.setdefault(name, []).append(value)
        return handler(record) if handler else None

    def _value(self, message: Message, one: Field, sort: str, kind: str, *, keep: bool) -> Value:
        allowed = _WIRE.get(sort.removesuffix(PASSED), (BYTES,))
        if one.wire_type not in allowed:
            self._stray(kind, one)
            return None
        if sort.endswith(PASSED):
            return None
        if sort not in _WIRE:
            return self.read(message.within(one), sort)
        if sort == DATA and one.length >= INERT_BYTES:
            self.data_spans.append(one.span)
        if not keep:
            return None
        if sort in (DATA, BLOB):
            return one
        if sort == TEXT:
            return message.text(one) if one.length <= MAX_KEPT_BYTES else _cut(message, one)
        return one.signed if one.wire_type == VARINT else one

    def _stray(self, kind: str, one: Field) -> None:
        self.stray_bytes += one.end - one.at
        if len(self.strays) < MAX_STRAYS:
            self.strays.append(Stray(kind, one.number, one.at, one.end))


def _cut(message: Message, one: Field) -> str:
    return message.through.bytes_at(one.start, MAX_KEPT_BYTES).decode("utf-8", "backslashreplace")
