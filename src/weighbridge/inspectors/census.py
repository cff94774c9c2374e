"""What is each file, by content, and does its name say so?

Every artifact gets one report. Its coverage counts only bytes that were understood here:

- prose (plain text, Markdown, licences) is read whole: UTF-8 without control characters is inert, and clean;
- what another inspector reads whole (safetensors) is left to its account: no bytes here, and the kind is the answer;
- everything else is named from its first bytes and `unknown`, however harmless it looks. That goes for JSON, templates
  and tokenizers, whose text is readable and whose meaning (`auto_map`, a template's code) nobody has judged yet, and
  for images, which are recognised and not decoded.
"""

from __future__ import annotations

import codecs
from collections.abc import Mapping
from typing import Final

from weighbridge.core.finding import Confidence, Coverage, Finding, Report, Severity, Verdict
from weighbridge.core.ports import RangeReader
from weighbridge.formats.bounded import blocks
from weighbridge.formats.kinds import (
    HEAD_BYTES,
    TEXT_KINDS,
    Kind,
    expected_kinds,
    is_legacy_text,
    is_text,
    suffix_of,
)
from weighbridge.inspectors.rule import Rule
from weighbridge.inspectors.subject import Subject

NAME: Final = "file-kinds"
READ_ELSEWHERE: Final = frozenset(("safetensors", "pickle"))
"""Kinds that another inspector accounts for, every byte."""

PROSE: Final = frozenset(("text", "markdown"))
MAX_PROSE_BYTES = 16 * 1024 * 1024
LEGACY: Final = frozenset((".txt", ".dic", ".aff", ".srt", ".lst", ".list", ".tex", ".log"))
"""Endings of texts that may be in an encoding of before Unicode."""
_READ_BYTES = 1024 * 1024
_PICTURES: Final = frozenset(("png", "jpeg", "gif", "webp", "tiff", "bmp"))
_RISKY_FAMILIES = frozenset(("executable", "serialised", "archive", "code", "pointer"))


def _rule(name: str, title: str, severity: Severity, explanation: str, remedy: str) -> Rule:
    return Rule(f"kind-{name}", title, severity, NAME, explanation, remedy)


RULES: Final[tuple[Rule, ...]] = (
    _rule(
        "extension-mismatch",
        "Content is not what the name says",
        Severity.MEDIUM,
        "A loader chooses by name, a person reviews by name, and the bytes are of another format.",
        "Find out who named it so. Leave the file out with --exclude if nothing needs it.",
    ),
    _rule(
        "disguise",
        "Content that can act, under a harmless name",
        Severity.HIGH,
        "Code, a serialised object, an archive or a pointer lies under the name of an inert format, or weights under "
        "the name of a format whose loader runs code.",
        "Do not load the file. Find out who named it so.",
    ),
    _rule(
        "executable",
        "Executable file",
        Severity.HIGH,
        "A model needs no programs or libraries of its own.",
        "Leave the file out with --exclude; take such tools from where software comes from.",
    ),
    _rule(
        "script",
        "Script to be run",
        Severity.MEDIUM,
        "A shell or interpreter runs it when a person does; nothing here has judged what it does. Models need none.",
        "Leave it out with --exclude, or have it reviewed.",
    ),
    _rule(
        "archive",
        "Archive or compressed file",
        Severity.LOW,
        "What is inside was not looked at.",
        "Unpack it outside, and bring in what is needed.",
    ),
    _rule(
        "python-code",
        "Python code",
        Severity.MEDIUM,
        "Loaders run it when they are told to trust remote code; nothing here has judged what it does.",
        "Have the code reviewed, or use an architecture that the engine has built in and leave it out with --exclude.",
    ),
    _rule(
        "source-code",
        "Source code",
        Severity.LOW,
        "Code that some tool may build or run; nothing here has judged what it does.",
        "Have it reviewed, or leave it out with --exclude.",
    ),
    _rule(
        "lfs-pointer",
        "Git LFS pointer instead of the file",
        Severity.HIGH,
        "The bytes that were meant are elsewhere; what was stored is only their address.",
        "Fetch the revision with its large files (git lfs pull) and ingest it again.",
    ),
    _rule(
        "unrecognised",
        "Unrecognised content",
        Severity.LOW,
        "No known format, and no text. Nobody can say what reads it, or what it does there.",
        "Leave the file out with --exclude if nothing needs it.",
    ),
)
ABOUT_CONTENT: Final = frozenset(
    ("kind-archive", "kind-python-code", "kind-source-code", "kind-script", "kind-executable", "kind-unrecognised")
)
"""Rules that say that nobody looked inside; they fall when somebody did."""

