"""One scan's result as every report writes it: what was inspected, what was found, what of it was accepted.

`to_json` is the published form; `scan.schema.json` beside this module is its JSON Schema (draft 2020-12).
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import field
from types import MappingProxyType
from typing import Final

from weighbridge.core.canonical import JsonValue
from weighbridge.core.dataclass import dataclass
from weighbridge.core.finding import Finding, Inspection, Report, Severity, Verdict
from weighbridge.reports.baseline import Acceptance

FORMAT: Final = "weighbridge.scan/1"
NOT_UNDERSTOOD: Final = "not-understood"
"""Stands for an inspector's `unknown` that no finding explains."""


@dataclass(frozen=True, slots=True)
class Gap:
    """An artifact about which an inspector left bytes out, or could not say."""

    path: str
    inspector: str
    inspected_bytes: int
    present_bytes: int
    kind: str


@dataclass(frozen=True, slots=True)
class ScanDocument:
    """A scan of one source. `accepted` maps findings and gaps that a baseline accepts to why.

    Sizes are bytes; `read_bytes` is what was fetched for the answer.
    """

    source: str
    revision: str
    inspection: Inspection
    files: int
    total_bytes: int
    read_bytes: int
    milliseconds: int
    version: str
    accepted: Mapping[Finding | Gap, Acceptance] = field(default_factory=lambda: MappingProxyType({}))

    @property
    def findings(self) -> tuple[Finding, ...]:
        """Findings that nobody accepted, worst first."""
        return tuple(finding for finding in self.inspection.findings if finding not in self.accepted)

    @property
    def accepted_findings(self) -> tuple[Finding, ...]:
        """Findings that the baseline accepts, worst first."""
        return tuple(finding for finding in self.inspection.findings if finding in self.accepted)

    @property
    def gaps(self) -> tuple[Gap, ...]:
        """What was not understood and no finding says so, by path."""
        return tuple(gap for gap in gaps_of(self.inspection) if gap not in self.accepted)

    @property
    def highest_severity(self) -> Severity | None:
        """The worst that nobody accepted."""
        return max((finding.severity for finding in self.findings), default=None)

    @property
    def answered(self) -> bool:
        """Whether every inspector gave an answer, or a person accepted that it did not."""
        reports = (report for report in self.inspection.reports if report.settled_verdict is Verdict.UNKNOWN)
        return not self.gaps and not any(
            finding not in self.accepted for report in reports for finding in report.findings
        )

    def to_json(self) -> dict[str, JsonValue]:
        """The published form."""
        inspection = self.inspection
        return {
            "format": FORMAT,
            "weighbridge_version": self.version,
            "rules_version": inspection.rules_version,
            "source": self.source,
            "revision": self.revision,
            "verdict": inspection.verdict.value,
            "files": self.files,
            "total_bytes": self.total_bytes,
            "read_bytes": self.read_bytes,
            "milliseconds": self.milliseconds,
            "coverage": {
                name: {"inspected_bytes": part.inspected_bytes, "present_bytes": part.present_bytes}
                for name, part in sorted(inspection.coverage().items())
            },
            "findings": [finding.to_json() for finding in self.findings],
            "accepted": [
                {**finding.to_json(), "acceptance": self.accepted[finding].to_json()}
                for finding in self.accepted_findings
            ],
            "not_understood": [
                {
                    "path": gap.path,
                    "inspector": gap.inspector,
                    "kind": gap.kind,
                    "inspected_bytes": gap.inspected_bytes,
                    "present_bytes": gap.present_bytes,
                }
                for gap in self.gaps
            ],
        }


def gaps_of(inspection: Inspection) -> list[Gap]:
    """Every unknown answer that no finding explains, by path and inspector."""
    kinds = {report.path: report.kind for report in inspection.reports if report.kind}
    gaps = {_gap(report, kinds) for report in inspection.reports if _is_gap(report)}
    return sorted(gaps, key=lambda gap: (gap.path, gap.inspector))


def _is_gap(report: Report) -> bool:
    return not report.findings and report.settled_verdict is Verdict.UNKNOWN


def _gap(report: Report, kinds: Mapping[str, str]) -> Gap:
    coverage = report.coverage
    kind = report.kind or kinds.get(report.path, "")
    return Gap(report.path, report.inspector, coverage.inspected_bytes, coverage.present_bytes, kind)


def schema() -> dict[str, JsonValue]:
    """The JSON Schema of `ScanDocument.to_json`."""
    from importlib.resources import files

    text = files("weighbridge.reports").joinpath("scan.schema.json").read_text(encoding="utf-8")
    value: dict[str, JsonValue] = json.loads(text)
    return value


def by_rule(findings: Sequence[Finding]) -> dict[str, list[Finding]]:
    """Findings grouped by rule, in their order."""
    grouped: dict[str, list[Finding]] = {}
    for finding in findings:
        grouped.setdefault(finding.rule, []).append(finding)
    return grouped
