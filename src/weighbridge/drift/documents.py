"""JSON files of both sides, read within bounds, and the differences of two values by path.

Limits: `MAX_LEAVES` values of one side; a document with a key twice in one object is refused here, because readers
disagree on which one counts.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from weighbridge.core.errors import FormatError, LimitExceeded, Malformed
from weighbridge.drift.side import Side
from weighbridge.formats.json_text import MAX_TEXT_BYTES, Json, parse

MAX_LEAVES: Final = 200_000


@dataclass(frozen=True, slots=True)
class Missing:
    """No value at a path."""


MISSING: Final = Missing()


@dataclass(frozen=True, slots=True)
class Leaf:
    """A path at which two documents differ."""

    path: str
    before: Json | Missing
    after: Json | Missing


def read_document(side: Side, path: str) -> Json:
    """The value of a JSON file.

    Raises:
        FormatError: it is too large, no JSON, or says a key twice.
        DigestMismatch, SourceError, StoreError: it could not be read.
    """
    text = parse(side.whole(path, MAX_TEXT_BYTES))
    if text.repeated:
        raise Malformed(f"the key {ascii(text.repeated[0])[:80]} is repeated, and readers disagree on which one counts")
    return text.value


def read_if_there(side: Side, path: str) -> Json | Missing:
    """As `read_document`; MISSING where the side has no such file."""
    return read_document(side, path) if path in side.files else MISSING


def read_both(before: Side, after: Side, path: str) -> tuple[Json | Missing, Json | Missing, str]:
    """The values of both sides, and why one or the other cannot be read ("" where both can)."""
    values: list[Json | Missing] = []
    problems: list[str] = []
    for side in (before, after):
        try:
            values.append(read_if_there(side, path))
        except FormatError as error:
            values.append(MISSING)
            problems.append(f"{side.name}: {error.message}")
    return values[0], values[1], "; ".join(problems)


def keys_in(value: object) -> Iterator[str]:
    """The keys of all objects in a value, without recursion."""
    waiting = [value]
    while waiting:
        one = waiting.pop()
        if isinstance(one, dict):
            yield from one
            waiting += one.values()
        elif isinstance(one, list):
            waiting += one


def differences(before: Json | Missing, after: Json | Missing) -> Iterator[Leaf]:
    """The paths at which two values differ, in order; a part that is only on one side is one difference.

    Raises:
        LimitExceeded: more values than are compared.
    """
    waiting: list[tuple[str, Json | Missing, Json | Missing]] = [("", before, after)]
    for _ in range(MAX_LEAVES):
        if not waiting:
            return
        path, old, new = waiting.pop()
        if isinstance(old, dict) and isinstance(new, dict):
            keys = sorted(old.keys() | new.keys(), reverse=True)
            waiting += [
                (f"{path}.{key}" if path else key, old.get(key, MISSING), new.get(key, MISSING)) for key in keys
            ]
        elif isinstance(old, list) and isinstance(new, list) and len(old) == len(new) and _nested(old, new):
            waiting += [(f"{path}[{number}]", old[number], new[number]) for number in range(len(old) - 1, -1, -1)]
        elif not same(old, new):
            yield Leaf(path, old, new)
    if waiting:
        raise LimitExceeded(f"the documents have more than {MAX_LEAVES} values")


def _nested(old: list[Json], new: list[Json]) -> bool:
    return any(isinstance(one, dict | list) for one in (*old, *new))


def same(old: object, new: object) -> bool:
    """Whether two values are the same to a reader: `1`, `1.0` and `true` are three values."""
    if isinstance(old, dict) and isinstance(new, dict):
        return old.keys() == new.keys() and all(same(value, new[key]) for key, value in old.items())
    if isinstance(old, list) and isinstance(new, list):
        return len(old) == len(new) and all(same(a, b) for a, b in zip(old, new, strict=True))
    return type(old) is type(new) and (old == new or (old != old and new != new))
