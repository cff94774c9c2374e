"""A rule: what a finding's id stands for, why it matters and what to do."""

from __future__ import annotations

from weighbridge.core.dataclass import dataclass
from weighbridge.core.finding import Confidence, Finding, Severity


@dataclass(frozen=True, slots=True)
class Rule:
    """One thing an inspector can notice. `id` is stable kebab-case and is never given another meaning."""

    id: str
    title: str
    severity: Severity
    inspector: str
    explanation: str
    remedy: str
    example: str = ""
    """What breaks the rule and what does not, for `scan --explain`."""

    def finding(
        self, path: str, message: str, *, location: str = "", confidence: Confidence = Confidence.HIGH
    ) -> Finding:
        """The finding that the artifact at `path` breaks this rule."""
        return Finding(path, self.id, self.severity, confidence, message, location=location, remedy=self.remedy)
