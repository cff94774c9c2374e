"""Does this TensorFlow Lite model use operators that the interpreter has, and hold nothing besides?

Built-in operators are compiled into the interpreter and pass. Custom ones need code from elsewhere and are unknown;
those called `Flex...` run TensorFlow's own operations and are judged like those. Buffers are numbers by the format's own
rules. Bytes after the last structure do not pass, but for the archive of label files that metadata allows there.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Final

from weighbridge.core.errors import LimitExceeded
from weighbridge.core.finding import Finding, Report, Severity, Verdict
from weighbridge.formats.tensorflow_ops import REGISTERED
from weighbridge.formats.tflite import CUSTOM, LAST_BUILTIN, TfliteModel, TfliteProblem, read_tflite
from weighbridge.formats.zip_tail import zip_at_the_end
from weighbridge.inspectors.graphs import tensorflow_dangers as dangers
from weighbridge.inspectors.notes import first_of_each
from weighbridge.inspectors.rule import Rule
from weighbridge.inspectors.subject import Subject, report_of

NAME: Final = "tflite"
KIND: Final = "tflite"
MAX_SAME: Final = 20
LONG_GAP_BYTES: Final = 4096
"""Options and quantization details that are not followed are short; a longer run belongs to nothing."""
_PADDING_BYTES: Final = 64
_REFUSE: Final = "Do not load the file. Ask its publisher for one that computes and nothing else."


def _rule(name: str, title: str, severity: Severity, explanation: str, remedy: str = _REFUSE) -> Rule:
    return Rule(f"tflite-{name}", title, severity, NAME, explanation, remedy)


RULES: Final[tuple[Rule, ...]] = (
    _rule(
        "flex-danger",
        "TensorFlow operation that does more than compute",
        Severity.HIGH,
        "Flex operators run TensorFlow's own; this one reads or writes files, calls Python or talks to others.",
    ),
    _rule(
        "custom-operator",
        "Operator that the interpreter does not have",
        Severity.MEDIUM,
        "It runs only with code that the model's user is asked to link or load.",
        "Decide whether the library that implements it is one you use, or ask for a model without it.",
    ),
    _rule(
        "bad-reference",
        "Reference to what is not there",
        Severity.HIGH,
        "Operators, tensors or metadata point beyond the lists they point into; careless readers follow.",
    ),
    _rule("trailing-data", "Bytes after the last structure", Severity.HIGH, "No reader of the format looks there."),
    _rule(
        "packed-files",
        "Archive of files behind the model",
        Severity.MEDIUM,
        "Metadata may bring label files along in an archive at the end; it was not looked into.",
        "Ask for the model without them, or unpack it outside and look.",
    ),
    _rule("zip-polyglot", "Also a zip archive", Severity.HIGH, "A reader of zip archives finds another content in it."),
    _rule(
        "unaccounted",
        "Long runs of bytes that belong to nothing",
        Severity.LOW,
        "Nothing that was followed refers to them; they were not understood.",
        "Ask for a model converted anew.",
    ),
    _rule(
        "not-readable",
        "Offsets that do not hold",
        Severity.HIGH,
        "The file is damaged or made to break readers.",
        "Do not load the file. Fetch it again from its publisher.",
    ),
    _rule(
        "not-understood",
        "Larger than is read, or of another version",
        Severity.MEDIUM,
        "Nothing is known of what was not read.",
        "Ask for a model of schema version 3.",
    ),
)
_BY_ID: Final[Mapping[str, Rule]] = {rule.id: rule for rule in RULES}
_UNSETTLED: Final = frozenset(("tflite-custom-operator", "tflite-packed-files", "tflite-not-understood"))
_DANGEROUS: Final = dangers.PYTHON | dangers.FILES | dangers.NETWORK


class Tflite:
    """The inspector `tflite`; see the module."""

    name = NAME

    def inspect(self, subject: Subject) -> Report | None:
        """Clean with full coverage for built-in operators and nothing besides; None for files of other formats.

        Raises:
            Truncated: the reader returned less than the artifact's size promises.
        """
        if subject.kind.name != KIND and subject.head[4:8] != b"TFL3":
            return None
        try:
            model = read_tflite(subject)
        except LimitExceeded as error:
            return report_of(NAME, subject, [_BY_ID["tflite-not-understood"].finding(subject.path, error.message)], 0)
        except TfliteProblem as error:
            return report_of(NAME, subject, [_BY_ID["tflite-not-readable"].finding(subject.path, error.message)], 0)
        for start, end in model.buffers:
            if end - start >= LONG_GAP_BYTES:
                subject.inert(start, end)
        findings, unowned = list(_operators(subject.path, model)), 0
        for finding, length in _bytes(subject, model):
            findings.append(finding)
            unowned += length
        report = report_of(
            NAME, subject, first_of_each(findings, MAX_SAME), subject.size_bytes - unowned, kind=subject.kind.name
        )
        if report.verdict is Verdict.CLEAN and any(finding.rule in _UNSETTLED for finding in findings):
            return replace(report, verdict=Verdict.UNKNOWN)
        return report


def _operators(path: str, model: TfliteModel) -> Iterator[Finding]:
    if model.version != 3:
        yield _BY_ID["tflite-not-understood"].finding(path, f"schema version {model.version}")
    for what in model.bad_references:
        yield _BY_ID["tflite-bad-reference"].finding(path, what)
    for index, code in enumerate(model.codes):
        where = f"operator code {index}" + ("" if index in model.used else ", not used")
        name = code.custom
        if code.builtin == CUSTOM and name.startswith("Flex"):
            operation = name[4:]
            if operation in _DANGEROUS:
                message = f"operation {operation!a:.100}"
                yield _BY_ID["tflite-flex-danger"].finding(path, message, location=where)
            elif operation not in REGISTERED or operation in dangers.NESTED:
                yield _BY_ID["tflite-custom-operator"].finding(path, f"operator {name!a:.100}", location=where)
        elif code.builtin == CUSTOM or code.builtin > LAST_BUILTIN:
            said = f"operator {name!a:.100}" if name else f"operator number {code.builtin}"
            yield _BY_ID["tflite-custom-operator"].finding(path, said, location=where)


def _bytes(subject: Subject, model: TfliteModel) -> Iterator[tuple[Finding, int]]:
    """What lies where nothing refers to, and how many bytes that is."""
    path, size = subject.path, subject.size_bytes
    place = zip_at_the_end(subject)
    has_metadata = any(name == "TFLITE_METADATA" for name, _ in model.metadata)
    if place is not None:
        rule = "packed-files" if has_metadata else "zip-polyglot"
        message = "a zip archive's directory ends at the end"
        yield _BY_ID[f"tflite-{rule}"].finding(path, message, location=f"offset {place}"), size - model.end
    elif size > model.end:
        rest = subject.read_exactly(model.end, min(size - model.end, 1024 * 1024))
        if size - model.end > _PADDING_BYTES or rest.strip(b"\0"):
            message = f"{size - model.end} bytes after the last structure"
            found = _BY_ID["tflite-trailing-data"].finding(path, message, location=f"offset {model.end}")
            yield found, size - model.end
    for start, end in model.gaps:
        if end - start > LONG_GAP_BYTES and end <= model.end:
            message = f"{end - start} bytes that nothing refers to"
            yield _BY_ID["tflite-unaccounted"].finding(path, message, location=f"offset {start}"), end - start
