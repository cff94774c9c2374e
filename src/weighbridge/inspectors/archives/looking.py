"""One container under inspection: what is said of it, what was handed down, and how much of it is accounted for."""

from __future__ import annotations

from typing import Final

from weighbridge.core.errors import LimitExceeded
from weighbridge.core.finding import Coverage, Finding, Report, Severity, Verdict
from weighbridge.core.ports import RangeReader
from weighbridge.formats.members import MAX_HELD_BYTES, held_bytes
from weighbridge.inspectors.archives.rules import BY_ID, NAME
from weighbridge.inspectors.subject import Inspected, Subject

MAX_FINDINGS: Final = 300


class Looking:
    """Collects what is said. `complete` until something was left out; `stopped` when no more members are taken."""

    def __init__(self, subject: Subject, family: str) -> None:
        self.subject = subject
        self.family = family
        self.complete = True
        self.stopped = False
        self.left_out = 0
        """Bytes of the container that nobody looked at."""
        self.findings: list[Finding] = []

    @property
    def may_hold(self) -> int:
        """How many more bytes may be held in memory."""
        return max(0, MAX_HELD_BYTES - held_bytes(self.subject.reader))

    @property
    def may_unpack(self) -> int:
        """How many more bytes may be unpacked."""
        return max(0, self.subject.allowance.unpacked_bytes)

    def say(self, rule: str, message: str, location: str = "") -> None:
        """Adds a finding; `rule` without the family. One of medium severity or more is never clean."""
        known = BY_ID[f"{self.family}-{rule}"]
        if len(self.findings) < MAX_FINDINGS:
            self.findings.append(known.finding(self.subject.path, message, location=location))
        self.complete &= known.severity < Severity.MEDIUM

    def leave_out(self, size_bytes: int) -> None:
        """Counts bytes as not looked at."""
        self.left_out += size_bytes
        self.complete = False

    def descend(self, member: RangeReader, *, unpacked_bytes: int = 0, packed_bytes: int = 0) -> Inspected | None:
        """Hands a member down; None when there is too much, or it lies too deep, which is said."""
        if self.stopped:
            self.leave_out(packed_bytes)
            return None
        try:
            return self.subject.descend(member, unpacked_bytes=unpacked_bytes)
        except LimitExceeded as error:
            self.stopped = True
            self.say("limit", f"not all members were looked at: {error.message}", f"{member.path[:100]!a}")
            self.leave_out(packed_bytes)
            return None

    def report(self, *, claims: bool = True) -> Report:
        """The report; `claims` where it is the account of the subject's bytes."""
        size = self.subject.size_bytes
        covered = size if self.complete else max(0, size - max(self.left_out, 1))
        if any(finding.severity.is_grave for finding in self.findings):
            verdict = Verdict.BAD
        else:
            verdict = Verdict.CLEAN if self.complete else Verdict.UNKNOWN
        kind = self.subject.kind.name if claims else ""
        return Report(NAME, self.subject.path, verdict, Coverage(covered, size), tuple(self.findings), kind)
