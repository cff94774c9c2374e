"""What libraries keep beside their weights: the MessagePack of spaCy's folders, the `data` of stable-baselines3's archives.

- spaCy writes `tokenizer`, `key2row`, `lookups.bin`, `model` and, by name or compressed by zlib, `.spacy`: one map of
  plain values, which its reader only reads. Values of bytes are looked into, for thinc keeps what other libraries wrote
  there (a network of torch is a pickle) and maps within maps.
- stable-baselines3 writes `data`, JSON in which `:serialized:` holds base64 of a pickle, which `load` unpickles: each is
  inspected as one. Beside it lies the library's version.

Limits: `MAX_BYTES` of a file, `MAX_PARTS` that are looked into, those of the reader of MessagePack.
"""

from __future__ import annotations

import base64
import binascii
import re
import zlib
from collections.abc import Iterator
from typing import Final

from weighbridge.core.errors import LimitExceeded
from weighbridge.core.finding import Report, Severity
from weighbridge.core.ports import RangeReader
from weighbridge.formats.bounded import read_exactly, read_whole
from weighbridge.formats.held import Held
from weighbridge.formats.json_text import Json, JsonProblem, parse
from weighbridge.formats.kinds import HEAD_BYTES, kind_of
from weighbridge.formats.members import Slice
from weighbridge.formats.msgpack import MsgpackProblem, Walk, Window
from weighbridge.inspectors.notes import Notes, shown
from weighbridge.inspectors.rule import Rule
from weighbridge.inspectors.subject import Subject

NAME: Final = "library-parts"
MAX_BYTES: Final = 64 * 1024 * 1024
MAX_PARTS: Final = 2_000
_MAX_WITHIN: Final = 4


def _rule(name: str, title: str, severity: Severity, explanation: str) -> Rule:
    return Rule(name, title, severity, NAME, explanation, "Have the library's publisher write the file anew.")


RULES: Final[tuple[Rule, ...]] = (
    _rule(
        "spacy-broken",
        "Part of a spaCy pipeline that breaks its format",
        Severity.MEDIUM,
        "It is not one map of MessagePack, or holds an extension: what it becomes is up to the code that loads it.",
    ),
    _rule(
        "policy-not-understood",
        "Stored value of a policy that is not read",
        Severity.MEDIUM,
        "stable-baselines3 unpickles what `:serialized:` holds when the policy is loaded; this is no base64.",
    ),
)
_BY_ID: Final = {rule.id: rule for rule in RULES}

_PARTS: Final = frozenset(("tokenizer", "key2row", "lookups.bin", "model"))
_NESTED: Final = frozenset(("archive", "serialised", "executable"))
_MAPS: Final = (*range(0x80, 0x90), 0xDE, 0xDF)
_VERSION: Final = re.compile(rb"\d{1,4}(?:\.\d{1,4}){1,3}(?:(?:a|b|rc)\d{1,3})?\s?")


class LibraryParts:
    """The inspector `library-parts`; see the module."""

    name = NAME

    def inspect(self, subject: Subject) -> Report | None:
        """Clean with full coverage for parts that are plain values throughout; None for what is none of them.

        Raises:
            LimitExceeded: it is larger than is read, or holds more.
            Truncated: the reader returned less than the artifact's size promises.
        """
        base, kind = subject.path.rpartition("/")[2], subject.kind.name
        notes = Notes(subject, _BY_ID)
        if base == "data" and kind == "json":
            _stored_values(subject, notes)
            # The text itself is judged as any JSON is.
            return notes.report(NAME, 0) if notes else None
        if base == "_stable_baselines3_version" and _VERSION.fullmatch(subject.head):
            return notes.report(NAME, subject.size_bytes)
        if kind not in ("unrecognised", "zlib") or not (base in _PARTS or subject.suffix == ".spacy"):
            return None
        if base in _PARTS and subject.head[0] not in _MAPS:
            return None
        try:
            _Parts(subject).look(_content(subject), 0)
        except (MsgpackProblem, zlib.error) as problem:
            notes.say("spacy-broken", str(problem) or "it is no MessagePack")
        return notes.report(NAME, 0 if notes else subject.size_bytes)


def _content(subject: Subject) -> RangeReader:
    """The MessagePack: the file, or what zlib made of it (documents)."""
    if subject.head[0] in _MAPS:
        return subject
    packed = read_whole(subject, MAX_BYTES)
    unpacking = zlib.decompressobj()
    data = unpacking.decompress(packed, MAX_BYTES)
    if not unpacking.eof:
        raise LimitExceeded(f"it unpacks to more than {MAX_BYTES} bytes, or is cut short")
    if unpacking.unused_data:
        raise zlib.error(f"{len(unpacking.unused_data)} bytes follow the documents")
    subject.allowance.spend(len(data))
    return Held(subject.path, data)


class _Parts:
    """Follows the maps of one file."""

    def __init__(self, subject: Subject) -> None:
        self._subject = subject
        self._parts = 0

    def look(self, reader: RangeReader, depth: int) -> None:
        """Walks one map, and looks into its bytes.

        Raises:
            MsgpackProblem: it is none, or holds what is no plain value.
        """
        walk = Walk(Window(reader), 0, reader.size_bytes)
        for event in walk.events():
            if event.depth == 0 and event.sort not in ("map", "list", "end"):
                raise MsgpackProblem("spacy-broken", f"it begins with a {event.sort}")
            if event.sort == "extension":
                raise MsgpackProblem("spacy-broken", f"there is an extension at {event.offset}")
            if event.sort == "binary" and event.end - event.start > 1:
                self._bytes(reader, event.start, event.end, depth)
        if walk.position != reader.size_bytes:
            raise MsgpackProblem("spacy-broken", f"{reader.size_bytes - walk.position} bytes follow the map")

    def _bytes(self, reader: RangeReader, start: int, end: int, depth: int) -> None:
        head = read_exactly(reader, start, min(end - start, HEAD_BYTES))
        kind = kind_of("", head, end - start)
        within = Slice(f"bytes at {start}", reader, start, end - start)
        if kind.family in _NESTED:
            self._parts += 1
            if self._parts > MAX_PARTS:
                raise LimitExceeded(f"more than {MAX_PARTS} values are files of other formats")
            self._subject.descend(within)
        elif depth < _MAX_WITHIN and head[0] in _MAPS:
            try:
                self.look(within, depth + 1)
            except MsgpackProblem:
                # Numbers that begin as a map does.
                return


def _stored_values(subject: Subject, notes: Notes) -> None:
    """Has each pickle inspected that lies in the text."""
    try:
        waiting: list[Json] = [parse(read_whole(subject, MAX_BYTES)).value]
    except JsonProblem:
        return
    for number, text in enumerate(_serialized(waiting)):
        if number >= MAX_PARTS:
            raise LimitExceeded(f"more than {MAX_PARTS} values are pickles")
        try:
            # As the library does, which passes over what is no letter of base64.
            data = base64.b64decode(text)
        except (binascii.Error, ValueError):
            notes.say("policy-not-understood", f"a stored value is {shown(text)}")
            continue
        subject.descend(Held(f"value-{number}.pkl", data), unpacked_bytes=len(data))


def _serialized(waiting: list[Json]) -> Iterator[str]:
    while waiting:
        one = waiting.pop()
        if isinstance(one, list):
            waiting += one
        elif isinstance(one, dict):
            found = one.get(":serialized:")
            if isinstance(found, str):
                yield found
            waiting += [value for value in one.values() if isinstance(value, dict | list)]
