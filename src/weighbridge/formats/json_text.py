"""Reads a JSON text whole and strictly, within bounds, and says what a strict reader would not.

- At most `MAX_TEXT_BYTES` of UTF-8, `MAX_VALUES` values, `MAX_DEPTH` levels: a few bytes of JSON can cost a hundred times
  their size in memory, so values are counted before anything is built.
- `NaN`, `Infinity` and `-Infinity` are read: Python writes them, and so do honest configurations. They are reported.
- A byte order mark and repeated keys are read as Python's reader does (the last value wins) and reported: other readers
  see another text.
- Anything before or after the one value is an error.

The rules are those of RFC 8259.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Final

from weighbridge.core.dataclass import dataclass
from weighbridge.core.errors import LimitExceeded, Malformed
from weighbridge.core.ports import RangeReader
from weighbridge.formats.bounded import lines, read_whole

Json = None | bool | int | float | str | list["Json"] | dict[str, "Json"]

MAX_TEXT_BYTES: Final = 64 * 1024 * 1024
"""The largest tokenizers of public models take 35 MB."""
MAX_LINES_BYTES: Final = 1024 * 1024 * 1024
"""Of a text of one value a line."""
MAX_LINE_VALUES: Final = 400_000
MAX_VALUES: Final = 4_000_000
"""Values, estimated from commas and brackets: 1.4 million in the largest public tokenizers."""
MAX_DEPTH: Final = 100
PAIRED_CHARACTERS: Final = 12 * 1024 * 1024
"""Texts from this size on are built without their pairs, which would take as much memory again."""
_STRING: Final = re.compile(r'"[^"\\]*(?:\\.[^"\\]*)*"', re.DOTALL)
_MARK = "\ufeff"
_MAX_REPEATED = 20


class JsonProblem(Malformed):
    """The text breaks a rule of JSON. `rule` is a stable word: encoding, syntax, trailing-data, nesting, number."""

    def __init__(self, rule: str, message: str) -> None:
        super().__init__(message)
        self.rule = rule


@dataclass(frozen=True, slots=True)
class JsonText:
    """A value, and what its text had beside it. `repeated` are the keys (the first few) that one object has twice."""

    value: Json
    size_bytes: int
    repeated: tuple[str, ...] = ()
    marked: bool = False
    """Whether a byte order mark came first."""
    not_finite: bool = False
    """Whether it holds a number that JSON does not have."""


class _Building:
    """What is noticed while objects are built."""

    def __init__(self) -> None:
        self.repeated: list[str] = []
        self.not_finite = False

    def object(self, pairs: list[tuple[str, Json]]) -> dict[str, Json]:
        """The object of these pairs."""
        built = dict(pairs)
        if len(built) != len(pairs) and len(self.repeated) < _MAX_REPEATED:
            seen: set[str] = set()
            for key, _ in pairs:
                if key in seen and len(self.repeated) < _MAX_REPEATED:
                    self.repeated.append(key)
                seen.add(key)
        return built

    def constant(self, text: str) -> float:
        """NaN or an infinity."""
        self.not_finite = True
        return float(text.replace("Infinity", "inf"))


def parse(data: bytes, *, max_values: int = MAX_VALUES) -> JsonText:
    """The one value of a JSON text.

    Raises:
        LimitExceeded: more values than are read.
        JsonProblem: it is not one JSON value in UTF-8, or nested deeper than `MAX_DEPTH`.
    """
    values = data.count(b",") + data.count(b"[") + data.count(b"{")
    if values > max_values:
        raise LimitExceeded(f"the text holds more than {max_values} values")
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError as error:
        raise JsonProblem("encoding", f"the text is not UTF-8 from byte {error.start} on") from error
    marked = text.startswith(_MARK)
    text = text[1:] if marked else text
    size_bytes = len(data)
    # The caller may hold no other reference, and the values take their room.
    del data
    building = _Building()
    value = _decode(text, building, paired=len(text) < PAIRED_CHARACTERS)
    if is_deeper(value, MAX_DEPTH):
        raise JsonProblem("nesting", f"values are nested deeper than {MAX_DEPTH} levels")
    if len(text) >= PAIRED_CHARACTERS and _keys_in(value) != _STRING.sub("", text).count(":"):
        # Some key is there twice: only with all pairs at hand can it be said which.
        del value
        value = _decode(text, building, paired=True)
    return JsonText(value, size_bytes, tuple(building.repeated), marked, building.not_finite)


def _decode(text: str, building: _Building, *, paired: bool) -> Json:
    """The value. With `paired`, repeated keys are noticed: their pairs are held all at once, at the cost of memory."""
    hook = building.object if paired else None
    try:
        value: Json = json.loads(text, object_pairs_hook=hook, parse_constant=building.constant)
    except RecursionError as error:
        raise JsonProblem("nesting", f"values are nested deeper than {MAX_DEPTH} levels") from error
    except json.JSONDecodeError as error:
        rule = "trailing-data" if error.msg == "Extra data" else "syntax"
        raise JsonProblem(rule, f"{error.msg} at character {error.pos}") from error
    except ValueError as error:
        # Python refuses to read integers of more digits than it could read in reasonable time.
        raise JsonProblem("number", "a number has more digits than are read") from error
    return value


def read_json(reader: RangeReader, *, max_values: int = MAX_VALUES) -> JsonText:
    """Reads and parses an artifact; see `parse`.

    Raises:
        LimitExceeded, JsonProblem, Truncated: it is too large, no JSON, or shorter than promised.
    """
    return parse(read_whole(reader, MAX_TEXT_BYTES), max_values=max_values)


def read_lines(reader: RangeReader) -> Iterator[JsonText]:
    """The values of a text with one JSON value in each line, which is read in blocks; empty lines are passed by.

    Raises:
        LimitExceeded: the text, or a line of it, is longer than is read, or a line holds too many values.
        JsonProblem: as `parse`, with the line's number.
        Truncated: it is shorter than promised.
    """
    if reader.size_bytes > MAX_LINES_BYTES:
        raise LimitExceeded(f"'{reader.path}' has {reader.size_bytes} bytes, and at most {MAX_LINES_BYTES} are read")
    for number, line in enumerate(lines(reader, MAX_TEXT_BYTES), start=1):
        if line.strip():
            try:
                yield parse(line, max_values=MAX_LINE_VALUES)
            except JsonProblem as error:
                raise JsonProblem(error.rule, f"line {number}: {error.message}") from error


def _keys_in(value: Json) -> int:
    """How many keys all objects have together."""
    count, waiting = 0, [value]
    while waiting:
        outer = waiting.pop()
        if isinstance(outer, dict):
            count += len(outer)
        if isinstance(outer, (dict, list)):
            inner = outer.values() if isinstance(outer, dict) else outer
            waiting += [one for one in inner if isinstance(one, (dict, list))]
    return count


def is_deeper(value: Json, limit: int) -> bool:
    """Whether containers lie within each other to more than `limit` levels; level by level, without recursion."""
    level = [value] if isinstance(value, (dict, list)) else []
    depth = 0
    while level:
        depth += 1
        if depth > limit:
            return True
        level = [
            inner
            for outer in level
            for inner in (outer.values() if isinstance(outer, dict) else outer)
            if isinstance(inner, (dict, list))
        ]
    return False


def texts(value: Json) -> Iterator[str]:
    """The texts in a value, its lists and objects, without recursion."""
    waiting = [value]
    while waiting:
        one = waiting.pop()
        if isinstance(one, str):
            yield one
        elif isinstance(one, list):
            waiting += one
        elif isinstance(one, dict):
            waiting += one.values()
