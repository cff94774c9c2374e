"""Reads a TensorFlow Lite model (a flatbuffer, schema version 3): its operators, buffers and metadata.

A flatbuffer is tables that refer to each other by offset; nothing in it says where it ends. So every table and vector
that is followed is noted, and what lies after the last of them, or in long runs between them, is told. Options of
operators are followed as tables, not interpreted. Buffers are never read.

Limits: `MAX_ITEMS` of any vector, `MAX_OPERATORS` in all subgraphs.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import field
from typing import Final

from weighbridge.core.dataclass import dataclass
from weighbridge.core.errors import LimitExceeded, Malformed
from weighbridge.core.ports import RangeReader
from weighbridge.formats.hdf5_bytes import Bytes, Hdf5Problem

MAX_ITEMS: Final = 1_000_000
MAX_OPERATORS: Final = 500_000
MAX_TEXT_BYTES: Final = 64 * 1024
CUSTOM: Final = 32
LAST_BUILTIN: Final = 209


class TfliteProblem(Malformed):
    """The flatbuffer's offsets do not hold."""


@dataclass(frozen=True, slots=True)
class OperatorCode:
    """An operator that the model uses: a built-in's number, or a custom one's name."""

    builtin: int
    custom: str


@dataclass(slots=True)
class TfliteModel:
    """What a model holds."""

    version: int = 0
    description: str = ""
    codes: list[OperatorCode] = field(default_factory=list)
    used: set[int] = field(default_factory=set)
    """Indexes into `codes` that operators use."""
    operators: int = 0
    metadata: list[tuple[str, int]] = field(default_factory=list)
    """Name, and index of the buffer."""
    buffers: list[tuple[int, int]] = field(default_factory=list)
    """Start and end of each buffer's data; (0, 0) when it has none."""
    bad_references: list[str] = field(default_factory=list)
    end: int = 0
    """Where the last structure that was followed ends."""
    gaps: list[tuple[int, int]] = field(default_factory=list)


def read_tflite(reader: RangeReader) -> TfliteModel:
    """The model.

    Raises:
        TfliteProblem: the offsets do not hold; LimitExceeded: there is more than is read.
        Truncated: the reader returned less than was promised.
    """
    try:
        return _Reading(reader).run()
    except Hdf5Problem as problem:
        raise TfliteProblem(problem.message) from problem


@dataclass(frozen=True, slots=True)
class _Table:
    """A table: where it lies, and where each of its fields is (0 where it is absent)."""

    at: int
    places: tuple[int, ...]

    def field(self, number: int) -> int:
        return self.places[number] if number < len(self.places) else 0


