"""Whether a safetensors header accounts for every byte of its file, in little memory however many tensors it names.

A header of up to `WHOLE_BYTES` is read by `formats.safetensors`. A longer one goes through a window, one member at a time,
under the same rules; of each tensor only numbers are kept: where it begins and ends, and a digest of its name. Of several
defects it may name another one first.

Limits: those of `formats.safetensors`; one member of at most `MAX_MEMBER` characters and `MAX_MEMBER_VALUES` values.
"""

from __future__ import annotations

import codecs
import itertools
import json
import re
from array import array
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import field
from typing import Final, NamedTuple

from weighbridge.core.dataclass import dataclass
from weighbridge.core.ports import RangeReader
from weighbridge.formats.bounded import read_exactly
from weighbridge.formats.safetensors import (
    DTYPE_BITS,
    LENGTH_BYTES,
    MAX_VALUES,
    METADATA_KEY,
    HeaderAmbiguous,
    HeaderMalformed,
    HeaderTooLarge,
    check_end,
    check_next,
    check_unicode,
    decoder,
    header_length,
    metadata_of,
    read_header,
    shown,
    tensor_of,
)

WHOLE_BYTES: Final = 1024 * 1024
MAX_MEMBER: Final = 16 * 1024 * 1024
MAX_MEMBER_VALUES: Final = 500_000
_STEP_BYTES: Final = 1024 * 1024
_LEAST: Final = 64 * 1024
"""Characters that the window holds before a member is looked for."""

_SPACE: Final = re.compile(r"[ \t\n\r]*").match
_NUMBER: Final = r"(?:0|[1-9][0-9]{0,17})"
_TENSOR: Final = re.compile(
    r'[ \t\n\r]*"([ !#-\[\]-~]*)"[ \t\n\r]*:[ \t\n\r]*\{ ?"dtype" ?: ?"([A-Z0-9_]{1,20})" ?, ?"shape" ?: ?'
    rf'\[((?:{_NUMBER}(?:, ?{_NUMBER})*)?)\] ?, ?"data_offsets" ?: ?\[({_NUMBER}), ?({_NUMBER})\] ?\}}[ \t\n\r]*([,}}])'
).match
_ODD: Final = 1 << 63
_CUT: Final = 16
"""So far before the end of the window, a syntax error may be nothing but the window's end."""


@dataclass(frozen=True, slots=True)
class Survey:
    """A header that holds: its bytes as in `SafetensorsHeader`, how many tensors it names, and its metadata."""

    header_bytes: int
    tensors: int
    metadata: Mapping[str, str]


def survey(reader: RangeReader) -> Survey:
    """Reads and checks the header of a safetensors file.

    Raises:
        HeaderProblem: as `formats.safetensors.read_header`.
        Truncated: the reader returned less than the file's size promises.
    """
    length = header_length(reader)
    if length <= WHOLE_BYTES:
        header = read_header(reader)
        return Survey(header.header_bytes, len(header.tensors), header.metadata)
    kept = _Kept()
    metadata: Mapping[str, str] | None = None
    for key, value in _members(reader, length):
        if isinstance(value, _Place):
            kept.add(key, value.begin, value.end)
        elif key != METADATA_KEY:
            tensor = tensor_of(key, value)
            kept.add(key, tensor.begin, tensor.end)
        elif metadata is None:
            metadata = metadata_of(value)
        else:
            raise _repeated(key)
    _check_names(reader, length, kept.names)
    _check_layout(reader, length, kept)
    return Survey(length, len(kept.begins), metadata or {})


@dataclass(slots=True)
class _Kept:
    """What is kept of all tensors, in the order of the header."""

    names: array[int] = field(default_factory=lambda: array("q"))
    begins: array[int] = field(default_factory=lambda: array("Q"))
    ends: array[int] = field(default_factory=lambda: array("Q"))
    in_order: bool = True

    def add(self, name: str, begin: int, end: int) -> None:
        """Keeps one tensor's numbers."""
        if self.begins and (begin < self.begins[-1] or (begin == self.begins[-1] and end < self.ends[-1])):
            self.in_order = False
        self.names.append(hash(name))
        self.begins.append(begin)
        self.ends.append(end)

    def order(self) -> Sequence[int]:
        """The tensors' numbers, in the order of their data."""
        numbers = range(len(self.begins))
        if self.in_order:
            return numbers
        begins, ends = self.begins, self.ends
        return sorted(numbers, key=lambda number: begins[number] << 64 | ends[number])


# --- members ------------------------------------------------------------------------------------


class _Window:
    """The header's text from front to back, of which a part is held."""

    def __init__(self, reader: RangeReader, length: int) -> None:
        self._reader = reader
        self._next, self._end = LENGTH_BYTES, LENGTH_BYTES + length
        self._decoder = codecs.getincrementaldecoder("utf-8")()
        self._values = 0
        self._before = 0
        self.text = ""

    @property
    def at_end(self) -> bool:
        """Whether all of the header has been read."""
        return self._next >= self._end

    def more(self) -> None:
        """Reads on.

        Raises:
            HeaderTooLarge: the header holds more values than are read. HeaderMalformed: it is not UTF-8.
        """
        wanted = min(_STEP_BYTES, self._end - self._next)
        data = read_exactly(self._reader, self._next, wanted)
        self._values += data.count(b",") + data.count(b"[") + data.count(b"{")
        if self._values > MAX_VALUES:
            raise HeaderTooLarge("safetensors-header-values", f"the header has more than {MAX_VALUES} values")
        pending = len(self._decoder.getstate()[0])
        self._next += wanted
        try:
            self.text += self._decoder.decode(data, final=self.at_end)
        except UnicodeDecodeError as error:
            place = f"offset {self._next - wanted - pending + error.start}"
            raise HeaderMalformed("safetensors-header-encoding", "the header is not UTF-8", location=place) from error

    def drop(self, count: int) -> None:
        """Gives up the first characters that are held."""
        self.text = self.text[count:]
        self._before += count

    def place(self, at: int) -> str:
        """How a report names a place in what is held."""
        return f"character {self._before + at} of the header"


