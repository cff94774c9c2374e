"""One artifact, or a member of one, under inspection: its bytes, and what inspectors tell each other about it.

An inspector answers with a report. Beside it, it may say on the subject

- which bytes are data by the format's own rules (`inert`), so that content inspectors (malware, secrets) pass them by;
- what only the repository as a whole can judge (`fact`): a reference to another file, a chat template's digest;
- which artifacts lie inside (`descend`): members of archives, pickles in checkpoints. They are inspected like any other,
  and their findings are the container's, located in the member.

Limits: `MAX_DEPTH` containers within each other; `Allowance` over all that lies in one artifact.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import field, replace
from functools import cached_property
from typing import Final, Protocol

from weighbridge.core.dataclass import dataclass
from weighbridge.core.errors import LimitExceeded
from weighbridge.core.finding import Coverage, Finding, Report, Verdict, combine
from weighbridge.core.ports import RangeReader
from weighbridge.formats.bounded import read_exactly
from weighbridge.formats.kinds import Kind, kind_of, read_head, suffix_of

MAX_DEPTH: Final = 6
MAX_FACTS: Final = 50_000
MAX_FINDINGS: Final = 1_000
"""Findings kept of the members of one container; any more are counted by a verdict and not listed."""


@dataclass(frozen=True, slots=True, order=True)
class Span:
    """Bytes `start` (included) to `end` (excluded) of a subject."""

    start: int
    end: int


@dataclass(frozen=True, slots=True)
class Fact:
    """Something an artifact says that only the repository as a whole can judge.

    `kind` is a stable kebab-case word, `location` says where inside the artifact, `value` is what it says.
    """

    kind: str
    path: str
    location: str
    value: str


@dataclass(slots=True)
class Allowance:
    """What may still be spent on one artifact and all that lies in it. Counts down."""

    unpacked_bytes: int = 512 * 1024 * 1024
    members: int = 30_000

    def spend(self, unpacked_bytes: int) -> None:
        """Takes one member of that many unpacked bytes (0 where it is read in place).

        Raises:
            LimitExceeded: the artifact holds more than is inspected.
        """
        self.members -= 1
        self.unpacked_bytes -= unpacked_bytes
        if self.members < 0 or self.unpacked_bytes < 0:
            raise LimitExceeded("the artifact holds more members, or larger ones, than are inspected")


@dataclass(frozen=True, slots=True)
class Inspected:
    """What all inspectors said of one subject, its members included."""

    reports: tuple[Report, ...]
    facts: tuple[Fact, ...] = ()

    @property
    def verdict(self) -> Verdict:
        """As `core.finding.Inspection.verdict`."""
        return combine(report.settled_verdict for report in self.reports)

    def values(self, kind: str) -> dict[str, str]:
        """The facts of one kind, as value by location."""
        return {fact.location: fact.value for fact in self.facts if fact.kind == kind}


@dataclass
class Subject:
    """A `core.ports.RangeReader` with a memory. Not thread-safe."""

    reader: RangeReader
    inspect: Callable[[Subject], Inspected]
    depth: int = 0
    allowance: Allowance = field(default_factory=Allowance)
    facts: list[Fact] = field(default_factory=list)
    inert_spans: list[Span] = field(default_factory=list)
    members: dict[str, Report] = field(default_factory=dict)
    """What was said of the members, merged by inspector."""

    @property
    def path(self) -> str:
        """The artifact's path in its model, or the member's name in its container."""
        return self.reader.path

    @property
    def size_bytes(self) -> int:
        """Its size."""
        return self.reader.size_bytes

    def read(self, offset: int, length: int) -> bytes:
        """Exactly `length` bytes from `offset`, fewer only at the end."""
        return self.reader.read(offset, length)

    def read_exactly(self, offset: int, length: int) -> bytes:
        """Exactly `length` bytes from `offset`.

        Raises:
            Truncated: the reader returned less than was promised, or the end comes before.
        """
        return read_exactly(self.reader, offset, length)

    @cached_property
    def head(self) -> bytes:
        """The first bytes (`formats.kinds.HEAD_BYTES`), or all of a shorter one."""
        return read_head(self.reader)

    @cached_property
    def kind(self) -> Kind:
        """What it is, by content."""
        return kind_of(self.path, self.head, self.size_bytes)

    @cached_property
    def suffix(self) -> str:
        """The last ending of its name, lowercase, with the dot."""
        return suffix_of(self.path)

    def inert(self, start: int, end: int) -> None:
        """Says that these bytes are data by the format's own rules."""
        if end > start:
            self.inert_spans.append(Span(start, end))

    def fact(self, kind: str, value: str, *, location: str = "") -> None:
        """Says something for the repository as a whole."""
        if len(self.facts) < MAX_FACTS:
            self.facts.append(Fact(kind, self.path, location, value))

    def descend(self, member: RangeReader, *, unpacked_bytes: int = 0) -> Inspected:
        """Inspects what lies inside as an artifact of its own and keeps what was said under this one.

        `unpacked_bytes` is what the member cost to unpack; 0 where it is read in place.

        Raises:
            LimitExceeded: it lies too deep, or there is too much.
            Truncated: the reader returned less than was promised.
        """
        if self.depth >= MAX_DEPTH:
            raise LimitExceeded(f"more than {MAX_DEPTH} containers lie within each other")
        self.allowance.spend(unpacked_bytes)
        found = self.inspect(Subject(member, self.inspect, self.depth + 1, self.allowance))
        for report in found.reports:
            self._keep(_relocated(report, self.path))
        for fact in found.facts:
            self.fact(fact.kind, fact.value, location=_within(fact.path, fact.location))
        return found

    def _keep(self, report: Report) -> None:
        before = self.members.get(report.inspector)
        if before is not None:
            room = MAX_FINDINGS - len(before.findings)
            report = replace(
                report,
                verdict=combine((before.verdict, report.settled_verdict)),
                coverage=before.coverage + report.coverage,
                findings=(*before.findings, *report.findings[:room]),
            )
        self.members[report.inspector] = report

    def spans_to_look_into(self) -> tuple[Span, ...]:
        """What is left when the inert spans are taken out, in order."""
        left, position = [], 0
        for span in sorted(self.inert_spans):
            if span.start > position:
                left.append(Span(position, min(span.start, self.size_bytes)))
            position = max(position, span.end)
        if position < self.size_bytes:
            left.append(Span(position, self.size_bytes))
        return tuple(left)


