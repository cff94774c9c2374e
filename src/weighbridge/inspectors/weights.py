"""Is this safetensors file exactly its header and its tensors, and nothing else?

The format makes the data section inert: numbers that a reader copies and never interprets. So a header that is proven
to account for every byte accounts for the whole file, and a clean answer has full coverage without reading the tensors.
What the numbers make a network do is not assessed. Covers files that are safetensors by content or by name.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from weighbridge.core.errors import Truncated
from weighbridge.core.finding import Coverage, Finding, Report, Severity, Verdict
from weighbridge.core.ports import RangeReader
from weighbridge.formats.safetensors import HeaderProblem, read_header
from weighbridge.inspectors.rule import Rule
from weighbridge.inspectors.subject import Subject

NAME: Final = "safetensors-structure"
KIND: Final = "safetensors"

_ZIP_TAIL_BYTES = 22 + 65_535
_REFETCH = "Do not load the file. Fetch it again from its publisher; if it is the same there, ask for a sound one."
_REWRITE = "Do not load the file. Ask its publisher to write it again with the safetensors library."


def _rule(name: str, title: str, explanation: str, remedy: str = _REWRITE) -> Rule:
    return Rule(f"safetensors-{name}", title, Severity.HIGH, NAME, explanation, remedy)


RULES: Final[tuple[Rule, ...]] = (
    Rule(
        "safetensors-not-safetensors",
        "Named safetensors, but another format",
        Severity.CRITICAL,
        NAME,
        "The name promises a format that cannot run code and the content is of another, which perhaps can.",
        "Do not load the file, with any library. Find out who renamed it.",
    ),
    Rule(
        "safetensors-header-values",
        "More values in the header than are read",
        Severity.MEDIUM,
        NAME,
        "The header is within the format's limit but so dense that reading it could exhaust memory.",
        "Ask for the weights in several files.",
    ),
    _rule("zip-polyglot", "Also a zip archive", "A reader of zip (or torch) archives finds another content in it."),
    _rule("truncated", "Cut short", "Tensors lie beyond the end of the file.", _REFETCH),
    _rule("header-overflow", "Header longer than the file", "The file is damaged, cut, or made to break readers."),
    _rule("header-limit", "Header over 100 MB", "The reference implementation refuses it; reading it costs memory."),
    _rule("header-start", "Header is not a JSON object", "The format demands '{' as the header's first byte."),
    _rule("header-encoding", "Header is not UTF-8", "Readers would disagree on the tensors' names, or fail."),
    _rule("header-json", "Header is not valid JSON", "No reader can tell which tensors the file holds."),
    _rule("header-nesting", "Header nested too deeply", "A tensor's description has two levels; more break readers."),
    _rule(
        "header-padding", "Something after the header's JSON", "Only spaces may pad the header; a payload hides there."
    ),
    _rule("duplicate-key", "Repeated key", "Readers keep the first or the last, so they see different tensors."),
    _rule("name", "Name is not valid Unicode", "Readers reject or silently change such names."),
    _rule("metadata", "Metadata is not text", "The format allows text under text keys only."),
    _rule("entry", "Tensor not described by an object", "The header breaks the format."),
    _rule("missing-field", "Tensor without type, shape or offsets", "The header breaks the format."),
    _rule("unknown-field", "Unknown field in a tensor's description", "Nobody checks what nobody reads."),
    _rule("unknown-dtype", "Unknown tensor type", "The size of the tensor cannot be proven."),
    _rule("shape", "Shape is not a list", "The header breaks the format."),
    _rule("offsets", "Offsets are not a begin and an end", "The header breaks the format."),
    _rule("not-an-integer", "Not an integer where one belongs", "Readers round or reject such numbers differently."),
    _rule("negative", "Negative number", "Sizes and offsets below zero reach outside the file in careless readers."),
    _rule("number-overflow", "Number beyond 64 bits", "It wraps around in careless readers."),
    _rule("shape-overflow", "More elements than 64 bits can count", "The product wraps around in careless readers."),
    _rule("subbyte", "Tensor does not end at a byte", "Types below 8 bits must fill whole bytes."),
    _rule("size-mismatch", "Bytes do not fit shape and type", "A reader would take too few or too many bytes."),
    _rule("overlap", "Tensors overlap", "Two tensors share bytes: changing one changes the other."),
    _rule("hole", "Bytes between tensors that belong to none", "A payload can hide there."),
    _rule("trailing-data", "Bytes after the last tensor", "A payload can hide there; zip archives begin at the end."),
)
_BY_ID: Final[Mapping[str, Rule]] = {rule.id: rule for rule in RULES}


class SafetensorsStructure:
    """The inspector `safetensors-structure`; see the module."""

    name = NAME

    def inspect(self, reader: Subject) -> Report | None:
        """Clean with full coverage when the header accounts for every byte; None for files of other formats.

        Raises:
            Truncated: the reader returned less than the artifact's size promises.
        """
        head, kind = reader.head, reader.kind
        named = reader.suffix == ".safetensors"
        if kind.name != KIND and not named:
            return None
        if kind.name not in (KIND, "unrecognised", "empty"):
            finding = _BY_ID["safetensors-not-safetensors"].finding(
                reader.path, f"the file is named safetensors and its content is {kind.name}"
            )
            return self._report(reader, Verdict.BAD, len(head), finding)
        try:
            header = read_header(reader)
        except HeaderProblem as problem:
            finding = _BY_ID[problem.rule].finding(reader.path, problem.message, location=problem.location)
            # Too dense to be read within our bounds is no defect, and no answer either.
            verdict = Verdict.UNKNOWN if problem.rule == "safetensors-header-values" else Verdict.BAD
            return self._report(reader, verdict, len(head), finding)
        place = _zip_at_the_end(reader)
        if place is not None:
            finding = _BY_ID["safetensors-zip-polyglot"].finding(
                reader.path,
                f"{len(header.tensors)} tensors fill the file, and a zip archive's directory ends at its end",
                location=f"offset {place}",
            )
            return self._report(reader, Verdict.BAD, len(head), finding)
        return self._report(reader, Verdict.CLEAN, reader.size_bytes)

    def _report(self, reader: RangeReader, verdict: Verdict, inspected_bytes: int, *findings: Finding) -> Report:
        coverage = Coverage(inspected_bytes, reader.size_bytes)
        return Report(NAME, reader.path, verdict, coverage, findings, KIND if verdict is Verdict.CLEAN else "")


def _zip_at_the_end(reader: RangeReader) -> int | None:
    """Where a zip's end record lies whose comment reaches exactly the end of the file and whose directory is there.

    Tensors may hold the four bytes of its signature by chance; they do not hold a directory's signature where the
    record points as well.
    """
    size = reader.size_bytes
    start = max(0, size - _ZIP_TAIL_BYTES)
    tail = reader.read(start, size - start)
    if len(tail) != size - start:
        raise Truncated(f"'{reader.path}' gave {len(tail)} bytes at {start} where it has {size - start}")
    at = tail.rfind(b"PK\x05\x06")
    while at >= 0:
        record = tail[at : at + 22]
        if len(record) == 22 and at + 22 + int.from_bytes(record[20:22], "little") == len(tail):
            directory = start + at - int.from_bytes(record[12:16], "little")
            if directory >= 0 and reader.read(directory, 4) == b"PK\x01\x02":
                return start + at
        at = tail.rfind(b"PK\x05\x06", 0, at)
    return None
