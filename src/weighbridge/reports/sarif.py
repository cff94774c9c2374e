"""Findings as SARIF 2.1.0 (OASIS, 27 March 2020), for code-scanning dashboards.

One run; every rule that has a result is described; results name the artifact by its path in the model, with a
fingerprint that survives a move of the finding within the file; accepted findings carry a suppression. A revision or a
whole model that could not be inspected is a tool notification, so that an empty list of results is not read as clean.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from typing import Final
from urllib.parse import quote

from weighbridge.core.canonical import JsonValue
from weighbridge.core.finding import Confidence, Finding, Severity
from weighbridge.inspectors.rule import Rule
from weighbridge.reports.document import Gap, ScanDocument

SCHEMA: Final = "https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json"
_LEVELS: Final = {
    Severity.CRITICAL: "error",
    Severity.HIGH: "error",
    Severity.MEDIUM: "warning",
    Severity.LOW: "note",
}
# GitHub ranks results by this number (over 9.0 is critical, over 7.0 high, over 4.0 medium).
_SECURITY_SEVERITY: Final = {
    Severity.CRITICAL: "9.5",
    Severity.HIGH: "8.0",
    Severity.MEDIUM: "5.5",
    Severity.LOW: "2.0",
}
_LINE: Final = re.compile(r"line ([1-9]\d{0,8})\b")
_RANK: Final = {Confidence.HIGH: 95, Confidence.MEDIUM: 60, Confidence.LOW: 25}


def as_sarif(document: ScanDocument, rules: Mapping[str, Rule]) -> dict[str, JsonValue]:
    """The SARIF log of a scan; `rules` describes the rules by id."""
    findings = [*document.findings, *document.accepted_findings]
    used = sorted({finding.rule for finding in findings})
    places = {rule: place for place, rule in enumerate(used)}
    return {
        "$schema": SCHEMA,
        "version": "2.1.0",
        "runs": [
            {
                "tool": {
                    "driver": {
                        "name": "weighbridge",
                        "semanticVersion": document.version,
                        "rules": [_rule(rule, rules.get(rule), findings) for rule in used],
                    }
                },
                "automationDetails": {"id": f"weighbridge/{quote(document.source, safe='/')}"},
                "invocations": [
                    {
                        "executionSuccessful": document.answered,
                        "toolExecutionNotifications": [_notification(gap) for gap in document.gaps],
                    }
                ],
                "columnKind": "unicodeCodePoints",
                "results": [_result(finding, places, document) for finding in findings],
                "properties": {
                    "source": document.source,
                    "revision": document.revision,
                    "verdict": document.inspection.verdict.value,
                    "rulesVersion": document.inspection.rules_version,
                },
            }
        ],
    }


def _rule(rule_id: str, rule: Rule | None, findings: list[Finding]) -> dict[str, JsonValue]:
    worst = max(finding.severity for finding in findings if finding.rule == rule_id)
    described: dict[str, JsonValue] = {
        "id": rule_id,
        "defaultConfiguration": {"level": _LEVELS[worst]},
        "properties": {"security-severity": _SECURITY_SEVERITY[worst], "tags": ["security", "model"]},
    }
    if rule is not None:
        described |= {
            "name": "".join(word.capitalize() for word in rule_id.split("-")),
            "shortDescription": {"text": rule.title},
            "fullDescription": {"text": rule.explanation},
            "help": {"text": f"{rule.explanation} {rule.remedy}"},
        }
    return described


def _result(finding: Finding, places: Mapping[str, int], document: ScanDocument) -> dict[str, JsonValue]:
    words = [finding.message, f"at {finding.location}" if finding.location else "", finding.remedy]
    identity = "\0".join((finding.path, finding.rule, finding.message))
    result: dict[str, JsonValue] = {
        "ruleId": finding.rule,
        "ruleIndex": places[finding.rule],
        "level": _LEVELS[finding.severity],
        "rank": _RANK[finding.confidence],
        "message": {"text": ". ".join(word.rstrip(".") for word in words if word)},
        "locations": [_location(finding)],
        "partialFingerprints": {"weighbridge/1": hashlib.sha256(identity.encode("utf-8")).hexdigest()},
        "properties": {"severity": finding.severity.label, "confidence": finding.confidence.value},
    }
    acceptance = document.accepted.get(finding)
    if acceptance is not None:
        justification = f"{acceptance.reason} ({acceptance.accepted_by}, until {acceptance.expires})"
        result["suppressions"] = [{"kind": "external", "status": "accepted", "justification": justification}]
    return result


def _location(finding: Finding) -> dict[str, JsonValue]:
    physical: dict[str, JsonValue] = {"artifactLocation": {"uri": quote(finding.path or ".", safe="/")}}
    if line := _LINE.match(finding.location):
        physical["region"] = {"startLine": int(line.group(1))}
    location: dict[str, JsonValue] = {"physicalLocation": physical}
    if finding.location:
        location["logicalLocations"] = [{"fullyQualifiedName": finding.location, "kind": "member"}]
    return location


def _notification(gap: Gap) -> dict[str, JsonValue]:
    text = (
        f"{gap.inspector} understood {gap.inspected_bytes} of {gap.present_bytes} bytes of '{gap.path}'"
        f"{f' ({gap.kind})' if gap.kind else ''}: the verdict is unknown"
    )
    return {
        "level": "warning",
        "message": {"text": text},
        "locations": [{"physicalLocation": {"artifactLocation": {"uri": quote(gap.path or ".", safe="/")}}}],
    }
