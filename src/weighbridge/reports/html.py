"""A scan as one HTML page that needs nothing else: no scripts, no fonts, no requests.

Everything that comes from the model goes through the template engine's escaping.
"""

from __future__ import annotations

from collections.abc import Mapping
from importlib.resources import files

from jinja2 import Environment, StrictUndefined

from weighbridge.inspectors.rule import Rule
from weighbridge.reports.document import ScanDocument, by_rule

MAX_PLACES = 200
"""Places listed for one rule; the rest are counted."""


def as_html(document: ScanDocument, rules: Mapping[str, Rule]) -> str:
    """The report as one HTML document."""
    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    template = environment.from_string(
        files("weighbridge.reports").joinpath("scan.html.jinja").read_text(encoding="utf-8")
    )
    groups = [
        {
            "id": rule_id,
            "rule": rules.get(rule_id),
            "severity": max(finding.severity for finding in findings).label,
            "findings": findings[:MAX_PLACES],
            "more": max(0, len(findings) - MAX_PLACES),
        }
        for rule_id, findings in by_rule(document.findings).items()
    ]
    coverage = [
        (name, part.inspected_bytes, part.present_bytes)
        for name, part in sorted(document.inspection.coverage().items())
    ]
    return template.render(document=document, groups=groups, coverage=coverage)
