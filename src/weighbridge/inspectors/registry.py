"""All inspectors and all rules, and how they are run over one artifact."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from weighbridge.core.errors import FormatError, IntegrityError
from weighbridge.core.finding import Coverage, Report, Severity, Verdict
from weighbridge.core.ports import Inspector, RangeReader
from weighbridge.inspectors import census, weights
from weighbridge.inspectors.rule import Rule

RULES_VERSION: Final = "2026.11.1"
"""Changes whenever a rule is added or removed, or judges otherwise; recorded in every inspection and every seal."""

INSPECTORS: Final[tuple[Inspector, ...]] = (census.FileKinds(), weights.SafetensorsStructure())

COULD_NOT_ANSWER: Final = Rule(
    "inspector-could-not-answer",
    "An inspector could not answer",
    Severity.MEDIUM,
    "registry",
    "The bytes could not be read to the end or broke a bound on the way, so nothing is known about the artifact.",
    "Verify the revision, then inspect it again. An answer that stays away is itself a reason not to use the file.",
)
RULES: Final[Mapping[str, Rule]] = MappingProxyType(
    {rule.id: rule for rule in (*census.RULES, *weights.RULES, COULD_NOT_ANSWER)}
)


def inspect_artifact(reader: RangeReader) -> tuple[Report, ...]:
    """What every inspector that the artifact concerns says of it; at least the census always answers.

    An inspector that fails on the bytes has not answered: its report is `unknown` with no coverage. That the bytes
    cannot be reached at all is not an answer about them and is raised.

    Raises:
        SourceError, StoreError: the bytes could not be reached.
    """
    reports = (_inspect(inspector, reader) for inspector in INSPECTORS)
    return tuple(report for report in reports if report is not None)


def _inspect(inspector: Inspector, reader: RangeReader) -> Report | None:
    try:
        return inspector.inspect(reader)
    except (FormatError, IntegrityError) as error:
        finding = COULD_NOT_ANSWER.finding(reader.path, f"{inspector.name}: {error.message}")
        return Report(inspector.name, reader.path, Verdict.UNKNOWN, Coverage(0, reader.size_bytes), (finding,))
