"""What the tests of inspectors share: an artifact in memory, and what is said of it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple

from weighbridge.core.finding import Inspection, Report, Verdict
from weighbridge.core.ports import RangeReader
from weighbridge.inspectors.registry import RULES_VERSION, inspect_artifact, inspect_subject
from weighbridge.inspectors.subject import Inspected, Inspector, Subject


@dataclass(frozen=True, slots=True)
class Bytes:
    """A file in memory; `claimed` is a size that it does not have. `reads` keeps every (offset, length) asked for."""

    path: str
    data: bytes
    claimed: int = -1
    reads: list[tuple[int, int]] = field(default_factory=list)

    @property
    def size_bytes(self) -> int:
        return self.claimed if self.claimed >= 0 else len(self.data)

    def read(self, offset: int, length: int) -> bytes:
        self.reads.append((offset, length))
        return self.data[offset : offset + length]

    @property
    def read_bytes(self) -> int:
        return sum(max(0, min(length, len(self.data) - offset)) for offset, length in self.reads)


def subject_of(reader: RangeReader) -> Subject:
    """A subject whose members are inspected by everything there is."""
    return Subject(reader, inspect_subject)


def answer(inspector: Inspector, reader: RangeReader) -> Report | None:
    """What one inspector says of one artifact."""
    return inspector.inspect(subject_of(reader))


def examined(path: str, data: bytes) -> Inspected:
    """What everything there is says of one artifact."""
    return inspect_artifact(Bytes(path, data))


def inspection_of(files: dict[str, bytes]) -> Inspection:
    """What everything there is says of some artifacts, each by itself."""
    reports = [report for path, data in files.items() for report in examined(path, data).reports]
    return Inspection(tuple(reports), RULES_VERSION)


def rules_of(path: str, data: bytes) -> set[str]:
    """The rules that one artifact breaks."""
    return {finding.rule for report in examined(path, data).reports for finding in report.findings}


def verdict_of(path: str, data: bytes) -> Verdict:
    """The verdict on one artifact."""
    return examined(path, data).verdict


class Described(NamedTuple):
    """A text file, and the rule that it breaks ("" for an honest one)."""

    path: str
    text: str
    rule: str = ""


def check_nothing_is_said(described: Described) -> None:
    """Fails unless the file breaks no rule and is clean."""
    assert rules_of(described.path, described.text.encode()) == set()
    assert verdict_of(described.path, described.text.encode()) is Verdict.CLEAN
