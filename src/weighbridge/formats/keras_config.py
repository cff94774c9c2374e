"""Reads a Keras configuration as JSON, within bounds, and walks over every object and text in it.

A configuration is a tree of objects: a dictionary with a `class_name`, its `config`, perhaps a `module` and a
`registered_name`. They occur anywhere (layers in models in wrappers, initializers in layers), so nothing is taken for
granted about where: every dictionary that has a `class_name` is an object.

Limits: `MAX_BYTES` of JSON, `MAX_DEPTH` of nesting, `MAX_NODES` values. A key given twice is refused: readers differ.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Final

from weighbridge.core.dataclass import dataclass
from weighbridge.core.errors import Ambiguous, LimitExceeded, Malformed

MAX_BYTES: Final = 64 * 1024 * 1024
MAX_DEPTH: Final = 200
MAX_NODES: Final = 3_000_000
_TOKENS: Final = re.compile(rb'"(?:[^"\\]|\\.)*+"|[][{}]', re.DOTALL)

Json = None | bool | int | float | str | list["Json"] | dict[str, "Json"]


@dataclass(frozen=True, slots=True)
class KerasObject:
    """A dictionary with a class name. `where` is its path in the configuration."""

    where: str
    class_name: str
    module: str | None
    registered_name: str | None
    config: Json
    whole: dict[str, Json]


@dataclass(frozen=True, slots=True)
class KerasText:
    """A text under a key, `owner` is the class of the object it belongs to."""

    where: str
    key: str
    value: str
    owner: str


def parse(data: bytes) -> Json:
    """The JSON value.

    Raises:
        Malformed: it is no JSON; Ambiguous: a key is given twice; LimitExceeded: it is too large or too deep.
    """
    if len(data) > MAX_BYTES:
        raise LimitExceeded(f"a configuration of {len(data)} bytes")
    depth = 0
    for token in _TOKENS.finditer(data):
        mark = data[token.start()]
        if mark in b"[{":
            depth += 1
            if depth > MAX_DEPTH:
                raise LimitExceeded(f"more than {MAX_DEPTH} levels of nesting")
        elif mark in b"]}":
            depth -= 1
    try:
        value: Json = json.loads(data.decode("utf-8"), object_pairs_hook=_unique)
    except (ValueError, RecursionError) as error:
        raise Malformed(f"no valid JSON: {error!s:.100}") from error
    return value


def is_configuration(value: Json) -> bool:
    """Whether a JSON value has the shape of a Keras object: a class name and its configuration."""
    return isinstance(value, dict) and isinstance(value.get("class_name"), str) and "config" in value


def is_metadata(value: Json) -> bool:
    """Whether it is the `metadata.json` of a Keras archive."""
    return isinstance(value, dict) and "keras_version" in value and value.keys() <= {"keras_version", "date_saved"}


def walk(value: Json) -> Iterator[KerasObject | KerasText]:
    """Every object and every text, outer ones first.

    Raises:
        LimitExceeded: there is more than is read.
    """
    waiting: list[tuple[str, str, str, Json]] = [("", "", "", value)]
    seen = 0
    while waiting:
        where, key, owner, one = waiting.pop()
        seen += 1
        if seen > MAX_NODES:
            raise LimitExceeded(f"a configuration of more than {MAX_NODES} values")
        if isinstance(one, str):
            yield KerasText(where, key, one, owner)
        elif isinstance(one, list):
            waiting += [(f"{where}[{i}]", key, owner, each) for i, each in reversed(list(enumerate(one)))]
        elif isinstance(one, dict):
            named = one.get("class_name")
            if isinstance(named, str):
                owner = named
                yield KerasObject(
                    where, named, _text(one.get("module")), _text(one.get("registered_name")), one.get("config"), one
                )
            waiting += [(f"{where}.{k:.60}" if where else k[:60], k, owner, v) for k, v in reversed(one.items())]


def _text(value: Json) -> str | None:
    return value if value is None or isinstance(value, str) else f"({type(value).__name__})"


def _unique(pairs: list[tuple[str, Json]]) -> dict[str, Json]:
    found = dict(pairs)
    if len(found) != len(pairs):
        names = [key for key, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise Ambiguous(f"the key {twice!a:.100} is given twice")
    return found
