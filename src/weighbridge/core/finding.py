"""What inspectors say: findings, coverage, verdicts. Unknown never passes."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import field
from enum import Enum, IntEnum

from weighbridge.core import canonical
from weighbridge.core.canonical import Fields, JsonValue
from weighbridge.core.dataclass import dataclass
from weighbridge.core.errors import Malformed

FORMAT = "weighbridge.inspection/1"


class Severity(IntEnum):
    """How bad it is if true. The values are the exit codes of `scan` (11 to 14)."""

    LOW = 11
    MEDIUM = 12
    HIGH = 13
    CRITICAL = 14

    @property
    def label(self) -> str:
        """The word written in reports."""
        return self.name.lower()

    @property
    def is_grave(self) -> bool:
        """Whether one finding of it makes an artifact bad."""
        return self >= Severity.HIGH


class Confidence(Enum):
    """How sure the inspector is."""

    LOW = "low"
    MEDIUM = "medium"
    HIGH = "high"


class Verdict(Enum):
    """The answer of an inspector about an artifact or a revision."""

    CLEAN = "clean"
    BAD = "bad"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True, order=True)
class Finding:
    """One thing an inspector noticed.

    `rule` is a stable kebab-case id; `location` says where inside the artifact (a member, a tensor, an offset);
    `evidence` never carries a secret; `remedy` says what to do.
    """

    path: str
    rule: str
    severity: Severity
    confidence: Confidence = field(compare=False)
    message: str
    location: str = ""
    evidence: str = ""
    remedy: str = ""

    def sort_key(self) -> bytes:
        """An order over everything that is written down, so that equal sets give equal records."""
        return canonical.encode(self.to_json())

    def to_json(self) -> dict[str, JsonValue]:
        """The record of this finding."""
        return {
            "path": self.path,
            "rule": self.rule,
            "severity": self.severity.label,
            "confidence": self.confidence.value,
            "message": self.message,
            "location": self.location,
            "evidence": self.evidence,
            "remedy": self.remedy,
        }


@dataclass(frozen=True, slots=True)
class Coverage:
    """Bytes an inspector accounted for, of the bytes present.

    `inspected` are bytes it understood; structural checks that make the rest inert by the format's own rules (the data
    section of a safetensors file) count, bytes nobody understands do not.
    """

    inspected_bytes: int
    present_bytes: int

    @property
    def complete(self) -> bool:
        """Whether nothing was left out."""
        return self.inspected_bytes >= self.present_bytes

    def __add__(self, other: Coverage) -> Coverage:
        return Coverage(self.inspected_bytes + other.inspected_bytes, self.present_bytes + other.present_bytes)


@dataclass(frozen=True, slots=True)
class Report:
    """What one inspector says of one artifact."""

    inspector: str
    path: str
    verdict: Verdict
    coverage: Coverage
    findings: tuple[Finding, ...] = ()
    kind: str = ""
    """What the artifact is, by content (`safetensors`, `json`, `pickle`, `unrecognised` …), where the inspector tells."""

    @property
    def settled_verdict(self) -> Verdict:
        """The verdict; a clean one that left bytes out is unknown."""
        return Verdict.UNKNOWN if self.verdict is Verdict.CLEAN and not self.coverage.complete else self.verdict


@dataclass(frozen=True, slots=True)
class Inspection:
    """All reports about a revision under one rule set."""

    reports: tuple[Report, ...]
    rules_version: str

    @property
    def findings(self) -> tuple[Finding, ...]:
        """All findings, worst first."""
        found = [finding for report in self.reports for finding in report.findings]
        return tuple(sorted(found, key=lambda f: (-f.severity, f.path, f.rule, f.location)))

    @property
    def verdict(self) -> Verdict:
        """`bad` if any report is; `clean` only if every artifact got a clean answer with full coverage; else `unknown`."""
        return combine(report.settled_verdict for report in self.reports)

    @property
    def highest_severity(self) -> Severity | None:
        """The worst severity found."""
        return max((finding.severity for finding in self.findings), default=None)

    def coverage(self) -> dict[str, Coverage]:
        """Coverage per inspector."""
        total: dict[str, Coverage] = {}
        for report in self.reports:
            total[report.inspector] = total.get(report.inspector, Coverage(0, 0)) + report.coverage
        return total

    def to_json(self) -> dict[str, JsonValue]:
        """The stored record: every report, in order of path and inspector."""
        reports: list[dict[str, JsonValue]] = [
            {
                "path": report.path,
                "inspector": report.inspector,
                "kind": report.kind,
                "verdict": report.verdict.value,
                "inspected_bytes": report.coverage.inspected_bytes,
                "present_bytes": report.coverage.present_bytes,
                "findings": [finding.to_json() for finding in sorted(report.findings, key=Finding.sort_key)],
            }
            for report in self.reports
        ]
        reports.sort(key=_report_key)
        return {
            "format": FORMAT,
            "rules_version": self.rules_version,
            "verdict": self.verdict.value,
            "reports": reports,
        }

    def to_bytes(self) -> bytes:
        """The canonical bytes of the record."""
        return canonical.encode(self.to_json())

    @classmethod
    def from_bytes(cls, data: bytes) -> Inspection:
        """Reads a stored record.

        Raises:
            Malformed, LimitExceeded: it is not what `to_bytes` writes.
        """
        what = "the inspection"
        fields = Fields(canonical.decode_object(data, what=what), what=what)
        if fields.text("format") != FORMAT:
            raise Malformed("the inspection has a format this version does not read")
        reports = tuple(_read_report(Fields(item, what="a report")) for item in fields.items("reports"))
        return cls(reports, fields.text("rules_version"))


def combine(verdicts: Iterable[Verdict]) -> Verdict:
    """The verdict over several: bad wins, then unknown; no verdict at all is unknown."""
    seen = set(verdicts)
    if Verdict.BAD in seen:
        return Verdict.BAD
    return Verdict.CLEAN if seen == {Verdict.CLEAN} else Verdict.UNKNOWN


def _read_report(record: Fields) -> Report:
    try:
        verdict = Verdict(record.text("verdict"))
    except ValueError as error:
        raise Malformed("a report of the inspection has no known verdict") from error
    return Report(
        inspector=record.text("inspector"),
        path=record.text("path"),
        verdict=verdict,
        coverage=Coverage(record.integer("inspected_bytes"), record.integer("present_bytes")),
        findings=tuple(_read_finding(Fields(item, what="a finding")) for item in record.items("findings")),
        kind=record.text("kind"),
    )


def _read_finding(record: Fields) -> Finding:
    try:
        severity, confidence = Severity[record.text("severity").upper()], Confidence(record.text("confidence"))
    except (KeyError, ValueError) as error:
        raise Malformed("a finding of the inspection has no known severity or confidence") from error
    return Finding(
        path=record.text("path"),
        rule=record.text("rule"),
        severity=severity,
        confidence=confidence,
        message=record.text("message"),
        location=record.text("location"),
        evidence=record.text("evidence"),
        remedy=record.text("remedy"),
    )


def _report_key(record: dict[str, JsonValue]) -> tuple[str, str, bytes]:
    return str(record["path"]), str(record["inspector"]), canonical.encode(record)
