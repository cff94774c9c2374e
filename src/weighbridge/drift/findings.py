"""What inspectors find in files that changed, and did not find before.

Only files whose bytes changed count: a rule set that grew says new things of old files, which is no change of theirs.
Findings are told apart by file, rule and message; lines and offsets move when a file is edited.
"""

from __future__ import annotations

from collections import Counter

from weighbridge.core.counted import plural
from weighbridge.core.finding import Finding, Severity
from weighbridge.drift.change import Area, Change, Compared, shown
from weighbridge.drift.files import Pairing
from weighbridge.drift.side import Side


def compare_findings(before: Side, after: Side, pairing: Pairing) -> Compared:
    """The findings that are new."""
    if after.inspection is None or before.inspection is None:
        if not pairing.touched:
            return Compared()
        side = after if after.inspection is None else before
        missing = Change(
            Area.FINDINGS,
            "",
            f"{side.name} was not inspected: new findings are not known",
            Severity.MEDIUM,
            compared=False,
        )
        return Compared((missing,), "not inspected")
    names = dict(pairing.renamed)
    known = Counter(_key(finding, names.get(finding.path, finding.path)) for finding in before.inspection.findings)
    fresh: list[Finding] = []
    for finding in after.inspection.findings:
        key = _key(finding, finding.path)
        if known[key] > 0:
            known[key] -= 1
        elif finding.path in pairing.touched:
            fresh.append(finding)
    changes = tuple(_change(finding) for finding in fresh)
    if not changes:
        return Compared()
    worst = max(finding.severity for finding in fresh)
    return Compared(changes, f"{plural(len(fresh), 'new finding')}, the worst {worst.label}")


def _key(finding: Finding, path: str) -> tuple[str, str, str]:
    return path, finding.rule, finding.message


def _change(finding: Finding) -> Change:
    return Change(
        Area.FINDINGS,
        finding.path,
        f"found now and not before: {finding.rule}: {shown(finding.message)}",
        finding.severity,
        location=finding.location,
        detail=finding.remedy,
    )