def _members(reader: RangeReader, length: int) -> Iterator[tuple[str, object]]:
    """The members of the header's object, in order."""
    window = _Window(reader, length)
    window.more()
    if not window.text.startswith("{"):
        raise HeaderMalformed("safetensors-header-start", "the header does not start with '{'", location="offset 8")
    at = _next(window, 1)
    ended = window.text[at : at + 1] == "}"
    at += ended
    while not ended:
        if len(window.text) - at < _LEAST:
            window.drop(at)
            at = 0
            if not window.at_end:
                window.more()
        key, value, at, ended = _plain(window.text, at) or _member(window, at)
        yield key, value
    _check_padding(window, at)


def _next(window: _Window, at: int) -> int:
    """The place in the window of what follows after white space."""
    while True:
        found = _SPACE(window.text, at)
        assert found is not None
        if found.end() < len(window.text) or window.at_end:
            return found.end()
        window.drop(found.end())
        window.more()
        at = 0


class _Place(NamedTuple):
    """Where the data of a tensor lies that was found in order."""

    begin: int
    end: int


def _plain(text: str, at: int) -> tuple[str, _Place, int, bool] | None:
    """As `_member`, for a tensor as the reference writes it, in which nothing is wrong; None for all else."""
    found = _TENSOR(text, at)
    if found is None:
        return None
    name, dtype, shape, begin, end, after = found.groups()
    bits = DTYPE_BITS.get(dtype)
    place = _Place(int(begin), int(end))
    if bits is None or name == METADATA_KEY:
        return None
    for dimension in shape.split(",") if shape else ():
        bits *= int(dimension)
        # What overflows on the way may come back to nothing by a zero.
        if bits >= _ODD:
            return None
    return (name, place, found.end(), after == "}") if bits == 8 * (place.end - place.begin) else None


def _member(window: _Window, at: int) -> tuple[str, object, int, bool]:
    """A key, its value, the place after the comma or brace that follows, and whether that was the brace."""
    while True:
        try:
            return _parsed(window.text, at)
        except RecursionError as error:
            raise HeaderTooLarge("safetensors-header-nesting", "the header is nested too deeply to read") from error
        except json.JSONDecodeError as error:
            cut = error.pos >= len(window.text) - _CUT or error.msg.startswith("Unterminated string")
            if not cut or window.at_end:
                place = window.place(error.pos)
                raise HeaderMalformed(
                    "safetensors-header-json", f"the header is not JSON: {error.msg}", location=place
                ) from error
        held = len(window.text) - at
        window.more()
        values = window.text.count(",", at) + window.text.count("[", at) + window.text.count("{", at)
        if held > MAX_MEMBER or (held > 2 * _STEP_BYTES and values > MAX_MEMBER_VALUES):
            raise HeaderTooLarge("safetensors-header-values", "one value in the header is larger than is read")


_DECODER: Final = decoder()


def _parsed(text: str, at: int) -> tuple[str, object, int, bool]:
    at = _past(text, at, '"', "Expecting property name enclosed in double quotes")
    key, at = _DECODER.raw_decode(text, at - 1)
    at = _past(text, at, ":", "Expecting ':' delimiter")
    found = _SPACE(text, at)
    assert found is not None
    value, at = _DECODER.raw_decode(text, found.end())
    end = _past(text, at, ",}", "Expecting ',' delimiter")
    if not key.isascii():
        check_unicode((key,))
    return key, value, end, text[end - 1] == "}"


def _past(text: str, at: int, wanted: str, problem: str) -> int:
    """The place behind the next character, which is one of those wanted."""
    found = _SPACE(text, at)
    assert found is not None
    if text[found.end() : found.end() + 1] not in tuple(wanted):
        raise json.JSONDecodeError(problem, text, found.end())
    return found.end() + 1


def _check_padding(window: _Window, at: int) -> None:
    while True:
        if window.text[at:].strip(" "):
            raise HeaderAmbiguous(
                "safetensors-header-padding",
                "the header is followed by something other than spaces",
                location=window.place(at),
            )
        if window.at_end:
            return
        window.drop(len(window.text))
        window.more()
        at = 0


# --- what only all of them tell -----------------------------------------------------------------


def _check_names(reader: RangeReader, length: int, names: array[int]) -> None:
    """Each name is there once. Digests that are equal only make their names be looked at again."""
    ordered = sorted(names)
    suspect = {name for name, after in itertools.pairwise(ordered) if name == after}
    if not suspect:
        return
    seen: set[str] = set()
    for key, _ in _members(reader, length):
        if hash(key) in suspect:
            if key in seen:
                raise _repeated(key)
            seen.add(key)


def _repeated(key: str) -> HeaderAmbiguous:
    return HeaderAmbiguous("safetensors-duplicate-key", f"the key {shown(key)} is repeated", location=shown(key))


def _check_layout(reader: RangeReader, length: int, kept: _Kept) -> None:
    position = 0
    for number in kept.order():
        if kept.begins[number] != position:
            tensors = (key for key, _ in _members(reader, length) if key != METADATA_KEY)
            name = next(key for place, key in enumerate(tensors) if place == number)
            check_next(name, kept.begins[number], position)
        position = kept.ends[number]
    check_end(position, reader.size_bytes - LENGTH_BYTES - length)
