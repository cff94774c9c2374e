"""Is this picture, sound, film, font or document that and nothing else, to the last byte?

The structure is walked by its lengths and nothing is decoded. Clean means that the structure accounts for every byte
and that no part of it begins like something that is run or unpacked. Whether a decoder has a bug that the data triggers
is not assessed. What lies behind the end is inspected as an artifact of its own.
"""

from __future__ import annotations

import html
import re
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Final

from weighbridge.core.errors import LimitExceeded
from weighbridge.core.finding import Coverage, Finding, Report, Severity, Verdict
from weighbridge.formats import media as pictures
from weighbridge.formats import media_images as images
from weighbridge.formats import media_sounds as sounds
from weighbridge.formats import media_streams as streams
from weighbridge.formats import media_tracks as tracks
from weighbridge.formats.kinds import is_text, kind_of
from weighbridge.formats.media import MediaBroken, Part, Walk, Window
from weighbridge.formats.media_texts import MAX_TEXT_BYTES, look_at_pdf, svg_acts
from weighbridge.formats.members import Slice
from weighbridge.inspectors.rule import Rule
from weighbridge.inspectors.subject import Subject

NAME: Final = "media"
_WALKS: Final[Mapping[str, Callable[[Window], Walk]]] = MappingProxyType(
    {**pictures.WALKS, **tracks.WALKS, **images.WALKS, **streams.WALKS, **sounds.WALKS}
)
_RISKY: Final = frozenset(("executable", "serialised", "archive"))
_SCRIPTS: Final = (b"<?php", b"<script", b"#!/", b"<%@")
MAX_PAGE_BYTES: Final = 4 * 1024 * 1024
_ACTING_PAGE: Final = re.compile(
    r"(?i)\{\{|\{%|<%|\$\{|<\?(?!xml )|<\s*/?\s*(?:form|base|frame|frameset|applet|portal|link(?![^<>]{0,300}rel=[\"']?(?:canonical|license|icon))"
    r"|template|slot|style(?=[^<>]{0,300}src)|[a-z]+-[a-z-]+)\b|http-equiv(?!\s*=\s*[\"']?content-type)|srcdoc|formaction|<!ENTITY|expression\s*\("
)
"""What makes a page do more than show: forms, other documents, templates, elements of its own, redirections."""
_REMEDY = "Leave the file out with --exclude, or take it through a tool that writes it anew."


def _rule(name: str, title: str, severity: Severity, explanation: str) -> Rule:
    return Rule(name, title, severity, NAME, explanation, _REMEDY)


RULES: Final[tuple[Rule, ...]] = (
    _rule(
        "media-broken",
        "The structure breaks",
        Severity.MEDIUM,
        "The file is cut or damaged, or made to break decoders; what follows the break is unknown.",
    ),
    _rule(
        "media-trailing-data",
        "Bytes behind the end",
        Severity.MEDIUM,
        "Viewers ignore what follows the picture. Another reader may find a file there.",
    ),
    _rule(
        "media-embedded",
        "Another file inside",
        Severity.HIGH,
        "A program, an archive, a script or a pickle lies in or behind the picture, where viewers do not look.",
    ),
    _rule(
        "svg-script",
        "A picture with a script",
        Severity.HIGH,
        "A browser that shows the picture runs it, with the rights of the page.",
    ),
    _rule(
        "svg-entity",
        "Entities that reach outside or grow",
        Severity.HIGH,
        "A parser that follows them reads files and addresses, or runs out of memory.",
    ),
    _rule(
        "svg-external",
        "A picture that loads from outside",
        Severity.MEDIUM,
        "Showing it tells the other side who looks, and shows what the other side wants.",
    ),
    _rule(
        "svg-foreign-object",
        "HTML in a picture",
        Severity.LOW,
        "Drawing tools write it for text; it may hold forms and frames as well.",
    ),
    _rule(
        "pdf-active",
        "A document that acts",
        Severity.MEDIUM,
        "It holds scripts, launches programs, carries files or sends forms. A paper needs none of it.",
    ),
)
_BY_ID: Final[Mapping[str, Rule]] = {rule.id: rule for rule in RULES}


