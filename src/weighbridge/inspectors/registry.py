"""All inspectors and all rules, and how they are run over one artifact."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from types import MappingProxyType
from typing import Final

from weighbridge.core.errors import FormatError, IntegrityError
from weighbridge.core.finding import Coverage, Report, Severity, Verdict
from weighbridge.core.ports import RangeReader
from weighbridge.inspectors import (
    antivirus,
    archives,
    arrays,
    cards,
    census,
    configs,
    families,
    flax,
    gguf,
    hdf5,
    keras,
    malware,
    media,
    notebooks,
    onnx,
    pickles,
    plain_texts,
    python_code,
    repository,
    scripts,
    secrets,
    templates,
    tensorflow,
    tflite,
    tokenizers,
    weights,
)
from weighbridge.inspectors.examples import EXAMPLES
from weighbridge.inspectors.rule import Rule
from weighbridge.inspectors.subject import Inspected, Inspector, Subject

RULES_VERSION: Final = "2026.11.3"
"""Changes whenever a rule is added or removed, or judges otherwise; recorded in every inspection and every seal."""

INSPECTORS: Final[tuple[Inspector, ...]] = (
    census.FileKinds(),
    weights.SafetensorsStructure(),
    gguf.GgufStructure(),
    flax.FlaxCheckpoints(),
    arrays.PlainArrays(),
    pickles.Pickles(),
    archives.Archives(),
    media.Media(),
    onnx.Onnx(),
    hdf5.Hdf5(),
    keras.Keras(),
    tensorflow.TensorFlow(),
    tflite.Tflite(),
    configs.Configurations(),
    tokenizers.Tokenizers(),
    templates.ChatTemplates(),
    python_code.PythonCode(),
    notebooks.Notebooks(),
    scripts.Scripts(),
    *families.INSPECTORS,
    cards.ModelCards(),
    plain_texts.PlainTexts(),
)

COULD_NOT_ANSWER: Final = Rule(
    "inspector-could-not-answer",
    "An inspector could not answer",
    Severity.MEDIUM,
    "registry",
    "The bytes could not be read to the end or broke a bound on the way, so nothing is known about the artifact.",
    "Verify the revision, then inspect it again. An answer that stays away is itself a reason not to use the file.",
)
CRASHED: Final = Rule(
    "inspector-crashed",
    "The inspection of a file crashed",
    Severity.MEDIUM,
    "registry",
    "The process that inspected it ended, or ate more memory than it may. Honest files do not do that to a parser.",
    "Do not load the file. Inspect it on a machine of its own, and report the file's digest to the project.",
)
TIMED_OUT: Final = Rule(
    "inspector-timed-out",
    "The inspection of a file did not end in time",
    Severity.MEDIUM,
    "registry",
    "The file makes its inspection run on and on; a loader may do the same.",
    "Do not load the file. Raise `inspection.seconds` if the machine is slow, and inspect it again.",
)
RULES: Final[Mapping[str, Rule]] = MappingProxyType(
    {
        rule.id: replace(rule, example=EXAMPLES.get(rule.id, ""))
        for rule in (
            *census.RULES,
            *weights.RULES,
            *gguf.RULES,
            *flax.RULES,
            *arrays.RULES,
            *pickles.RULES,
            *archives.RULES,
            *media.RULES,
            *onnx.RULES,
            *hdf5.RULES,
            *keras.RULES,
            *tensorflow.RULES,
            *tflite.RULES,
            *configs.RULES,
            *tokenizers.RULES,
            *templates.RULES,
            *python_code.RULES,
            *notebooks.RULES,
            *scripts.RULES,
            *families.RULES,
            *cards.RULES,
            *plain_texts.RULES,
            *malware.RULES,
            *secrets.RULES,
            *antivirus.RULES,
            *repository.RULES,
            COULD_NOT_ANSWER,
            CRASHED,
            TIMED_OUT,
        )
    }
)


def inspect_artifact(reader: RangeReader, content: Inspector | None = None) -> Inspected:
    """What every inspector that the artifact concerns says of it and its members; at least the census always answers.

    `content` comes last, on the artifact and on each member, when the formats have said which bytes are inert. An
    inspector that fails on the bytes has not answered: its report is `unknown` with no coverage. That the bytes cannot
    be reached at all is not an answer about them and is raised.

    Raises:
        SourceError, StoreError: the bytes could not be reached.
    """

    def inspect(subject: Subject) -> Inspected:
        return inspect_subject(subject, content)

    return inspect(Subject(reader, inspect))


def inspect_subject(subject: Subject, content: Inspector | None = None) -> Inspected:
    """As `inspect_artifact`, for a subject that is there already."""
    answers = (_inspect(inspector, subject) for inspector in INSPECTORS)
    reports = [report for report in answers if report is not None]
    own = [_settled(report, reports) for report in reports]
    last = _inspect(content, subject) if content is not None else None
    if last is not None:
        own.append(last)
    return Inspected((*own, *subject.members.values()), tuple(subject.facts))


def _settled(report: Report, reports: Sequence[Report]) -> Report:
    """The census's word on the content, taken back where another inspector gives the account of it.

    The census cannot know whether anybody looks inside: inspectors do not know each other. What it says of the name
    stays.
    """
    read = report.kind and any(other is not report and other.kind == report.kind for other in reports)
    if report.inspector != census.NAME or not read:
        return report
    findings = tuple(finding for finding in report.findings if finding.rule not in census.ABOUT_CONTENT)
    verdict = Verdict.BAD if any(finding.severity.is_grave for finding in findings) else Verdict.CLEAN
    return replace(report, verdict=verdict, coverage=Coverage(0, 0), findings=findings)


def _inspect(inspector: Inspector, subject: Subject) -> Report | None:
    try:
        return inspector.inspect(subject)
    except (FormatError, IntegrityError) as error:
        finding = COULD_NOT_ANSWER.finding(subject.path, f"{inspector.name}: {error.message}")
        return Report(inspector.name, subject.path, Verdict.UNKNOWN, Coverage(0, subject.size_bytes), (finding,))
