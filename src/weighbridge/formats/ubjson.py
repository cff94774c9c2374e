"""Reads UBJSON (draft 12, big-endian) as XGBoost writes it, within bounds.

Typed arrays (`[$l#L...`) are taken at once. Limits: `MAX_VALUES` values over all, `MAX_DEPTH` levels; a count is believed
only as far as bytes follow.
"""

from __future__ import annotations

import struct
from typing import Final

from weighbridge.core.errors import LimitExceeded, Malformed
from weighbridge.formats.json_text import Json

MAX_VALUES: Final = 4_000_000
MAX_DEPTH: Final = 60
_NUMBERS: Final = {b"i": "b", b"U": "B", b"I": "h", b"l": "i", b"L": "q", b"d": "f", b"D": "d"}
_CONSTANTS: Final[dict[bytes, bool | None]] = {b"Z": None, b"T": True, b"F": False}


class UbjsonProblem(Malformed):
    """The bytes are no UBJSON."""


def parse_ubjson(data: bytes) -> Json:
    """The one value of a UBJSON text, which must end where the bytes do.

    Raises:
        UbjsonProblem: it is none; LimitExceeded: it has too many values, or too deep ones.
    """
    parser = _Parser(data)
    value = parser.value(parser.take(1), 0)
    if parser.at != len(data):
        raise UbjsonProblem(f"{len(data) - parser.at} bytes follow the value")
    return value


class _Parser:
    __slots__ = ("_data", "_left", "at")

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._left = MAX_VALUES
        self.at = 0

    def take(self, length: int) -> bytes:
        if length < 0 or length > len(self._data) - self.at:
            raise UbjsonProblem(f"{length} bytes are announced at {self.at}, and fewer follow")
        self.at += length
        return self._data[self.at - length : self.at]

    def value(self, marker: bytes, depth: int) -> Json:
        self._spend(1)
        if depth > MAX_DEPTH:
            raise LimitExceeded(f"values are nested deeper than {MAX_DEPTH} levels")
        if marker in _NUMBERS:
            return self._number(marker)
        if marker in _CONSTANTS:
            return _CONSTANTS[marker]
        if marker in (b"S", b"H"):
            return self._text()
        if marker == b"C":
            return self.take(1).decode("latin-1")
        if marker == b"[":
            return self._array(depth)
        if marker == b"{":
            return self._object(depth)
        raise UbjsonProblem(f"{marker!r} at {self.at - 1} begins no value")

    def _spend(self, count: int) -> None:
        self._left -= count
        if self._left < 0:
            raise LimitExceeded(f"the text holds more than {MAX_VALUES} values")

    def _number(self, marker: bytes) -> int | float:
        code = f">{_NUMBERS[marker]}"
        number: int | float = struct.unpack(code, self.take(struct.calcsize(code)))[0]
        return number

    def _length(self) -> int:
        marker = self.take(1)
        length = self._number(marker) if marker in _NUMBERS else -1
        if not isinstance(length, int) or length < 0:
            raise UbjsonProblem(f"there is no length at {self.at}")
        return length

    def _text(self) -> str:
        return self.take(self._length()).decode("utf-8", "backslashreplace")

    def _header(self) -> tuple[bytes, int]:
        """The type of all elements ("" when each says its own) and their count (-1 when an end marker says it)."""
        kind, following = b"", self._data[self.at : self.at + 1]
        if following == b"$":
            self.at += 1
            kind = self.take(1)
            following = self._data[self.at : self.at + 1]
            if following != b"#":
                raise UbjsonProblem(f"a type without a count at {self.at}")
        if following != b"#":
            return kind, -1
        self.at += 1
        return kind, self._length()

    def _array(self, depth: int) -> Json:
        kind, count = self._header()
        if count < 0:
            return self._open_array(depth)
        self._spend(count)
        if kind in _NUMBERS:
            code = _NUMBERS[kind]
            return list(struct.unpack(f">{count}{code}", self.take(count * struct.calcsize(f">{code}"))))
        if kind in _CONSTANTS:
            raise UbjsonProblem(f"an array of {count} values without bytes at {self.at}")
        return [self.value(kind or self.take(1), depth + 1) for _ in range(count)]

    def _open_array(self, depth: int) -> Json:
        values: list[Json] = []
        while (marker := self.take(1)) != b"]":
            values.append(self.value(marker, depth + 1))
        return values

    def _object(self, depth: int) -> Json:
        kind, count = self._header()
        found: dict[str, Json] = {}
        while count:
            if count < 0 and self._data[self.at : self.at + 1] == b"}":
                self.at += 1
                break
            key = self._text()
            if key in found:
                raise UbjsonProblem(f"the key {key[:100]!a} is there twice")
            found[key] = self.value(kind or self.take(1), depth + 1)
            count -= 1
        return found
