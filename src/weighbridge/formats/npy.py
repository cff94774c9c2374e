"""The header of an npy file (one numpy array), read without evaluating it.

The format (https://numpy.org/doc/stable/reference/generated/numpy.lib.format.html): magic, version, a length, a Python
dictionary as text, the array's bytes. The dictionary is read by a parser of its own that knows texts, whole numbers,
True, False, tuples, lists and one dictionary, and nothing else. Beyond what numpy refuses: repeated keys, escapes,
negative sizes, padding other than spaces, headers over `MAX_HEADER_BYTES`, bytes after the array.

Arrays of objects are a pickle behind the header: `has_objects` says so, and the data is left to whoever judges pickles.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final

from weighbridge.core.dataclass import dataclass
from weighbridge.core.errors import FormatError, LimitExceeded, Malformed
from weighbridge.core.ports import RangeReader
from weighbridge.formats.bounded import read_exactly

MAGIC: Final = b"\x93NUMPY"
MAX_HEADER_BYTES: Final = 64 * 1024
NUMPY_HEADER_BYTES: Final = 10_000
"""What numpy reads unless it is told to trust the file."""

MAX_DEPTH: Final = 8
MAX_DIMENSIONS: Final = 64
MAX_FIELDS: Final = 10_000
_HALF = 1 << 63
_KEYS = frozenset(("descr", "fortran_order", "shape"))
_TOKEN = re.compile(r"\s*(?:('(?:[^'\\\n]*)'|\"(?:[^\"\\\n]*)\")|(\d+)L?|(True|False)|([()\[\]{},:]))", re.ASCII)
_SIZES: Final[Mapping[str, frozenset[int]]] = {
    "b": frozenset((1,)),
    "i": frozenset((1, 2, 4, 8)),
    "u": frozenset((1, 2, 4, 8)),
    "f": frozenset((2, 4, 8, 12, 16)),
    "c": frozenset((8, 16, 24, 32)),
    "m": frozenset((8,)),
    "M": frozenset((8,)),
}
_TYPE = re.compile(
    r"[<>|=]?([biufcmMSUV])(\d{1,12})(?:\[(?:\d{1,9})?(?:generic|[YMWDhms]|ms|us|ns|ps|fs|as)(?:/\d{1,9})?\])?"
)
_OBJECT = re.compile(r"[<>|=]?O\d{0,2}")

_Value = str | int | bool | tuple["_Value", ...] | list["_Value"] | dict[str, "_Value"]


class NpyProblem(FormatError):
    """The file breaks a rule. `rule` is its stable id."""

    def __init__(self, rule: str, message: str, *, location: str = "") -> None:
        super().__init__(message)
        self.rule = rule
        self.location = location


class NpyMalformed(NpyProblem, Malformed):
    """The format's own rules are broken."""


class NpyBeyond(NpyProblem, LimitExceeded):
    """The file may be sound and is larger than is read."""


@dataclass(frozen=True, slots=True)
class NpyHeader:
    """A header that accounts for the whole file, unless `has_objects`.

    `numbers` says that the data is numbers alone (no texts, no raw bytes), `bytewise` that each is one byte.
    """

    shape: tuple[int, ...]
    item_bytes: int
    data_start: int
    has_objects: bool
    numbers: bool
    bytewise: bool


@dataclass(frozen=True, slots=True)
class _Type:
    item_bytes: int
    has_objects: bool = False
    numbers: bool = True
    bytewise: bool = False