class Media:
    """The inspector `media`; see the module."""

    name = NAME

    def inspect(self, subject: Subject) -> Report | None:
        """Clean when the structure accounts for every byte; None for what is no medium.

        Raises:
            Truncated: the reader returned less than the artifact's size promises.
        """
        kind = subject.kind.name
        if kind == "svg":
            return _svg(subject)
        if kind == "pdf":
            return _pdf(subject)
        if kind == "source" and subject.suffix in (".html", ".htm"):
            return _still_page(subject)
        if kind not in _WALKS:
            return None
        look = _Look(subject)
        try:
            walk = _WALKS[kind](Window(subject))
        except MediaBroken as broken:
            look.say("media-broken", broken.message, broken.offset)
            return look.report(0)
        for message, offset in walk.defects:
            look.say("media-broken", message, offset)
        for part in walk.parts:
            look.part(part)
        look.behind(walk.end)
        return look.report(min(walk.end, subject.size_bytes) - walk.opaque_bytes)


class _Look:
    """One file under inspection."""

    def __init__(self, subject: Subject) -> None:
        self._subject = subject
        self._findings: list[Finding] = []

    def say(self, rule: str, message: str, offset: int) -> None:
        if len(self._findings) < 100:
            found = _BY_ID[rule].finding(self._subject.path, message, location=f"offset {offset}")
            self._findings.append(found)

    def part(self, part: Part) -> None:
        kind = kind_of("", part.head, max(part.size_bytes, len(part.head)))
        script = next((word for word in _SCRIPTS if word in part.head.lower()), None)
        if script is not None:
            self.say("media-embedded", f"the {part.name} holds a script ({script.decode()})", part.offset)
        elif kind.family in _RISKY and part.size_bytes > 16 and kind.name != "zlib":
            self.say("media-embedded", f"the {part.name} begins like {kind.name}", part.offset)

    def behind(self, end: int) -> None:
        """What follows the end: an artifact of its own."""
        subject = self._subject
        rest = subject.size_bytes - end
        if rest <= 0:
            return
        head = subject.read_exactly(end, min(rest, 8192))
        kind = kind_of("", head, rest)
        if kind.family in _RISKY or any(word in head.lower() for word in _SCRIPTS):
            self.say("media-embedded", f"{rest} bytes behind the end begin like {kind.name}", end)
        else:
            self.say("media-trailing-data", f"{rest} bytes follow the end", end)
        try:
            subject.descend(Slice("trailing-data", subject.reader, end, rest))
        except LimitExceeded:
            self.say("media-trailing-data", "what follows the end lies too deep to be looked at", end)

    def report(self, covered: int) -> Report:
        """Bad for what is grave, unknown for what is worth a decision or was not understood."""
        size = self._subject.size_bytes
        if any(finding.severity.is_grave for finding in self._findings):
            verdict = Verdict.BAD
        elif covered < size or any(finding.severity >= Severity.MEDIUM for finding in self._findings):
            verdict = Verdict.UNKNOWN
        else:
            verdict = Verdict.CLEAN
        coverage = Coverage(max(0, covered), size)
        return Report(NAME, self._subject.path, verdict, coverage, tuple(self._findings), self._subject.kind.name)


def _svg(subject: Subject) -> Report | None:
    look = _Look(subject)
    if subject.size_bytes > MAX_TEXT_BYTES:
        return look.report(0)
    data = subject.read_exactly(0, subject.size_bytes)
    if not is_text(data, whole=True):
        look.say("media-broken", "the picture is not text to its end", 0)
        return look.report(0)
    for act in svg_acts(data.decode("utf-8")):
        look.say(act.rule, act.message, act.offset)
    return look.report(subject.size_bytes)


def _still_page(subject: Subject) -> Report | None:
    """A page of HTML that only shows text; None for one that acts, loads or is a template: the census speaks of those."""
    if subject.size_bytes > MAX_PAGE_BYTES:
        return None
    data = subject.read_exactly(0, subject.size_bytes)
    if not is_text(data, whole=True):
        return None
    text = data.decode("utf-8")
    if _ACTING_PAGE.search(text) or _ACTING_PAGE.search(html.unescape(text)) or next(svg_acts(text), None) is not None:
        return None
    return _Look(subject).report(subject.size_bytes)


def _pdf(subject: Subject) -> Report | None:
    look = _Look(subject)
    if subject.size_bytes > MAX_TEXT_BYTES:
        return look.report(0)
    found = look_at_pdf(subject.read_exactly(0, subject.size_bytes))
    for act in found.acts:
        look.say(act.rule, act.message, act.offset)
    if not found.end:
        look.say("media-broken", "the end is missing", subject.size_bytes)
    else:
        look.behind(found.end)
    return look.report(subject.size_bytes if found.whole else 0)
