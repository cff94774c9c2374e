"""What the catalog's pages list: rows and groups, as plain values, and how long lists are cut into pages."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final, TypeVar

from weighbridge.core.finding import Finding, Severity, Verdict
from weighbridge.core.names import ModelName
from weighbridge.inspectors.rule import Rule
from weighbridge.serve.web_data import Opened, Standpoint
from weighbridge.store.catalog import CataloguedRevision

VERDICTS: Final = tuple(verdict.value for verdict in Verdict)
_Item = TypeVar("_Item")


@dataclass(frozen=True, slots=True)
class Page:
    """A template, and what it is filled with."""

    template: str
    context: Mapping[str, object]
    status: int = 200


@dataclass(frozen=True, slots=True)
class Line:
    """One model of the list: its newest revision, and where its channels point."""

    name: ModelName
    row: CataloguedRevision
    opened: Opened
    revisions: int
    channels: Mapping[str, str]
    stage: str


@dataclass(frozen=True, slots=True)
class Waiting:
    """A revision of the queue. `state` is `undecided`, `hold`, `waits`, `ready`, `rejected`, `deny` or `unproven`."""

    row: CataloguedRevision
    opened: Opened
    standpoint: Standpoint
    state: str


@dataclass(frozen=True, slots=True)
class FileLine:
    """A file with what is known of it; `findings` is how many are about it."""

    path: str
    size_bytes: int
    sha256: str
    kind: str
    proven: str
    findings: int


@dataclass(frozen=True, slots=True)
class Past:
    """A revision of a model's history: where it lies, and what points to it."""

    row: CataloguedRevision
    stages: tuple[str, ...]
    channels: tuple[str, ...]
    revoked: str


@dataclass(frozen=True, slots=True)
class Group:
    """Findings of one rule, with the rule's own text."""

    rule_id: str
    rule: Rule | None
    severity: Severity
    findings: tuple[Finding, ...] = field(default=())


def fits(line: Line, asked: Mapping[str, str]) -> bool:
    """Whether a model is among those that the words of the search and the filters leave."""
    channel = asked["channel"]
    return (
        all(word in str(line.name).lower() for word in asked["q"].lower().split())
        and asked["verdict"] in ("", line.row.verdict)
        and asked["stage"] in ("", line.stage)
        and (not channel or channel in line.channels)
    )


def state_of(standpoint: Standpoint) -> str:
    """The state of `Waiting`."""
    decision, people = standpoint.decision, standpoint.standing
    if standpoint.problem:
        return "unproven"
    if decision is None or people is None:
        return "undecided"
    if people.rejected:
        return "rejected"
    if decision.outcome.value == "admit":
        return "ready" if people.complete else "waits"
    return decision.outcome.value


def groups_of(findings: tuple[Finding, ...]) -> list[Group]:
    """Findings by rule, the gravest first."""
    from weighbridge.inspectors.all_rules import RULES

    by: dict[str, list[Finding]] = {}
    for finding in findings:
        by.setdefault(finding.rule, []).append(finding)
    groups = [
        Group(rule, RULES.get(rule), max(finding.severity for finding in of), tuple(of)) for rule, of in by.items()
    ]
    return sorted(groups, key=lambda group: (-group.severity, group.rule_id))


def files_of(opened: Opened) -> list[FileLine]:
    """The files of a revision; none of one that cannot be proven."""
    if opened.sealed is None:
        return []
    kinds: dict[str, str] = {}
    counts: dict[str, int] = {}
    for report in opened.inspection.reports if opened.inspection else ():
        if report.kind and (report.inspector != "file-kinds" or report.path not in kinds):
            kinds[report.path] = report.kind
        for finding in report.findings:
            counts[finding.path] = counts.get(finding.path, 0) + 1
    return [
        FileLine(one.path, one.size_bytes, one.sha256, kinds.get(one.path, ""), one.proven, counts.get(one.path, 0))
        for one in opened.sealed.manifest.artifacts
    ]


def paged(items: list[_Item], words: Mapping[str, str], each: int) -> tuple[int, list[_Item]]:
    """The number of the page that is asked for, and its items."""
    text = words.get("page", "1")
    asked = int(text) if text.isascii() and text.isdecimal() and len(text) < 7 else 1
    number = max(1, min(asked, -(-len(items) // each) or 1))
    return number, items[(number - 1) * each : number * each]


def pager(number: int, count: int, each: int, asked: Mapping[str, str]) -> dict[str, object]:
    """What a template needs to lead to the other pages."""
    return {"page": number, "pages": -(-count // each) or 1, "kept": {k: v for k, v in asked.items() if v}}
