"""A scan as Markdown: for a pull request, a ticket, a release note.

Text from the model is put where Markdown cannot act: in code spans, without line breaks.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

from weighbridge.core.finding import Finding
from weighbridge.inspectors.rule import Rule
from weighbridge.reports.document import ScanDocument, by_rule

MAX_PLACES = 20
"""Places listed for one rule; the rest are counted."""


def as_markdown(document: ScanDocument, rules: Mapping[str, Rule]) -> str:
    """The report as one Markdown document."""
    return "\n".join(_lines(document, rules)) + "\n"


def _lines(document: ScanDocument, rules: Mapping[str, Rule]) -> Iterator[str]:
    inspection = document.inspection
    yield f"# Scan of {code(document.source)}"
    yield ""
    yield f"**Verdict: {inspection.verdict.value}**"
    yield ""
    yield "| | |"
    yield "|---|---|"
    if document.revision:
        yield f"| revision | {code(document.revision)} |"
    yield f"| files | {document.files}, {document.total_bytes} bytes, of which {document.read_bytes} were read |"
    yield f"| rules | {inspection.rules_version} (weighbridge {document.version}) |"
    yield f"| findings | {_counted(document)} |"
    for rule, findings in by_rule(document.findings).items():
        yield ""
        yield from _rule(rule, findings, rules.get(rule))
    if document.accepted_findings:
        yield ""
        yield "## Accepted"
        yield ""
        for finding in document.accepted_findings:
            entry = document.accepted[finding]
            yield f"- {code(finding.path)} {finding.rule}: {code(entry.reason)} ({code(entry.accepted_by)}, until {entry.expires})"
    if document.gaps:
        yield ""
        yield "## Not understood"
        yield ""
        for gap in document.gaps:
            yield f"- {code(gap.path)}: {gap.inspector} understood {gap.inspected_bytes} of {gap.present_bytes} bytes"
    yield ""
    yield "## Coverage"
    yield ""
    yield "| inspector | understood | present |"
    yield "|---|---:|---:|"
    for name, part in sorted(inspection.coverage().items()):
        yield f"| {name} | {part.inspected_bytes} | {part.present_bytes} |"


def _rule(rule_id: str, findings: list[Finding], rule: Rule | None) -> Iterator[str]:
    worst = max(finding.severity for finding in findings)
    title = rule.title if rule else rule_id
    yield f"## {worst.label}: {title} (`{rule_id}`)"
    yield ""
    if rule is not None:
        yield f"{rule.explanation} **What to do:** {rule.remedy}"
        yield ""
    for finding in findings[:MAX_PLACES]:
        place = f" at {code(finding.location)}" if finding.location else ""
        yield f"- {code(finding.path)}{place}: {code(finding.message)}"
    if len(findings) > MAX_PLACES:
        yield f"- and {len(findings) - MAX_PLACES} more"


def _counted(document: ScanDocument) -> str:
    counts: dict[str, int] = {}
    for finding in document.findings:
        counts[finding.severity.label] = counts.get(finding.severity.label, 0) + 1
    words = ", ".join(f"{number} {label}" for label, number in counts.items()) or "none"
    accepted = len(document.accepted_findings)
    return f"{words}; {accepted} accepted" if accepted else words


def code(text: str) -> str:
    """Text as a code span that it cannot leave: one line, fenced by more backticks than it holds, no table bars."""
    flat = re.sub(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069\u200b-\u200f\ufeff]", "\ufffd", text)
    flat = flat.replace("|", "\\|")
    longest = max((len(run) for run in re.findall(r"`+", flat)), default=0)
    fence = "`" * (longest + 1)
    padding = " " if flat.startswith("`") or flat.endswith("`") else ""
    return f"{fence}{padding}{flat}{padding}{fence}" if flat else ""
