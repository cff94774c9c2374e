"""All inspectors and all rules, and how they are run over one artifact."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from types import MappingProxyType
from typing import Final

from weighbridge.core.errors import FormatError, IntegrityError
from weighbridge.core.finding import Coverage, Report, Severity, Verdict
from weighbridge.core.ports import RangeReader
from weighbridge.inspectors import census, pickles, weights
from weighbridge.inspectors.rule import Rule
from weighbridge.inspectors.subject import Inspected, Inspector, Subject

RULES_VERSION: Final = "2026.11.2"
"""Changes whenever a rule is added or removed, or judges otherwise; recorded in every inspection and every seal."""

INSPECTORS: Final[tuple[Inspector, ...]] = (census.FileKinds(), weights.SafetensorsStructure(), pickles.Pickles())

COULD_NOT_ANSWER: Final = Rule(
    "inspector-could-not-answer",
    "An inspector could not answer",
    Severity.MEDIUM,
    "registry",
    "The bytes could not be read to the end or broke a bound on the way, so nothing is known about the artifact.",
    "Verify the revision, then inspect it again. An answer that stays away is itself a reason not to use the file.",
)
RULES: Final[Mapping[str, Rule]] = MappingProxyType(
    {rule.id: rule for rule in (*census.RULES, *weights.RULES, *pickles.RULES, COULD_NOT_ANSWER)}
)


def inspect_artifact(reader: RangeReader) -> Inspected:
    """What every inspector that the artifact concerns says of it and its members; at least the census always answers.

    An inspector that fails on the bytes has not answered: its report is `unknown` with no coverage. That the bytes
    cannot be reached at all is not an answer about them and is raised.

    Raises:
        SourceError, StoreError: the bytes could not be reached.
    """
    return inspect_subject(Subject(reader, inspect_subject))


def inspect_subject(subject: Subject) -> Inspected:
    """As `inspect_artifact`, for a subject that is there already."""
    answers = (_inspect(inspector, subject) for inspector in INSPECTORS)
    reports = [report for report in answers if report is not None]
    own = [_settled(report, reports) for report in reports]
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
