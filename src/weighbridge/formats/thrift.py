"""Reads Thrift's compact protocol into plain values, within bounds: how Parquet writes its footer.

A struct becomes a mapping from field number to value. Limits: `MAX_VALUES` values, `MAX_DEPTH` levels.
Source: the compact protocol's specification in Apache Thrift.
"""

from __future__ import annotations

from typing import Final

from weighbridge.core.errors import LimitExceeded, Malformed

Thrift = bool | int | bytes | list["Thrift"] | dict[int, "Thrift"] | None

MAX_VALUES: Final = 2_000_000
MAX_DEPTH: Final = 40
_TRUE, _FALSE, _BYTE, _DOUBLE, _BINARY, _LIST, _SET, _MAP, _STRUCT = 1, 2, 3, 7, 8, 9, 10, 11, 12


class ThriftProblem(Malformed):
    """The bytes are no struct in the compact protocol."""


def read_struct(data: bytes) -> dict[int, Thrift]:
    """The struct that `data` begins with.

    Raises:
        ThriftProblem: there is none; LimitExceeded: it has too many values, or too deep ones.
    """
    return _Reader(data).struct(0)


def struct_length(data: bytes) -> int:
    """How many bytes the struct has that `data` begins with.

    Raises:
        ThriftProblem: there is none; LimitExceeded: it has too many values, or too deep ones.
    """
    reader = _Reader(data)
    reader.struct(0)
    return reader.position


class _Reader:
    def __init__(self, data: bytes) -> None:
        self._data = data
        self._at = 0
        self._left = MAX_VALUES

    @property
    def position(self) -> int:
        """How many bytes were read."""
        return self._at

    def _byte(self) -> int:
        if self._at >= len(self._data):
            raise ThriftProblem(f"the struct breaks off at {self._at}")
        self._at += 1
        return self._data[self._at - 1]

    def _varint(self) -> int:
        value = shift = 0
        while shift < 70:
            byte = self._byte()
            value |= (byte & 0x7F) << shift
            if byte < 0x80:
                return value
            shift += 7
        raise ThriftProblem(f"a number does not end at {self._at}")

    def _zigzag(self) -> int:
        value = self._varint()
        return (value >> 1) ^ -(value & 1)

    def _take(self, length: int) -> bytes:
        if length > len(self._data) - self._at:
            raise ThriftProblem(f"{length} bytes are announced at {self._at}, and fewer follow")
        self._at += length
        return self._data[self._at - length : self._at]

    def struct(self, depth: int) -> dict[int, Thrift]:
        found: dict[int, Thrift] = {}
        number = 0
        while head := self._byte():
            number = number + (head >> 4) if head >> 4 else self._zigzag()
            kind = head & 15
            found[number] = kind == _TRUE if kind in (_TRUE, _FALSE) else self._value(kind, depth + 1)
        return found

    def _value(self, kind: int, depth: int) -> Thrift:
        self._left -= 1
        if self._left < 0 or depth > MAX_DEPTH:
            raise LimitExceeded("the struct has more values or levels than are read")
        if kind in (_TRUE, _FALSE, _BYTE):
            return self._byte()
        if kind in (4, 5, 6):
            return self._zigzag()
        if kind == _DOUBLE:
            return self._take(8)
        if kind == _BINARY:
            return self._take(self._varint())
        if kind in (_LIST, _SET):
            return self._list(depth)
        if kind == _STRUCT:
            return self.struct(depth)
        if kind == _MAP:
            return self._map(depth)
        raise ThriftProblem(f"type {kind} at {self._at} is none")

    def _list(self, depth: int) -> list[Thrift]:
        head = self._byte()
        count = self._varint() if head >> 4 == 15 else head >> 4
        return [self._value(head & 15, depth + 1) for _ in range(min(count, self._left + 1))]

    def _map(self, depth: int) -> list[Thrift]:
        count = self._varint()
        kinds = self._byte() if count else 0
        pairs: list[Thrift] = []
        for _ in range(min(count, self._left + 1)):
            pairs += [self._value(kinds >> 4, depth + 1), self._value(kinds & 15, depth + 1)]
        return pairs
