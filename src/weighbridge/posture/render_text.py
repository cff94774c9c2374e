"""A posture report as plain text: lines with tabs for a pipe, one JSON document for tools."""

from __future__ import annotations

import json
from collections.abc import Iterator

from weighbridge.posture.report import Posture, Route
from weighbridge.posture.speech import Speech


def as_lines(posture: Posture, speech: Speech) -> Iterator[str]:
    """One line for each cell (question, route, standing, why, next step), then one for each sentence of the recommendation."""
    for row in posture.rows:
        for route in Route:
            cell = row.cell(route)
            why = " ".join(speech.say(words) for words in (cell.why, *cell.also))
            yield _line(row.question, route.value, cell.standing.value, why, speech.say(cell.next_step))
    for words in posture.recommendation:
        yield _line("recommendation", "", "", speech.say(words), "")


def as_json(posture: Posture) -> str:
    """The document that `docs/reference/posture.schema.json` describes, in English, on one line."""
    return json.dumps(posture.to_json(), ensure_ascii=False) + "\n"


def _line(*cells: str) -> str:
    return "\t".join(cell.replace("\t", " ").replace("\n", " ") for cell in cells)