class _Reading:
    def __init__(self, reader: RangeReader) -> None:
        self._file = Bytes(reader)
        self._model = TfliteModel()

    def run(self) -> TfliteModel:
        file, model = self._file, self._model
        file.structure(0, 8)
        root = self._table(file.number(0, 4))
        model.version = self._scalar(root, 0, 4)
        model.description = self._text(root, 3)
        for code in self._tables(root, 1):
            # Codes up to 127 lie in the older field; readers take the larger of the two.
            builtin = max(self._scalar(code, 0, 1), self._scalar(code, 3, 4))
            model.codes.append(OperatorCode(builtin, self._text(code, 1)))
        for buffer in self._tables(root, 4):
            model.buffers.append(self._buffer(buffer))
        for graph in self._tables(root, 2):
            self._graph(graph)
        for entry in self._tables(root, 6):
            model.metadata.append((self._text(entry, 0), self._scalar(entry, 1, 4)))
        self._vector(root, 5, 4)
        for signature in self._tables(root, 7):
            self._signature(signature)
        self._check()
        model.gaps = file.gaps()
        spans = [start + length for start, length in file.metadata.items()] + [end for _, end in file.data]
        model.end = max(spans)
        return model

    def _check(self) -> None:
        model = self._model
        for index in sorted(model.used):
            if index >= len(model.codes):
                model.bad_references.append(f"operator code {index} of {len(model.codes)}")
        for name, index in model.metadata:
            if index >= len(model.buffers):
                model.bad_references.append(f"metadata {name!a:.60} in buffer {index} of {len(model.buffers)}")

    def _graph(self, graph: _Table) -> None:
        model = self._model
        for tensor in self._tables(graph, 0):
            self._vector(tensor, 0, 4)
            self._text(tensor, 3)
            self._vector(tensor, 7, 4)
            index = self._scalar(tensor, 2, 4)
            if index and index >= len(model.buffers):
                model.bad_references.append(f"a tensor in buffer {index} of {len(model.buffers)}")
            if tensor.field(4):
                self._quantization(self._follow(tensor.field(4)))
        for number in (1, 2):
            self._vector(graph, number, 4)
        for operator in self._tables(graph, 3):
            model.operators += 1
            if model.operators > MAX_OPERATORS:
                raise LimitExceeded(f"more than {MAX_OPERATORS} operators")
            model.used.add(self._scalar(operator, 0, 4))
            for number, size in ((1, 4), (2, 4), (5, 1), (7, 1), (8, 4)):
                self._vector(operator, number, size)
            for number in (4, 12):
                if operator.field(number):
                    self._follow(operator.field(number))
        self._text(graph, 4)

    def _quantization(self, table: _Table) -> None:
        for number, size in ((0, 4), (1, 4), (2, 4), (3, 8)):
            self._vector(table, number, size)
        if table.field(5):
            self._follow(table.field(5))

    def _signature(self, table: _Table) -> None:
        for number in (0, 1):
            for entry in self._tables(table, number):
                self._text(entry, 0)
        self._text(table, 2)

    def _buffer(self, table: _Table) -> tuple[int, int]:
        offset, size = self._scalar(table, 1, 8), self._scalar(table, 2, 8)
        if offset > 1 and size:
            self._file.raw(offset, size)
            return offset, offset + size
        place = self._place(table, 0)
        if not place:
            return 0, 0
        length = self._file.number(place, 4)
        self._file.structure(place, 4)
        self._file.raw(place + 4, length)
        return place + 4, place + 4 + length

    # --- flatbuffer primitives --------------------------------------------------------------------

    def _table(self, at: int) -> _Table:
        offset = int.from_bytes(self._file.at(at, 4), "little", signed=True)
        where = at - offset
        length, size = self._file.number(where, 2), self._file.number(where + 2, 2)
        if length < 4 or length % 2 or length > 512 or size < 4:
            raise TfliteProblem(f"no table at offset {at}")
        self._file.structure(where, length)
        self._file.structure(at, size)
        listed = self._file.at(where + 4, length - 4)
        places = [int.from_bytes(listed[i : i + 2], "little") for i in range(0, len(listed), 2)]
        if any(place >= size for place in places):
            raise TfliteProblem(f"a field outside its table at offset {at}")
        return _Table(at, tuple(at + place if place else 0 for place in places))

    def _follow(self, place: int) -> _Table:
        return self._table(place + self._file.number(place, 4))

    def _place(self, table: _Table, number: int) -> int:
        place = table.field(number)
        return place + self._file.number(place, 4) if place else 0

    def _scalar(self, table: _Table, number: int, size: int) -> int:
        place = table.field(number)
        return self._file.number(place, size) if place else 0

    def _vector(self, table: _Table, number: int, size: int) -> tuple[int, int]:
        """Where a vector's items begin, and how many there are."""
        place = self._place(table, number)
        if not place:
            return 0, 0
        count = self._file.number(place, 4)
        self._file.structure(place, 4 + count * size)
        return place + 4, count

    def _tables(self, table: _Table, number: int) -> Iterator[_Table]:
        at, count = self._vector(table, number, 4)
        if count > MAX_ITEMS:
            raise LimitExceeded(f"a vector of {count} tables")
        for i in range(count):
            yield self._follow(at + 4 * i)

    def _text(self, table: _Table, number: int) -> str:
        at, count = self._vector(table, number, 1)
        if not at:
            return ""
        self._file.structure(at - 4, count + 5)
        return self._file.at(at, min(count, MAX_TEXT_BYTES)).decode("utf-8", "backslashreplace")
