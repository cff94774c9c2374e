"""The findings on one artifact while an inspector reads it: the same thing is said once, and not for ever."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Final

from weighbridge.core.finding import Finding, Report, Severity
from weighbridge.inspectors.rule import Rule
from weighbridge.inspectors.subject import Subject, report_of

MAX_OF_A_RULE: Final = 50
"""Findings kept of one rule in one artifact; the others would say the same of other places."""


class Notes:
    """Collects findings of `rules` on `subject`."""

    __slots__ = ("_count", "_found", "_rules", "_subject")

    def __init__(self, subject: Subject, rules: Mapping[str, Rule]) -> None:
        self._subject = subject
        self._rules = rules
        self._found: dict[tuple[str, str, str], Finding] = {}
        self._count: Counter[str] = Counter()

    def say(self, rule: str, message: str, *, location: str = "") -> None:
        """Notes that the artifact breaks the rule there, unless that was said, or said `MAX_OF_A_RULE` times."""
        key = (rule, message, location)
        if key in self._found or self._count[rule] >= MAX_OF_A_RULE:
            return
        self._count[rule] += 1
        self._found[key] = self._rules[rule].finding(self._subject.path, message, location=location)

    def __bool__(self) -> bool:
        return bool(self._found)

    def __contains__(self, rule: str) -> bool:
        return self._count[rule] > 0

    @property
    def found(self) -> tuple[Finding, ...]:
        """What was said so far."""
        return tuple(self._found.values())

    @property
    def grave(self) -> bool:
        """Whether anything makes the artifact bad."""
        return any(finding.severity >= Severity.HIGH for finding in self._found.values())

    def report(self, inspector: str, inspected_bytes: int) -> Report:
        """The report that follows, as the account of the artifact's bytes."""
        kind = self._subject.kind.name
        return report_of(inspector, self._subject, self._found.values(), inspected_bytes, kind=kind)


def first_of_each(findings: Iterable[Finding], most: int) -> list[Finding]:
    """The first `most` findings of each rule, in their order."""
    kept, seen = [], Counter[str]()
    for finding in findings:
        seen[finding.rule] += 1
        if seen[finding.rule] <= most:
            kept.append(finding)
    return kept


def shown(text: str | bytes) -> str:
    """Hostile text as it may be shown: escaped, and at most 100 characters of it."""
    if isinstance(text, bytes):
        text = text[:120].decode("utf-8", "backslashreplace")
    return ascii(text[:100])