class Inspector(Protocol):
    """Answers one question about one artifact."""

    @property
    def name(self) -> str:
        """Its stable kebab-case name."""
        ...

    def inspect(self, subject: Subject) -> Report | None:
        """The report, or None when the artifact is none of its business.

        A report whose `kind` is the subject's kind claims the account of the artifact: every byte it does not count as
        inspected is a byte that nobody understood.

        Raises:
            FormatError, IntegrityError, SourceError, StoreError: it could not answer; the caller records `unknown`.
        """
        ...


def report_of(
    inspector: str, subject: Subject, findings: Iterable[Finding], inspected_bytes: int, *, kind: str = ""
) -> Report:
    """The report that follows from findings and coverage.

    Bad for anything of high severity or worse; unknown when bytes were not understood; else clean, whatever lesser
    findings say (they are for policy). An inspector that means `unknown` with full coverage says so itself.
    """
    found = tuple(findings)
    coverage = Coverage(min(inspected_bytes, subject.size_bytes), subject.size_bytes)
    if any(finding.severity.is_grave for finding in found):
        verdict = Verdict.BAD
    else:
        verdict = Verdict.CLEAN if coverage.complete else Verdict.UNKNOWN
    return Report(inspector, subject.path, verdict, coverage, found, kind)


def _relocated(report: Report, path: str) -> Report:
    findings = tuple(
        replace(finding, path=path, location=_within(finding.path, finding.location)) for finding in report.findings
    )
    return Report(report.inspector, path, report.settled_verdict, report.coverage, findings[:MAX_FINDINGS])


def _within(member: str, location: str) -> str:
    name = member if len(member) <= 200 else f"{member[:200]}…"
    return f"{name}: {location}" if location else name