def read_npy(reader: RangeReader) -> NpyHeader:
    """Reads and checks the header.

    Raises:
        NpyProblem: the file breaks a rule; the first one found is named.
        Truncated: the reader returned less than the file's size promises.
    """
    size = reader.size_bytes
    start = read_exactly(reader, 0, min(12, size))
    if len(start) < 12 or not start.startswith(MAGIC):
        raise NpyMalformed("npy-truncated", "the file ends within its header")
    if start[6:8] not in (b"\x01\x00", b"\x02\x00", b"\x03\x00"):
        raise NpyMalformed("npy-version", f"the version {start[6]}.{start[7]} is none that exists")
    width = 2 if start[6] == 1 else 4
    length = int.from_bytes(start[8 : 8 + width], "little")
    begin = 8 + width
    if begin + length > size:
        raise NpyMalformed("npy-truncated", f"the header says it has {length} bytes, in a file of {size}")
    if length > MAX_HEADER_BYTES:
        raise NpyBeyond("npy-header-limit", f"the header has {length} bytes, over {MAX_HEADER_BYTES}")
    record = _dictionary(_decoded(read_exactly(reader, begin, length), "utf-8" if start[6] == 3 else "latin-1"))
    shape, kind = _shape(record["shape"]), _type(record["descr"], 0)
    if not isinstance(record["fortran_order"], bool):
        raise NpyMalformed("npy-header", "'fortran_order' is neither True nor False")
    header = NpyHeader(shape, kind.item_bytes, begin + length, kind.has_objects, kind.numbers, kind.bytewise)
    if not header.has_objects:
        _check_size(header, size)
    if length > NUMPY_HEADER_BYTES:
        raise NpyBeyond("npy-header-limit", f"the header has {length} bytes; numpy reads {NUMPY_HEADER_BYTES}")
    return header


def _decoded(data: bytes, encoding: str) -> str:
    try:
        return data.decode(encoding)
    except UnicodeDecodeError as error:
        raise NpyMalformed("npy-header", "the header is not text") from error


def _dictionary(text: str) -> dict[str, _Value]:
    parser = _Literal(text)
    value = parser.value(0)
    if text[parser.position :].strip(" \n"):
        raise NpyMalformed("npy-header", "the header's dictionary is followed by something")
    if not isinstance(value, dict) or value.keys() != _KEYS:
        raise NpyMalformed("npy-header", "the header is not a dictionary of 'descr', 'fortran_order' and 'shape'")
    return value


