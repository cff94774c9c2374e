"""Is this Flax checkpoint (MessagePack) exactly a tree of named arrays?

Flax writes maps of maps whose leaves are arrays: extension 1 (array), 2 (complex number), 3 (scalar), each a little
MessagePack of its own with shape, type name and bytes. A tree that is proven to account for every byte accounts for the
whole file, and the arrays' data are inert numbers. Other extensions are not understood: what they do is up to the code
that loads them. What the numbers make a network do is not assessed.

Covers MessagePack by its name or, elsewhere, by a Flax array in its first bytes.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from itertools import islice
from typing import Final

from weighbridge.core.finding import Coverage, Finding, Report, Severity, Verdict
from weighbridge.formats.msgpack import Event, MsgpackMalformed, MsgpackProblem, Walk, Window
from weighbridge.formats.zip_tail import zip_at_the_end
from weighbridge.inspectors.rule import Rule
from weighbridge.inspectors.subject import Subject, report_of
from weighbridge.inspectors.weights.metadata_text import Profile, TextJudge, payload_of, shown

NAME: Final = "flax-structure"
KIND: Final = "msgpack"
ARRAY, COMPLEX, SCALAR = 1, 2, 3
MAX_BINARY_BYTES: Final = 64 * 1024
MAX_KEY_BYTES: Final = 4_096
MAX_DIMENSIONS: Final = 64

ITEM_BYTES: Final[Mapping[str, int]] = {
    **dict.fromkeys(("bool", "int8", "uint8", "int4", "uint4", "int2", "uint2"), 1),
    **dict.fromkeys(("float8_e4m3fn", "float8_e5m2", "float8_e4m3b11fnuz", "float8_e4m3fnuz", "float8_e5m2fnuz"), 1),
    **dict.fromkeys(("float8_e3m4", "float8_e4m3", "float8_e8m0fnu"), 1),
    **dict.fromkeys(("float4_e2m1fn", "float6_e2m3fn", "float6_e3m2fn"), 1),
    **dict.fromkeys(("int16", "uint16", "float16", "bfloat16"), 2),
    **dict.fromkeys(("int32", "uint32", "float32"), 4),
    **dict.fromkeys(("int64", "uint64", "float64", "complex64"), 8),
    "complex128": 16,
}
"""Bytes of one element, by the name that numpy and ml_dtypes give the type."""

_PROFILE: Final = Profile(addresses=re.compile(r"(?!)"), long_texts=re.compile(r"(?!)"), long_from=16_384)
_HALF = 1 << 63
_REWRITE = "Do not load the file. Ask its publisher to write it again with flax, or for the weights as safetensors."
_LOOK = "Find out what the value is for. Take the weights as safetensors where there are any."


def _rule(
    name: str, title: str, explanation: str, remedy: str = _REWRITE, *, severity: Severity = Severity.HIGH
) -> Rule:
    return Rule(f"flax-{name}", title, severity, NAME, explanation, remedy)


RULES: Final[tuple[Rule, ...]] = (
    _rule("malformed", "Not MessagePack", "A byte begins no value; readers stop there or differ."),
    _rule("truncated", "Cut short", "A value is longer than the file; readers allocate for it before they read."),
    _rule("nesting", "Nested too deeply", "Readers recurse once for each level."),
    _rule(
        "limit",
        "More than is read",
        "The file holds more values, or a longer text, than any checkpoint needs.",
        severity=Severity.MEDIUM,
    ),
    _rule("root", "Not a tree", "A checkpoint is a map of names, or one array."),
    _rule("key", "Key that is no name", "Keys are texts, or small numbers; readers fail on or change others."),
    _rule("duplicate-key", "Repeated key", "Readers keep the first or the last, so they see different weights."),
    _rule(
        "extension",
        "Unknown extension",
        "What it becomes is up to the code that loads it.",
        _LOOK,
        severity=Severity.MEDIUM,
    ),
    _rule("array", "Array that is not shape, type and bytes", "Readers disagree on it, or fail."),
    _rule("dtype", "Unknown type of an array", "The size of the array cannot be proven."),
    _rule("size-mismatch", "Bytes do not fit shape and type", "A reader would take too few or too many bytes."),
    _rule("trailing-data", "Bytes after the tree", "A payload can hide there; zip archives begin at the end."),
    _rule("zip-polyglot", "Also a zip archive", "A reader of zip (or torch) archives finds another content in it."),
    _rule("binary", "Binary data that is no array", "Nobody checks what nobody reads.", _LOOK, severity=Severity.LOW),
    _rule("text-url", "Address in a checkpoint", "Tools may fetch it.", _LOOK, severity=Severity.LOW),
    _rule(
        "text-url-suspicious", "Address that looks like a trap", "Tools may fetch it.", _LOOK, severity=Severity.MEDIUM
    ),
    _rule("text-long", "Long text in a checkpoint", "Arrays need none.", _LOOK, severity=Severity.LOW),
    _rule("text-script", "Script in a checkpoint", "Arrays need none.", _LOOK),
    _rule("text-payload", "Program in a checkpoint", "A program, a pickle or an archive is written down.", _LOOK),
    _rule(
        "text-limit",
        "More text than is judged",
        "What was not looked into may be anything.",
        _LOOK,
        severity=Severity.MEDIUM,
    ),
)
_BY_ID: Final[Mapping[str, Rule]] = {rule.id: rule for rule in RULES}
_UNANSWERED: Final = frozenset(("flax-extension", "flax-text-limit", "flax-limit"))


class FlaxCheckpoints:
    """The inspector `flax-structure`; see the module."""

    name = NAME

    def inspect(self, subject: Subject) -> Report | None:
        """Clean with full coverage when the tree accounts for every byte; None for files of other formats.

        Raises:
            LimitExceeded: the end of the file holds too many zip end records.
            Truncated: the reader returned less than the artifact's size promises.
        """
        kind = subject.kind.name
        if kind != KIND and not (subject.suffix == ".msgpack" and kind == "unrecognised"):
            return None
        tree = _Tree(subject)
        try:
            findings = list(tree.findings())
        except MsgpackProblem as problem:
            findings = [_BY_ID[problem.rule].finding(subject.path, problem.message, location=problem.location)]
        if any(finding.rule in _UNANSWERED or finding.severity.is_grave for finding in findings):
            grave = any(finding.severity.is_grave for finding in findings)
            coverage = Coverage(min(len(subject.head), subject.size_bytes), subject.size_bytes)
            return Report(NAME, subject.path, Verdict.BAD if grave else Verdict.UNKNOWN, coverage, tuple(findings))
        for start, end in tree.arrays:
            subject.inert(start, end)
        return report_of(NAME, subject, findings, subject.size_bytes, kind=KIND)


class _Tree:
    """One checkpoint under inspection; `arrays` are the places of the arrays' data that were proven."""

    def __init__(self, subject: Subject) -> None:
        self._subject = subject
        self._window = Window(subject)
        self._texts = TextJudge(_PROFILE)
        self._keys: list[set[bytes | int]] = []
        self._named = ""
        # Word lists and the like are MessagePack as well; what Flax is given by its name is a tree.
        self._also = () if "flax" in subject.path.rpartition("/")[2].lower() else ("list",)
        self.arrays: list[tuple[int, int]] = []

    def findings(self) -> Iterator[Finding]:
        """What is wrong; the walk ends with the first thing that makes the rest meaningless.

        Raises:
            MsgpackProblem: the file breaks a rule.
            Truncated: the reader returned less than the artifact's size promises.
        """
        walk = Walk(self._window, 0, self._subject.size_bytes)
        for event in walk.events():
            if event.depth == 0 and event.sort not in ("map", "extension", "end", *self._also):
                raise MsgpackMalformed("flax-root", f"the file begins with a {event.sort}", location="offset 0")
            yield from self._see(event)
        if walk.position < self._subject.size_bytes:
            message = f"{self._subject.size_bytes - walk.position} bytes after the tree belong to nothing"
            raise MsgpackMalformed("flax-trailing-data", message, location=f"offset {walk.position}")
        place = zip_at_the_end(self._subject)
        if place is not None:
            message = "the tree fills the file, and a zip archive's directory lies at its end"
            yield self._finding("zip-polyglot", message, place)

    def _finding(self, rule: str, message: str, offset: int) -> Finding:
        where = f"{self._named} at offset {offset}" if self._named else f"offset {offset}"
        return _BY_ID[f"flax-{rule}"].finding(self._subject.path, message, location=where)

    def _see(self, event: Event) -> Iterator[Finding]:
        if event.sort in ("list", "map"):
            self._keys.append(set())
        elif event.sort == "end":
            self._keys.pop()
        elif event.is_key:
            self._key(event)
        elif event.sort == "text":
            for found in self._texts.judge(self._named, self._text(event)):
                yield self._finding(f"text-{found.rule}", found.message, event.offset)
        elif event.sort == "binary":
            yield from self._binary(event)
        elif event.sort == "extension":
            yield from self._extension(event)

    def _text(self, event: Event) -> str:
        try:
            return self._window.read(event.start, event.end - event.start).decode("utf-8")
        except UnicodeDecodeError as error:
            raise MsgpackMalformed(
                "flax-malformed", "a text is not UTF-8", location=f"offset {event.offset}"
            ) from error

    def _key(self, event: Event) -> None:
        """Names are unique within their map."""
        place = f"offset {event.offset}"
        key: bytes | int
        if event.sort == "text" and event.end - event.start <= MAX_KEY_BYTES:
            key = self._window.read(event.start, event.end - event.start)
            try:
                self._named = shown(key.decode("utf-8"))
            except UnicodeDecodeError as error:
                raise MsgpackMalformed("flax-key", "a key is not UTF-8", location=place) from error
        elif event.sort == "int" and isinstance(event.value, int):
            key, self._named = event.value, str(event.value)
        else:
            raise MsgpackMalformed("flax-key", f"a key is a {event.sort}, or too long", location=place)
        if key in self._keys[-1]:
            raise MsgpackMalformed("flax-duplicate-key", f"the key {self._named} is repeated", location=place)
        self._keys[-1].add(key)

    def _binary(self, event: Event) -> Iterator[Finding]:
        size = event.end - event.start
        name = payload_of(self._window.read(event.start, min(size, 8_192))) if size >= 4 else ""
        if name:
            yield self._finding("text-payload", f"binary data that begins as a {name}", event.offset)
        elif size > MAX_BINARY_BYTES:
            yield self._finding("binary", f"{size} bytes of binary data", event.offset)

    def _extension(self, event: Event) -> Iterator[Finding]:
        if event.code in (ARRAY, SCALAR):
            self._array(event)
        elif event.code == COMPLEX:
            walk = Walk(self._window, event.start, event.end)
            inner = list(islice(walk.events(), 5))
            sorts = [one.sort for one in inner]
            if sorts != ["list", "float", "float", "end"] or walk.position != event.end:
                raise self._not_an_array(event, "a complex number that is not two numbers")
        else:
            yield self._finding("extension", f"an extension of the unknown type {event.code}", event.offset)

    def _array(self, event: Event) -> None:
        """Shape, type and bytes, which fit each other and fill the extension."""
        walk = Walk(self._window, event.start, event.end)
        inner = list(islice(walk.events(), MAX_DIMENSIONS + 7))
        ranked = len(inner) > 2 and inner[0].sort == "list" and inner[0].count == 3 and inner[1].sort == "list"
        rank = inner[1].count if ranked else 0
        if (
            not ranked
            or rank > MAX_DIMENSIONS
            or len(inner) != rank + 6
            or inner[rank + 2].sort != "end"
            or walk.position != event.end
        ):
            raise self._not_an_array(event, "an array that is not shape, type and bytes")
        name, data = inner[rank + 3], inner[rank + 4]
        if name.sort not in ("text", "binary") or data.sort != "binary" or name.end - name.start > 40:
            raise self._not_an_array(event, "an array that is not shape, type and bytes")
        elements = 1
        for dimension in inner[2 : rank + 2]:
            if dimension.sort != "int" or not isinstance(dimension.value, int) or not 0 <= dimension.value < _HALF:
                raise self._not_an_array(event, "a shape that is not of sizes")
            elements *= dimension.value
        dtype = self._window.read(name.start, name.end - name.start).decode("ascii", "replace")
        item = ITEM_BYTES.get(dtype)
        place = f"{self._named} at offset {event.offset}"
        if item is None:
            raise MsgpackMalformed("flax-dtype", f"an array of the unknown type {shown(dtype)}", location=place)
        if elements * item != data.end - data.start:
            message = f"an array needs {elements * item} bytes for its shape and type and has {data.end - data.start}"
            raise MsgpackMalformed("flax-size-mismatch", message, location=place)
        self.arrays.append((data.start, data.end))

    def _not_an_array(self, event: Event, message: str) -> MsgpackMalformed:
        return MsgpackMalformed("flax-array", message, location=f"{self._named} at offset {event.offset}")
