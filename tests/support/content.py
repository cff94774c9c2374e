"""Runs content inspectors as a scan does: one part that reads, the index as JSON across, one part that runs engines."""

from __future__ import annotations

import json
from collections.abc import Iterable

from tests.support.inspecting import Bytes
from weighbridge.core.finding import Report
from weighbridge.core.ports import RangeReader
from weighbridge.inspectors.content.session import ContentSession, ContentSettings, finish
from weighbridge.inspectors.content.spool import Spool
from weighbridge.inspectors.registry import inspect_subject
from weighbridge.inspectors.subject import Fact, Inspected, Subject

SECRETS = ContentSettings(malware=False)
MALWARE = ContentSettings(secrets=False)


def looked_into(readers: Iterable[RangeReader], settings: ContentSettings, *, alone: bool = False) -> list[Report]:
    """What content inspectors say of some artifacts and their members; `alone`, no format's inspector runs before them."""
    text = Spool.create(max_bytes=settings.spool_bytes) if settings.secrets else None
    raw = Spool.create(max_bytes=settings.spool_bytes) if settings.clamd else None
    session = ContentSession(settings, text, raw)
    facts: list[Fact] = []
    reports: list[Report] = []

    def inspect(subject: Subject) -> Inspected:
        others = Inspected(()) if alone else inspect_subject(subject)
        own = session.inspect(subject)
        return Inspected((*others.reports, *((own,) if own else ())), tuple(subject.facts))

    for reader in readers:
        subject = Subject(reader, inspect)
        found = inspect(subject)
        facts += found.facts
        kept = (*found.reports, *subject.members.values())
        reports += [report for report in kept if report.inspector == "malware"]
    across = [_across(spool) for spool in (text, raw)]
    try:
        reports += finish(settings, facts, text=across[0], raw=across[1])
    finally:
        for spool in (text, raw):
            if spool is not None:
                spool.close()
    return reports


def _across(spool: Spool | None) -> Spool | None:
    """The spool as the parent process gets it: the same file, and the index as text."""
    if spool is None:
        return None
    return Spool.from_json(json.loads(json.dumps(spool.to_json())), spool.descriptor)


def content(path: str, data: bytes, settings: ContentSettings, *, alone: bool = False) -> list[Report]:
    """What is said of one artifact."""
    return looked_into([Bytes(path, data)], settings, alone=alone)


def rules(reports: Iterable[Report]) -> set[str]:
    """The rules that were broken."""
    return {finding.rule for report in reports for finding in report.findings}
