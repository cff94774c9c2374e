"""Reads YAML documents as plain values with the line of each, within bounds; nothing is ever constructed.

- Events of PyYAML's parser in pure Python are followed; plain scalars are null, booleans, numbers or text by YAML 1.1's core.
- Tags of CloudFormation (`!Ref`, `!Sub`, `!GetAtt` …) become the mappings they stand for. A tag that would make a loader
  construct an object is an error.
- Aliases are followed, and what they stand for counts as often as it is used: `MAX_VALUES`, written out.
- A key that one mapping has twice is told; the last one counts, as in most readers. `<<` takes in mappings.

Source: YAML 1.1, and the CloudFormation guide's "Intrinsic function reference".
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Final

import yaml

from weighbridge.core.errors import LimitExceeded, Malformed
from weighbridge.formats.json_text import Json
from weighbridge.inspectors.notes import shown

MAX_BYTES: Final = 1024 * 1024
MAX_VALUES: Final = 100_000
MAX_DEPTH: Final = 100
MAX_DOCUMENTS: Final = 1_000

_STANDARD: Final = "tag:yaml.org,2002:"
_INTRINSICS: Final = frozenset(
    [
        "Base64",
        "Cidr",
        "FindInMap",
        "ForEach",
        "GetAtt",
        "GetAZs",
        "If",
        "ImportValue",
        "Join",
        "Length",
        "Select",
        "Split",
        "Sub",
        "ToJsonString",
        "Transform",
        "And",
        "Equals",
        "Not",
        "Or",
        "Contains",
    ]
)
_NULL: Final = frozenset(("", "~", "null", "Null", "NULL"))
_TRUE: Final = frozenset(("true", "True", "TRUE", "yes", "Yes", "YES", "on", "On", "ON"))
_FALSE: Final = frozenset(("false", "False", "FALSE", "no", "No", "NO", "off", "Off", "OFF"))
_INTEGER: Final = re.compile(r"[-+]?(?:0|[1-9]\d{0,17})\Z")
_FLOAT: Final = re.compile(r"[-+]?(?:\d{1,40}\.\d{0,40}|\.\d{1,40}|\d{1,40})(?:[eE][-+]?\d{1,3})?\Z")


@dataclass(frozen=True, slots=True)
class YamlDocument:
    """One document: its value, the line of each value by JSON pointer, and the keys that a mapping has twice."""

    value: Json
    lines: dict[str, int]
    repeated: tuple[tuple[str, int], ...] = ()


@dataclass(slots=True)
class _Open:
    """A collection under way."""

    value: dict[str, Json] | list[Json]
    pointer: str
    tag: str
    anchor: str
    line: int
    key: str | None = None
    count: int = 1
    merged: list[Json] = field(default_factory=list)


def escaped(part: str) -> str:
    """A key as a part of a JSON pointer (RFC 6901)."""
    return part.replace("~", "~0").replace("/", "~1")


def read_yaml(data: bytes) -> list[YamlDocument]:
    """All documents of a YAML text; empty ones are left out.

    Raises:
        LimitExceeded: more bytes, values, levels or documents than are read.
        Malformed: it is no YAML in UTF-8, or asks for objects to be constructed.
    """
    if len(data) > MAX_BYTES:
        raise LimitExceeded(f"the text has {len(data)} bytes, and at most {MAX_BYTES} are read")
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise Malformed(f"the text is not UTF-8 from byte {error.start} on") from error
    documents: list[YamlDocument] = []
    building = _Building()
    try:
        for event in yaml.parse(text, Loader=yaml.SafeLoader):
            if isinstance(event, yaml.DocumentStartEvent):
                building = _Building()
            elif isinstance(event, yaml.DocumentEndEvent):
                if building.root is not None:
                    documents.append(YamlDocument(building.root, building.lines, tuple(building.repeated)))
            else:
                building.take(event)
            if len(documents) > MAX_DOCUMENTS:
                raise LimitExceeded(f"there are more than {MAX_DOCUMENTS} documents")
    except yaml.YAMLError as error:
        raise Malformed(f"it is no YAML: {_problem(error)}") from error
    except RecursionError as error:
        raise LimitExceeded("values are nested too deeply") from error
    return documents


def _problem(error: yaml.YAMLError) -> str:
    if isinstance(error, yaml.MarkedYAMLError) and error.problem_mark is not None:
        return f"{shown(error.problem or '')} at line {error.problem_mark.line + 1}"
    return shown(str(error))


class _Building:
    """One document as it is put together."""

    def __init__(self) -> None:
        self.root: Json = None
        self.lines: dict[str, int] = {}
        self.repeated: list[tuple[str, int]] = []
        self.stack: list[_Open] = []
        self.anchors: dict[str, tuple[Json, int]] = {}
        self.total = 0

    def take(self, event: yaml.Event) -> None:
        """Goes on with an event."""
        line = event.start_mark.line + 1 if event.start_mark is not None else 0
        match event:
            case yaml.MappingStartEvent() | yaml.SequenceStartEvent():
                self._open(event, line)
            case yaml.MappingEndEvent() | yaml.SequenceEndEvent():
                self._close()
            case yaml.ScalarEvent():
                self._scalar(event, line)
            case yaml.AliasEvent():
                self._alias(event.anchor or "", line)
            case _:
                return

    def _open(self, event: yaml.MappingStartEvent | yaml.SequenceStartEvent, line: int) -> None:
        if len(self.stack) >= MAX_DEPTH:
            raise LimitExceeded(f"values are nested deeper than {MAX_DEPTH} levels")
        value: dict[str, Json] | list[Json] = {} if isinstance(event, yaml.MappingStartEvent) else []
        pointer = self._pointer()
        self.lines.setdefault(pointer, line)
        self.stack.append(_Open(value, pointer, self._tag(event.tag), event.anchor or "", line))

    def _close(self) -> None:
        done = self.stack.pop()
        value: Json = done.value
        if isinstance(value, dict):
            for taken in done.merged:
                for key, inner in taken.items() if isinstance(taken, dict) else ():
                    value.setdefault(key, inner)
        self._add(_intrinsic(done.tag, value), done.count, done.anchor, done.line)

    def _scalar(self, event: yaml.ScalarEvent, line: int) -> None:
        tag = self._tag(event.tag)
        if self._wants_key():
            self._key(event.value, line)
            return
        plain = event.implicit[0] and not event.tag
        value = _resolved(event.value) if plain or tag == f"{_STANDARD}bool" else event.value
        self.lines.setdefault(self._pointer(), line)
        self._add(_intrinsic(tag, value), 1, event.anchor or "", line)

    def _alias(self, anchor: str, line: int) -> None:
        if anchor not in self.anchors:
            raise Malformed(f"an alias of nothing, or of what it stands in, at line {line}")
        value, count = self.anchors[anchor]
        if self._wants_key():
            if not isinstance(value, str):
                raise Malformed(f"a key that is no text, at line {line}")
            self._key(value, line)
            return
        self.lines.setdefault(self._pointer(), line)
        self._add(value, count, "", line)

    def _wants_key(self) -> bool:
        return bool(self.stack) and isinstance(self.stack[-1].value, dict) and self.stack[-1].key is None

    def _key(self, key: str, line: int) -> None:
        top = self.stack[-1]
        if isinstance(top.value, dict) and key in top.value:
            self.repeated.append((f"{top.pointer}/{escaped(key)}", line))
        top.key = key
        self.lines[f"{top.pointer}/{escaped(key)}"] = line

    def _pointer(self) -> str:
        if not self.stack:
            return ""
        top = self.stack[-1]
        part = str(len(top.value)) if isinstance(top.value, list) else escaped(top.key or "")
        return f"{top.pointer}/{part}"

    def _add(self, value: Json, count: int, anchor: str, line: int) -> None:
        self.total += 1
        if anchor:
            self.anchors[anchor] = (value, count)
        if not self.stack:
            self.root = value
            return
        top = self.stack[-1]
        top.count += count
        if max(top.count, self.total) > MAX_VALUES:
            raise LimitExceeded(f"the document has more than {MAX_VALUES} values, written out")
        if isinstance(top.value, list):
            top.value.append(value)
        elif top.key is None:
            raise Malformed(f"a key that is no text, at line {line}")
        elif top.key == "<<":
            top.merged += value if isinstance(value, list) else [value]
            top.key = None
        else:
            top.value[top.key] = value
            top.key = None

    def _tag(self, tag: str | None) -> str:
        if not tag or tag == "!":
            return ""
        if "python/" in tag or tag.startswith(("!new:", "!apply:", "!name:", "!module:")):
            raise Malformed(f"the tag {shown(tag)} would construct an object")
        return tag


def _intrinsic(tag: str, value: Json) -> Json:
    """The mapping that a tag of CloudFormation stands for; the value itself under any other."""
    name = tag.removeprefix("!")
    if tag.startswith("!") and name in ("Ref", "Condition"):
        return {name: value}
    if tag.startswith("!") and name in _INTRINSICS:
        return {f"Fn::{name}": value}
    return value


def _resolved(text: str) -> Json:
    if text in _NULL:
        return None
    if text in _TRUE or text in _FALSE:
        return text in _TRUE
    if _INTEGER.match(text):
        return int(text)
    if _FLOAT.match(text):
        return float(text)
    return text
