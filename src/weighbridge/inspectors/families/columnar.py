"""Are these tables (Parquet, Arrow, Avro, ORC) data, or do their schemas make a reader unpickle or construct?

Columns are inert; what a reader acts on is the schema and its metadata. Parquet's footer and Arrow's schema (of files
and of streams) are read: pyarrow unpickles `arrow.py_extension_type` from the metadata of a field when it opens the file
(CVE-2023-47248), and the Java reader of Avro schemas constructs classes that the schema names (CVE-2025-30065). Column
chunks and record batches must lie inside the file.

Avro and ORC are followed block by block and stripe by stripe to the last byte; what cannot be followed (an ORC footer that
is compressed by zstd or lz4) is not understood. Limits: `MAX_SCHEMA_BYTES` of schema or footer.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Iterator
from itertools import islice
from typing import Final

from weighbridge.core.errors import LimitExceeded, Malformed
from weighbridge.core.finding import Report, Severity
from weighbridge.formats import table_rows
from weighbridge.formats.flat_tables import FlatBuffer, FlatTable
from weighbridge.formats.held import Held
from weighbridge.formats.thrift import Thrift, read_struct, struct_length
from weighbridge.inspectors.notes import Notes, shown
from weighbridge.inspectors.rule import Rule
from weighbridge.inspectors.subject import Span, Subject

NAME: Final = "columnar"
MAX_SCHEMA_BYTES: Final = 64 * 1024 * 1024
MAX_MESSAGES: Final = 20_000
MAX_COPIES: Final = 2_000
_COPY_BYTES: Final = 16 * 1024
_MAX_DEPTH: Final = 50
_CONTINUED: Final = b"\xff\xff\xff\xff"
_BLOCK_BYTES: Final = 24
"""A place in an Arrow footer: offset, length of the message, length of its body."""


def _rule(name: str, title: str, severity: Severity, explanation: str) -> Rule:
    remedy = "Do not open the file. Ask its publisher for tables of plain types."
    return Rule(f"columnar-{name}", title, severity, NAME, explanation, remedy)


RULES: Final[tuple[Rule, ...]] = (
    _rule(
        "pickled-type",
        "Pickled type in a table's schema",
        Severity.CRITICAL,
        "pyarrow before 14.0.1 unpickles it when the file is opened (CVE-2023-47248).",
    ),
    _rule(
        "java-class",
        "Java class in a table's schema",
        Severity.HIGH,
        "The Avro reader of Java constructs it when the file is opened (CVE-2025-30065).",
    ),
    _rule(
        "extension-type",
        "Unknown extension type",
        Severity.LOW,
        "A reader that registered it makes its own objects of it.",
    ),
    _rule("broken", "Table that breaks its format", Severity.MEDIUM, "Its footer or schema cannot be followed."),
    _rule(
        "outside",
        "Column outside of the file",
        Severity.HIGH,
        "Its place is beyond the data: a reader takes other bytes.",
    ),
    _rule(
        "not-understood",
        "Table that is not read",
        Severity.LOW,
        "The format is recognised, and it cannot be followed to its end.",
    ),
)
_BY_ID: Final = {rule.id: rule for rule in RULES}

_PICKLED: Final = b"arrow.py_extension_type"
_JAVA: Final = re.compile(rb'"java-(?:class|key-class|element-class)"\s*:\s*"([^"]{0,200})')
_JAVA_PLAIN: Final = re.compile(rb"java\.(?:lang\.(?:String|Integer|Long|Short|Byte|Boolean|Float|Double|Character)|math\.Big\w+"
                                rb"|util\.(?:List|Map|ArrayList|HashMap|Collection|Set))\Z")  # fmt: skip
_EXTENSIONS: Final = re.compile(
    r"(?:arrow\.(?:fixed_shape_tensor|variable_shape_tensor|uuid|json|bool8|opaque|parquet\.variant|timestamp_with_offset)"
    r"|pandas\.(?:period|interval)|datasets\.features\.features\.Array[2-5]DExtensionType|huggingface\.\w+|geoarrow\.\w+"
    r"|ray\.data\.arrow_(?:variable_shaped_)?tensor(?:_v2)?|polars\.\w+|ogc\.wkb|lance\.\w+)\Z"
)


class ColumnarTables:
    """The inspector `columnar`; see the module."""

    name = NAME

    def inspect(self, subject: Subject) -> Report | None:
        """Clean with full coverage for Parquet and Arrow of plain types; None for what is no table.

        Raises:
            LimitExceeded: a footer or schema is larger than is read.
            Truncated: the reader returned less than the artifact's size promises.
        """
        kind, notes = subject.kind.name, Notes(subject, _BY_ID)
        stream = kind == "unrecognised" and _begins_a_stream(subject)
        try:
            if kind == "parquet":
                covered = _parquet(subject, notes)
            elif kind == "arrow":
                covered = _arrow(subject, 8, notes)
            elif stream:
                covered = _arrow(subject, 0, notes)
            elif kind in ("avro", "orc"):
                covered = _recognised(subject, notes)
            else:
                return None
        except Malformed as problem:
            notes.say("columnar-broken", problem.message)
            covered = 0
        return notes.report(NAME, covered)


def _begins_a_stream(subject: Subject) -> bool:
    """A continuation mark, which numbers may be as well: without an Arrow name, the schema must be there too."""
    head = subject.head
    length = int.from_bytes(head[4:8], "little")
    named = subject.suffix in (".arrow", ".arrows", ".feather", ".ipc")
    return head[:4] == b"\xff\xff\xff\xff" and len(head) > 16 and (named or (0 < length < 1 << 20 and length % 8 == 0))


def _recognised(subject: Subject, notes: Notes) -> int:
    """Avro and ORC: all of it, or nothing where it cannot be followed."""
    try:
        rows = (table_rows.avro if subject.kind.name == "avro" else table_rows.orc)(subject)
    except Malformed as problem:
        _java(subject.read_exactly(0, min(subject.size_bytes, 1024 * 1024)), notes)
        notes.say("columnar-not-understood", f"the file is {subject.kind.name}, and {problem.message}")
        return 0
    _java(rows.described, notes)
    for start, end in rows.spans:
        subject.inert(start, end)
    return subject.size_bytes


def _java(data: bytes, notes: Notes) -> None:
    for found in _JAVA.finditer(data):
        if not _JAVA_PLAIN.match(found.group(1)):
            notes.say("columnar-java-class", f"the schema names the class {shown(found.group(1))}")


# --- Parquet -------------------------------------------------------------------------------------


def _parquet(subject: Subject, notes: Notes) -> int:
    size = subject.size_bytes
    tail = subject.read_exactly(max(0, size - 8), min(8, size))
    length = int.from_bytes(tail[:4], "little")
    if tail[4:] != b"PAR1" or length > size - 12:
        raise Malformed(f"the footer of {length} bytes is not where the file ends")
    if length > MAX_SCHEMA_BYTES:
        raise LimitExceeded(f"the footer has {length} bytes")
    start = size - 8 - length
    footer = read_struct(subject.read_exactly(start, length))
    for key, value in _pairs(footer.get(5)):
        _java(value, notes)
        if _PICKLED in value or _PICKLED in key:
            notes.say("columnar-pickled-type", f"the metadata {shown(key)} names a pickled type")
        if key == b"ARROW:schema":
            _stored_schema(subject, value, notes)
    spans = [Span(0, 4), Span(start, size)]
    for chunk in _chunks(footer):
        for span in _chunk_spans(chunk):
            if span.start < 4 or span.end > start:
                notes.say("columnar-outside", f"a column lies at {span.start} to {span.end} of {start} bytes of data")
            spans.append(span)
    spans += _copies(subject, footer, start)
    subject.inert(4, start)
    return _covered(spans)


def _copies(subject: Subject, footer: dict[int, Thrift], end: int) -> list[Span]:
    """Where writers put a copy of a column's description, behind the column. Nobody reads it.

    Older ones say in the footer where it is. Polars gives another place there (the end as counted from the first data
    page, which is behind the dictionary): what lies at the column's end is a copy when it says what the footer says.
    """
    found = []
    for chunk in islice(_chunks(footer), MAX_COPIES):
        for at in {span.end for span in islice(_chunk_spans(chunk), 1)}:
            if not 4 <= at < end:
                continue
            data = subject.read_exactly(at, min(end - at, _COPY_BYTES))
            try:
                length = struct_length(data)
                if chunk.get(2) == at or read_struct(data[:length]) == chunk.get(3):
                    found.append(Span(at, at + length))
            except Malformed:
                continue
    return found


def _covered(spans: list[Span]) -> int:
    covered = position = 0
    for span in sorted(spans):
        covered += max(0, span.end - max(position, span.start))
        position = max(position, span.end)
    return covered


def _pairs(value: Thrift) -> Iterator[tuple[bytes, bytes]]:
    for one in value if isinstance(value, list) else ():
        if isinstance(one, dict):
            key, said = one.get(1), one.get(2, b"")
            if isinstance(key, bytes) and isinstance(said, bytes):
                yield key, said


def _chunks(footer: dict[int, Thrift]) -> Iterator[dict[int, Thrift]]:
    groups = footer.get(4)
    for group in groups if isinstance(groups, list) else ():
        columns = group.get(1) if isinstance(group, dict) else None
        for column in columns if isinstance(columns, list) else ():
            if isinstance(column, dict):
                yield column


def _chunk_spans(chunk: dict[int, Thrift]) -> Iterator[Span]:
    """Where a column's pages, and its indexes, lie."""
    described = chunk.get(3)
    meta = described if isinstance(described, dict) else {}
    places = [at for at in (meta.get(9), meta.get(11)) if isinstance(at, int) and at > 0]
    length = meta.get(7)
    if places and isinstance(length, int):
        yield Span(min(places), min(places) + max(length, 0))
    for holder, place, size in ((chunk, 4, 5), (chunk, 6, 7), (meta, 14, 15)):
        at, count = holder.get(place), holder.get(size)
        if isinstance(at, int) and isinstance(count, int):
            yield Span(at, at + max(count, 0))


