"""The header of a safetensors file, read once, believed only when every byte of the file is accounted for.

The format (https://github.com/huggingface/safetensors): 8 bytes of little-endian length, that many bytes of JSON, then
the tensors' data back to back. What the reference implementation refuses is refused, and beyond it:

- repeated keys anywhere (readers disagree on which one counts), fields that nobody reads, `null` for metadata;
- white space before the header, and padding after it other than spaces;
- numbers that are not plain non-negative integers, however harmless.

Limits: a header of at most 100 MB as in the reference, and at most `MAX_VALUES` values in it, so that the worst header
takes about a gigabyte of memory and an honest one of 100,000 tensors some hundred megabytes; `safetensors_survey` checks
such a one in little memory. Only the header is read.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Final

from weighbridge.core.dataclass import dataclass
from weighbridge.core.errors import Ambiguous, FormatError, LimitExceeded, Malformed, Truncated
from weighbridge.core.ports import RangeReader
from weighbridge.formats.bounded import read_exactly

LENGTH_BYTES = 8
MAX_HEADER_BYTES = 100_000_000
MAX_VALUES = 4_000_000
METADATA_KEY = "__metadata__"

DTYPE_BITS: Final[Mapping[str, int]] = {
    "F4": 4,
    "F6_E2M3": 6,
    "F6_E3M2": 6,
    "BOOL": 8,
    "U8": 8,
    "I8": 8,
    "F8_E5M2": 8,
    "F8_E4M3": 8,
    "F8_E8M0": 8,
    "F8_E4M3FNUZ": 8,
    "F8_E5M2FNUZ": 8,
    "I16": 16,
    "U16": 16,
    "F16": 16,
    "BF16": 16,
    "I32": 32,
    "U32": 32,
    "F32": 32,
    "C64": 64,
    "F64": 64,
    "I64": 64,
    "U64": 64,
}
_FIELDS = frozenset(("dtype", "shape", "data_offsets"))
_WORD = 1 << 64


class HeaderProblem(FormatError):
    """The header, or the file around it, breaks a rule. `rule` is its stable id, `location` the tensor or offset."""

    def __init__(self, rule: str, message: str, *, location: str = "") -> None:
        super().__init__(message)
        self.rule = rule
        self.location = location


class HeaderMalformed(HeaderProblem, Malformed):
    """The format's own rules are broken."""


class HeaderAmbiguous(HeaderProblem, Ambiguous):
    """Two readers could understand the same header differently."""


class HeaderTooLarge(HeaderProblem, LimitExceeded):
    """A number is larger than any honest file needs."""


class HeaderTruncated(HeaderProblem, Truncated):
    """The file itself, not its transfer, ends before the header says it does."""

    transient = False


@dataclass(frozen=True, slots=True)
class TensorEntry:
    """One tensor: bytes `begin` (included) to `end` (excluded) of the data section, which follows the header."""

    name: str
    dtype: str
    shape: tuple[int, ...]
    begin: int
    end: int


@dataclass(frozen=True, slots=True)
class SafetensorsHeader:
    """A header that accounts for the whole file. `tensors` are in order of their bytes.

    `header_bytes` counts the JSON and its padding: the data section begins at `LENGTH_BYTES + header_bytes`.
    """

    header_bytes: int
    tensors: tuple[TensorEntry, ...]
    metadata: Mapping[str, str]


def read_header(reader: RangeReader) -> SafetensorsHeader:
    """Reads and checks the header of a safetensors file in two reads.

    Raises:
        HeaderProblem: the file breaks a rule (`HeaderMalformed`, `HeaderAmbiguous`, `HeaderTooLarge`,
            `HeaderTruncated`); the first one found is named.
        Truncated: the reader returned less than the file's size promises.
    """
    size, length = reader.size_bytes, header_length(reader)
    record = _parse(read_exactly(reader, LENGTH_BYTES, length))
    metadata = metadata_of(record.pop(METADATA_KEY)) if METADATA_KEY in record else {}
    tensors = sorted(
        (tensor_of(name, value) for name, value in record.items()), key=lambda tensor: (tensor.begin, tensor.end)
    )
    _check_layout(tensors, size - LENGTH_BYTES - length)
    return SafetensorsHeader(length, tuple(tensors), metadata)


