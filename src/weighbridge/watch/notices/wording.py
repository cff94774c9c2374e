"""Says news in words for people: a mail's subject and text, a chat's message; a stranger's text stays text.

Rules:

- what comes from upstream (summary, reasons, refs) is one line, without control, invisible or direction-changing characters,
  without credentials, and cut;
- in a mail nothing of it is in a header, and its addresses are written so that no program makes links of them;
- in a chat each piece of it stands in a code span, with `&`, `<`, `>` and the backtick replaced: there no chat that takes
  Slack's messages finds a mention, a link or a mark-up. Slack is told not to look for them either.
"""

from __future__ import annotations

import re
import unicodedata
from typing import Final

from weighbridge.core.canonical import JsonValue
from weighbridge.core.shown import plain
from weighbridge.watch.news import Judgement, Kind, News

MAX_LINE: Final = 300
MAX_REASONS: Final = 12
_SHOWN_NOWHERE: Final = frozenset(("Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"))
_ADDRESS: Final = re.compile(r"(?i)\b(https?|ftp|mailto|file|data|javascript):")

TITLES: Final = {
    Kind.NEW_REVISION: "new revision",
    Kind.HISTORY_REWRITTEN: "history rewritten",
    Kind.TAG_MOVED: "tag moved",
    Kind.DELETED: "gone from upstream",
    Kind.RENAMED: "renamed",
    Kind.REPOSITORY_REPLACED: "repository replaced",
    Kind.OWNER_CHANGED: "owner changed",
    Kind.CLOSED: "access closed",
    Kind.FLAGGED: "flagged by the Hub's scan",
    Kind.ADVISORY: "new advisory",
    Kind.REJUDGED: "judged anew",
    Kind.UNREACHABLE: "upstream unreachable",
}
_MADE_OF_IT: Final = {
    Judgement.PASSED: "It came in by itself, because policy says so.",
    Judgement.REQUESTED: "A request is filed, and a reviewer is asked.",
    Judgement.HELD: "It is held until somebody has looked.",
    Judgement.NOTED: "There is nothing to bring in.",
}


def one_line(text: str, limit: int = MAX_LINE) -> str:
    """A stranger's text, fit to be shown on one line."""
    kept = "".join(
        " " if one in "\n\t\r" else one if unicodedata.category(one) not in _SHOWN_NOWHERE else ascii(one)[1:-1]
        for one in text[: limit * 4]
    )
    return plain(" ".join(kept.split()), limit)


def subject(news: News) -> str:
    """A mail's subject: our own words and the model's name, whose letters are few and plain."""
    risk = f" ({news.risk.label})" if news.risk else ""
    return f"[weighbridge] {news.judgement.value}: {news.model_name}: {TITLES[news.kind]}{risk}"


def letter(news: News, *, test: bool = False) -> str:
    """A mail's text."""
    lines = [
        *(["This is a test of the notices of weighbridge. Nothing happened.", ""] if test else []),
        f"Model:     {news.model_name}",
        f"What:      {TITLES[news.kind]}",
        f"Risk:      {news.risk.label if news.risk else 'none'}",
        f"Judgement: {news.judgement.value}. {_MADE_OF_IT[news.judgement]}",
        *([f"Stored:    {_unlinked(news.stored)}"] if news.stored else []),
        *([f"Upstream:  {_unlinked(news.upstream)}"] if news.upstream else []),
        f"Seen at:   {_unlinked(news.seen_at)}",
        "",
        "What was seen. Names and words in it may be a stranger's:",
        f"  {_unlinked(news.summary)}",
        *(f"  - {_unlinked(reason)}" for reason in news.reasons[:MAX_REASONS]),
        *_more(news, "  "),
        "",
        "What to do:",
        *(f"  {step}" for step in steps(news)),
    ]
    return "\n".join(lines) + "\n"


def _unlinked(text: str) -> str:
    return _ADDRESS.sub(lambda found: f"{found[1]}[:]", one_line(text))


def _more(news: News, indent: str) -> list[str]:
    left = len(news.reasons) - MAX_REASONS
    return [f"{indent}and {left} more"] if left > 0 else []


def steps(news: News) -> tuple[str, ...]:
    """The commands that a person looks or acts with."""
    look = f"weighbridge updates {news.model_name}"
    if news.request:
        return (look, f"weighbridge requests show {news.request}")
    return (look,)


def slack_message(news: News, *, test: bool = False) -> dict[str, JsonValue]:
    """The message for a chat: `text` for notifications and for chats without blocks, and blocks."""
    title = f"{TITLES[news.kind]}: {news.judgement.value}"
    risk = news.risk.label if news.risk else "none"
    head = "weighbridge, a test: " if test else "weighbridge: "
    fields: list[JsonValue] = [
        _field("Model", _code(str(news.model_name))),
        _field("Risk", risk),
        *([_field("Stored", _code(news.stored))] if news.stored else []),
        *([_field("Upstream", _code(news.upstream))] if news.upstream else []),
    ]
    seen = "\n".join(
        [_code(news.summary), *(f"• {_code(one)}" for one in news.reasons[: MAX_REASONS // 2]), *_fewer(news)]
    )
    doing = "  ".join(_code(step) for step in steps(news))
    blocks: list[JsonValue] = [
        {"type": "header", "text": {"type": "plain_text", "text": title[:150], "emoji": False}},
        {"type": "section", "fields": fields},
        {"type": "section", "text": _marked(seen)},
        {"type": "context", "elements": [_marked(f"{_MADE_OF_IT[news.judgement]} {doing}")]},
    ]
    if test:
        blocks.insert(0, {"type": "section", "text": _marked("This is a test. Nothing happened.")})
    return {
        "text": f"{head}{_code(str(news.model_name))}: {title} (risk: {risk}): {_code(news.summary)}",
        "blocks": blocks,
        "parse": "none",
        "link_names": False,
        "unfurl_links": False,
        "unfurl_media": False,
    }


def _fewer(news: News) -> list[str]:
    left = len(news.reasons) - MAX_REASONS // 2
    return [f"and {left} more"] if left > 0 else []


def _field(name: str, value: str) -> JsonValue:
    return _marked(f"*{name}*\n{value}")


def _marked(text: str) -> dict[str, JsonValue]:
    return {"type": "mrkdwn", "text": text[:3_000], "verbatim": True}


def _code(text: str) -> str:
    """A stranger's text as a code span; what Slack's own rules have escaped is escaped."""
    line = one_line(text).replace("`", "'").strip() or "-"
    return f"`{line.replace('&', '&amp;').replace('<', '&lt;').replace('>', '&gt;')}`"