def _stored_schema(subject: Subject, value: bytes, notes: Notes) -> None:
    try:
        message = base64.b64decode(value, validate=True)
    except binascii.Error as error:
        raise Malformed(f"the stored schema is no base64: {error}") from error
    start = 8 if message[:4] == b"\xff\xff\xff\xff" else 4
    held = Held(subject.path, message)
    _schema(_message_header(FlatBuffer(held, start, len(message)).root(), expected=1), notes)


# --- Arrow ---------------------------------------------------------------------------------------


def _arrow(subject: Subject, start: int, notes: Notes) -> int:
    """Walks the messages one behind the other: schema, dictionaries, batches, end."""
    at, size = start, subject.size_bytes
    end = size
    first = True
    if start:
        tail = subject.read_exactly(size - 10, 10)
        length = int.from_bytes(tail[:4], "little")
        if tail[4:] != b"ARROW1" or length > size - 18:
            raise Malformed("the footer is not where the file ends")
        end = size - 10 - length
        footer = FlatBuffer(subject, end, size - 10).root()
        _schema(footer.table(1), notes)
        if subject.read_exactly(start, 4) != _CONTINUED:
            at, first = _unframed(subject, start, min(_first_block(footer, end), start + 2 * length), notes), False
    for number in range(MAX_MESSAGES):
        if at >= end:
            break
        at = _message(subject, at, end, notes, first=first and number == 0)
    else:
        raise LimitExceeded(f"the file has more than {MAX_MESSAGES} messages")
    return size if at == end else at