class _Literal:
    """Reads one literal of Python, of the few kinds that numpy writes."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._values = 0
        self.position = 0

    def _token(self) -> re.Match[str]:
        match = _TOKEN.match(self._text, self.position)
        if match is None:
            raise NpyMalformed("npy-header", f"the header is no plain literal at character {self.position}")
        self.position = match.end()
        return match

    def _punctuation(self) -> str:
        """The next token if it is punctuation, not taken; "" otherwise."""
        match = _TOKEN.match(self._text, self.position)
        return match[4] or "" if match else ""

    def value(self, depth: int) -> _Value:
        self._values += 1
        if depth > MAX_DEPTH or self._values > 8 * MAX_FIELDS:
            raise NpyMalformed("npy-header", "the header is nested too deeply, or holds too much")
        text, number, truth, mark = self._token().groups()
        if text is not None:
            return str(text[1:-1])
        if number is not None:
            if len(number) > 20:
                raise NpyMalformed("npy-size-overflow", "a number of the header has over 20 digits")
            return int(number)
        if truth is not None:
            return bool(truth == "True")
        if mark == "(":
            return self._sequence(")", depth)
        if mark == "[":
            return list(self._sequence("]", depth))
        if mark == "{":
            return self._mapping(depth)
        raise NpyMalformed("npy-header", f"the header has {mark!r} where a value belongs")

    def _sequence(self, end: str, depth: int) -> tuple[_Value, ...]:
        values: list[_Value] = []
        comma = True
        while self._punctuation() != end:
            if not comma:
                raise NpyMalformed("npy-header", "the header misses a comma")
            values.append(self.value(depth + 1))
            comma = self._punctuation() == ","
            if comma:
                self._token()
        self._token()
        if end == ")" and len(values) == 1 and not comma:
            raise NpyMalformed("npy-header", "the header has parentheses that make no tuple")
        return tuple(values)

    def _mapping(self, depth: int) -> dict[str, _Value]:
        record: dict[str, _Value] = {}
        comma = True
        while self._punctuation() != "}":
            key = self.value(depth + 1)
            if not comma or not isinstance(key, str) or self._punctuation() != ":":
                raise NpyMalformed("npy-header", "the header's dictionary is not of texts and values")
            self._token()
            if key in record:
                raise NpyMalformed("npy-duplicate-key", f"the header repeats {key[:40]!a}")
            record[key] = self.value(depth + 1)
            comma = self._punctuation() == ","
            if comma:
                self._token()
        self._token()
        return record


def _shape(value: _Value) -> tuple[int, ...]:
    if not isinstance(value, tuple) or len(value) > MAX_DIMENSIONS:
        raise NpyMalformed("npy-shape", "the shape is no tuple of at most 64 numbers")
    shape = tuple(number for number in value if type(number) is int)
    if len(shape) != len(value):
        raise NpyMalformed("npy-shape", "the shape holds something other than numbers")
    return shape


def _type(value: _Value, depth: int) -> _Type:
    """What one element is made of."""
    if isinstance(value, str):
        return _plain_type(value)
    if isinstance(value, tuple) and len(value) == 2:  # A type and a shape of its own.
        inner = _type(value[0], depth + 1)
        return _Type(inner.item_bytes * _count(_subshape(value[1])), inner.has_objects, inner.numbers)
    if not isinstance(value, list) or not value or depth > MAX_DEPTH or len(value) > MAX_FIELDS:
        raise NpyMalformed("npy-type", "the type is neither a name nor a list of fields")
    total, objects, numbers = 0, False, True
    for field in value:
        inner = _field(field, depth)
        total += inner.item_bytes
        objects, numbers = objects or inner.has_objects, numbers and inner.numbers
    return _Type(total, objects, numbers)


def _field(field: _Value, depth: int) -> _Type:
    if not isinstance(field, tuple) or len(field) not in (2, 3) or not _is_name(field[0]):
        raise NpyMalformed("npy-type", "a field of the type is not a name, a type and perhaps a shape")
    inner = _type(field[1], depth + 1)
    times = _count(_subshape(field[2])) if len(field) == 3 else 1
    return _Type(inner.item_bytes * times, inner.has_objects, inner.numbers)


def _is_name(value: _Value) -> bool:
    return isinstance(value, str) or (
        isinstance(value, tuple) and len(value) == 2 and all(isinstance(name, str) for name in value)
    )


def _subshape(value: _Value) -> tuple[int, ...]:
    return _shape((value,) if type(value) is int else value)


def _plain_type(name: str) -> _Type:
    if _OBJECT.fullmatch(name):
        return _Type(8, has_objects=True, numbers=False)
    match = _TYPE.fullmatch(name)
    if match is None:
        raise NpyMalformed("npy-type", f"the type {name[:40]!a} is none that numpy writes")
    code, size = match[1], int(match[2])
    if ("[" in name) != (code in "mM" and "[" in name) or size not in _SIZES.get(code, (size,)):
        raise NpyMalformed("npy-type", f"the type {name[:40]!a} is none that numpy writes")
    return _Type(4 * size if code == "U" else size, numbers=code in _SIZES, bytewise=code in "biu" and size == 1)


def _count(shape: tuple[int, ...]) -> int:
    """The number of elements; a zero does not excuse the others."""
    product = 1
    for dimension in shape:
        product *= max(dimension, 1)
        if product >= _HALF:
            raise NpyMalformed("npy-size-overflow", "the array has more elements than 63 bits can count")
    return 0 if 0 in shape else product


def _check_size(header: NpyHeader, size: int) -> None:
    needed, there = _count(header.shape) * header.item_bytes, size - header.data_start
    if needed >= _HALF:
        raise NpyMalformed("npy-size-overflow", "the array has more bytes than 63 bits can count")
    if needed > there:
        raise NpyMalformed("npy-truncated", f"the array needs {needed} bytes and {there} follow the header")
    if needed < there:
        place = f"offset {header.data_start + needed}"
        raise NpyMalformed(
            "npy-trailing-data", f"{there - needed} bytes after the array belong to nothing", location=place
        )