def header_length(reader: RangeReader) -> int:
    """The length of the header that the file announces, when there can be such a one.

    Raises:
        HeaderTruncated, HeaderTooLarge: it does not fit into the file, or is larger than the format allows.
        Truncated: the reader returned less than the file's size promises.
    """
    size = reader.size_bytes
    if size < LENGTH_BYTES:
        raise HeaderTruncated("safetensors-truncated", f"the file has {size} bytes; the header's length alone takes 8")
    length = int.from_bytes(read_exactly(reader, 0, LENGTH_BYTES), "little")
    if length > size - LENGTH_BYTES:
        raise HeaderTruncated(
            "safetensors-header-overflow", f"the header says it has {length} bytes, in a file of {size}"
        )
    if length > MAX_HEADER_BYTES:
        raise HeaderTooLarge(
            "safetensors-header-limit", f"the header has {length} bytes; the format allows {MAX_HEADER_BYTES}"
        )
    return length


def decoder() -> json.JSONDecoder:
    """Reads JSON as headers have it: repeated keys and odd numbers are refused while it is read."""
    return json.JSONDecoder(
        object_pairs_hook=_unique, parse_int=_integer, parse_float=_no_number, parse_constant=_no_number
    )


def _parse(data: bytes) -> dict[str, object]:
    """The header's JSON object, repeated keys and odd numbers refused while it is read."""
    if not data.startswith(b"{"):
        raise HeaderMalformed("safetensors-header-start", "the header does not start with '{'", location="offset 8")
    # Counted before it is parsed: three bytes of JSON can become a hundred bytes of objects.
    values = data.count(b",") + data.count(b"[") + data.count(b"{")
    if values > MAX_VALUES:
        raise HeaderTooLarge("safetensors-header-values", f"the header has about {values} values, over {MAX_VALUES}")
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError as error:
        place = f"offset {LENGTH_BYTES + error.start}"
        raise HeaderMalformed("safetensors-header-encoding", "the header is not UTF-8", location=place) from error
    try:
        record, end = decoder().raw_decode(text)
    except RecursionError as error:
        raise HeaderTooLarge("safetensors-header-nesting", "the header is nested too deeply to read") from error
    except json.JSONDecodeError as error:
        place = f"character {error.pos} of the header"
        raise HeaderMalformed(
            "safetensors-header-json", f"the header is not JSON: {error.msg}", location=place
        ) from error
    if text[end:].strip(" "):
        raise HeaderAmbiguous(
            "safetensors-header-padding",
            "the header is followed by something other than spaces",
            location=f"character {end} of the header",
        )
    assert isinstance(record, dict)
    if "\\" in text:  # Only an escape can spell half a surrogate pair.
        check_unicode(record)
    return record


def _unique(pairs: list[tuple[str, object]]) -> dict[str, object]:
    record = dict(pairs)
    if len(record) != len(pairs):
        seen: set[str] = set()
        twice = next(key for key, _ in pairs if key in seen or seen.add(key))  # type: ignore[func-returns-value]
        raise HeaderAmbiguous("safetensors-duplicate-key", f"the key {shown(twice)} is repeated", location=shown(twice))
    return record


def _integer(text: str) -> int:
    if text[0] == "-":
        raise HeaderMalformed("safetensors-negative", f"the header holds the negative number {text[:24]}")
    if len(text) < 20 or (len(text) == 20 and int(text) < _WORD):
        return int(text)
    raise HeaderMalformed("safetensors-number-overflow", f"the number {text[:24]} does not fit in 64 bits")


def _no_number(text: str) -> object:
    raise HeaderMalformed("safetensors-not-an-integer", f"{text[:24]} is not an integer")


def check_unicode(texts: Iterable[str]) -> None:
    """Refuses texts with half a surrogate pair."""
    for text in texts:
        try:
            text.encode("utf-8")
        except UnicodeEncodeError as error:
            raise HeaderMalformed(
                "safetensors-name", f"{shown(text)} is not valid Unicode", location=shown(text)
            ) from error


def metadata_of(value: object) -> dict[str, str]:
    """The metadata: texts under texts.

    Raises:
        HeaderMalformed: it is something else.
    """
    if not isinstance(value, dict):
        raise HeaderMalformed("safetensors-metadata", "the metadata is not an object", location=METADATA_KEY)
    for key, text in value.items():
        if not isinstance(text, str):
            raise HeaderMalformed(
                "safetensors-metadata", f"the metadata {shown(key)} is not text", location=METADATA_KEY
            )
    check_unicode(value)
    check_unicode(value.values())
    return value