def _first_block(footer: FlatTable, end: int) -> int:
    """Where the first dictionary or batch begins, as the footer says; the end when it has none."""
    places = [end]
    for field in (2, 3):
        at, count = footer.span(field, _BLOCK_BYTES)
        places += [footer.buffer.number(at + number * _BLOCK_BYTES, "q") for number in range(min(count, MAX_MESSAGES))]
    return min(places)


def _unframed(subject: Subject, start: int, end: int, notes: Notes) -> int:
    """A schema without the mark and the length that messages have: Polars writes it so, and readers take the footer's.

    What lies here is not longer than two footers, which hold the same schema.
    """
    if not start < end <= subject.size_bytes:
        raise Malformed(f"there is no message at {start}")
    _schema(_message_header(FlatBuffer(subject, start, end).root(), expected=1), notes)
    return end


def _message(subject: Subject, at: int, end: int, notes: Notes, *, first: bool) -> int:
    prefix = subject.read_exactly(at, 8) if at + 8 <= end else b""
    length = int.from_bytes(prefix[4:8], "little")
    if prefix[:4] != _CONTINUED or at + 8 + length > end:
        raise Malformed(f"there is no message at {at}")
    if not length:
        return at + 8
    if length > MAX_SCHEMA_BYTES:
        raise LimitExceeded(f"a message at {at} has {length} bytes")
    message = FlatBuffer(subject, at + 8, at + 8 + length).root()
    if first:
        _schema(_message_header(message, expected=1), notes)
    elif message.number(1, "B") not in (2, 3):
        raise Malformed(f"the message at {at} is neither dictionary nor batch")
    body = message.number(3, "q")
    following = at + 8 + length + body
    if body < 0 or following > end:
        notes.say("columnar-outside", f"the message at {at} says it has {body} bytes of columns")
        return end
    subject.inert(at + 8 + length, following)
    return following


def _message_header(message: FlatTable, *, expected: int) -> FlatTable | None:
    if message.number(1, "B") != expected:
        raise Malformed("the first message is no schema")
    return message.table(2)


def _schema(schema: FlatTable | None, notes: Notes) -> None:
    if schema is None:
        raise Malformed("there is no schema")
    _metadata(schema, 2, notes)
    todo = [(field, 0) for field in schema.tables(1)]
    while todo:
        field, depth = todo.pop()
        if depth > _MAX_DEPTH:
            raise LimitExceeded("the schema is nested too deeply")
        _metadata(field, 6, notes)
        todo += [(child, depth + 1) for child in field.tables(5)]


def _metadata(table: FlatTable, number: int, notes: Notes) -> None:
    for entry in table.tables(number):
        key, value = entry.text(0), entry.text(1)
        _java(value.encode("utf-8", "replace"), notes)
        if _PICKLED.decode() in (key, value):
            notes.say("columnar-pickled-type", "a field is of a pickled type")
        elif key == "ARROW:extension:name" and not _EXTENSIONS.match(value):
            notes.say("columnar-extension-type", f"a field is of the type {shown(value)}")
