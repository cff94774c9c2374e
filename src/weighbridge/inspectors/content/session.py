"""Reads what is not tensor data once, in overlapping windows, and hands it to whoever looks for malware and secrets.

`ContentSession` is an inspector, to be run last on every subject and its members (by then their formats have said which
bytes are inert). It works in the process that reads artifacts: malware rules answer there; what is worth searching for
secrets, and what an antivirus daemon shall see, goes to spools. `finish` runs in its parent: each engine once, over
everything. What ties the two together is a fact of kind `LABEL`, by which the parent learns in which artifact a member
lies.

Coverage counts bytes looked at, of those to be looked at: all that no format declared inert, or with `deep` all.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Final

from weighbridge.core.dataclass import dataclass
from weighbridge.core.finding import Report, Verdict
from weighbridge.inspectors.content import malware, secrets_silence
from weighbridge.inspectors.content.spool import DEFAULT_MAX_BYTES, Spool
from weighbridge.inspectors.content.strings import Line, Mute, Strings
from weighbridge.inspectors.subject import Fact, Span, Subject

if TYPE_CHECKING:
    from weighbridge.inspectors.content.secrets_engine import Waiting

NAME: Final = "content"
LABEL: Final = "content-label"
"""The kind of fact that says which label of the spools a subject has."""

WINDOW_BYTES: Final = 1024 * 1024
OVERLAP_BYTES: Final = 64 * 1024
BRIDGED_BYTES: Final = 64 * 1024
"""Inert bytes between two spans that are read along, because one more request costs more."""


@dataclass(frozen=True, slots=True)
class ContentSettings:
    """What is looked for. `clamd` is the address of an antivirus daemon, "" for none; see `wire.clamd`."""

    deep: bool = False
    secrets: bool = True
    malware: bool = True
    clamd: str = ""
    rule_folders: tuple[Path, ...] = ()
    """Folders with more YARA rules (`*.yar`, `*.yara`)."""

    spool_bytes: int = DEFAULT_MAX_BYTES


@dataclass(frozen=True, slots=True)
class Window:
    """Bytes of a subject from `offset`; the first `seen` of them were in the window before, too."""

    offset: int
    data: bytes
    seen: int


@dataclass
class ContentSession:
    """The part that reads. `text` takes what is searched for secrets, `raw` what the daemon shall see."""

    settings: ContentSettings
    text: Spool | None = None
    raw: Spool | None = None
    name: str = NAME

    def __post_init__(self) -> None:
        self._malware = malware.Malware.load(self.settings.rule_folders) if self.settings.malware else None
        self._mute = Mute(secrets_silence.is_silent_in_parts)

    def inspect(self, subject: Subject) -> Report | None:
        """What the malware rules say; None when they are off. Also fills the spools.

        Raises:
            Truncated: the reader returned less than was promised.
        """
        spans = (Span(0, subject.size_bytes),) if self.settings.deep else subject.spans_to_look_into()
        wanted = sum(span.end - span.start for span in spans)
        numbers = {spool.begin(subject.path, wanted) for spool in (self.text, self.raw) if spool is not None}
        for number in numbers:
            subject.fact(LABEL, str(number))
        look = self._malware.look(subject, wanted) if self._malware else None
        strings = Strings(pickled=subject.kind.name == "pickle")
        single = len(spans) == 1 and wanted <= WINDOW_BYTES
        for window in windows(subject, spans):
            if look is not None:
                look.see(window.data, window.offset)
            fresh, offset = window.data[window.seen :], window.offset + window.seen
            if self.text is not None and single and self._mute.holds(fresh, pickled=strings.pickled):
                self.text.labels[-1].looked_bytes += len(fresh)
            elif self.text is not None:
                _spool_lines(self.text, (strings.whole if single else strings.feed)(fresh, offset), len(fresh))
            if self.raw is not None and self.raw.append(fresh, offset):
                self.raw.labels[-1].looked_bytes += len(fresh)
        if self.text is not None and not single:
            _spool_lines(self.text, strings.end(), 0)
        return look.report() if look is not None else None


def windows(subject: Subject, spans: Iterable[Span]) -> Iterator[Window]:
    """The spans' bytes in order, in windows that overlap within a span; each byte is read once.

    Raises:
        Truncated: the reader returned less than was promised.
    """
    for group in _bridged(spans):
        first, last = group[0].start, group[-1].end
        read = _Reading(subject, first, last)
        for span in group:
            yield from _windows_of(read, span)


def _windows_of(read: _Reading, span: Span) -> Iterator[Window]:
    position, before = span.start, b""
    while position < span.end:
        data = read.take(position, min(WINDOW_BYTES - len(before), span.end - position))
        yield Window(position - len(before), before + data, len(before))
        position += len(data)
        before = (before + data)[-OVERLAP_BYTES:]


class _Reading:
    """Consecutive reads of one stretch, a window at a time."""

    def __init__(self, subject: Subject, start: int, end: int) -> None:
        self.subject, self.end = subject, end
        self.held, self.at = b"", start

    def take(self, start: int, length: int) -> bytes:
        """Bytes from `start`, which never lies before what was taken last."""
        wanted, at = length, start - self.at
        if at + wanted > len(self.held):
            rest = self.held[at:] if at < len(self.held) else b""
            more = min(max(WINDOW_BYTES, wanted) - len(rest), self.end - start - len(rest))
            self.held, self.at, at = rest + self.subject.read_exactly(start + len(rest), more), start, 0
        return self.held[at : at + wanted]


def _bridged(spans: Iterable[Span]) -> Iterator[list[Span]]:
    """Spans in groups that are read in one go."""
    group: list[Span] = []
    for span in spans:
        if group and span.start - group[-1].end > BRIDGED_BYTES:
            yield group
            group = []
        group.append(span)
    if group:
        yield group


def _spool_lines(spool: Spool, lines: Iterable[Line], looked_bytes: int) -> None:
    label, fits = spool.labels[-1], True
    for line in lines:
        label.verbatim = label.verbatim and line.verbatim
        fits = spool.append_lines(line.data, line.origin, line.starts, line.origins) and fits
    if fits:
        label.looked_bytes += looked_bytes


def begin(settings: ContentSettings) -> Waiting | None:
    """Starts the secrets engine, where there is one and secrets are looked for; for `finish`, or to be closed."""
    if not settings.secrets:
        return None
    from weighbridge.inspectors.content.secrets_engine import Engine

    engine = Engine.installed()
    return engine.begin() if engine is not None else None


def finish(
    settings: ContentSettings,
    facts: Iterable[Fact],
    *,
    text: Spool | None = None,
    raw: Spool | None = None,
    waiting: Waiting | None = None,
) -> tuple[Report, ...]:
    """What the engines say of everything that was spooled: one report for each engine and artifact, members included.

    `facts` are those of the artifacts (of their `Inspected`), which say where each label's subject lies. Never raises
    because of an engine: one that is missing or fails makes every answer unknown, and says so.
    """
    places = {int(fact.value): (fact.path, fact.location) for fact in facts if fact.kind == LABEL}
    reports: list[Report] = []
    if settings.secrets and text is not None:
        from weighbridge.inspectors.content import secrets

        reports += secrets.reports_of(text, places, waiting=waiting)
    if settings.clamd and raw is not None:
        from weighbridge.inspectors.content import antivirus

        reports += antivirus.reports_of(raw, places, settings.clamd)
    return _merged(reports)


def _merged(reports: Iterable[Report]) -> tuple[Report, ...]:
    """A container and its members are one artifact."""
    found: dict[tuple[str, str], Report] = {}
    for report in reports:
        key = (report.inspector, report.path)
        before = found.get(key)
        found[key] = report if before is None else _joined(before, report)
    return tuple(found.values())


def _joined(before: Report, report: Report) -> Report:
    order = (Verdict.BAD, Verdict.UNKNOWN, Verdict.CLEAN)
    verdict = min(before.settled_verdict, report.settled_verdict, key=order.index)
    return Report(
        before.inspector, before.path, verdict, before.coverage + report.coverage, before.findings + report.findings
    )