_BY_ID: Final[Mapping[str, Rule]] = {rule.id: rule for rule in RULES}


class FileKinds:
    """The inspector `file-kinds`; see the module."""

    name = NAME

    def inspect(self, reader: Subject) -> Report:
        """The artifact's kind, findings about it, and clean only for what is inert and was read whole.

        Raises:
            Truncated: the reader returned less than the artifact's size promises.
        """
        kind = reader.kind
        findings = [*_by_name(reader.path, kind), *_by_kind(reader.path, kind)]
        coverage, clean = Coverage(len(reader.head), reader.size_bytes), False
        if kind.name in READ_ELSEWHERE:
            coverage, clean = Coverage(0, 0), True
        elif kind.name in PROSE:
            read = _read_prose(reader)
            coverage, clean = Coverage(read, reader.size_bytes), read == reader.size_bytes
        elif kind.family == "empty":
            clean = True
        if any(finding.severity >= Severity.HIGH for finding in findings):
            verdict = Verdict.BAD
        else:
            verdict = Verdict.CLEAN if clean and not findings else Verdict.UNKNOWN
        return Report(NAME, reader.path, verdict, coverage, tuple(findings), kind.name)


def _by_name(path: str, kind: Kind) -> list[Finding]:
    expected = expected_kinds(path)
    if kind.name == "safetensors" and suffix_of(path) != ".safetensors":
        # Read as a pickle, the length and the names of a crafted header are a program.
        return [_BY_ID["kind-disguise"].finding(path, "a safetensors file whose name makes loaders read it otherwise")]
    beside = kind.name == "apple-double" and path.rpartition("/")[2].startswith("._")
    if beside or kind.family == "empty" or not expected or kind.name in expected:
        return []
    if kind.name == "utf-16-text" and expected & TEXT_KINDS:
        # `wide-texts` says which loaders read it.
        return []
    if kind.name in _PICTURES and expected <= _PICTURES:
        # Whoever shows pictures goes by their first bytes.
        return []
    disguised = kind.family in _RISKY_FAMILIES and not expected & {"pickle", "zip", "script"}
    rule = _BY_ID["kind-disguise" if disguised else "kind-extension-mismatch"]
    return [rule.finding(path, f"the name says {' or '.join(sorted(expected))}, the content is {kind.name}")]


def _by_kind(path: str, kind: Kind) -> list[Finding]:
    match kind.name, kind.family:
        case (("python" | "notebook"), _):
            rule, message = "kind-python-code", f"the file is Python code ({kind.name}) that a loader may run"
        case "script", _:
            rule, message = "kind-script", "the file is a script that a person may run"
        case _, "code":
            rule, message = "kind-source-code", "the file is source code"
        case _, "executable":
            rule, message = "kind-executable", f"the file is executable ({kind.name})"
        case _, "archive":
            rule, message = "kind-archive", f"the file is a container ({kind.name}) that the census does not look into"
        case _, "pointer":
            rule, message = "kind-lfs-pointer", "the file is a Git LFS pointer and not what it points to"
        case _, "unrecognised":
            rule, message = "kind-unrecognised", "the file is of no known format"
        case _:
            return []
    confidence = Confidence.HIGH if kind.family != "unrecognised" else Confidence.MEDIUM
    return [_BY_ID[rule].finding(path, message, confidence=confidence)]


def _read_prose(reader: RangeReader) -> int:
    """How many bytes from the start are text; all of them, or those before the first that is not."""
    size = reader.size_bytes
    if size > MAX_PROSE_BYTES:
        return 0
    if suffix_of(reader.path) in LEGACY and not is_text(
        reader.read(0, min(size, HEAD_BYTES)), whole=size <= HEAD_BYTES
    ):
        # In an encoding of before Unicode.
        return size if all(is_legacy_text(data) for data in blocks(reader, _READ_BYTES)) else 0
    decoder = codecs.getincrementaldecoder("utf-8")()
    position = 0
    for data in blocks(reader, _READ_BYTES):
        try:
            text = decoder.decode(data, final=position + len(data) == size)
        except UnicodeDecodeError:
            return position
        if not is_text(text.encode("utf-8"), whole=True):
            return position
        position += len(data)
    return position