def tensor_of(name: str, value: object) -> TensorEntry:
    """One tensor, whose type, shape and offsets fit each other.

    Raises:
        HeaderMalformed: they do not, or it is none.
    """
    if not isinstance(value, dict):
        raise _malformed("safetensors-entry", name, "is not described by an object")
    if value.keys() != _FIELDS:
        missing, unknown = sorted(_FIELDS - value.keys()), sorted(value.keys() - _FIELDS)
        if missing:
            raise _malformed("safetensors-missing-field", name, f"has no '{missing[0]}'")
        raise _malformed("safetensors-unknown-field", name, f"has the unknown field {shown(unknown[0])}")
    dtype = value["dtype"]
    bits = DTYPE_BITS.get(dtype) if isinstance(dtype, str) else None
    if bits is None:
        raise _malformed("safetensors-unknown-dtype", name, f"has the unknown type {shown(dtype)}")
    shape = _integers(value["shape"], "safetensors-shape", name)
    offsets = _integers(value["data_offsets"], "safetensors-offsets", name)
    if len(offsets) != 2 or offsets[0] > offsets[1]:
        raise _malformed("safetensors-offsets", name, "has offsets that are not a begin and an end")
    begin, end = offsets
    size = _size(shape, bits, name)
    if size != end - begin:
        raise _malformed(
            "safetensors-size-mismatch", name, f"needs {size} bytes for its shape and type and has {end - begin}"
        )
    return TensorEntry(name, dtype, shape, begin, end)


def _integers(value: object, rule: str, name: str) -> tuple[int, ...]:
    if not isinstance(value, list):
        raise _malformed(rule, name, "has a shape or offsets that are not a list")
    for number in value:
        if type(number) is not int:  # A bool is an int to Python and not to the format.
            raise _malformed("safetensors-not-an-integer", name, f"has {shown(number)} where an integer belongs")
    return tuple(value)


def _size(shape: Sequence[int], bits: int, name: str) -> int:
    """The bytes of a tensor; each intermediate product must fit in 64 bits, as it must in the reference."""
    total = 1
    for dimension in (*shape, bits):
        total *= dimension
        if total >= _WORD:
            raise _malformed("safetensors-shape-overflow", name, "has more elements than 64 bits can count")
    if total % 8:
        raise _malformed("safetensors-subbyte", name, "does not end at a byte")
    return total // 8


def _check_layout(tensors: Sequence[TensorEntry], data_bytes: int) -> None:
    """Each byte of the data section belongs to exactly one tensor."""
    position = 0
    for tensor in tensors:
        check_next(tensor.name, tensor.begin, position)
        position = tensor.end
    check_end(position, data_bytes)


def check_next(name: str, begin: int, position: int) -> None:
    """The data of the next tensor begins where the last one's ended.

    Raises:
        HeaderMalformed, HeaderAmbiguous: there is a hole before it, or it overlaps.
    """
    if begin > position:
        raise _malformed("safetensors-hole", name, f"begins at {begin}; the bytes from {position} belong to no tensor")
    if begin < position:
        message = f"the tensor {shown(name)} begins at {begin}, before the previous one's end at {position}"
        raise HeaderAmbiguous("safetensors-overlap", message, location=shown(name))


def check_end(position: int, data_bytes: int) -> None:
    """The last tensor ends where the file does.

    Raises:
        HeaderTruncated, HeaderMalformed: it does not.
    """
    if position > data_bytes:
        raise HeaderTruncated(
            "safetensors-truncated", f"the tensors need {position} bytes of data and the file has {data_bytes}"
        )
    if position < data_bytes:
        raise HeaderMalformed(
            "safetensors-trailing-data",
            f"{data_bytes - position} bytes after the last tensor belong to none",
            location=f"data offset {position}",
        )


def _malformed(rule: str, name: str, what: str) -> HeaderMalformed:
    return HeaderMalformed(rule, f"the tensor {shown(name)} {what}", location=shown(name))


def shown(value: object) -> str:
    """A stranger's text made printable and short, so that it can go into a report."""
    text = repr(value if not isinstance(value, str) else value[:80])
    return text if len(text) <= 120 else f"{text[:117]}..."
