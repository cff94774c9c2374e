"""Is this npy file exactly one array of plain data?

A header that is proven to account for every byte accounts for the whole file: the rest are numbers, texts or raw bytes
that numpy copies. Arrays of objects are pickles, and the inspector of pickles gives the account of those. What the
numbers mean is not assessed. Covers npy by content or by name; members of npz archives come here one by one.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from weighbridge.core.finding import Coverage, Finding, Report, Severity, Verdict
from weighbridge.formats.npy import NpyHeader, NpyProblem, read_npy
from weighbridge.formats.zip_tail import zip_at_the_end
from weighbridge.inspectors.rule import Rule
from weighbridge.inspectors.subject import Subject, report_of
from weighbridge.inspectors.weights.metadata_text import payload_of

NAME: Final = "npy-structure"
KIND: Final = "npy"
_PEEK_BYTES = 8_192
_REWRITE = "Do not load the file. Ask its publisher to write it again with numpy."


def _rule(
    name: str, title: str, explanation: str, *, severity: Severity = Severity.HIGH, remedy: str = _REWRITE
) -> Rule:
    return Rule(f"npy-{name}", title, severity, NAME, explanation, remedy)


RULES: Final[tuple[Rule, ...]] = (
    _rule("version", "Unknown version", "No such version exists; readers would guess at the layout."),
    _rule(
        "header",
        "Header is not numpy's dictionary",
        "Readers evaluate the header as Python; only three plain keys belong.",
    ),
    _rule(
        "header-limit",
        "Header longer than is read",
        "numpy refuses headers over 10,000 bytes unless it is told to trust the file: reading one costs memory.",
        severity=Severity.MEDIUM,
    ),
    _rule("duplicate-key", "Repeated key", "Readers keep the first or the last, so they see different arrays."),
    _rule("type", "Unknown type", "The size of the array cannot be proven."),
    _rule("shape", "Shape is not a tuple of sizes", "Sizes below zero or of another kind reach outside the file."),
    _rule("size-overflow", "More than 63 bits can count", "The product wraps around in careless readers."),
    _rule(
        "truncated",
        "Cut short",
        "The array lies beyond the end of the file.",
        remedy="Do not load the file. Fetch it again from its publisher.",
    ),
    _rule("trailing-data", "Bytes after the array", "numpy ignores them; a payload can hide there."),
    _rule("zip-polyglot", "Also a zip archive", "A reader of zip (or torch) archives finds another content in it."),
    _rule("payload", "Program in the array", "The numbers are the bytes of a program, a pickle or an archive."),
)
_BY_ID: Final[Mapping[str, Rule]] = {rule.id: rule for rule in RULES}


class PlainArrays:
    """The inspector `npy-structure`; see the module."""

    name = NAME

    def inspect(self, subject: Subject) -> Report | None:
        """Clean with full coverage for one plain array and nothing else; None for other files and arrays of objects.

        Raises:
            LimitExceeded: the end of the file holds too many zip end records.
            Truncated: the reader returned less than the artifact's size promises.
        """
        if subject.kind.name != KIND:
            return None
        try:
            header = read_npy(subject)
        except NpyProblem as problem:
            finding = _BY_ID[problem.rule].finding(subject.path, problem.message, location=problem.location)
            return _refused(subject, [finding])
        if header.has_objects:
            return None
        findings = _judged(subject, header)
        if findings:
            return _refused(subject, findings)
        if header.numbers:
            subject.inert(header.data_start, subject.size_bytes)
        return report_of(NAME, subject, (), subject.size_bytes, kind=KIND)


def _judged(subject: Subject, header: NpyHeader) -> list[Finding]:
    findings = []
    place = zip_at_the_end(subject)
    if place is not None:
        message = "the array fills the file, and a zip archive's directory lies at its end"
        findings.append(_BY_ID["npy-zip-polyglot"].finding(subject.path, message, location=f"offset {place}"))
    if header.bytewise or not header.numbers:
        length = min(_PEEK_BYTES, subject.size_bytes - header.data_start)
        name = payload_of(subject.read_exactly(header.data_start, length)) if length >= 4 else ""
        if name:
            message = f"the array's bytes begin as a {name}"
            findings.append(
                _BY_ID["npy-payload"].finding(subject.path, message, location=f"offset {header.data_start}")
            )
    return findings


def _refused(subject: Subject, findings: list[Finding]) -> Report:
    grave = any(finding.severity.is_grave for finding in findings)
    coverage = Coverage(min(len(subject.head), subject.size_bytes), subject.size_bytes)
    return Report(NAME, subject.path, Verdict.BAD if grave else Verdict.UNKNOWN, coverage, tuple(findings))
