"""A posture report as Markdown: for a ticket, a pull request, a page of a wiki.

Text that strangers wrote cannot act: what Markdown would take for markup is escaped, evidence stands in code spans.
"""

from __future__ import annotations

import json
import re
import unicodedata
from collections.abc import Iterator
from typing import Final

from weighbridge.posture.report import Cell, Posture, Route, Standing, Words
from weighbridge.posture.speech import Speech
from weighbridge.reports.markdown import code

MARKS: Final = {Standing.MET: "●", Standing.PARTLY: "◐", Standing.NOT_MET: "○", Standing.UNPROVED: "?"}
MAX_VALUE: Final = 200
"""Characters of a value that are shown."""
_MARKUP: Final = re.compile(r"[\\`*_\[\]<>|#~$!]")


def as_markdown(posture: Posture, speech: Speech) -> str:
    """The report as one Markdown document."""
    return "\n".join(_lines(posture, speech)) + "\n"


def _lines(posture: Posture, speech: Speech) -> Iterator[str]:
    say = speech.say
    yield f"# {say(Words('From the Hub, or from the bucket?'))} {code(posture.model_name)}"
    yield ""
    if posture.revision:
        yield f"{say(Words('Revision'))}: {code(posture.revision)}"
        yield ""
    yield f"## {say(Words('Recommendation'))}"
    yield ""
    for words in posture.recommendation:
        yield f"- {escaped(say(words))}"
    yield ""
    yield f"## {say(Words('Answers'))}"
    yield ""
    yield f"| | {' | '.join(speech.standing(standing) for standing in Standing)} |"
    yield f"|---|{'---:|' * len(Standing)}"
    for route in Route:
        counts = " | ".join(str(posture.count(route, standing)) for standing in Standing)
        yield f"| {speech.route(route)} | {counts} |"
    yield ""
    yield f"| {say(Words('Question'))} | {' | '.join(speech.route(route) for route in Route)} |"
    yield "|---|---|---|"
    for row in posture.rows:
        cells = " | ".join(_cell(row.cell(route), speech) for route in Route)
        yield f"| **{say(row.title)}**<br>{escaped(say(row.asks))} | {cells} |"
    yield ""
    yield from _evidence(posture, speech)


def _cell(cell: Cell, speech: Speech) -> str:
    parts = [f"{MARKS[cell.standing]} **{speech.standing(cell.standing)}** {escaped(speech.say(cell.why))}"]
    parts += [escaped(speech.say(words)) for words in cell.also]
    if cell.next_step.template:
        parts.append(f"→ {escaped(speech.say(cell.next_step))}")
    if cell.evidence:
        parts.append(" ".join(code(id_) for id_ in cell.evidence))
    return "<br>".join(parts)


def _evidence(posture: Posture, speech: Speech) -> Iterator[str]:
    say = speech.say
    yield f"## {say(Words('Evidence'))}"
    yield ""
    heads = (Words("Fact"), Words("Value"), Words("Read from"), Words("When"), Words("SHA-256"))
    yield f"| {' | '.join(say(one) for one in heads)} |"
    yield "|---|---|---|---|---|"
    for fact in posture.dossier:
        cells = (fact.id, short(fact.value), fact.source, fact.observed_at, fact.digest[:12])
        yield f"| {' | '.join(code(cell) for cell in cells)} |"
    if posture.dossier.unobtained:
        yield ""
        yield f"## {say(Words('Not obtained'))}"
        yield ""
        for id_, why in sorted(posture.dossier.unobtained.items()):
            yield f"- {code(id_)}: {code(why[:MAX_VALUE])}"


def short(value: object) -> str:
    """A value as JSON, cut."""
    text = json.dumps(value, ensure_ascii=False, sort_keys=True)
    return text if len(text) <= MAX_VALUE else text[: MAX_VALUE - 1] + "…"


def escaped(text: str) -> str:
    """Text on one line that Markdown takes for text, without characters that show nothing or turn it around."""
    flat = "".join(
        "\ufffd" if unicodedata.category(one) in ("Cc", "Cf", "Cs", "Co", "Zl", "Zp") else one for one in text
    )
    return _MARKUP.sub(lambda found: "\\" + found[0], flat)
