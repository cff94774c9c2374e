"""What a worker says of one artifact, as bytes: lists of plain values, read as strictly as a stored record.

An answer is about the artifact that was asked about and cannot name another: paths are not in it.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import NamedTuple

from weighbridge.core.canonical import JsonValue
from weighbridge.core.errors import Malformed
from weighbridge.core.finding import Confidence, Coverage, Finding, Report, Severity, Verdict
from weighbridge.inspectors.subject import Fact, Inspected

_VERDICTS = {verdict.value: verdict for verdict in Verdict}
_SEVERITIES = {severity.label: severity for severity in Severity}
_CONFIDENCES = {confidence.value: confidence for confidence in Confidence}


class Answer(NamedTuple):
    """What was found, and what the worker says of its spools."""

    reports: tuple[Report, ...]
    facts: tuple[Fact, ...]
    spooled: JsonValue


def encode(found: Inspected, spooled: Mapping[str, JsonValue]) -> bytes:
    """The payload of an `ANSWER` frame."""
    reports = [
        [
            report.inspector,
            report.verdict.value,
            report.coverage.inspected_bytes,
            report.coverage.present_bytes,
            report.kind,
            [_listed(finding) for finding in report.findings],
        ]
        for report in found.reports
    ]
    facts = [[fact.kind, fact.location, fact.value] for fact in found.facts]
    return json.dumps([reports, facts, spooled], separators=(",", ":")).encode("ascii")


def _listed(finding: Finding) -> list[str]:
    return [
        finding.rule,
        finding.severity.label,
        finding.confidence.value,
        finding.message,
        finding.location,
        finding.evidence,
        finding.remedy,
    ]


def parse(payload: bytes, path: str) -> Answer:
    """Reads what `encode` wrote, as about the artifact at `path`.

    Raises:
        ValueError, TypeError, LookupError, RecursionError, FormatError: it is no answer.
    """
    reports, facts, spooled = json.loads(payload)
    return Answer(
        tuple(_report(path, item) for item in _items(reports)),
        tuple(Fact(kind, path, location, value) for kind, location, value in map(_texts, _items(facts))),
        spooled,
    )


def _report(path: str, item: JsonValue) -> Report:
    inspector, verdict, inspected, present, kind, findings = _items(item)
    _texts((inspector, kind))
    # It goes into records, which hold no half of a surrogate pair.
    f"{inspector}{kind}".encode()
    return Report(
        str(inspector),
        path,
        _VERDICTS[str(verdict)],
        Coverage(_count(inspected), _count(present)),
        tuple(_finding(path, one) for one in _items(findings)),
        str(kind),
    )


def _finding(path: str, item: JsonValue) -> Finding:
    rule, severity, confidence, message, location, evidence, remedy = texts = _texts(_items(item))
    "".join(texts).encode("utf-8")
    return Finding(path, rule, _SEVERITIES[severity], _CONFIDENCES[confidence], message, location, evidence, remedy)


def _items(value: JsonValue) -> list[JsonValue]:
    if not isinstance(value, list):
        raise Malformed("an answer is made of lists")
    return value


def _texts(values: JsonValue | Iterable[JsonValue]) -> list[str]:
    texts = [value for value in values if isinstance(value, str)] if isinstance(values, list | tuple) else []
    if not isinstance(values, list | tuple) or len(texts) != len(values):
        raise Malformed("an answer has texts where texts belong")
    return texts


def _count(value: JsonValue) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value < 1 << 53:
        raise Malformed("an answer counts in non-negative integers")
    return value
